package vaultkv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/vault/api"
)

// newClient returns a client of vault/api whose every setting is ours: its own
// defaults are made for people at a terminal (60 s, three tries, a proxy and
// settings from the environment, redirects that send the token along).
func newClient(c Config, token string) (*api.Client, *http.Transport, error) {
	transport, err := newTransport(c)
	if err != nil {
		return nil, nil, err
	}
	client, err := api.NewClient(&api.Config{
		Address: c.Address,
		HttpClient: &http.Client{
			Transport:     capped{transport, c.MaxResponseBytes},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		// Vault forwards from standby to active by itself. A redirect would
		// take the Vault token to a host that the operator did not name.
		DisableRedirects: true,
		// For the longest operation; each has its own bound in its context.
		Timeout:      max(c.Timeout, censusTimeout),
		MaxRetries:   c.MaxRetries,
		MinRetryWait: 20 * time.Millisecond,
		MaxRetryWait: 100 * time.Millisecond,
		CheckRetry:   checkRetry,
	})
	if err != nil {
		// NewClient reads VAULT_* variables even though none of them is used,
		// and fails on those that do not parse.
		return nil, nil, fmt.Errorf("making a Vault client: %w (remove VAULT_* variables from the environment, they have no effect here)", err)
	}
	// What NewClient did take from the environment is put back.
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}})
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	client.SetToken(token)
	if c.Namespace != "" {
		client.SetNamespace(c.Namespace)
	}
	return client, transport, nil
}

func newTransport(c Config) (*http.Transport, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLSServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: there is no PEM certificate in %q", c.CAFile)
		}
	}
	return &http.Transport{
		Proxy:               nil,
		DialContext:         (&net.Dialer{Timeout: c.Timeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: c.Timeout,
		ForceAttemptHTTP2:   true,
		// A dead HTTP/2 connection would fail every read until TCP gives up.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		MaxIdleConns:           c.MaxConnections,
		MaxIdleConnsPerHost:    c.MaxConnections,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}, nil
}

// checkRetry allows another try where one may help within milliseconds. A
// sealed server (503) and a limit (429) do not change that fast.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		var certificate *tls.CertificateVerificationError
		return !errors.Is(err, errTooLarge) && !errors.As(err, &certificate), nil
	}
	switch resp.StatusCode {
	case http.StatusPreconditionFailed, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

// capped bounds the bodies of answers. vault/api reads the body of an error
// answer whole, so the bound has to be below it.
type capped struct {
	*http.Transport
	max int64
}

// RoundTrip implements [http.RoundTripper].
func (t capped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	limit := answerBound(r.Context(), resp.StatusCode, t.max)
	if resp.ContentLength > limit {
		_ = resp.Body.Close()
		return nil, errTooLarge
	}
	resp.Body = &cappedBody{resp.Body, limit}
	return resp, nil
}

type cappedBody struct {
	io.ReadCloser
	left int64
}

// Read fails at the first byte beyond the bound, so that what is cut off is
// never taken for the whole.
func (b *cappedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		return int(b.left), errTooLarge
	}
	b.left -= int64(n)
	return n, err
}
