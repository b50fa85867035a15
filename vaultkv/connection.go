package vaultkv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// lagRetries is how often a node that lags and does not forward is asked again.
const lagRetries = 4

// A connection sends requests to the addresses of a server, one after the other, until
// an answer comes that another address could not improve. It is an [http.RoundTripper]
// and safe for concurrent use.
type connection struct {
	endpoints []*endpoint
	files     *tlsfiles.Watch
	timeout   time.Duration
	retries   int
	log       *zap.Logger
	// current is the index of the endpoint that is asked first. It changes when the health
	// of all nodes is known (observe), or when a request failed there and was answered
	// elsewhere (switchTo).
	current atomic.Int32
	// buffers are for the answers to reads of credentials.
	buffers buffers
	// cluster is the cluster that the addresses belong to.
	clusters *Clusters
	cluster  atomic.Pointer[cluster]
	// written is the index of the last write over this connection, unless the cluster has
	// it. mu guards it.
	mu      sync.Mutex
	written index
	// noForwarding is set once a server has refused to forward at a client's request.
	noForwarding atomic.Bool
	// withStandbys is set once the server has said that it may have standbys.
	withStandbys atomic.Bool
}

func newConnection(c Config, clusters *Clusters, log *zap.Logger) (*connection, error) {
	files, err := tlsfiles.Open(c.tlsFiles(), log)
	if err != nil {
		return nil, err
	}
	addresses, err := parseAddresses(c.Address)
	if err != nil {
		return nil, err
	}
	conn := &connection{files: files, timeout: c.Timeout, retries: c.MaxRetries, log: log, clusters: clusters}
	conn.cluster.Store(&cluster{proofAge: clusters.proofAge, members: 1})
	for _, a := range addresses {
		e, err := newEndpoint(a, c, files)
		if err != nil {
			return nil, err
		}
		conn.endpoints = append(conn.endpoints, e)
	}
	return conn, nil
}

// maintain follows changes of the files, and retires connections that are too old even if
// there is no request. It has to be called regularly.
func (c *connection) maintain() {
	c.files.Reload()
	for _, e := range c.endpoints {
		e.connections()
	}
}

// closeIdle closes every connection without a request in flight.
func (c *connection) closeIdle() {
	for _, e := range c.endpoints {
		e.pool.Load().CloseIdleConnections()
	}
}

// A request is a request for any of the addresses. Its header does not change while it is
// under way.
type request struct {
	*http.Request
	// body replaces that of the Request.
	body []byte
	// into is memory for the body of the answer, nil for new memory. It is used once.
	into *buffer
}

// RoundTrip implements [http.RoundTripper].
func (c *connection) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := requestBody(r)
	if err != nil {
		return nil, err
	}
	return c.send(&request{Request: r, body: body})
}

