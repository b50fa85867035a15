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
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// comeBackInterval is how often the first address is tried again while another
// one is in use.
const comeBackInterval = 15 * time.Second

// A connection is the way to a server: it sends a request to one of its addresses
// after the other until there is an answer that another could not better. It is
// an [http.RoundTripper], safe for concurrent use.
type connection struct {
	endpoints []*endpoint
	files     *tlsFiles
	timeout   time.Duration
	retries   int
	log       *zap.Logger
	// good is the endpoint that answered last, which is asked first.
	good atomic.Int32
	// comeBack is when to try the first address again. It belongs to maintain.
	comeBack time.Time
}

func newConnection(c Config, log *zap.Logger) (*connection, error) {
	files, err := newTLSFiles(c, log)
	if err != nil {
		return nil, err
	}
	addresses, err := parseAddresses(c.Address)
	if err != nil {
		return nil, err
	}
	conn := &connection{files: files, timeout: c.Timeout, retries: c.MaxRetries, log: log}
	for _, a := range addresses {
		e, err := newEndpoint(a, c, files)
		if err != nil {
			return nil, err
		}
		conn.endpoints = append(conn.endpoints, e)
	}
	return conn, nil
}

// maintain is to be called now and then: it keeps up with the files, closes what
// is no longer used, and goes back to the first address if that answers again. It
// is not for concurrent use.
func (c *connection) maintain(ctx context.Context) {
	c.files.reload()
	for _, e := range c.endpoints {
		// A pool that has had its time is given up even if nobody asks.
		e.connections()
		e.sweep()
	}
	if now := time.Now(); now.After(c.comeBack) {
		c.comeBack = now.Add(comeBackInterval)
		if c.good.Load() != 0 && c.healthy(ctx, c.endpoints[0]) {
			c.use(0)
		}
	}
}

// healthy asks a server for its health, without a token.
func (c *connection) healthy(ctx context.Context, e *endpoint) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url.String()+"/v1/sys/health?standbyok=true&perfstandbyok=true", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := e.send(r, nil, c.timeout)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (c *connection) use(i int) {
	if before := c.good.Swap(int32(i)); int(before) != i { //nolint:gosec // there are few addresses
		c.log.Info("vault address changed", zap.String("address", c.endpoints[i].text), zap.String("was", c.endpoints[before].text))
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
	ctx, read := r.Context(), r.Method == http.MethodGet
	first, tries := int(c.good.Load()), len(c.endpoints)
	if read {
		tries += c.retries
	}
	var best *http.Response
	for i := range tries {
		at := (first + i) % len(c.endpoints)
		e := c.endpoints[at]
		resp, problem := c.try(e, r, body, i == tries-1)
		hope := judge(resp, problem, read)
		if resp != nil {
			best = resp
		}
		err = problem
		if hope == hopeless {
			if problem == nil {
				c.use(at)
			}
			break
		}
		// What helps elsewhere only does not help at an address that has had
		// its turn.
		if i == tries-1 || ctx.Err() != nil || hope == hopeElsewhere && i >= len(c.endpoints)-1 {
			break
		}
		if i >= len(c.endpoints)-1 && pause(ctx, jitter(60*time.Millisecond, 40*time.Millisecond)) != nil {
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
	if err != nil {
		return nil, err
	}
	to, target := c.redirect(resp, r.Method)
	if to == nil {
		return resp, nil
	}
	again := r.Clone(r.Context())
	again.URL = target
	return to.send(again, body, max(bound, 0))
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

// A hope says what another try could bring.
type hope uint8

const (
	// hopeless: nothing else. The zero hope.
	hopeless hope = iota
	// hopeElsewhere: another server may do better, this one will not so soon.
	hopeElsewhere
	// hopeAnywhere: this server may do better as well.
	hopeAnywhere
)

// judge says whether to try again. A write is tried again only where it has
// certainly not been done.
func judge(resp *http.Response, err error, read bool) hope {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial" && !read:
		return hopeElsewhere
	case errors.Is(err, errTooLarge), err != nil && !read:
		return hopeless
	case err != nil && concernsTLS(err):
		return hopeElsewhere
	case err != nil:
		return hopeAnywhere
	}
	switch resp.StatusCode {
	case 472, 473, 474, http.StatusNotImplemented:
		return hopeElsewhere
	case http.StatusServiceUnavailable:
		if read || bytes.Contains(peek(resp), []byte("Vault is sealed")) {
			return hopeElsewhere
		}
	case http.StatusTooManyRequests:
		// A quota holds on every node; a standby says that it is one.
		if bytes.Contains(peek(resp), []byte(`"standby":true`)) {
			return hopeElsewhere
		}
	case http.StatusPreconditionFailed, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		if read {
			return hopeAnywhere
		}
	}
	return hopeless
}

// peek returns the body of an answer and leaves it to be read.
func peek(resp *http.Response) []byte {
	// It is in memory, so reading it does not fail.
	body, _ := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return body
}
