package api

import (
	"context"
	"net/http"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/replicas"
)

// An Overview is what a replica knows of itself and of its vault objects, without asking
// anybody. Times are Unix seconds.
type Overview struct {
	Replica   string `json:"replica"`
	Version   string `json:"version"`
	StartedAt int64  `json:"started_at"`
	Now       int64  `json:"now"`
	// Caller is the one who asks.
	Caller Caller        `json:"caller"`
	Vaults []VaultHealth `json:"vaults"`
	State  StateHealth   `json:"state"`
	// Config is nil if the configuration is not read from a file.
	Config *ConfigHealth `json:"config"`
	// Replicas are all that share the state.
	Replicas replicas.Snapshot `json:"replicas"`
	// Counts is nil before the state was read.
	Counts *EntityCounts `json:"counts"`
	// Decisions are those of this replica in the last hour, since StartedAt.
	Decisions authz.DecisionCounts `json:"decisions"`
	// DeniedLatest are the latest denials of this replica, the newest first.
	DeniedLatest []authz.Denial `json:"denied_latest"`
}

// A Caller is a caller of the API as the audit log names it, and its role: read or write.
type Caller struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

// A VaultHealth is what the last answer of a server, or the lack of one, says about a vault
// object.
type VaultHealth struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Source is [SourceFile] or [SourceAPI].
	Source string `json:"source"`
	// Ready says that credentials can be read. If they cannot, Cause says why.
	Ready bool   `json:"ready"`
	Cause string `json:"cause"`
	// Breaker is [BreakerClosed], [BreakerOpen] while reads fail at once, and nil without a
	// server.
	Breaker *string `json:"breaker"`
	// Expiring counts the credentials in use on this replica that expire soon, nil if the
	// vault object is not open.
	Expiring *Expiring `json:"expiring_in_use"`
}

// An Expiring counts credentials that were used in the last day, by when they expire. Each number
// includes the one before it, and the first also those that have expired since.
type Expiring struct {
	Day   int `json:"within_1d"`
	Week  int `json:"within_7d"`
	Month int `json:"within_30d"`
	// PreviousSecrets are the credentials whose previous secret was used in the last hour, and
	// is accepted for at most a day more.
	PreviousSecrets int `json:"previous_secrets_within_1d"`
}

// Where an entity comes from.
const (
	SourceFile = "file"
	SourceAPI  = "api"
)

// The states of a circuit breaker.
const (
	BreakerClosed = "closed"
	BreakerOpen   = "open"
)

// A StateHealth says whether decisions go by the newest entities.
type StateHealth struct {
	// Current says that requests are decided. If they are not, they wait for changes that
	// may have been missed.
	Current bool `json:"current"`
	// Lag is the time since the last proof that what is known is current, in seconds, and
	// Problem is what prevents a later one.
	Lag     float64 `json:"lag_seconds"`
	Problem string  `json:"problem"`
}

// A ConfigHealth says which configuration file is in use.
type ConfigHealth struct {
	// LoadedAt is when it was put in use, and Hash the SHA-256 of its content.
	LoadedAt int64  `json:"loaded_at"`
	Hash     string `json:"hash"`
	// Success says that the file as it was last read is in use. If it is not, Error says
	// why.
	Success bool   `json:"last_reload_success"`
	Error   string `json:"error"`
}

// EntityCounts has the number of entities of each kind, those of the file included.
type EntityCounts struct {
	Consumers int `json:"consumers"`
	ACLs      int `json:"acls"`
	Policies  int `json:"policies"`
	Vaults    int `json:"vaults"`
}

// Overview returns what the replica knows of itself.
func (c *Client) Overview(ctx context.Context) (Overview, error) {
	return send[Overview](ctx, c, http.MethodGet, "/overview", nil)
}
