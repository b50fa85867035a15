package deploy

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A recording has what Prometheus would have scraped from a service, as series for promtool.
// Each scrape counts as one of every 30 seconds, so that alerts with "for" fire within a test.
type recording struct {
	scrapes int
	series  map[string][]string
}

// scrape takes the metrics of a service as they are now.
func (r *recording) scrape(ctx context.Context, probes string) {
	now := map[string]string{`up{job="vault-authz", instance="a"}`: "0"}
	if got, err := parts.Send(ctx, &http.Client{Timeout: 5 * time.Second}, probes, parts.Request{Target: "/metrics"}); err == nil {
		now[`up{job="vault-authz", instance="a"}`] = "1"
		for line := range strings.SplitSeq(got.Body, "\n") {
			name, value, found := strings.Cut(line, " ")
			if i := strings.LastIndexByte(line, '}'); i > 0 {
				name, value = line[:i+1], strings.TrimSpace(line[i+1:])
			}
			if !found || strings.HasPrefix(line, "#") || !strings.HasPrefix(name, "vault_authz_") || strings.Contains(value, "Inf") {
				continue
			}
			metric, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
			if labels != "" {
				labels = ", " + labels
			}
			now[metric+`{job="vault-authz", instance="a"`+labels+"}"] = value
		}
	}
	for name := range now {
		if r.series[name] == nil {
			r.series[name] = slices.Repeat([]string{"_"}, r.scrapes)
		}
	}
	for name := range r.series {
		value, has := now[name]
		if !has {
			value = "_"
		}
		r.series[name] = append(r.series[name], value)
	}
	r.scrapes++
}

// firing says whether an alert fires at the time of the last scrape.
func (r *recording) firing(t *testing.T, alert string) bool {
	t.Helper()
	type input struct{ Series, Values string }
	var all []input
	for _, name := range slices.Sorted(maps.Keys(r.series)) {
		all = append(all, input{name, strings.Join(r.series[name], " ")})
	}
	file := filepath.Join(t.TempDir(), "test.yaml")
	absolute, err := filepath.Abs("../../deploy/observability/rules.yaml")
	must(t, err)
	text, err := yaml.Marshal(map[string]any{
		"rule_files": []string{absolute}, "evaluation_interval": "30s",
		"tests": []any{map[string]any{
			"interval": "30s", "input_series": all,
			"alert_rule_test": []any{map[string]any{
				"eval_time": fmt.Sprintf("%ds", 30*(r.scrapes-1)), "alertname": alert, "exp_alerts": []any{},
			}},
		}},
	})
	must(t, err)
	must(t, os.WriteFile(file, text, 0o600))
	out, err := promtool(t, "test", "rules", file)
	if err == nil {
		return false
	}
	if !strings.Contains(out, `alertname="`+alert+`"`) {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	return true
}

// Each of these faults is made in a real Vault and a real vault-authz.
func TestAlertsFireUnderTheirFaults(t *testing.T) {
	t.Parallel()
	if os.Getenv("PROMTOOL_BIN") == "" {
		t.Skip("PROMTOOL_BIN is not set: `make mesh` builds promtool and runs this test")
	}
	partstest.Need(t, "VAULT_BIN")
	for _, test := range []struct {
		name string
		// pause is the time between scrapes.
		pause  time.Duration
		fault  func(ctx context.Context, t *testing.T, b *broken)
		alerts []string
	}{
		{"Vault is sealed", 0, func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			must(t, b.vault.Seal(ctx))
		}, []string{"VaultAuthzVaultUnavailable", "VaultAuthzBreakerOpen", "VaultAuthzDenialsUnavailable"}},
		{"Vault is killed", time.Second, func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.vault.Kill()
		}, []string{"VaultAuthzVaultUnavailable", "VaultAuthzBreakerOpen", "VaultAuthzDenialsUnavailable", "VaultAuthzStateLag"}},
		{"vault-authz is killed", 0, func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.service.Kill()
		}, []string{"VaultAuthzDown"}},
		{"the token cannot be renewed for long", 0, func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			var answer struct {
				Auth struct {
					Token string `json:"client_token"`
				} `json:"auth"`
			}
			must(t, b.vault.Do(ctx, "POST", "auth/token/create", map[string]any{"policies": []string{"vault-authz-manager"}, "ttl": "5m", "renewable": false}, &answer))
			must(t, parts.ReplaceFile(b.tokenFile, []byte(answer.Auth.Token)))
			b.limit = 40 // The file is read every 5 seconds.
		}, []string{"VaultAuthzVaultTokenExpiring"}},
		{"the certificate is replaced by one without its key", time.Second / 2, func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.files.Issue(b.authority, "other", "authz.example.com")
			certificate, err := os.ReadFile(b.files.Path("other.pem"))
			must(t, err)
			must(t, parts.ReplaceFile(b.files.Path("grpc.pem"), certificate))
		}, []string{"VaultAuthzTLSFilesRefused"}},
		{"the role of the login is deleted", time.Second / 2, func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			// Tokens outlive their role.
			must(t, b.vault.Do(ctx, "DELETE", "auth/approle/role/va", nil, nil))
			must(t, b.vault.Do(ctx, "PUT", "sys/leases/revoke-prefix/auth/approle/login", nil, nil))
		}, []string{"VaultAuthzVaultLoginFailing"}},
		{"somebody guesses tokens of the admin API", 0, func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			for range 30 {
				status, _, err := b.service.Call(ctx, http.MethodGet, "/consumers")
				must(t, err)
				if status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
					t.Fatalf("status = %d, want 401 or 429", status)
				}
				time.Sleep(20 * time.Millisecond)
			}
			b.limit = 3
		}, []string{"VaultAuthzAdminFailures"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := breakable(t)
			b.pause = max(test.pause, 200*time.Millisecond)
			for range 6 {
				b.step(t)
			}
			for _, alert := range test.alerts {
				if b.recording.firing(t, alert) {
					t.Errorf("%s fires before the fault", alert)
				}
			}
			test.fault(t.Context(), t, b)
			for range b.limit {
				b.step(t)
			}
			for _, alert := range test.alerts {
				if !b.recording.firing(t, alert) {
					t.Errorf("%s does not fire", alert)
				}
			}
		})
	}
}

