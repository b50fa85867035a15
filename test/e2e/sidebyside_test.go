package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestVaultObjectsFailAlone kills one of two Vaults, each with a vault object of its own.
// The other vault object answers as before, and the metrics distinguish them. A third vault
// object has a first address at which nothing listens.
func TestVaultObjectsFailAlone(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	dir := t.TempDir()
	other, err := parts.StartVault(t.Context(), parts.VaultConfig{Binary: suite.vault, Dir: dir})
	must(t, err)
	t.Cleanup(func() { other.Stop(10 * time.Second) })
	suite.secrets.add(other.RootToken)
	must(t, other.Mount(t.Context(), mountV1, parts.KVv1))
	token, err := other.ReaderToken(t.Context(), mountV1)
	must(t, err)
	suite.secrets.add(token)
	file := filepath.Join(dir, "other-token")
	must(t, os.WriteFile(file, []byte(token), 0o600))

	bed := ownTestbed(t, setup{
		entities: fmt.Sprintf(`
vaults:
  - {name: one, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}, timeout: 500ms}
  - {name: two, address: %[1]q, mount: kong-auth, kv: v1, token: {file: %[2]q}, timeout: 500ms}
  - {name: both, addresses: ["http://127.0.0.1:1", %[1]q], mount: kong-auth, kv: v1, token: {file: %[2]q}, timeout: 1s}
`, other.Address, file) + consumers + `
policies:
  - {name: default, default: true, vault: one}
  - {name: two, vault: two}
  - {name: both, vault: both}
`,
		listeners: []parts.Listener{{Name: onClosed, Timeout: 2 * time.Second}},
		policies:  []string{"default", "two", "both"},
	})
	fresh := func() pair {
		p := bed.credential(t, aliceID, nil)
		must(t, other.Put(t.Context(), mountV1, parts.KVv1, p.access, parts.Record(p.access, p.secret, aliceID)))
		return p
	}
	ask := func(policy string, p pair) int {
		return bed.send(t, onClosed, protocols()[0], request{policy: policy, target: "/" + policy, header: p.headers()}).status
	}
	before, during := fresh(), []pair{fresh(), fresh(), fresh()}
	for _, policy := range []string{"default", "two"} {
		if got := ask(policy, before); got != http.StatusOK {
			t.Fatalf("before, %s: status = %d, want 200", policy, got)
		}
	}

	bed.vault.Kill()
	for i, p := range during {
		if got := ask("default", p); got != http.StatusServiceUnavailable {
			t.Errorf("one is killed, default: status = %d, want 503", got)
		}
		for _, policy := range []string{"two", "both"} {
			if got := ask(policy, p); got != http.StatusOK {
				t.Errorf("one is killed, %s, credential %d: status = %d, want 200", policy, i, got)
			}
		}
	}
	if got := ask("default", before); got != http.StatusOK {
		t.Errorf("one is killed, a cached credential: status = %d, want 200", got)
	}

	for series, want := range map[string]int{
		`vault_authz_vault_state{state="unreachable",vault="one"}`: 1,
		`vault_authz_vault_state{state="ok",vault="two"}`:          1,
		`vault_authz_vault_state{state="ok",vault="both"}`:         1,
		`vault_authz_vault_load_errors_total{vault="one"}`:         3,
		`vault_authz_vault_load_errors_total{vault="two"}`:         0,
		`vault_authz_vault_load_errors_total{vault="both"}`:        0,
	} {
		if got := metric(t, bed.service, series); got != want {
			t.Errorf("%s is %d, want %d", series, got, want)
		}
	}
	ready := bed.probe(t, "/readyz?verbose")
	for _, want := range []string{"vault one: not ok now, still ready (state unreachable", "vault two: ok (state ok"} {
		if !strings.Contains(ready, want) {
			t.Errorf("/readyz?verbose has no %q:\n%s", want, ready)
		}
	}

	must(t, other.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = other.Signal(syscall.SIGCONT) })
	if got := ask("two", during[0]); got != http.StatusOK {
		t.Errorf("two hangs, a cached credential: status = %d, want 200", got)
	}
	if got := ask("two", pair{unique("access"), unique("secret")}); got != http.StatusServiceUnavailable {
		t.Errorf("two hangs, an unknown token: status = %d, want 503", got)
	}
	must(t, other.Signal(syscall.SIGCONT))
	partstest.Await(t, 20*time.Second, func(context.Context) error {
		if got := ask("two", pair{unique("access"), unique("secret")}); got != http.StatusUnauthorized {
			return fmt.Errorf("two continues, an unknown token: status = %d, want 401", got)
		}
		return nil
	})
}

// probe returns the answer of the probe listener.
func (bed *testbed) probe(t *testing.T, path string) string {
	t.Helper()
	return probe(t, bed.service, path)
}

// probe returns what a service answers on the listener of its probes.
func probe(t *testing.T, s *parts.Service, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Probes+path, http.NoBody)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(body)
}
