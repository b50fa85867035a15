package vaults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// TestNothingIsLeftOfVaultObjectsThatWereRemoved makes, uses and removes many
// vault objects, each with a server connection, a cache and background work of its
// own: 200, or as many as VAULT_OBJECTS says. It does not run beside other tests,
// whose goroutines it would count.
func TestNothingIsLeftOfVaultObjectsThatWereRemoved(t *testing.T) {
	total, atOnce := 200, 50
	if n, err := strconv.Atoi(os.Getenv("VAULT_OBJECTS")); err == nil {
		total = n
	}
	var conns, made atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[]}`))
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state { //nolint:exhaustive // the others change nothing
		case http.StateNew:
			conns.Add(1)
			made.Add(1)
		case http.StateClosed, http.StateHijacked:
			conns.Add(-1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)

	o, registry := newSet(t, Servers{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	base := runtime.NumGoroutine()

	for begin := 0; begin < total; begin += atOnce {
		var wanted []config.Vault
		for i := range atOnce {
			v := config.Vault{Config: vaultkv.DefaultConfig(), Cache: cache.DefaultConfig()}
			v.Name, v.Address, v.Mount, v.Token = fmt.Sprint("vault-", begin+i), srv.URL, "kv", "t"
			wanted = append(wanted, v)
		}
		sources, removed, err := o.Replace(wanted)
		if err != nil {
			t.Fatal(err)
		}
		o.Retire(removed)
		for name, source := range sources {
			if _, err := source.Lookup(t.Context(), "x"); !errors.Is(err, authz.ErrNotFound) {
				t.Fatalf("%s: Lookup = %v, want %v", name, err, authz.ErrNotFound)
			}
		}
	}
	_, removed, err := o.Replace(nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Retire(removed)

	partstest.Eventually(t, "all connections are closed", func() bool { return conns.Load() == 0 })
	partstest.Eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= base })
	if made.Load() < int64(total) {
		t.Errorf("%d connections were made by %d vault objects: they were not used", made.Load(), total)
	}
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("%d families of metrics are left (%v)", len(families), err)
	}
	t.Logf("%d vault objects made %d connections; %d goroutines before, %d after", total, made.Load(), base, runtime.NumGoroutine())
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}
