package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// A call is one request on its way through a handler.
type call struct {
	ctx    context.Context
	r      *http.Request
	route  *route
	caller authn.Caller
	input  schema.Input
	// warnings are what the answer to a success says besides.
	warnings []string
}

// warningPrefix begins a header Warning: 299 is the code that RFC 7234 has for any warning
// that lasts.
const warningPrefix = "299 vault-authz "

// warn adds to what the answer says besides, once.
func (c *call) warn(warning string) {
	if !slices.Contains(c.warnings, warning) {
		c.warnings = append(c.warnings, warning)
	}
}

func (c *call) param(name string) string { return c.r.PathValue(name) }

// A reply is the answer to a call that succeeds.
type reply struct {
	status int
	body   any
}

var noContent = reply{status: http.StatusNoContent}

func ok(body any) reply { return reply{http.StatusOK, body} }

// A file is an answer that is not JSON.
type file struct {
	contentType string
	content     []byte
}

func write(w http.ResponseWriter, status int, body any) {
	switch body := body.(type) {
	case nil:
		w.WriteHeader(status)
		return
	case file:
		w.Header().Set("Content-Type", body.contentType)
		w.WriteHeader(status)
		_, _ = w.Write(body.content) // the client is gone
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the client is gone
}

// prefixed returns a text behind another one, "" if there is none.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
