package vaultkv

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// lagRetries is how often a node that lags, and does not forward, is asked again.
const lagRetries = 4

// A connection is the way to a server: it sends a request to one of its addresses
// after the other until there is an answer that another could not better. It is
// an [http.RoundTripper], safe for concurrent use.
type connection struct {
	endpoints []*endpoint
	files     *tlsfiles.Watch
	timeout   time.Duration
	retries   int
	log       *zap.Logger
	// good is the endpoint that is asked first. It changes by what is known of all
	// of them (look), or by a request that had to leave it (leaveFor).
	good atomic.Int32
	// cluster is the one that the addresses are nodes of.
	clusters *Clusters
	cluster  atomic.Pointer[cluster]
	// noForwarding is set once a server has said that it does not forward where
	// a client asks for it.
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

// maintain is to be called now and then: it keeps up with the files, and closes
// what is no longer used.
func (c *connection) maintain() {
	c.files.Reload()
	for _, e := range c.endpoints {
		// A pool that has had its time is given up even if nobody asks.
		e.connections()
		e.sweep()
	}
}

func (c *connection) closeIdle() {
	for _, e := range c.endpoints {
		e.closeIdle()
	}
}

// RoundTrip implements [http.RoundTripper]. All tries together take no longer
// than the deadline of the request, and no try but the last one more than half of
// what is left: a server that hangs must not use up the time of the others.
func (c *connection) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := requestBody(r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	read := r.Method == http.MethodGet || isRepeatable(ctx)
	r = c.stamped(r)
	first, tries := int(c.good.Load()), len(c.endpoints)
	if read {
		tries += c.retries
	}
	var best *http.Response
	for i, lagged := 0, 0; i < tries; i++ {
		at := (first + i) % len(c.endpoints)
		e := c.endpoints[at]
		resp, problem := c.try(e, r, body, i == tries-1)
		hope := judge(resp, problem, read)
		if resp != nil {
			best = resp
		}
		if lags(r, resp) && lagged < lagRetries {
			if backoff.Sleep(ctx, backoff.Jitter(60*time.Millisecond, 40*time.Millisecond)) != nil {
				break
			}
			lagged++
			i-- // the same one again
			continue
		}
		err = problem
		if hope == retryNever {
			if problem == nil {
				c.leaveFor(first, at)
			}
			break
		}
		// What helps elsewhere only does not help at an address that has had
		// its turn.
		if i == tries-1 || ctx.Err() != nil || hope == retryElsewhere && i >= len(c.endpoints)-1 {
			break
		}
		if i >= len(c.endpoints)-1 && backoff.Sleep(ctx, backoff.Jitter(60*time.Millisecond, 40*time.Millisecond)) != nil {
			break
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, err
}

func requestBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	defer func() { _ = r.Body.Close() }()
	return io.ReadAll(r.Body)
}

// try sends a request to one server, and once more if that redirects to an
// address that the operator named.
func (c *connection) try(e *endpoint, r *http.Request, body []byte, last bool) (*http.Response, error) {
	var bound time.Duration
	if !last && len(c.endpoints) > 1 {
		bound = c.timeout / 2
		if deadline, ok := r.Context().Deadline(); ok {
			bound = time.Until(deadline) / 2
		}
	}
	resp, err := e.send(r, body, max(bound, 0))
	if err == nil && mustNotForward(resp) {
		c.noForwarding.Store(true)
		r = r.Clone(r.Context())
		r.Header.Del(inconsistentHeader)
		resp, err = e.send(r, body, max(bound, 0))
	}
	if err != nil {
		return nil, err
	}
	if to, target := c.redirect(resp, r.Method); to != nil {
		again := r.Clone(r.Context())
		again.URL = target
		e = to
		if resp, err = to.send(again, body, max(bound, 0)); err != nil {
			return nil, err
		}
	}
	if c.behind(r, resp) {
		_ = resp.Body.Close()
		return nil, &endpointError{endpoint: e, err: errBehind}
	}
	return resp, nil
}

// redirect returns where an answer redirects to, nil for nowhere that we follow:
// the Vault token goes along, so it has to be one of our addresses. A standby
// redirects to the active node where it cannot forward.
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
		// A node sends us elsewhere for the same thing. What is at another path
		// is no answer to what was asked.
		return nil, nil
	}
	for _, e := range c.endpoints {
		if e.socket == "" && e.origin() == originOf(target) {
			return e, target
		}
	}
	return nil, nil
}

// A retryClass says what another try could bring.
type retryClass uint8

const (
	// retryNever: nothing else. The zero class.
	retryNever retryClass = iota
	// retryElsewhere: another server may do better, this one will not so soon.
	retryElsewhere
	// retryAnywhere: this server may do better as well.
	retryAnywhere
)

// judge says whether to try again. A write is tried again only where it has
// certainly not been done; read stands for what may be done twice.
func judge(resp *http.Response, err error, read bool) retryClass {
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
		// A standby that lags or cannot pass it on, and leads to where we do not go.
		if read {
			return retryElsewhere
		}
	case http.StatusServiceUnavailable:
		if read || bytes.Contains(peek(resp), []byte("Vault is sealed")) {
			return retryElsewhere
		}
	case http.StatusTooManyRequests:
		// A quota holds on every node; a standby says that it is one, and one
		// that lags says nothing.
		if body := peek(resp); bytes.Contains(body, []byte(`"standby":true`)) || bytes.Contains(body, []byte(`"errors":[]`)) {
			return retryElsewhere
		}
	case http.StatusPreconditionFailed:
		// It lags, and has done nothing.
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

// peek returns the body of an answer and leaves it to be read.
func peek(resp *http.Response) []byte {
	// It is in memory, so reading it does not fail.
	body, _ := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return body
}
