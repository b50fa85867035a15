package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/body"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// maxHeaders is how many headers a request may have that is explained.
const maxHeaders = 1000

// explain tells what would become of a request. Who has the role to change credentials may try
// them: the answer says whether a secret is right. It is in the audit log, without the tokens.
func (a *API) explain(c *call) (reply, error) {
	r, err := a.readRequest(c.r)
	if err != nil {
		return reply{}, err
	}
	e := a.deps.Decide(c.ctx, r)
	trail, err := a.intend(c, entry{
		action: "explain", entity: "requests", id: e.Credential, vault: e.Vault,
		after: schema.Document{"method": e.Method, "host": e.Host, "path": e.Path, "policy": e.Policy, "allowed": e.Allowed, "reason": e.Reason},
	})
	if err != nil {
		return reply{}, err
	}
	trail.end(outcomeDone)
	return ok(e), nil
}

// readRequest reads the request that is asked about. Its errors repeat no value.
func (a *API) readRequest(r *http.Request) (*authz.Request, error) {
	fields, err := body.Object(r, a.cfg.MaxBodyBytes, "request", "send")
	if err != nil {
		return nil, err
	}
	asked := &authz.Request{HTTP: true, Method: http.MethodGet, Scheme: "https"}
	for name, value := range fields {
		if err := readField(asked, name, value); err != nil {
			return nil, badRequest(fmt.Sprintf("%q: %s", name, err))
		}
	}
	switch {
	case asked.Host == "":
		return nil, badRequest("host: must be given")
	case !strings.HasPrefix(asked.Path, "/"):
		return nil, badRequest("path: must be given, and begin with a slash")
	}
	return asked, nil
}

func readField(r *authz.Request, name string, raw json.RawMessage) error {
	var body, policy *string
	into := map[string]any{"method": &r.Method, "host": &r.Host, "path": &r.Path, "body": &body, "policy": &policy}[name]
	switch {
	case name == "headers":
		return readHeaders(r, raw)
	case into == nil:
		return errors.New("unknown field")
	case json.Unmarshal(raw, into) != nil:
		return errors.New("expected a string")
	case body != nil:
		r.Body = []byte(*body)
	case policy != nil:
		r.PolicyName, r.NamesPolicy = *policy, true
	}
	return nil
}

func readHeaders(r *authz.Request, raw json.RawMessage) error {
	var pairs [][]string
	if json.Unmarshal(raw, &pairs) != nil {
		return errors.New("expected pairs of a name and a value")
	}
	if len(pairs) > maxHeaders {
		return fmt.Errorf("expected %d at the most", maxHeaders)
	}
	for _, pair := range pairs {
		if len(pair) != 2 || pair[0] == "" {
			return errors.New("expected pairs of a name and a value")
		}
		r.Headers = append(r.Headers, authz.Header{Name: strings.ToLower(pair[0]), Value: pair[1]})
	}
	return nil
}
