package vaults

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// A slowServer takes a second for a try.
type slowServer struct {
	server

	tries atomic.Int64
}

func (s *slowServer) TokenLife() login.Life { return login.Life{} }

func (s *slowServer) Try(ctx context.Context) vaultkv.Tryout {
	s.tries.Add(1)
	time.Sleep(time.Second)
	return vaultkv.Tryout{CanRead: new(ctx.Err() == nil)}
}

func TestCallersWhoTryAConnectionAtOnceShareOneTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &slowServer{}
		o := &Object{server: server}
		var callers sync.WaitGroup
		for i := range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			if i%2 == 0 {
				cancel() // one that has left must not spoil it for the others
			}
			callers.Go(func() {
				defer cancel()
				if s := o.Try(ctx); s.CanRead == nil || !*s.CanRead {
					t.Errorf("told %+v", s)
				}
			})
		}
		callers.Wait()
		if n := server.tries.Load(); n != 1 {
			t.Errorf("%d tries, want 1", n)
		}
		if o.Try(t.Context()); server.tries.Load() != 2 {
			t.Error("a later caller was told what the earlier ones were")
		}
	})
}
