package admin

import (
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/clientcert"

	"github.com/vault-authz/vault-authz/internal/api"
)

// An authenticator decides which calls are let in.
type authenticator struct {
	hosts  []hostRule
	tokens []tokenRule
	// clients is nil if no client certificate is required.
	clients  []clientRule
	origins  *http.CrossOriginProtection
	failures *failures
	refusals *refusals
}

type hostRule struct{ name, port string }

// newAuthenticator expects a valid configuration.
func newAuthenticator(cfg Config, refusals *refusals) *authenticator {
	g := &authenticator{origins: http.NewCrossOriginProtection(), failures: newFailures(), refusals: refusals}
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
	return g
}

// admit returns the caller, or the reason for a refusal, which it counts and logs. The
// failures of others never delay a caller that authenticates.
func (g *authenticator) admit(r *http.Request) (caller, error) {
	c, refused := g.judge(r)
	switch {
	case refused == nil:
		return c, nil
	case refused.cause == causeToken && asksForSignIn(r):
		return caller{}, refused.problem
	}
	g.refusals.note(refused.cause, r.RemoteAddr, refused.problem.Message, append(refused.fields, zap.String("method", r.Method))...)
	failed := refused.cause == causeToken || refused.cause == causeCertificate
	if failed && !g.failures.allow(r.RemoteAddr, time.Now()) {
		return caller{}, &api.Problem{Status: http.StatusTooManyRequests, Message: "Too many failures to authenticate; wait and try again"}
	}
	return caller{}, refused.problem
}

// asksForSignIn says whether our page asks if it has to ask for a token. It guesses nothing, so it
// is no failure to authenticate.
func asksForSignIn(r *http.Request) bool {
	return r.Header.Get(headerFetchSite) == "same-origin" && len(r.Header.Values("Authorization"))+len(r.Header.Values(headerKong)) == 0
}

func (g *authenticator) judge(r *http.Request) (caller, *refusal) {
	if !g.knowsHost(r.Host) {
		return caller{}, misdirected()
	}
	// Without a token to ask for, a web page could post a form to a listener on
	// loopback, or let it read from Vault again and again.
	if g.origins.Check(r) != nil || isOfAnotherSite(r) {
		return caller{}, refuse(causeOrigin, http.StatusForbidden, "Calls from web pages of another origin are refused")
	}
	c, refused := g.authenticate(r)
	if refused == nil && !c.role.allows(r.Method) {
		refused = &refusal{causeRole, c.forbidden(r.Method), []zap.Field{zap.String("who", c.name), zap.String("authenticated_by", c.by)}}
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

func misdirected() *refusal {
	return refuse(causeHost, http.StatusMisdirectedRequest, "The admin API is not known by this host name; call it by one of admin.hosts, or add the name there")
}

func (g *authenticator) knowsHost(host string) bool {
	name, port, ok := splitHost(host)
	if !ok {
		return false
	}
	for _, rule := range g.hosts {
		if rule.name == name && (rule.port == "" || rule.port == port) {
			return true
		}
	}
	return false
}

// splitHost reads a name or address with or without a port; an IPv6 address is
// in brackets and loses them.
func splitHost(s string) (name, port string, ok bool) {
	name = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		var err error
		if name, port, err = net.SplitHostPort(s); err != nil {
			return "", "", false
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", "", false
		}
	} else if inner, bracketed := strings.CutPrefix(s, "["); bracketed {
		name = strings.TrimSuffix(inner, "]")
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.String(), port, true
	}
	// It is checked before its case is changed: letters outside ASCII fold into
	// ASCII letters.
	name = strings.TrimSuffix(name, ".")
	return strings.ToLower(name), port, name != "" && api.CheckHost(name) == ""
}
