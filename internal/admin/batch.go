package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/internal/admin/body"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/strictjson"
)

// batchAtOnce is how many operations of a batch run at the same time: about as many as
// the state store commits together.
const batchAtOnce = 500

// An operation is one call in a batch.
type operation struct {
	method, path string
	body         json.RawMessage
}

// An outcome is the answer to an operation.
type outcome struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body,omitempty"`
	// warnings are headers, which the answer to the batch has then.
	warnings []string
}

// batch makes changes together. Each operation is handled like a call of its own by the
// same caller. They run concurrently, so that the store commits them together; the
// answers have the order of the operations.
func (a *API) batch(c *call) (reply, error) {
	operations, err := a.readOperations(c.r)
	if err != nil {
		return reply{}, err
	}
	outcomes := make([]outcome, len(operations))
	var running errgroup.Group
	running.SetLimit(batchAtOnce)
	for i := range operations {
		running.Go(func() error {
			outcomes[i] = a.operate(c, &operations[i])
			return nil
		})
	}
	_ = running.Wait() // none of them returns an error
	for i := range outcomes {
		for _, header := range outcomes[i].warnings {
			if text, err := strconv.Unquote(strings.TrimPrefix(header, warningPrefix)); err == nil {
				c.warn(text)
			}
		}
	}
	return ok(map[string]any{"answers": outcomes}), nil
}

func (a *API) readOperations(r *http.Request) ([]operation, error) {
	fields, err := body.Object(r, a.cfg.MaxBodyBytes, "batch", "a batch is")
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	switch {
	case len(fields) != 1 || json.Unmarshal(fields["operations"], &list) != nil:
		return nil, badRequest(`Cannot parse the batch: expected {"operations": [{"method": …, "path": …, "body": {…}}, …]}`)
	case len(list) == 0 || len(list) > api.MaxOperations:
		return nil, badRequest(fmt.Sprintf("operations: length should be between 1 and %d", api.MaxOperations))
	}
	operations := make([]operation, len(list))
	for i, raw := range list {
		if operations[i], err = operationOf(raw); err != nil {
			return nil, badRequest(fmt.Sprintf("operations[%d]: %s", i, err))
		}
	}
	return operations, nil
}

func operationOf(raw json.RawMessage) (operation, error) {
	var o operation
	fields, err := strictjson.Object(raw)
	if err != nil {
		return o, err
	}
	for name, raw := range fields {
		var err error
		switch name {
		case "method":
			err = json.Unmarshal(raw, &o.method)
		case "path":
			err = json.Unmarshal(raw, &o.path)
		case "body":
			o.body = raw
		default:
			return o, fmt.Errorf("%q: unknown field", name)
		}
		if err != nil {
			return o, fmt.Errorf("%s: expected a string", name)
		}
	}
	if o.method == "" || o.path == "" {
		return o, errors.New("method and path must be given")
	}
	return o, nil
}

type batchKey struct{}

// inBatch says whether a call is an operation of a batch.
func inBatch(ctx context.Context) bool { return ctx.Value(batchKey{}) != nil }

func noOperation() *api.Problem {
	return badRequest("Not an operation of a batch: those are the calls that change one entity or credential")
}

// operate handles an operation like a call of its own.
func (a *API) operate(c *call, o *operation) outcome {
	w := &answerWriter{header: http.Header{}}
	r := o.request(c)
	switch {
	case r == nil:
		a.refuse(w, c.r, badRequest("path: expected the path of a call, beginning with a slash"))
	case !c.caller.Role.Allows(r.Method):
		a.refuse(w, r, c.caller.Forbidden(r.Method))
	case isOver(c.ctx):
		a.refuse(w, r, &api.Problem{Status: http.StatusServiceUnavailable, Message: "Not tried: the time for the batch was over; repeat this operation"})
	default:
		a.dispatchSafely(w, r)
	}
	return outcome{Status: w.status, Body: bytes.TrimSpace(w.body.Bytes()), warnings: w.header.Values("Warning")}
}

// isOver reports whether the deadline of a context has passed, even if its timer has
// not fired yet.
func isOver(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return ctx.Err() != nil || bounded && !time.Now().Before(deadline)
}

func (a *API) dispatchSafely(w http.ResponseWriter, r *http.Request) {
	defer a.recover(w, r)
	a.dispatch(w, r)
}

// request is the operation as a request, nil if its path is none. Of the request for
// the batch it has who is calling, from where, and until when, and its ids.
func (o *operation) request(c *call) *http.Request {
	if o.path[0] != '/' {
		return nil
	}
	u, err := url.ParseRequestURI(o.path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return nil
	}
	r := &http.Request{
		Method: o.method, URL: u, Host: c.r.Host, RemoteAddr: c.r.RemoteAddr, TLS: c.r.TLS,
		Proto: c.r.Proto, ProtoMajor: c.r.ProtoMajor, ProtoMinor: c.r.ProtoMinor,
		Header: http.Header{}, Body: http.NoBody,
	}
	for _, name := range []string{headerRequestID, headerTraceParent} {
		if value := c.r.Header.Get(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	if len(o.body) > 0 {
		r.Header.Set("Content-Type", body.TypeJSON)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(o.body)), int64(len(o.body))
	}
	return r.WithContext(context.WithValue(c.ctx, batchKey{}, true))
}

// An answerWriter keeps the answer to an operation.
type answerWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answerWriter) Header() http.Header { return w.header }

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *answerWriter) Write(raw []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(raw)
}
