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
	"sync"
	"sync/atomic"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// The life of connections.
const (
	// connectionAge bounds how long connections are used, so that a name that
	// leads elsewhere is noticed though the server behind the old address still
	// answers. Up to a quarter is added at random.
	connectionAge = time.Minute
	// doubtAge is the least age at which connections are given up because of
	// what the server answers: it may be the wrong one by now.
	doubtAge = 2 * time.Second
	// maxRetired bounds how many pools with requests in flight are kept in mind.
	maxRetired = 16
)

// An endpoint is one address of the server and the connections to it. It is safe
// for concurrent use.
type endpoint struct {
	address
	cfg   Config
	proxy *url.URL
	files *tlsfiles.Watch
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	pool  atomic.Pointer[pool]
	node  node

	mu sync.Mutex
	// retired are pools that are no longer used, but whose last requests may be
	// under way.
	retired []*pool
}

// A pool is the connections that were made in one span of time with one trust.
// Starting a new one is how connections come to be made anew: net/http can close
// idle ones, but not say "after this request".
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
	e := &endpoint{address: a, cfg: c, proxy: proxy, files: files}
	e.dial = e.dialer()
	e.pool.Store(e.newPool())
	return e, nil
}

func (e *endpoint) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{
		Timeout: e.cfg.Timeout,
		// A server that vanished while nobody asked is noticed within seconds.
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

// connections returns the pool to use now.
func (e *endpoint) connections() *pool {
	p := e.pool.Load()
	if p.trust != e.files.Current() || time.Since(p.born) > p.life {
		e.giveUp(p)
		return e.pool.Load()
	}
	return p
}

// giveUp lets new requests make new connections. Those of p are closed as soon as
// the requests on them have ended.
func (e *endpoint) giveUp(p *pool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pool.Load() != p {
		return
	}
	e.pool.Store(e.newPool())
	p.CloseIdleConnections()
	e.retired = append(e.retired, p)
	if len(e.retired) > maxRetired {
		e.retired = e.retired[1:]
	}
}

// sweep closes what is left of the pools that were given up.
func (e *endpoint) sweep() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.retired {
		p.CloseIdleConnections()
	}
}

// closeIdle closes every connection that no request is on.
func (e *endpoint) closeIdle() {
	e.sweep()
	e.pool.Load().CloseIdleConnections()
}

// endpointKey is where a request has the endpoint that it was sent to.
type endpointKey struct{}

// send sends a request once, within bound unless that is 0, and reads its answer
// whole, so that an answer that is cut off is a failed try like any other. Only
// the answer to a census, which may be long, is left to be read as it arrives;
// the request's own deadline bounds it.
func (e *endpoint) send(r *http.Request, body []byte, bound time.Duration) (*http.Response, error) {
	ctx := context.WithValue(r.Context(), endpointKey{}, e)
	cancel := func() {}
	long := isCensus(r.Context())
	if bound > 0 && !long {
		ctx, cancel = context.WithTimeout(ctx, bound)
	}
	defer cancel()
	p := e.connections()
	resp, err := p.RoundTrip(e.request(ctx, r, body))
	switch {
	case err != nil:
	case long && resp.StatusCode == http.StatusOK:
		err = boundBody(resp, censusLimit(r.Context()))
	default:
		err = readWhole(resp, e.cfg.MaxResponseBytes)
	}
	if err != nil {
		e.blame(r.Context(), p, err)
		return nil, &endpointError{endpoint: e, err: err}
	}
	if doubtful(resp.StatusCode) && e.named() && time.Since(p.born) > doubtAge {
		e.giveUp(p)
	}
	return resp, nil
}

func (e *endpoint) request(ctx context.Context, r *http.Request, body []byte) *http.Request {
	sent := r.Clone(ctx)
	sent.URL.Scheme, sent.URL.Host, sent.Host = e.url.Scheme, e.url.Host, ""
	sent.Body, sent.GetBody = nil, nil
	if body != nil {
		sent.Body, sent.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return sent
}

// blame draws conclusions from a try that brought no answer.
func (e *endpoint) blame(ctx context.Context, p *pool, err error) {
	var op *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, errTooLarge):
		// Nothing is wrong with the connection.
	case concernsTLS(err):
		e.files.Reload()
		e.giveUp(p)
	case errors.As(err, &op) && op.Op == "dial":
		// The connections there are, if any, were made before, and may be good.
	default:
		// All of them may lead to where nobody answers any more.
		e.giveUp(p)
	}
}

// doubtful says whether a status makes one ask if this is still the right server.
func doubtful(status int) bool {
	return status >= 500 || status == 429 || status == 472 || status == 473 || status == 474
}

// An endpointError says which server a try failed at.
type endpointError struct {
	endpoint *endpoint
	err      error
}

func (e *endpointError) Error() string { return e.err.Error() }
func (e *endpointError) Unwrap() error { return e.err }

// Timeout is asked for by url.Error, which does not unwrap.
func (e *endpointError) Timeout() bool { return isTimeout(e.err) }

// readWhole puts the body of an answer into memory. It fails at the first byte
// beyond the bound, so that what is cut off is never taken for the whole.
func readWhole(resp *http.Response, bound int64) error {
	defer func() { _ = resp.Body.Close() }()
	if resp.ContentLength > bound {
		return errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, bound+1))
	if err != nil {
		return err
	}
	if int64(len(body)) > bound {
		return errTooLarge
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// boundBody lets the body of an answer be read as it arrives, up to the bound.
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

// Read fails at the first byte beyond the bound, so that what is cut off is
// never taken for the whole.
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
