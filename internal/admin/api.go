package admin

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/admin/body"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/openapi"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/ui"
)

// An API is the admin API as an [http.Handler]. It is safe for concurrent use.
type API struct {
	cfg           Config
	deps          Dependencies
	authenticator *authn.Authenticator
	// handler counts calls and then answers them, by mux.
	handler http.Handler
	mux     *http.ServeMux
	// roots are the first segments of all paths.
	roots map[string]bool
	// ui is the page for people.
	ui http.Handler
	// The kinds of entities.
	consumers, acls, vaults, policies, aclPlugins *entity
	// declared are the entities of the configuration file, by kind.
	declared atomic.Pointer[map[string][]schema.Stored]
	// document is the OpenAPI document.
	document []byte
	// tokens serialize changes of one credential on this replica.
	tokens [64]sync.Mutex
	seed   maphash.Seed
}

// New returns an API. It reports every mistake in the configuration.
func New(cfg Config, deps Dependencies) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Store == nil || deps.Leases == nil || deps.Announce == nil || deps.Vaults == nil || deps.TryVault == nil || deps.Judge == nil || deps.Explain == nil ||
		deps.Denials == nil || deps.Overview == nil || deps.LastUsed == nil || deps.Decide == nil || deps.Metrics == nil || deps.Log == nil || deps.Audit == nil {
		return nil, errors.New("admin: Store, Leases, Announce, Vaults, TryVault, Judge, Explain, Denials, Overview, LastUsed, Decide, Metrics, Log and Audit must be given")
	}
	authenticator, err := authn.New(cfg.Config, deps.Log, deps.Metrics)
	if err != nil {
		return nil, err
	}
	a := &API{
		cfg: cfg, deps: deps, authenticator: authenticator, document: openapi.Document(), seed: maphash.MakeSeed(), ui: ui.Handler(),
		consumers: consumersEntity(), acls: aclsEntity(), vaults: vaultsEntity(), policies: policiesEntity(), aclPlugins: aclPluginsEntity(),
	}
	if err := a.Declare(deps.Declared); err != nil {
		return nil, err
	}
	calls, err := newCallMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	a.handler = promhttp.InstrumentHandlerDuration(calls, http.HandlerFunc(a.serveCall))
	routes := a.routes()
	a.mux, a.roots = a.route(routes), roots(routes)
	return a, nil
}

// Declare replaces the entities of the configuration file. After an error those before remain.
func (a *API) Declare(d entities.Declared) error {
	documents, err := d.Documents()
	if err != nil {
		return err
	}
	a.declared.Store(&documents)
	return nil
}

func (a *API) declaredOf(kind string) []schema.Stored { return (*a.declared.Load())[kind] }

// route registers the table, and for every path an answer to other methods.
func (a *API) route(routes []route) *http.ServeMux {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, r := range routes {
		pattern := r.pattern
		if pattern == "/" {
			// To the mux that means every path.
			pattern = "/{$}"
		}
		mux.Handle(r.method+" "+pattern, a.serve(r))
		methods[pattern] = append(methods[pattern], r.method)
	}
	for pattern, known := range methods {
		slices.Sort(known)
		allow := strings.Join(known, ", ")
		for _, method := range methodsBut(known) {
			// By method: a pattern of all methods must not overlap with one of a
			// wildcard, as /plugins/enabled does.
			mux.HandleFunc(method+" "+pattern, func(w http.ResponseWriter, r *http.Request) {
				a.refuse(w, r, &api.Problem{Status: http.StatusMethodNotAllowed, Message: "Method not allowed", Allow: allow})
			})
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { a.refuse(w, r, notFound()) })
	return mux
}

// methodsBut returns the methods of HTTP except the known ones. The mux takes GET for
// HEAD, too.
func methodsBut(known []string) []string {
	all := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect}
	return slices.DeleteFunc(all, func(method string) bool { return slices.Contains(known, method) })
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.cfg.UI && isUI(r) {
		a.serveUI(w, r)
		return
	}
	a.handler.ServeHTTP(w, r)
}

