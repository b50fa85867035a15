package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/reconcile"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/internal/vaults"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

// records is what the admin API needs of the state and of the reconciler.
type records struct {
	*state.Store
	reconciler *reconcile.Reconciler
	vaults     *vaults.Set
}

// Create implements [admin.Store].
func (r records) Create(ctx context.Context, rec state.Record, check func(*state.View) error) (int, error) {
	return r.put(ctx, rec, check)
}

// Replace implements [admin.Store].
func (r records) Replace(ctx context.Context, rec state.Record, check func(*state.View) error) (int, error) {
	return r.put(ctx, rec, check)
}

func (r records) put(ctx context.Context, rec state.Record, check func(*state.View) error) (int, error) {
	return r.Update(ctx, func(tx *state.Tx) error {
		if check != nil {
			if err := check(tx.View()); err != nil {
				return err
			}
		}
		return tx.Put(rec)
	})
}

// Delete implements [admin.Store].
func (r records) Delete(ctx context.Context, kind, id string) error {
	_, err := r.Update(ctx, func(tx *state.Tx) error { return tx.Delete(kind, id) })
	return err
}

// Announce implements [admin.Announcer]. It only commits: the write that changes an entity
// announces it, and the lease of the call announces a credential.
func (r records) Announce(ctx context.Context, commit func(context.Context) error, _ ...state.Change) error {
	return commit(ctx)
}

// applyTimeout bounds the wait until a change holds on this replica.
const applyTimeout = 2 * time.Second

// Applied implements [admin.Announcer].
func (r records) Applied(changes ...state.Change) error {
	for _, c := range changes {
		if c.Kind == state.KindCredentials {
			r.vaults.Invalidate(c.ID)
			return nil
		}
	}
	return r.reached(context.Background()) //nolint:forbidigo // the change is committed, also if the caller is gone
}

// reached waits until decisions are based on what the store knows.
func (r records) reached(ctx context.Context) error {
	view, err := r.View()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	return r.reconciler.Await(ctx, view.Changed())
}

// credentials gives the admin API access to the credentials of open vault objects.
type credentials struct{ records }

// Credentials implements [admin.Vaults].
func (c credentials) Credentials(ctx context.Context, vaultID string, version int) (credential.Store, error) {
	o, err := c.find(ctx, vaultID, version)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("%w: the vault object could not be opened", authz.ErrUnavailable)
	}
	return o.Engine, nil
}

// try tries the connection of a vault object.
func (c credentials) try(ctx context.Context, vaultID string, version int) (api.VaultStatus, error) {
	o, err := c.find(ctx, vaultID, version)
	if err != nil {
		return api.VaultStatus{}, err
	}
	return o.Try(ctx), nil
}

// find returns a vault object, nil if it could not be opened. It waits for a version of it
// that another replica has written a moment ago.
func (c credentials) find(ctx context.Context, vaultID string, version int) (*vaults.Object, error) {
	if o, known := c.vaults.Find(vaultID, version); known {
		return o, nil
	}
	if err := c.reached(ctx); err != nil {
		return nil, fmt.Errorf("%w: %s", authz.ErrUnavailable, err.Error())
	}
	o, known := c.vaults.Find(vaultID, version)
	if !known {
		return nil, authz.ErrNotFound
	}
	return o, nil
}

// Validate implements [admin.Vaults].
func (c credentials) Validate(v entities.VaultObject) error { return c.reconciler.Validate(v) }

// judge returns for a vault object the function that tells what a decision would make of a
// credential record now.
func judge(authorizer *authz.Authorizer) func(vault string) func(string, []byte) authz.Outcome {
	return func(vault string) func(string, []byte) authz.Outcome {
		forecast := authorizer.Forecast(vault)
		return func(accessToken string, document []byte) authz.Outcome {
			c, err := record.Decode(accessToken, document)
			outcome := forecast.Of(&c, err, time.Now())
			outcome.Mistake = record.Mistake(err)
			return outcome
		}
	}
}

// explainUnavailable returns why a vault object is unavailable, "" if that is not known. The
// text is vaultkv's own and contains neither tokens nor keys.
func explainUnavailable(err error) string {
	var problem *vaultkv.Error
	if errors.As(err, &problem) {
		return problem.Error()
	}
	return ""
}

// replicaName returns what operators tell this replica by: the name of its machine, which is
// that of the pod in Kubernetes.
func replicaName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "without a host name"
	}
	return name
}

// serveAdmin serves the admin API on ln until ctx ends, without TLS if tlsServer is nil. Calls
// that are under way then have the timeout to finish.
func serveAdmin(ctx context.Context, api *admin.API, tlsServer *tlsfiles.Server, timeout time.Duration, ln net.Listener) error {
	srv := api.Server()
	ln = server.OverTLS(ln, tlsServer, srv)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving the admin API: %w", err)
	case <-ctx.Done():
	}
	// A change that has begun is finished.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		_ = srv.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
