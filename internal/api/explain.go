package api

import (
	"context"
	"net/http"

	"github.com/vault-authz/vault-authz/authz"
)

// A Request is a request about which [Client.Explain] asks.
type Request struct {
	// Method is GET if it is empty.
	Method string `json:"method,omitempty"`
	Host   string `json:"host"`
	// Path is the target of the request: path and query.
	Path string `json:"path"`
	// Headers are names and values, in order.
	Headers [][2]string `json:"headers,omitempty"`
	Body    string      `json:"body,omitempty"`
	// Policy is what the route names, nil if it names no policy.
	Policy *string `json:"policy,omitempty"`
}

// Explain explains what would become of a request. Nothing counts it as a request.
func (c *Client) Explain(ctx context.Context, r Request) (authz.Explanation, error) {
	return send[authz.Explanation](ctx, c, http.MethodPost, "/explain", r)
}