// serveCall answers a call that is being counted.
func (a *API) serveCall(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	defer a.recover(w, r)
	caller, err := a.authenticator.Admit(r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.dispatch(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
}

// dispatch finds the route of a call that was admitted.
func (a *API) dispatch(w http.ResponseWriter, r *http.Request) {
	r, plain := asKong(r)
	if !plain {
		a.refuse(w, r, notFound())
		return
	}
	r, err := a.inWorkspace(r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	a.mux.ServeHTTP(w, r)
}

type callerKey struct{}

// asKong reads the path as Kong does: "+" is a space, a slash at the end is
// nothing. It is not plain where the mux would answer with a redirect.
func asKong(r *http.Request) (*http.Request, bool) {
	escaped := strings.ReplaceAll(r.URL.EscapedPath(), "+", "%20")
	if len(escaped) > 1 {
		escaped = strings.TrimSuffix(escaped, "/")
	}
	decoded, err := url.PathUnescape(escaped)
	if err != nil || r.Method == http.MethodConnect || path.Clean(escaped) != escaped || escaped[0] != '/' {
		return r, false
	}
	return withPath(r, decoded, escaped), true
}

// withPath returns the request with another path.
func withPath(r *http.Request, decoded, escaped string) *http.Request {
	out, u := *r, *r.URL
	u.Path, u.RawPath = decoded, escaped
	out.URL = &u
	return &out
}

// recover answers a panic. Only a message of the Go runtime is logged: any other might
// hold a secret.
func (a *API) recover(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	cause := fmt.Errorf("panic: %T", v)
	var bug runtime.Error
	if err, ok := v.(error); ok && errors.As(err, &bug) {
		cause = fmt.Errorf("panic: %w", bug)
	}
	a.deps.Log.Error("admin call panicked", zap.String("method", r.Method), zap.Error(cause), zap.ByteString("stack", debug.Stack()))
	write(w, http.StatusInternalServerError, &api.Problem{Message: "An unexpected error occurred"})
}

// refuse answers an error and logs it unless the caller caused it.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problem(r, err)
	if p.Allow != "" {
		w.Header().Set("Allow", p.Allow)
	}
	switch p.Status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "10")
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="vault-authz admin"`)
	}
	write(w, p.Status, p)
}

func (a *API) problem(r *http.Request, err error) *api.Problem {
	var p *api.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, authz.ErrNotFound):
		return notFound()
	case errors.Is(err, state.ErrConflict):
		return &api.Problem{Status: http.StatusConflict, Message: "The entity is being changed by somebody else; read it again and repeat the call"}
	case errors.Is(err, state.ErrTooLarge):
		return &api.Problem{Status: http.StatusRequestEntityTooLarge, Message: err.Error()}
	case errors.Is(err, authz.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		a.deps.Log.Warn("admin call failed", zap.String("method", r.Method), zap.String("route", r.Pattern), zap.Error(err))
		return a.unavailable(err)
	}
	a.deps.Log.Error("admin call failed", zap.String("method", r.Method), zap.String("route", r.Pattern), zap.Error(err))
	return &api.Problem{Status: http.StatusInternalServerError, Message: "An unexpected error occurred"}
}

// unavailable tells the caller why a store could not answer, if that is known: most
// causes remain until an operator repairs a vault object.
func (a *API) unavailable(err error) *api.Problem {
	cause := a.deps.Explain(err)
	return &api.Problem{
		Status: http.StatusServiceUnavailable, Cause: cause,
		Message: "The store of this data is unavailable" + prefixed(": ", cause) + "; the call may be repeated, also if it has taken effect",
	}
}

// serve runs one route under its content rules.
func (a *API) serve(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		switch {
		case inBatch(ctx):
			if !route.changes || route.apart {
				a.refuse(w, r, noOperation())
				return
			}
		case route.changes:
			// A change that is half done is worse than one whose caller has left.
			ctx = context.WithoutCancel(ctx)
		}
		ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
		defer cancel()
		who, _ := ctx.Value(callerKey{}).(authn.Caller)
		c := &call{ctx: ctx, r: r, route: &route, caller: who}
		if route.body {
			var err error
			if c.input, err = body.Read(w, r, a.cfg.MaxBodyBytes); err != nil {
				a.refuse(w, r, err)
				return
			}
		}
		answer, err := a.answer(c)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		for _, warning := range c.warnings {
			w.Header().Add("Warning", warningPrefix+strconv.Quote(warning))
		}
		write(w, answer.status, answer.body)
	})
}

// answer lets the route handle a call, with a state that is current.
func (a *API) answer(c *call) (reply, error) {
	if !c.route.stateless {
		if err := a.deps.Store.Refresh(c.ctx); err != nil {
			return reply{}, err
		}
	}
	return c.route.handle(c)
}

func (a *API) openAPI(*call) (reply, error) {
	return ok(file{"application/yaml", a.document}), nil
}
