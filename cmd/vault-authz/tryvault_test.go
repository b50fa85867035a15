package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// mixed keeps the state in memory, and reads all vault objects but the demo's from servers.
type mixed struct{ *shared }

func (m mixed) engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, func() error, func(context.Context) error, error) {
	if v.Name == demoVault {
		return m.shared.engine(v, log)
	}
	return servers{}.engine(v, log)
}

// startServing runs the service on listeners of its own until the test ends.
func startServing(t *testing.T, from backends) addresses {
	t.Helper()
	c := demoConfig()
	c.Listen.GRPC, c.Listen.Probes, c.Admin.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	ctx, stop := context.WithCancel(t.Context())
	started, ended := make(chan addresses, 1), make(chan error, 1)
	go func() { ended <- serve(ctx, &c, from, io.Discard, func(at addresses) { started <- at }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case at := <-started:
		return at
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
		return addresses{}
	}
}

// vaultOfMount answers like a Vault about one mount.
func vaultOfMount(t *testing.T, kind, read string, status int) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/sys/internal/ui/mounts/") && status == http.StatusNotFound {
			_, _ = io.WriteString(w, kind)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, read)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestWhoMakesAVaultObjectIsToldWhyItCannotBeUsed(t *testing.T) {
	t.Parallel()
	const v1, v2 = `{"data":{"type":"kv","options":null}}`, `{"data":{"type":"kv","options":{"version":"2"}}}`
	const token = "hvs.not-for-anybodys-eyes"
	for _, test := range []struct {
		name, address, kv, cause, ready string
	}{
		{"a token that is not taken", vaultOfMount(t, "", `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`, 403), "v1", "the server does not take the Vault token", "state token_rejected"},
		{"no server", "http://127.0.0.1:1", "v1", "http://127.0.0.1:1 refuses the connection", "state unreachable"},
		{"no mount", vaultOfMount(t, `{"errors":[]}`, `{"errors":["no handler for route \"kv/x\". route entry not found."]}`, 404), "v1", `there is no KV engine at mount "kv"`, "state no_mount"},
		{"a mount of the other version", vaultOfMount(t, v1, `{"errors":[]}`, 404), "v2", `mount "kv" is KV v1, and the configuration says v2; set kv: v1`, "state wrong_version"},
		{"nothing", vaultOfMount(t, v2, `{"errors":[]}`, 404), "v2", "", "ok (state ok"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			at := startServing(t, mixed{newShared()})
			do := func(args ...string) (int, string) {
				code, out, errs := operate(t, nil, append(args, "--admin", at.Admin)...)
				if strings.Contains(out+errs, token) {
					t.Errorf("%v: the Vault token is shown: %s%s", args, out, errs)
				}
				return code, out + errs
			}
			file := file(t, []byte(token))
			create := []string{"vault", "create", "main", "--address", test.address, "--mount", "kv", "--kv", test.kv, "--vault-token-file", file}
			want, says := exitFailed, `vault object "main" is made, and cannot be used: `+test.cause
			if test.cause == "" {
				want, says = exitOK, "tried: the service can read the mount"
			}
			eventually(t, "the service is ready", func() bool {
				code, _ := do("vault", "list")
				return code == exitOK
			})
			if code, said := do(create...); code != want || !strings.Contains(said, says) {
				t.Errorf("exit %d, said:\n%s\nwant exit %d and %q", code, said, want, says)
			}
			if code, said := do("credential", "get", "a-token", "--vault", "main"); code != exitFailed || !strings.Contains(said, test.cause) || strings.Contains(said, "logs the cause") {
				t.Errorf("a credential: exit %d, said %q, want the cause: %s", code, said, test.cause)
			}
			if code, said := do("vault", "update", "main", "--name", "other"); code != want || test.cause != "" && !strings.Contains(said, `"other" is changed, and cannot be used: `) {
				t.Errorf("a change: exit %d, said:\n%s", code, said)
			}
			if code, said := do(append([]string{"vault", "create", "second", "--no-check"}, create[3:]...)...); code != exitOK {
				t.Errorf("without a check: exit %d, said:\n%s", code, said)
			}
			for _, name := range []string{"other", "second"} {
				eventually(t, "the probe lists "+name, func() bool {
					return strings.Contains(probe(t, at, "/readyz?verbose"), "\nvault "+name+": "+test.ready)
				})
			}
			if said := probe(t, at, "/readyz"); said != "ok\n" {
				t.Errorf("readiness depends on what an operator makes: %s", said)
			}
		})
	}
}

func probe(t *testing.T, at addresses, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at.Probes+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
