package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/vaults"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// openSet returns a Set without vault objects.
func openSet(t *testing.T, from vaults.Opener) *vaults.Set {
	t.Helper()
	s, err := vaults.New(vaults.Dependencies{From: from, Digester: authz.NewDigester(), Metrics: prometheus.NewRegistry(), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReadinessStaysAndItsCheckSaysWhatFails covers each way in which a vault object fails
// after it was reached.
func TestReadinessStaysAndItsCheckSaysWhatFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string
		well   bool
	}{
		{"all is well", 404, `{"errors":[]}`, "state ok", true},
		{"sealed", 503, `{"errors":["Vault is sealed"]}`, "state sealed", false},
		{"the token is rejected", 403, `{"errors":["permission denied","invalid token"]}`, "state token_rejected", false},
		{"a quota", 429, `{"errors":["rate limit quota exceeded"]}`, "state limited", false},
		{"the mount is gone", 404, `{"errors":["no handler for route \"kv/x\". route entry not found."]}`, "state no_mount", false},
		{"something else answers", 200, `<html>`, "state failing", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var later atomic.Bool
			vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				status, body := 404, `{"errors":[]}`
				if later.Load() {
					status, body = test.status, test.body
				}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}))
			t.Cleanup(vault.Close)
			o := openSet(t, serverEngines{})
			v := config.Vault{Config: vaultkv.DefaultConfig(), Cache: DevConfig().Vaults[0].Cache}
			v.Name, v.Address, v.Mount, v.Token = "main", vault.URL, "kv", "t"
			sources, _, err := o.Replace([]config.Vault{v})
			if err != nil {
				t.Fatal(err)
			}
			checks := vaultChecks(&config.Config{Vaults: []config.Vault{v}}, o)
			if err := checks[0].Func(); err == nil {
				t.Error("ready before the first answer")
			}
			_, _ = sources["main"].Lookup(t.Context(), "x")
			later.Store(true)
			_, _ = sources["main"].Lookup(t.Context(), "y")
			if err := checks[0].Func(); err != nil {
				t.Errorf("no longer ready: %v", err)
			}
			if said, well := checks[0].Detail(); well != test.well || !strings.HasPrefix(said, test.want) {
				t.Errorf("the check says %q, well: %t, want %q, %t", said, well, test.want, test.well)
			}
		})
	}
}

// TestAfterAReloadTheCheckSaysWhatTheVaultObjectIsLikeNow, and readiness does not depend on it.
func TestAfterAReloadTheCheckSaysWhatTheVaultObjectIsLikeNow(t *testing.T) {
	t.Parallel()
	answering := func(status int, body string) config.Vault {
		vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(vault.Close)
		v := config.DefaultVault()
		v.Name, v.Address, v.Mount, v.Token = "main", vault.URL, "kv", "t"
		return v
	}
	good, sealed := answering(404, `{"errors":[]}`), answering(503, `{"errors":["Vault is sealed"]}`)
	o := openSet(t, serverEngines{})
	reload := func(wanted ...config.Vault) {
		t.Helper()
		sources, _, err := o.Replace(wanted)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sources {
			_, _ = s.Lookup(t.Context(), "x")
		}
	}
	reload(good)
	check := vaultChecks(&config.Config{Vaults: []config.Vault{good}}, o)[0]
	more := good
	more.Name = "more"
	for _, test := range []struct {
		name   string
		wanted []config.Vault
		said   string
		well   bool
		others int
	}{
		{"the same", []config.Vault{good}, "state ok", true, 0},
		{"to one that is sealed", []config.Vault{sealed}, "changed by a reload, state sealed", false, 0},
		{"to another good one, and one more", []config.Vault{answering(404, `{"errors":[]}`), more}, "changed by a reload, state ok", true, 1},
		{"without it", nil, "removed by a reload", true, 0},
	} {
		reload(test.wanted...)
		if err := check.Func(); err != nil {
			t.Errorf("%s: no longer ready: %v", test.name, err)
		}
		if said, well := check.Detail(); !strings.HasPrefix(said, test.said) || well != test.well {
			t.Errorf("%s: the check says %q, well: %t; want %q, %t", test.name, said, well, test.said, test.well)
		}
		if lines := check.More(); len(lines) != test.others {
			t.Errorf("%s: besides it, %q are listed, want %d", test.name, lines, test.others)
		}
	}
}
