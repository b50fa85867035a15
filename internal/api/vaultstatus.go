package api

import (
	"context"
	"net/http"
)

// A VaultStatus is what a try of the connection of a vault object has found. What is not
// known is nil.
type VaultStatus struct {
	// Reachable says that the server answers. Sealed and Standby are what it says of itself.
	Reachable *bool `json:"reachable"`
	Sealed    *bool `json:"sealed"`
	Standby   *bool `json:"standby"`
	// Authenticated says that the server accepts the Vault token. TokenTTL is how many
	// seconds that has to live, nil if it does not end, too.
	Authenticated *bool  `json:"authenticated"`
	TokenTTL      *int64 `json:"token_ttl_seconds"`
	// CanRead says that credentials can be read, CanList that they can be listed.
	CanRead *bool `json:"can_read"`
	CanList *bool `json:"can_list"`
	// Latency is how long the read of a credential took, in milliseconds.
	Latency *float64 `json:"latency_ms"`
	// Problem is why credentials cannot be read, or else why they cannot be listed, and
	// what to do about it.
	Problem string `json:"problem"`
}

// VaultStatus tries the connection of a vault object, by id or name.
func (c *Client) VaultStatus(ctx context.Context, vault string) (VaultStatus, error) {
	return send[VaultStatus](ctx, c, http.MethodGet, "/vault-auth"+segment(vault)+"/status", nil)
}
