package admin

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A Store keeps the entities. It is safe for concurrent use. An error that wraps
// [authz.ErrUnavailable] means that the outcome of a write is unknown; the caller may
// repeat it.
type Store interface {
	// Create writes a record that must not exist yet. Its error wraps
	// [state.ErrConflict] where the id exists, and is an [state.TakenError]
	// where a unique key belongs to another record.
	//
	// check, unless it is nil, is called with the stored records and may refuse the
	// write; no other write happens in between. It must not block.
	Create(ctx context.Context, r state.Record, check func(*state.View) error) (version int, err error)
	// Replace writes a record over the version that r names, else its error
	// wraps [state.ErrConflict], or [authz.ErrNotFound] where there is none.
	Replace(ctx context.Context, r state.Record, check func(*state.View) error) (version int, err error)
	// Delete removes a record and its unique keys. Its error may wrap
	// [authz.ErrNotFound], which counts as done.
	Delete(ctx context.Context, kind, id string) error
	// Refresh is called once for each call of the API, before anything else: after it
	// the Store shows what had been committed through any replica before, and so do
	// vault objects on the server of the Store. It is called again before the record
	// of a refused write is read back. Its error wraps [authz.ErrUnavailable].
	Refresh(ctx context.Context) error
	// View returns the records as they are now. Its error wraps
	// [authz.ErrUnavailable].
	View() (*state.View, error)
}

// An Announcer tells all replicas, this one included, about changes.
type Announcer interface {
	// Announce announces the changes and then calls commit, once, with a context that
	// ends before the announcement expires. It returns the error of commit. If it does
	// not call commit, nothing is written.
	Announce(ctx context.Context, commit func(context.Context) error, changes ...state.Change) error
	// Applied is called after a write, also after one whose outcome is unknown,
	// and before the caller is answered. When it returns, this replica no
	// longer holds what was, not even from a load that was in flight. Its error
	// means that it may; it goes on trying. Without changes it is about those
	// that it had an error for before.
	Applied(changes ...state.Change) error
}

// A Vaults opens vault objects and finds the credentials in them.
type Vaults interface {
	// Credentials returns the credentials of the vault object with the id, at
	// the version of its record, 0 for a declared one: another version may be
	// of another server or mount, where a deletion would delete nothing. Its
	// error wraps [authz.ErrNotFound] for an unknown one or version and
	// [authz.ErrUnavailable] for one that cannot be reached.
	Credentials(ctx context.Context, vaultID string, version int) (credential.Store, error)
	// Validate reports why a vault object could not be opened, as far as its
	// fields show it: joined errors of the form "field: problem".
	Validate(v entities.VaultObject) error
}

// LastUses tells when credentials were last used, by their access token: in which minute, the zero
// time if they were not used since. Before since, uses were not recorded, or are forgotten; if it
// is the zero time, nothing is recorded. It is safe for concurrent use.
type LastUses interface {
	Last(ctx context.Context, accessToken string) (at, since time.Time, err error)
	// All is Last for very many.
	All(ctx context.Context) (func(accessToken string) (at, since time.Time), error)
}

// Dependencies are what an API works on.
type Dependencies struct {
	Store    Store
	Leases   credential.Leases
	Announce Announcer
	Vaults   Vaults
	// TryVault tries the connection of a vault object, in a bounded time. Its error is that
	// of [Vaults]; what prevents the use of the vault object is in the status.
	TryVault func(ctx context.Context, vaultID string, version int) (api.VaultStatus, error)
	// Judge returns, for the name of a vault object, a function that says how requests
	// with a record of it are decided.
	Judge func(vault string) func(accessToken string, record []byte) authz.Outcome
	// Explain returns the reason why a store could not answer, for operators; "" if the
	// error does not tell. The text contains no token, secret or key.
	Explain func(error) string
	// Denials finds the denials of a request that this replica remembers.
	Denials func(requestID string) authz.Found
	// Overview returns what this replica knows of itself, but for its name, its version, the
	// caller and the number of entities. It asks nobody.
	Overview func() api.Overview
	LastUsed LastUses
	// Decide explains what would become of a request.
	Decide func(context.Context, *authz.Request) authz.Explanation
	// Replica is what operators tell this replica by.
	Replica string
	// Declared is what the configuration file declares, shown read-only.
	Declared entities.Declared
	// Version is that of this build, shown to callers.
	Version string
	// Metrics gets the counter of refused calls.
	Metrics prometheus.Registerer
	// Log gets causes of failures.
	Log *zap.Logger
	// Audit gets the lines of each change.
	Audit Auditor
	// AuditFailure is what becomes of a change whose intent Audit cannot write: with
	// anything but [AuditFailureWarn] it is refused.
	AuditFailure string
}

// AuditFailureWarn makes a change that is not in the audit log, and says so in the answer.
const AuditFailureWarn = "warn"
