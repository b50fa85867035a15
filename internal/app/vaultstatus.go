package app

import (
	"context"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A triable is an engine with a server.
type triable interface {
	vaultStatus
	Try(ctx context.Context) vaultkv.Tryout
}

var _ triable = (*vaultkv.Vault)(nil)

// try tries the connection of a vault object.
func (c credentials) try(ctx context.Context, vaultID string, version int) (api.VaultStatus, error) {
	b, err := c.opened(ctx, vaultID, version)
	if err != nil {
		return api.VaultStatus{}, err
	}
	if b == nil {
		return api.VaultStatus{CanRead: new(false), Problem: causeNotOpen}, nil
	}
	return b.try(ctx), nil
}

// try tries the connection, once for all callers at a time: it lists the mount, and they may ask as
// often as they like.
func (b *vaultBackend) try(ctx context.Context) api.VaultStatus {
	server, is := b.engine.(triable)
	if !is {
		return api.VaultStatus{CanRead: new(true), CanList: new(true)}
	}
	shared, _, _ := b.tries.Do("", func() (any, error) { return server.Try(context.WithoutCancel(ctx)), nil })
	tried, _ := shared.(vaultkv.Tryout)
	s := api.VaultStatus{
		Reachable: tried.Reachable, Sealed: tried.Sealed, Standby: tried.Standby,
		Authenticated: tried.Authenticated, CanRead: tried.CanRead, CanList: tried.CanList,
	}
	if life := server.TokenLife(); life.Known && !life.Forever {
		s.TokenTTL = new(int64(life.Remaining / time.Second))
	}
	if tried.ReadTook != nil {
		s.Latency = new(float64(tried.ReadTook.Microseconds()) / 1000)
	}
	if tried.Problem != nil {
		s.Problem = tried.Problem.Error()
	}
	return s
}
