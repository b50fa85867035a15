package api

import (
	"context"
	"net/http"

	"github.com/vault-authz/vault-authz/authz"
)

// Denials are the denials of one request that a replica remembers.
type Denials struct {
	// Replica is the one that answers. It remembers all denials since a time, in Unix
	// seconds.
	Replica string `json:"replica"`
	Since   int64  `json:"since"`
	// Total counts the denials, Data has them, the newest first. There is more than one if
	// a client has used an id again. Of very many it has the newest and the oldest.
	Total int            `json:"total"`
	Data  []authz.Denial `json:"data"`
}

// Denials explains the denials of a request by the id that its client was told, or by its
// x-request-id. If the replica remembers none, the error is a [*Problem] with status 404.
func (c *Client) Denials(ctx context.Context, requestID string) (Denials, error) {
	return send[Denials](ctx, c, http.MethodGet, "/denials"+segment(requestID), nil)
}
