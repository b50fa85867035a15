package vaultkv

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/api"
)

// newClient returns a client of vault/api whose every setting is ours: its own
// defaults are made for people at a terminal (60 s, three tries, a proxy and
// settings from the environment, redirects that send the token along).
func newClient(c Config, conn *connection) (*api.Client, error) {
	client, err := api.NewClient(&api.Config{
		// The connection puts each of its own addresses in the place of this one.
		Address: conn.endpoints[0].url.String(),
		HttpClient: &http.Client{
			Transport:     conn,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		// The connection follows redirects, to its own addresses only, and tries
		// again: it knows what has been tried.
		DisableRedirects: true,
		// For the longest operation; each has its own bound in its context.
		Timeout:    max(c.Timeout, censusTimeout),
		CheckRetry: func(context.Context, *http.Response, error) (bool, error) { return false, nil },
	})
	if err != nil {
		// NewClient reads VAULT_* variables even though none of them is used,
		// and fails on those that do not parse.
		return nil, fmt.Errorf("making a Vault client: %w (remove VAULT_* variables from the environment, they have no effect here)", err)
	}
	// What NewClient did take from the environment is put back.
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	client.ClearToken()
	if c.Namespace != "" {
		client.SetNamespace(c.Namespace)
	}
	return client, nil
}
