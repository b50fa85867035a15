package vaultkv_test

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/vaultkv"
)

// TestSyncOnRealServers: of one node. With high availability they would be
// written to; that is what something in front of them says.
func TestSyncOnRealServers(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		srv.mount("state", "v2")
		srv.mount("one", "v1")
		target, err := url.Parse(srv.Address)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		withHA := fake(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/sys/leader" {
				answer(200, `{"ha_enabled":true}`)(w, r)
				return
			}
			proxy.ServeHTTP(w, r)
		})
		replica := func(address string) (v, state *vaultkv.Vault) {
			v, _, _ = open(t, address, func(c *vaultkv.Config) { c.Token, c.Mount = srv.RootToken, "one" })
			state, err := v.WithMount("state", "state", vaultkv.KV2, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(state.CloseSync)
			return v, state
		}
		written := func() int {
			var in struct {
				Data struct {
					Current int `json:"current_version"`
				}
			}
			_ = srv.Do(t.Context(), http.MethodGet, "state/metadata/sync", nil, &in)
			return in.Data.Current
		}

		lone, state := replica(srv.Address)
		mustSync(t, state)
		if got := written(); got != 0 {
			t.Errorf("a lone server was written to %d times by a sync, want never", got)
		}
		use := func(v *vaultkv.Vault) {
			t.Helper()
			if err := v.Write(t.Context(), "key", []byte(`{"a":1}`)); err != nil {
				t.Fatal(err)
			}
			if _, found, err := v.Read(t.Context(), "key"); !found || err != nil {
				t.Errorf("Read = %t, %v, want found", found, err)
			}
			if err := v.Delete(t.Context(), "key"); err != nil {
				t.Fatal(err)
			}
			if _, found, err := v.Read(t.Context(), "key"); found || err != nil {
				t.Errorf("Read after Delete = %t, %v, want not found", found, err)
			}
		}
		use(lone)

		v, state := replica(withHA)
		_, other := replica(withHA)
		for _, step := range []func(){
			func() {},
			func() { srv.do(http.MethodDelete, "state/data/sync", nil) },
			func() { srv.do(http.MethodPost, "state/config", map[string]any{"cas_required": true}) },
			func() { srv.do(http.MethodDelete, "state/data/sync", nil) },
			func() { srv.do(http.MethodPut, "state/destroy/sync", map[string]any{"versions": []int{1, 2, 3}}) },
			func() { srv.do(http.MethodDelete, "state/metadata/sync", nil) },
			func() { srv.do(http.MethodPost, "state/config", map[string]any{"cas_required": false}) },
		} {
			step()
			mustSync(t, state)
			mustSync(t, other)
			mustSync(t, state)
			use(v)
		}
		if got := written(); got < 3 {
			t.Errorf("the entry has version %d after the syncs, want each of them written", got)
		}
	})
}