// send sends a request. All attempts together end by the deadline of the request, and each
// but the last takes at most half of the time that is left: a server that hangs must not
// use up the time of the others.
func (c *connection) send(r *request) (*http.Response, error) {
	ctx := r.Context()
	read := r.Method == http.MethodGet || isRepeatable(ctx)
	r.Request = c.withIndex(r.Request)
	first, tries := int(c.current.Load()), len(c.endpoints)
	if read {
		tries += c.retries
	}
	var (
		best *http.Response
		err  error
	)
	for i, lagged := 0, 0; i < tries; i++ {
		at := (first + i) % len(c.endpoints)
		e := c.endpoints[at]
		resp, problem := c.try(e, r, i == tries-1)
		class := classify(resp, problem, read)
		if resp != nil {
			best = resp
		}
		if lags(r.Request, resp) && lagged < lagRetries {
			if c.waitForRetry(ctx) != nil {
				break
			}
			lagged++
			i-- // Ask the same one again.
			continue
		}
		err = problem
		if class == retryNever {
			if problem == nil {
				c.switchTo(first, at)
			}
			break
		}
		// After each address has been asked once, only a failure that the same address
		// may recover from is retried.
		if i == tries-1 || ctx.Err() != nil || class == retryElsewhere && i >= len(c.endpoints)-1 {
			break
		}
		if i >= len(c.endpoints)-1 && c.waitForRetry(ctx) != nil {
			break
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, err
}

// waitForRetry waits before an address is asked again.
func (*connection) waitForRetry(ctx context.Context) error {
	return backoff.Sleep(ctx, backoff.Jitter(60*time.Millisecond, 40*time.Millisecond))
}

func requestBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	defer func() { _ = r.Body.Close() }()
	return io.ReadAll(r.Body)
}

// try sends a request to one endpoint, and once more if the answer redirects to another
// configured address.
func (c *connection) try(e *endpoint, r *request, last bool) (*http.Response, error) {
	var bound time.Duration
	if !last && len(c.endpoints) > 1 {
		bound = c.timeout / 2
		if deadline, ok := r.Context().Deadline(); ok {
			bound = time.Until(deadline) / 2
		}
	}
	resp, err := e.send(r, max(bound, 0))
	if err == nil && mustNotForward(resp) {
		c.noForwarding.Store(true)
		r = &request{Request: r.Clone(r.Context()), body: r.body}
		r.Header.Del(inconsistentHeader)
		resp, err = e.send(r, max(bound, 0))
	}
	if err != nil {
		return nil, err
	}
	if to, target := c.redirect(resp, r.Method); to != nil {
		again := &request{Request: r.WithContext(r.Context()), body: r.body}
		again.URL = target
		e = to
		if resp, err = to.send(again, max(bound, 0)); err != nil {
			return nil, err
		}
	}
	if c.behind(r.Request, resp) {
		_ = resp.Body.Close()
		return nil, &endpointError{endpoint: e, err: errBehind}
	}
	return resp, nil
}

// redirect returns the endpoint that an answer redirects to, nil if the redirect is not
// followed: the Vault token goes along, so the target has to be a configured address. A
// standby that cannot forward redirects to the active node.
func (c *connection) redirect(resp *http.Response, method string) (*endpoint, *url.URL) {
	switch resp.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	case http.StatusMovedPermanently, http.StatusFound:
		if method != http.MethodGet {
			return nil, nil
		}
	default:
		return nil, nil
	}
	target, err := resp.Location()
	if err != nil || target.User != nil || !strings.HasPrefix(target.Path, "/v1/") {
		return nil, nil
	}
	if asked := resp.Request.URL; target.EscapedPath() != asked.EscapedPath() || target.RawQuery != asked.RawQuery {
		// A node redirects to the same path on another node. Another path would be the
		// answer to another request.
		return nil, nil
	}
	for _, e := range c.endpoints {
		if e.socket == "" && e.origin() == originOf(target) {
			return e, target
		}
	}
	return nil, nil
}

// A retryClass says where another attempt may succeed.
type retryClass uint8

const (
	// retryNever is the zero class: nowhere, or the request succeeded.
	retryNever retryClass = iota
	// retryElsewhere: at another address, but not at this one so soon.
	retryElsewhere
	// retryAnywhere: at another address or at this one.
	retryAnywhere
)

// classify says where to try again. A write is tried again only if it certainly has not
// been done; read is set for every request that may be done twice.
func classify(resp *http.Response, err error, read bool) retryClass {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial" && !read:
		return retryElsewhere
	case errors.Is(err, errTooLarge), err != nil && !read:
		return retryNever
	case errors.Is(err, errBehind), err != nil && concernsTLS(err):
		return retryElsewhere
	case err != nil:
		return retryAnywhere
	}
	switch resp.StatusCode {
	case 472, 473, 474, http.StatusNotImplemented:
		return retryElsewhere
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		// A standby that lags or cannot forward, and redirects to a foreign address.
		if read {
			return retryElsewhere
		}
	case http.StatusServiceUnavailable:
		if read || bytes.Contains(peek(resp), []byte("Vault is sealed")) {
			return retryElsewhere
		}
	case http.StatusTooManyRequests:
		// A quota holds on every node. A standby says so in its answer, and one that lags
		// answers without an error text.
		if body := peek(resp); bytes.Contains(body, []byte(`"standby":true`)) || bytes.Contains(body, []byte(`"errors":[]`)) {
			return retryElsewhere
		}
	case http.StatusPreconditionFailed:
		// It lags and has not done the write.
		return retryAnywhere
	case http.StatusInternalServerError:
		if !read && bytes.Contains(peek(resp), []byte("active cluster node not found")) {
			return retryElsewhere
		}
		if read {
			return retryAnywhere
		}
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		if read {
			return retryAnywhere
		}
	}
	return retryNever
}

// peek returns the body of an answer that can be read all the same afterwards: it is in
// memory. Only a streaming list with status 200 is not.
func peek(resp *http.Response) []byte {
	if b, ok := resp.Body.(*body); ok {
		return b.all
	}
	return nil
}
