package admin

import (
	"context"
	"time"

	"github.com/vault-authz/vault-authz/internal/admin/kong"
)

func (a *API) node(*call) (reply, error) {
	return ok(kong.NodeOf(a.deps.Version)), nil
}

// statusTimeout bounds the read of the state, so that the caller gets an answer.
const statusTimeout = 2 * time.Second

// status always answers 200, as Kong does. For readiness see /readyz on the listener
// for probes.
func (a *API) status(c *call) (reply, error) {
	ctx, cancel := context.WithTimeout(c.ctx, statusTimeout)
	defer cancel()
	return ok(kong.Status{Database: kong.Database{Reachable: a.deps.Store.Refresh(ctx) == nil}}), nil
}
