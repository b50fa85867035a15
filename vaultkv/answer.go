package vaultkv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// An answer is what the server said, whatever its status.
type answer struct {
	status int
	// where is the address that it came from.
	where string
	// html and wantsTLS say what kind of body it is that does not come from
	// Vault's API.
	html, wantsTLS bool
	// from is the endpoint that it came from, nil if that is not known.
	from *endpoint
	// index is how far that server had got.
	index index
	// method and path are of the request: GET, PUT, … or LIST, and what follows
	// /v1/.
	method, path string

	// What a body that is no JSON object of the right types leaves unset.
	Data     json.RawMessage `json:"data"`
	Auth     json.RawMessage `json:"auth"`
	Errors   *[]string       `json:"errors"`
	Warnings []string        `json:"warnings"`
}

// ask sends one request. Answers of any status are answers; the error is for
// when there was none.
func (v *Vault) ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*answer, *Error) {
	began := time.Now()
	resp, err := send(ctx)
	if resp == nil || resp.Response == nil {
		return nil, v.transportError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	// vault/api makes an error of each status from 400 on; anything else is
	// about a body that it could not read.
	var status *api.ResponseError
	if err != nil && !errors.As(err, &status) {
		return nil, v.transportError(ctx, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, v.transportError(ctx, err)
	}
	known := answer{status: resp.StatusCode, where: v.cfg.Address, from: endpointOf(resp.Response), index: index{indexOf(resp.Header), began, time.Now()}}
	if known.from != nil {
		known.where = known.from.text
	}
	if r := resp.Request; r != nil {
		known.method, known.path = r.Method, strings.TrimPrefix(r.URL.Path, "/v1/")
		if r.URL.Query().Get("list") == "true" {
			known.method = methodList
		}
	}
	a := known
	if json.Unmarshal(body, &a) != nil {
		// Nothing of what is not understood as a whole is used.
		known.html, known.wantsTLS = isHTML(body), wantsTLS(known.status, body)
		return &known, nil
	}
	return &a, nil
}

// endpointOf returns where an answer came from.
func endpointOf(resp *http.Response) *endpoint {
	if resp.Request == nil {
		return nil
	}
	e, _ := resp.Request.Context().Value(endpointKey{}).(*endpoint)
	return e
}

// writes says whether the request was to change something.
func (a *answer) writes() bool {
	return a.method != "" && a.method != http.MethodGet && a.method != methodList
}

func isHTML(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

// wantsTLS recognises what Go's server (and so Vault) and nginx say to plain HTTP
// on a port for TLS.
func wantsTLS(status int, body []byte) bool {
	return status == http.StatusBadRequest &&
		(bytes.Contains(body, []byte("HTTP request to an HTTPS server")) || bytes.Contains(body, []byte("HTTP request was sent to HTTPS port")))
}

func (a *answer) errorSays(text string) bool {
	return a.Errors != nil && slices.ContainsFunc(*a.Errors, func(e string) bool {
		return strings.Contains(strings.ToLower(e), text)
	})
}

// unsupported says that the engine at the mount has no such path, or does not do
// this with it.
func (a *answer) unsupported() bool {
	return (a.status == 404 || a.status == 405) && (a.errorSays("unsupported path") || a.errorSays("unsupported operation"))
}

// refusal explains every status but success and 404.
func (v *Vault) refusal(ctx context.Context, a *answer) *Error {
	switch {
	case a.status == 200, a.status == 204:
		return nil
	case a.status == 404:
		if (v.layout.v2 || a.unsupported()) && !v.mount.asked.Load() {
			// It may be what a KV v1 mount answers, whatever it holds, or an engine
			// of another type.
			v.askMount(ctx)
		}
		return nil
	case a.unsupported():
		if !v.mount.asked.Load() {
			v.askMount(ctx)
		}
		return v.noSuchPath(a)
	case a.status == 403:
		return v.forbidden(ctx, a)
	case v.cfg.Agent && a.errorSays("missing client token"):
		return v.deadToken()
	case a.wantsTLS:
		return fail(StateUnreachable, a.status, "%s speaks TLS on that port; set address to https://", a.where)
	case a.status == 503 && a.errorSays("sealed") && v.uninitialised.Load():
		return fail(StateSealed, a.status, "the server at %s is not initialised: it is a new one without any secret; initialise and unseal it, or correct address", a.where)
	case a.status == 503 && a.errorSays("sealed"):
		return fail(StateSealed, a.status, "the server at %s is sealed; unseal it", a.where)
	case a.status >= 300 && a.status < 400:
		return fail(StateFailing, a.status, "the server at %s redirects (%d) to another host or path, which is not followed: the Vault token would go along; add that host to addresses, or set address to what balances between the nodes", a.where, a.status)
	case a.status == 429:
		return fail(StateLimited, a.status, "the server limits our requests (429); raise its rate limit quota for the mount, or the cache TTL here")
	case a.status == 412:
		return fail(StateFailing, a.status, "the node at %s lags behind its cluster (412); this passes by itself", a.where)
	case a.status == 472, a.status == 473, a.status == 474:
		return fail(StateFailing, a.status, "the node at %s is a standby that does not serve reads (%d); add the other nodes to addresses, or set address to what balances between them", a.where, a.status)
	case a.status == 501:
		return fail(StateFailing, a.status, "the server at %s is not initialised", a.where)
	case a.html:
		return fail(StateFailing, a.status, "something in front of the server at %s answers in its place (status %d, a page for people); check address, and the proxy or load balancer there", a.where, a.status)
	}
	return fail(StateFailing, a.status, "the server answers with status %d; see its log", a.status)
}

// absent is nil if a 404 says for certain that there is no such object.
func (v *Vault) absent(a *answer) *Error {
	_, other := v.otherVersion()
	switch {
	case a.Errors == nil && a.Data == nil:
		return v.notVault(a)
	case a.errorSays("no handler for route"):
		return fail(StateNoMount, a.status, "there is no KV engine at mount %q; enable one there, or correct mount (and namespace)", v.cfg.Mount)
	case a.Errors != nil && len(*a.Errors) > 0:
		return v.noSuchPath(a)
	case slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.Contains(w, "versioned K/V") }):
		if v.layout.v2 {
			return fail(StateWrongVersion, a.status, "%q is a folder in a KV v2 mount, not the mount; set mount to where the engine is, and prefix to the rest", v.cfg.Mount)
		}
		return v.wrongVersion(a.status)
	case other:
		return v.wrongVersion(a.status)
	case v.layout.v2 && a.Data == nil && !v.mount.asked.Load():
		return fail(StateFailing, a.status, "it is not known yet whether mount %q is KV v2, so \"not found\" may mean anything; see why the server does not say what the mount is", v.cfg.Mount)
	}
	return nil
}

func (v *Vault) notVault(a *answer) *Error {
	if a.html {
		return fail(StateFailing, a.status, "%s answers with a page for people (status %d): it is no Vault, or a proxy or login page stands in front of it; check address, proxy and what is in between", a.where, a.status)
	}
	return fail(StateFailing, a.status, "what answers at %s (status %d) does not answer like Vault; check address, and what stands in front of the server", a.where, a.status)
}

// document returns the object in an answer, nil if there is certainly none.
func (v *Vault) document(a *answer) ([]byte, *Error) {
	if a.status == 404 {
		return nil, v.absent(a)
	}
	data := a.Data
	if v.layout.v2 {
		var versioned struct {
			Data     json.RawMessage
			Metadata *struct{}
		}
		// A v1 mount may hold an object at data/…, which has no metadata.
		if json.Unmarshal(a.Data, &versioned) != nil || versioned.Metadata == nil {
			return nil, v.notVault(a)
		}
		data = versioned.Data
	}
	switch {
	case len(data) > 0 && data[0] == '{':
		return data, nil
	case string(data) == "null":
		return nil, nil
	}
	return nil, v.notVault(a)
}

// written is for operations whose answer has nothing to read.
func (v *Vault) written(a *answer) *Error {
	if a.status == 404 {
		return v.absent(a)
	}
	return nil
}