// A broken is a service with a Vault, which a test breaks.
type broken struct {
	vault     *parts.Vault
	service   *parts.Service
	tokenFile string
	recording recording
	authority *parts.Authority
	files     partstest.PEMFiles
	pause     time.Duration
	// limit is the number of scrapes after the fault.
	limit int
	asked int
}

func breakable(t *testing.T) *broken {
	t.Helper()
	vault, err := parts.StartVault(t.Context(), parts.VaultConfig{Binary: partstest.Binary(t, "VAULT_BIN"), Dir: t.TempDir()})
	must(t, err)
	partstest.StopWith(t, vault.Process)
	must(t, vault.Mount(t.Context(), "kong-auth", parts.KVv1))
	must(t, vault.Put(t.Context(), "kong-auth", parts.KVv1, aliceAccess, parts.Record(aliceAccess, aliceSecret, aliceID)))
	must(t, vault.Mount(t.Context(), "vault-authz", parts.KVv2))
	token, err := vault.ManagerToken(t.Context(), "kong-auth", "vault-authz")
	must(t, err)
	b := &broken{vault: vault, files: partstest.NewPEMFiles(t), tokenFile: filepath.Join(t.TempDir(), "token"), recording: recording{series: map[string][]string{}}, limit: 20}
	must(t, os.WriteFile(b.tokenFile, []byte(token), 0o600))
	role, err := vault.CreateAppRole(t.Context(), "va", map[string]any{"token_policies": []string{"vault-authz-manager"}, "token_ttl": "1h"})
	must(t, err)
	b.files.Put("secret-id", []byte(role.SecretID))
	b.authority, err = parts.NewAuthority("authority")
	must(t, err)
	b.files.Put("ca.pem", b.authority.PEM)
	b.files.Issue(b.authority, "grpc", "authz.example.com")
	b.service, err = parts.StartService(t.Context(), parts.ServiceConfig{
		Binary: service.Binary(t), Dir: t.TempDir(),
		Entities: fmt.Sprintf(`vaults: [{name: v, address: %[1]q, mount: kong-auth, token: {file: %[2]q}}, {name: w, address: %[1]q, mount: kong-auth, login: {approle: {role_id: %[3]s, secret_id_file: %[4]q}}}]
consumers: [{id: %[5]s, username: alice}]
policies: [{name: default, default: true, vault: v}, {name: other, hosts: [other.example.com], vault: w}]
state: {vault: v}
admin: {listen: "127.0.0.1:0", tokens: [{name: ops, sha256: %064[6]d}]}
grpc: {cert_file: %[7]q, key_file: %[8]q}
`, vault.Address, b.tokenFile, role.RoleID, b.files.Path("secret-id"), aliceID, 0, b.files.Path("grpc.pem"), b.files.Path("grpc.key")),
	})
	must(t, err)
	partstest.StopWith(t, b.service.Process)
	return b
}

// step asks for a decision about an access token that is not cached, in turn of each vault
// object, and scrapes.
func (b *broken) step(t *testing.T) {
	t.Helper()
	b.asked++
	host := []string{"example.com", "other.example.com"}[b.asked%2]
	cmd := exec.CommandContext(t.Context(), service.Binary(t), "check", "--address", b.service.GRPC,
		"--ca-file", b.files.Path("ca.pem"), "--server-name", "authz.example.com",
		"-H", fmt.Sprintf("access-token: unknown-%d", b.asked), "-H", "secret-token: x", "http://"+host+"/")
	_ = cmd.Run() // It is denied, or not answered.
	b.recording.scrape(t.Context(), b.service.Probes)
	time.Sleep(b.pause)
}
