package vaultkv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/internal/strictjson"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// An answer is what the server answered, whatever its status.
type answer struct {
	login.Answer
	// where is the address that answered.
	where string
	// html and wantsTLS classify a body that does not come from Vault's API.
	html, wantsTLS bool
	// from is the endpoint that answered, nil if that is not known.
	from *endpoint
	// index is the index that the answer named.
	index index
	// method and path are those of the request: GET, PUT, … or LIST, and what follows
	// /v1/.
	method, path string

	warnings *[]string
}

// ask sends one request and returns the answer, whatever its status. It returns an error
// only if there was no answer.
func (v *Vault) ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*answer, *Error) {
	began := time.Now()
	resp, err := send(ctx)
	if resp == nil || resp.Response == nil {
		return nil, v.transportError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	// vault/api returns an error for each status from 400 on; any other error is about a
	// body that it could not read.
	var status *api.ResponseError
	if err != nil && !errors.As(err, &status) {
		return nil, v.transportError(ctx, err)
	}
	body, err := wholeBody(resp.Response)
	if err != nil {
		return nil, v.transportError(ctx, err)
	}
	a := &answer{Answer: login.Answer{Status: resp.StatusCode}, where: v.cfg.Address, from: endpointOf(resp.Response), index: index{indexOf(resp.Header), began, time.Now()}}
	if a.from != nil {
		a.where = a.from.text
	}
	if r := resp.Request; r != nil {
		a.method, a.path = r.Method, strings.TrimPrefix(r.URL.Path, "/v1/")
		if r.URL.RawQuery != "" && r.URL.Query().Get("list") == "true" {
			a.method = methodList
		}
	}
	if !a.decode(body) {
		a.html, a.wantsTLS = isHTML(body), wantsTLS(a.Status, body)
	}
	return a, nil
}

// decode decodes the body of an answer of Vault's API. The fields have exact names and none
// is given twice, as Vault writes them. A body that cannot be decoded as a whole is not used
// at all: then decode returns false. Data and Auth are parts of body.
func (a *answer) decode(body []byte) bool {
	var room [16]strictjson.Field
	fields, err := strictjson.Fields(room[:0], body)
	if err != nil {
		return false
	}
	var read answer
	for _, f := range fields {
		ok := true
		switch string(f.Name) {
		case "data":
			read.Data = f.Value
		case "auth":
			read.Auth = f.Value
		case "errors":
			read.Errors, ok = texts(f.Value)
		case "warnings":
			read.warnings, ok = texts(f.Value)
		}
		if !ok {
			return false
		}
	}
	a.Data, a.Auth, a.Errors, a.warnings = read.Data, read.Auth, read.Errors, read.warnings
	return true
}

// texts decodes an array of strings, and null as nil.
func texts(value json.RawMessage) (list *[]string, ok bool) {
	switch string(value) {
	case "null":
		return nil, true
	case "[]":
		return &[]string{}, true
	}
	list = new([]string)
	return list, json.Unmarshal(value, list) == nil
}

// endpointOf returns the endpoint that answered, nil if that is not known.
func endpointOf(resp *http.Response) *endpoint {
	if resp.Request == nil {
		return nil
	}
	e, _ := resp.Request.Context().Value(endpointKey{}).(*endpoint)
	return e
}

// warns reports whether one of the warnings contains text.
func (a *answer) warns(text string) bool {
	return a.warnings != nil && slices.ContainsFunc(*a.warnings, func(w string) bool { return strings.Contains(w, text) })
}

// writes reports whether the request was a write.
func (a *answer) writes() bool {
	return a.method != "" && a.method != http.MethodGet && a.method != methodList
}

func isHTML(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

// wantsTLS recognises the answers of Go's server (and so of Vault) and of nginx to plain
// HTTP on a port for TLS.
func wantsTLS(status int, body []byte) bool {
	return status == http.StatusBadRequest &&
		(bytes.Contains(body, []byte("HTTP request to an HTTPS server")) || bytes.Contains(body, []byte("HTTP request was sent to HTTPS port")))
}

// isVaults reports whether the body is one that Vault writes with a 404.
func (a *answer) isVaults() bool { return a.Errors != nil || a.Data != nil }

// unsupported reports whether the engine at the mount lacks the path, or the operation on
// it.
func (a *answer) unsupported() bool {
	return (a.Status == 404 || a.Status == 405) && (a.Says("unsupported path") || a.Says("unsupported operation"))
}

// refusal explains every status but success and 404.
func (v *Vault) refusal(ctx context.Context, a *answer) *Error {
	switch {
	case a.Status == 200, a.Status == 204:
		return nil
	case a.Status == 404:
		if _, said := v.mount.engine(); !said && a.isVaults() && (v.layout.v2 || a.unsupported()) {
			// A KV v1 mount or an engine of another type may answer so for every key.
			v.askMount(ctx, true)
		}
		return nil
	case a.unsupported():
		if !v.mount.asked() {
			v.askMount(ctx, true)
		}
		return v.noSuchPath(a)
	case a.Status == 403:
		return v.forbidden(ctx, a)
	case v.cfg.Agent && a.Says("missing client token"):
		return problemOf(v.session.Rejection())
	case a.wantsTLS:
		return fail(StateUnreachable, a.Status, "%s speaks TLS on that port; set address to https://", a.where)
	case a.Status == 503 && a.Says("sealed") && v.uninitialised.Load():
		return fail(StateSealed, a.Status, "the server at %s is not initialised: it is a new one without any secret; initialise and unseal it, or correct address", a.where)
	case a.Status == 503 && a.Says("sealed"):
		return fail(StateSealed, a.Status, "the server at %s is sealed; unseal it", a.where)
	case a.Status >= 300 && a.Status < 400:
		return fail(StateFailing, a.Status, "the server at %s redirects (%d) to another host or path, which is not followed: the Vault token would go along; add that host to addresses, or set address to what balances between the nodes", a.where, a.Status)
	case a.Status == 429:
		return fail(StateLimited, a.Status, "the server limits our requests (429); raise its rate limit quota for the mount, or the cache TTL here")
	case a.Status == 412:
		return fail(StateFailing, a.Status, "the node at %s lags behind its cluster (412); this passes by itself", a.where)
	case a.Status == 472, a.Status == 473, a.Status == 474:
		return fail(StateFailing, a.Status, "the node at %s is a standby that does not serve reads (%d); add the other nodes to addresses, or set address to what balances between them", a.where, a.Status)
	case a.Status == 501:
		return fail(StateFailing, a.Status, "the server at %s is not initialised", a.where)
	case a.html:
		return fail(StateFailing, a.Status, "something in front of the server at %s answers in its place (status %d, a page for people); check address, and the proxy or load balancer there", a.where, a.Status)
	}
	return fail(StateFailing, a.Status, "the server answers with status %d; see its log", a.Status)
}

// absent returns nil if a 404 definitely says that the object does not exist.
func (v *Vault) absent(a *answer) *Error {
	is, said := v.mount.engine()
	switch {
	case !a.isVaults():
		return v.notVault(a)
	case a.Says("no handler for route"):
		v.mount.forget()
		return fail(StateNoMount, a.Status, "there is no KV engine at mount %q; enable one there, or correct mount (and namespace)", v.cfg.Mount)
	case a.Errors != nil && len(*a.Errors) > 0:
		return v.noSuchPath(a)
	case a.warns("versioned K/V"):
		if v.layout.v2 {
			return fail(StateWrongVersion, a.Status, "%q is a folder in a KV v2 mount, not the mount; set mount to where the engine is, and prefix to the rest", v.cfg.Mount)
		}
		return v.wrongVersion(a.Status)
	case is == v.cfg.theOtherKV():
		return v.wrongVersion(a.Status)
	case v.layout.v2 && a.Data == nil && !said:
		return fail(StateFailing, a.Status, "it is not known yet whether mount %q is KV v2, so \"not found\" proves nothing; see why the server does not say what the mount is", v.cfg.Mount)
	}
	return nil
}

func (v *Vault) notVault(a *answer) *Error {
	if a.html {
		return fail(StateFailing, a.Status, "%s answers with a page for people (status %d): it is no Vault, or a proxy or login page stands in front of it; check address, proxy and what is in between", a.where, a.Status)
	}
	return fail(StateFailing, a.Status, "what answers at %s (status %d) does not answer like Vault; check address, and what stands in front of the server", a.where, a.Status)
}

// document returns the object in an answer, nil if the object definitely does not exist.
func (v *Vault) document(a *answer) ([]byte, *Error) {
	if a.Status == 404 {
		return nil, v.absent(a)
	}
	data := a.Data
	if v.layout.v2 {
		data = currentVersion(a.Data)
	}
	switch {
	case len(data) > 0 && data[0] == '{':
		return data, nil
	case string(data) == "null":
		return nil, nil
	}
	return nil, v.notVault(a)
}

// currentVersion returns the object in the data of KV v2, nil if that is not what data is: a
// v1 mount may contain an object at data/…, which has no metadata.
func currentVersion(data json.RawMessage) (object json.RawMessage) {
	var room [4]strictjson.Field
	fields, err := strictjson.Fields(room[:0], data)
	if err != nil {
		return nil
	}
	versioned := false
	for _, f := range fields {
		switch string(f.Name) {
		case "data":
			object = f.Value
		case "metadata":
			versioned = f.Value[0] == '{'
		}
	}
	if !versioned {
		return nil
	}
	return object
}

// written checks the answer to an operation that returns nothing.
func (v *Vault) written(a *answer) *Error {
	if a.Status == 404 {
		return v.absent(a)
	}
	return nil
}
