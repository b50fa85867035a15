package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// mixed keeps the state in memory, and reads all vault objects but the demo's from servers.
type mixed struct{ *shared }

// Engine implements [vaults.Opener].
func (m mixed) Engine(v *config.Vault, log *zap.Logger) (vaultkv.Engine, error) {
	if v.Name == demoVault {
		return m.shared.Engine(v, log)
	}
	return serverEngines{}.Engine(v, log)
}

// startServing runs the service on listeners of its own until the test ends.
func startServing(t *testing.T, from engineOpener) Addresses {
	t.Helper()
	c := DevConfig()
	c.Listen.GRPC, c.Listen.Probes, c.Admin.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return partstest.Started(t, func(ctx context.Context, started func(Addresses)) error {
		return serve(ctx, &c, from, io.Discard, nil, started)
	})
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

func TestTheAdminAPISaysWhyAVaultObjectCannotBeUsed(t *testing.T) {
	t.Parallel()
	const v1, v2 = `{"data":{"type":"kv","options":null}}`, `{"data":{"type":"kv","options":{"version":"2"}}}`
	const token = "hvs.not-for-anybodys-eyes"
	for _, test := range []struct {
		name, address, kv, cause, ready string
	}{
		{"a token that is not accepted", vaultOfMount(t, "", `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`, 403), "v1", "the server does not accept the Vault token", "state token_rejected"},
		{"no server", "http://127.0.0.1:1", "v1", "http://127.0.0.1:1 refuses the connection", "state unreachable"},
		{"no mount", vaultOfMount(t, `{"errors":[]}`, `{"errors":["no handler for route \"kv/x\". route entry not found."]}`, 404), "v1", `there is no KV engine at mount "kv"`, "state no_mount"},
		{"a mount of the other version", vaultOfMount(t, v1, `{"errors":[]}`, 404), "v2", `mount "kv" is KV v1, and the configuration says v2; set kv: v1`, "state wrong_version"},
		{"nothing", vaultOfMount(t, v2, `{"errors":[]}`, 404), "v2", "", "ok (state ok"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			at := startServing(t, mixed{newShared()})
			client, err := api.NewClient("http://"+at.Admin, "", &http.Client{Timeout: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(test.address)
			if err != nil {
				t.Fatal(err)
			}
			port, err := strconv.Atoi(u.Port())
			if err != nil {
				t.Fatal(err)
			}
			partstest.Eventually(t, "the service is ready", func() bool {
				_, err := client.Vaults.List(t.Context())
				return err == nil
			})
			v, err := client.Vaults.Create(t.Context(), api.Vault{Name: "main", Protocol: u.Scheme, Host: u.Hostname(), Port: port, Mount: "kv", KV: test.kv, VaultToken: token})
			if err != nil {
				t.Fatal(err)
			}
			cause := func(when string) {
				t.Helper()
				_, err := client.Credential(t.Context(), v.ID, "a-token")
				var problem *api.Problem
				if !errors.As(err, &problem) || !strings.HasPrefix(problem.Cause, test.cause) || strings.Contains(problem.Cause, token) {
					t.Errorf("%s: got %v, %+v, want the cause: %s", when, err, problem, test.cause)
				}
			}
			cause("as it was made")
			if _, err := client.Vaults.Patch(t.Context(), v.ID, map[string]any{"name": "other"}); err != nil {
				t.Fatal(err)
			}
			cause("as it was changed")
			partstest.Eventually(t, "the probe lists it", func() bool {
				return strings.Contains(probe(t, at, "/readyz?verbose"), "\nvault other: "+test.ready)
			})
			if said := probe(t, at, "/readyz"); said != "ok\n" {
				t.Errorf("readiness depends on what an operator makes: %s", said)
			}
		})
	}
}

func probe(t *testing.T, at Addresses, path string) string {
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
