package authn

import (
	"encoding/hex"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/internal/clientcert"

	"github.com/vault-authz/vault-authz/internal/api"
)

// An Authenticator decides which calls are let in.
type Authenticator struct {
	hosts  []hostRule
	tokens []tokenRule
	// clients is nil if no client certificate is required.
	clients  []clientRule
	origins  *http.CrossOriginProtection
	failures *failures
	refusals *refusals
}

// New expects a valid configuration. Refused calls are logged, and counted in reg.
func New(cfg Config, log *zap.Logger, reg prometheus.Registerer) (*Authenticator, error) {
	refusals, err := newRefusals(log, reg)
	if err != nil {
		return nil, err
	}
	g := &Authenticator{origins: http.NewCrossOriginProtection(), failures: newFailures(), refusals: refusals}
	for _, h := range cfg.Hosts {
		name, port, _ := splitHost(h)
		g.hosts = append(g.hosts, hostRule{name, port})
	}
	for _, t := range cfg.Tokens {
		hash, _ := hex.DecodeString(t.SHA256)
		g.tokens = append(g.tokens, tokenRule{t.Name, hash, t.Role})
	}
	for _, n := range cfg.ClientNames {
		name, _ := clientcert.Parse(n.Name)
		g.clients = append(g.clients, clientRule{name, n.Role})
	}
	return g, nil
}

// ServerLog is for the log of the server of the API, of which it gets one line at a time: it
// counts clients that TLS refuses.
func (g *Authenticator) ServerLog() io.Writer { return g.refusals }

// Admit returns the caller, or the reason for a refusal, which it counts and logs. The
// failures of others never delay a caller that authenticates.
func (g *Authenticator) Admit(r *http.Request) (Caller, error) {
	c, refused := g.judge(r)
	switch {
	case refused == nil:
		return c, nil
	case refused.cause == causeToken && asksForSignIn(r):
		return Caller{}, refused.problem
	}
	g.refusals.note(refused.cause, r.RemoteAddr, refused.problem.Message, append(refused.fields, zap.String("method", r.Method))...)
	failed := refused.cause == causeToken || refused.cause == causeCertificate
	if failed && !g.failures.allow(r.RemoteAddr, time.Now()) {
		return Caller{}, &api.Problem{Status: http.StatusTooManyRequests, Message: "Too many failures to authenticate; wait and try again"}
	}
	return Caller{}, refused.problem
}

// asksForSignIn says whether our page asks if it has to ask for a token. It guesses nothing, so it
// is no failure to authenticate.
func asksForSignIn(r *http.Request) bool {
	return r.Header.Get(headerFetchSite) == "same-origin" && len(r.Header.Values("Authorization"))+len(r.Header.Values(headerKong)) == 0
}

func (g *Authenticator) judge(r *http.Request) (Caller, *refusal) {
	if !g.knowsHost(r.Host) {
		return Caller{}, misdirected()
	}
	// Without a token to ask for, a web page could post a form to a listener on
	// loopback, or let it read from Vault again and again.
	if g.origins.Check(r) != nil || isOfAnotherSite(r) {
		return Caller{}, refuse(causeOrigin, http.StatusForbidden, "Calls from web pages of another origin are refused")
	}
	c, refused := g.authenticate(r)
	if refused == nil && !c.Role.Allows(r.Method) {
		refused = &refusal{causeRole, c.Forbidden(r.Method), []zap.Field{zap.String("who", c.Name), zap.String("authenticated_by", c.By)}}
	}
	return c, refused
}

// isOfAnotherSite says whether a browser makes the call for a page of another origin, which
// [http.CrossOriginProtection] asks of changes only.
func isOfAnotherSite(r *http.Request) bool {
	site := r.Header.Get(headerFetchSite)
	return site == "cross-site" || site == "same-site"
}

// headerFetchSite is set by browsers, and no page can change it.
const headerFetchSite = "Sec-Fetch-Site"

// CheckHost refuses a request by a host name that the listener does not have, and nothing else.
func (g *Authenticator) CheckHost(r *http.Request) *api.Problem {
	if g.knowsHost(r.Host) {
		return nil
	}
	refused := misdirected()
	g.refusals.note(refused.cause, r.RemoteAddr, refused.problem.Message, zap.String("method", r.Method))
	return refused.problem
}

func misdirected() *refusal {
	return refuse(causeHost, http.StatusMisdirectedRequest, "The admin API is not known by this host name; call it by one of admin.hosts, or add the name there")
}
