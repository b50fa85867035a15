package vaultkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// maxAnswerBytes bounds the body of an answer other than a streaming list.
const maxAnswerBytes = 1 << 20

// The life of connections.
const (
	// connectionAge bounds how long a connection is used, plus up to a quarter at random.
	// A host name that resolves to another address is noticed by then, although the
	// server at the old address still answers.
	connectionAge = time.Minute
	// doubtAge is the least age at which connections are retired because of the status
	// of an answer, which may come from the wrong server by now.
	doubtAge = 2 * time.Second
)

// An endpoint is one address of the server with the connections to it. It is safe for
// concurrent use.
type endpoint struct {
	address
	cfg Config
	// answerBytes bounds an answer that is read at once.
	answerBytes int64
	proxy       *url.URL
	files       *tlsfiles.Watch
	dial        func(ctx context.Context, network, address string) (net.Conn, error)
	pool        atomic.Pointer[pool]
	node        node
}

// A pool is a set of connections that were made with the same TLS files. To renew the
// connections a new pool is started.
type pool struct {
	*http.Transport
	trust *tlsfiles.Material
	born  time.Time
	life  time.Duration
}

func newEndpoint(a address, c Config, files *tlsfiles.Watch) (*endpoint, error) {
	proxy, err := parseProxy(c.Proxy)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	e := &endpoint{address: a, cfg: c, answerBytes: maxAnswerBytes, proxy: proxy, files: files}
	e.dial = e.dialer()
	e.pool.Store(e.newPool())
	return e, nil
}

func (e *endpoint) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{
		Timeout: e.cfg.Timeout,
		// A server that vanishes between requests is noticed within seconds.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 3},
	}
	if e.socket == "" {
		return dialer.DialContext
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", e.socket)
	}
}

func (e *endpoint) newPool() *pool {
	trusted := e.files.Current()
	p := &pool{trust: trusted, born: time.Now(), life: backoff.Jitter(connectionAge, connectionAge/4), Transport: &http.Transport{
		DialContext:         e.dial,
		TLSClientConfig:     trusted.Client(e.cfg.TLSServerName),
		TLSHandshakeTimeout: e.cfg.Timeout,
		ForceAttemptHTTP2:   true,
		// A dead HTTP/2 connection would fail every read until TCP gives up.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
		MaxIdleConns:           e.cfg.MaxConnections,
		MaxIdleConnsPerHost:    e.cfg.MaxConnections,
		IdleConnTimeout:        connectionAge,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}}
	if e.proxy != nil {
		p.Proxy = http.ProxyURL(e.proxy)
	}
	return p
}

// connections returns the current pool.
func (e *endpoint) connections() *pool {
	p := e.pool.Load()
	if p.trust != e.files.Current() || time.Since(p.born) > p.life {
		e.retire(p)
		return e.pool.Load()
	}
	return p
}

// retire lets new requests make new connections. net/http closes a connection of p that has
// requests in flight when they have ended: at once with HTTP/1.1, after the longest time
// that it may be idle with HTTP/2.
func (e *endpoint) retire(p *pool) {
	if e.pool.CompareAndSwap(p, e.newPool()) {
		p.CloseIdleConnections()
	}
}

// endpointKey is the context key of the endpoint that a request was sent to.
type endpointKey struct{}

// send sends a request once, within bound unless bound is 0, and reads the whole answer,
// so that an answer that is cut off is a failed attempt like any other. Only a streaming
// list is left to be read as it arrives, within the deadline of the request.
func (e *endpoint) send(r *request, bound time.Duration) (*http.Response, error) {
	ctx := context.WithValue(r.Context(), endpointKey{}, e)
	cancel := func() {}
	limit := streamLimit(r.Context())
	streams := limit > 0
	if bound > 0 && !streams {
		ctx, cancel = context.WithTimeout(ctx, bound)
	}
	defer cancel()
	p := e.connections()
	resp, err := p.RoundTrip(e.addressed(ctx, r))
	switch {
	case err != nil:
	case streams && resp.StatusCode == http.StatusOK:
		err = boundBody(resp, limit)
	default:
		err = readWhole(resp, e.answerBytes, r.into)
	}
	if err != nil {
		e.attemptFailed(r.Context(), p, err)
		return nil, &endpointError{endpoint: e, err: err}
	}
	if mayBeAnotherServer(resp.StatusCode) && e.named() && time.Since(p.born) > doubtAge {
		e.retire(p)
	}
	return resp, nil
}

// addressed returns the request as it is sent to this endpoint. It shares the header with
// r, which nothing changes any more.
func (e *endpoint) addressed(ctx context.Context, r *request) *http.Request {
	sent := r.WithContext(ctx)
	to := *r.URL
	to.Scheme, to.Host = e.url.Scheme, e.url.Host
	sent.URL, sent.Host, sent.Body, sent.GetBody = &to, "", nil, nil
	if r.body != nil {
		sent.Body, sent.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
	}
	return sent
}

// attemptFailed retires connections and reads the TLS files again if an attempt without
// an answer gives reason to.
func (e *endpoint) attemptFailed(ctx context.Context, p *pool, err error) {
	var op *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, errTooLarge):
		// Nothing is wrong with the connection.
	case concernsTLS(err):
		e.files.Reload()
		e.retire(p)
	case errors.As(err, &op) && op.Op == "dial":
		// Existing connections were made before and may still work.
	default:
		// The other connections may lead to the same dead server.
		e.retire(p)
	}
}

// mayBeAnotherServer reports whether an answer with this status may come from a server
// that the host name no longer resolves to.
func mayBeAnotherServer(status int) bool {
	return status >= 500 || status == 429 || status == 472 || status == 473 || status == 474
}

// An endpointError says at which endpoint an attempt failed.
type endpointError struct {
	endpoint *endpoint
	err      error
}

func (e *endpointError) Error() string { return e.err.Error() }
func (e *endpointError) Unwrap() error { return e.err }

// Timeout is called by url.Error, which does not unwrap.
func (e *endpointError) Timeout() bool { return isTimeout(e.err) }

// boundBody lets the body of an answer be read as it arrives, up to bound.
func boundBody(resp *http.Response, bound int64) error {
	if resp.ContentLength > bound {
		_ = resp.Body.Close()
		return errTooLarge
	}
	resp.Body = &boundedBody{resp.Body, bound}
	return nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read fails at the first byte beyond the bound, so that a part never passes for the
// whole.
func (b *boundedBody) Read(p []byte) (int, error) {
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
