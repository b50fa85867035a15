package deploy

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A fault is what some alerts are for.
type fault struct {
	name string
	// pause is the time between scrapes.
	pause time.Duration
	// before is the number of scrapes without the fault, 6 if it is 0. An alert that waits
	// for minutes needs more, or it is silent in any case.
	before int
	// life is that of the certificate for Envoy, an hour if it is 0.
	life   time.Duration
	inject func(ctx context.Context, t *testing.T, b *broken)
	// alerts fire under the fault, and silent ones do not.
	alerts, silent []string
}

// Each of these faults is made in a real Vault and a real vault-authz.
func TestAlertsFireUnderTheirFaults(t *testing.T) {
	t.Parallel()
	if os.Getenv("PROMTOOL_BIN") == "" {
		t.Skip("PROMTOOL_BIN is not set: `make mesh` builds promtool and runs this test")
	}
	partstest.Need(t, "VAULT_BIN")
	never := alerts(t)
	for _, test := range []fault{
		{name: "Vault is sealed", inject: func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			must(t, b.vault.Seal(ctx))
		}, alerts: []string{"VaultAuthzVaultUnavailable", "VaultAuthzBreakerOpen", "VaultAuthzDenialsUnavailable"}},
		{name: "Vault is killed", pause: time.Second, inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.vault.Kill()
		}, alerts: []string{"VaultAuthzVaultUnavailable", "VaultAuthzBreakerOpen", "VaultAuthzDenialsUnavailable", "VaultAuthzStateLag"}},
		{name: "vault-authz is killed", inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.service.Kill()
		}, alerts: []string{"VaultAuthzDown"}},
		{name: "the token cannot be renewed for long", pause: time.Second / 2, before: 12, inject: func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			var answer struct {
				Auth struct {
					Token string `json:"client_token"`
				} `json:"auth"`
			}
			must(t, b.vault.Do(ctx, "POST", "auth/token/create", map[string]any{"policies": []string{"vault-authz-manager"}, "ttl": "5m", "renewable": false}, &answer))
			must(t, parts.ReplaceFile(b.tokenFile, []byte(answer.Auth.Token)))
			b.after = 40 // The file is read every 5 seconds.
		}, alerts: []string{"VaultAuthzVaultTokenExpiring"}},
		{name: "the certificate is replaced by one without its key", pause: time.Second / 2, inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.files.Issue(b.authority, "other", "authz.example.com")
			certificate, err := os.ReadFile(b.files.Path("other.pem"))
			must(t, err)
			must(t, parts.ReplaceFile(b.files.Path("grpc.pem"), certificate))
		}, alerts: []string{"VaultAuthzTLSFilesRefused"}},
		{name: "the role of the login is deleted", pause: time.Second / 2, inject: func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			// Tokens outlive their role.
			must(t, b.vault.Do(ctx, "DELETE", "auth/approle/role/va", nil, nil))
			must(t, b.vault.Do(ctx, "PUT", "sys/leases/revoke-prefix/auth/approle/login", nil, nil))
		}, alerts: []string{"VaultAuthzVaultLoginFailing"}},
		{name: "somebody guesses tokens of the admin API", inject: func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			for range 30 {
				status, _, err := b.service.Call(ctx, http.MethodGet, "/consumers")
				must(t, err)
				if status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
					t.Fatalf("status = %d, want 401 or 429", status)
				}
				time.Sleep(20 * time.Millisecond)
			}
			b.after = 3
		}, alerts: []string{"VaultAuthzAdminFailures"}},
		{name: "the certificate is not renewed", before: 12, life: 40 * time.Second, inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			time.Sleep(time.Until(b.ends.Add(-5 * time.Second)))
		}, alerts: []string{"VaultAuthzCertificateExpiring"}},
		{name: "the configuration file gets a mistake", before: 12, inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			must(t, parts.ReplaceFile(filepath.Join(b.dir, "vault-authz.yaml"), []byte("vaults: [")))
		}, alerts: []string{"VaultAuthzReloadFailed"}},
		{name: "the disk of the audit log is full", inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			must(t, os.Remove(b.files.Path("audit.log")))
			must(t, os.Symlink("/dev/full", b.files.Path("audit.log")))
			must(t, b.service.Signal(syscall.SIGUSR1))
			asked := 0
			partstest.Await(t, 10*time.Second, func(context.Context) error {
				asked++
				if status := b.admin(t, http.MethodPost, "/consumers", fmt.Sprintf("username=new-%d", asked)); status != http.StatusServiceUnavailable {
					return fmt.Errorf("a change without an audit record: status = %d, want 503", status)
				}
				return nil
			})
			b.after = 3
		}, alerts: []string{"VaultAuthzAuditFailed"}},
		{name: "nobody reads the standard output", inject: func(ctx context.Context, t *testing.T, b *broken) {
			t.Helper()
			must(t, b.output.SetReadDeadline(time.Now()))
			conn := b.dial(t)
			defer func() { _ = conn.Close() }()
			// The pipe and the queue of the log have room for about 4500 lines.
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					for range 600 {
						askPair(ctx, conn, "example.com", aliceAccess, aliceSecret)
					}
				})
			}
			all.Wait()
			b.after = 3
		}, alerts: []string{"VaultAuthzLogLinesDropped"}},
		{name: "the memory limit is too low", before: 12, inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.service.Stop(10 * time.Second)
			b.start(t, "GOMEMLIMIT=8MiB")
		}, alerts: []string{"VaultAuthzMemoryNearLimit"}},
		// The scrapes before are too few for the alert: on a busy machine decisions may take as
		// long without the fault.
		{name: "Vault is slow", inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.proxy.SetLatency(250 * time.Millisecond)
		}, alerts: []string{"VaultAuthzLatencyHigh"}},
		{name: "a credential in use expires within a day", before: 12, inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.expireIn(t, 20*time.Hour)
		}, alerts: []string{"VaultAuthzCredentialExpiring", "VaultAuthzCredentialExpiringSoon"}},
		{name: "a credential in use expires within a week", before: 12, inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			b.expireIn(t, 3*24*time.Hour)
		}, alerts: []string{"VaultAuthzCredentialExpiringSoon"}, silent: []string{"VaultAuthzCredentialExpiring"}},
		{name: "a client uses the previous secret in its last hour", before: 32, inject: func(_ context.Context, t *testing.T, b *broken) {
			t.Helper()
			if status := b.admin(t, http.MethodPost, pathOfAlice+"/rotate", "grace=1800"); status != http.StatusCreated {
				t.Fatalf("status = %d, want 201", status)
			}
			b.after = 34
		}, alerts: []string{"VaultAuthzPreviousSecretExpiring"}},
	} {
		never = slices.DeleteFunc(never, func(alert string) bool { return slices.Contains(test.alerts, alert) })
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := breakable(t, cmp.Or(test.life, time.Hour))
			b.pause = max(test.pause, 200*time.Millisecond)
			for range cmp.Or(test.before, 6) {
				b.step(t)
			}
			for _, alert := range slices.Concat(test.alerts, test.silent) {
				if b.recording.firing(t, alert) {
					t.Errorf("%s fires before the fault", alert)
				}
			}
			test.inject(t.Context(), t, b)
			for range b.after {
				b.step(t)
			}
			for _, alert := range test.alerts {
				if !b.recording.firing(t, alert) {
					t.Errorf("%s does not fire", alert)
				}
			}
			for _, alert := range test.silent {
				if b.recording.firing(t, alert) {
					t.Errorf("%s fires", alert)
				}
			}
		})
	}
	if len(never) > 0 {
		t.Errorf("no fault makes these alerts fire: %q", never)
	}
}
