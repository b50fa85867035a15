package vaultkv

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/api"
)

// newClient returns a client of vault/api without a token. Every setting is given here:
// the defaults are made for people at a terminal (60 s, three tries, a proxy and settings
// from the environment, redirects that pass the token on).
func newClient(c Config, conn *connection) (*api.Client, error) {
	client, err := api.NewClient(&api.Config{
		// The connection replaces this by its own addresses.
		Address: conn.endpoints[0].url.String(),
		HttpClient: &http.Client{
			Transport:     conn,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		// The connection follows redirects, to its own addresses only, and retries.
		DisableRedirects: true,
		// The context bounds each operation. This is for the longest one.
		Timeout:    max(c.Timeout, listTimeout),
		CheckRetry: func(context.Context, *http.Response, error) (bool, error) { return false, nil },
	})
	if err != nil {
		// NewClient reads the VAULT_* variables, although they have no effect here, and
		// fails if one does not parse.
		return nil, fmt.Errorf("making a Vault client: %w (remove VAULT_* variables from the environment, they have no effect here)", err)
	}
	// These undo what NewClient did take from the environment.
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	client.ClearToken()
	if c.Namespace != "" {
		client.SetNamespace(c.Namespace)
	}
	return client, nil
}
