package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A guard decides who may call at all.
type guard struct {
	hosts       []hostRule
	tokens      []tokenRule
	certificate bool
	origins     *http.CrossOriginProtection
	failures    failures
}

type hostRule struct{ name, port string }

type tokenRule struct {
	name string
	hash []byte
}

func newGuard(cfg Config) *guard {
	g := &guard{certificate: cfg.ClientCAFile != "", origins: http.NewCrossOriginProtection()}
	for _, h := range cfg.Hosts {
		name, port, _ := splitHost(h)
		g.hosts = append(g.hosts, hostRule{name, port})
	}
	for _, t := range cfg.Tokens {
		hash, _ := hex.DecodeString(t.SHA256) // Validate has looked at it
		g.tokens = append(g.tokens, tokenRule{t.Name, hash})
	}
	return g
}

// admit returns who is calling, or why not.
func (g *guard) admit(r *http.Request) (who string, err error) {
	if !g.knowsHost(r.Host) {
		return "", &Problem{Status: http.StatusMisdirectedRequest, Message: "The admin API is not known by this host name; call it by one of admin.hosts, or add the name there"}
	}
	// Without a token to ask for, a web page could post a form to a listener on
	// loopback.
	if g.origins.Check(r) != nil {
		return "", &Problem{Status: http.StatusForbidden, Message: "Calls from web pages of another origin are refused"}
	}
	return g.authenticate(r, time.Now())
}

func (g *guard) authenticate(r *http.Request, now time.Time) (string, error) {
	who := "anybody"
	if g.certificate {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return "", &Problem{Status: http.StatusUnauthorized, Message: "A client certificate is needed"}
		}
		who = r.TLS.VerifiedChains[0][0].Subject.String()
	}
	if len(g.tokens) == 0 {
		return who, nil
	}
	// Looked at before the token, lest a guess that is right gets through.
	failed := g.failures.of(r.RemoteAddr, now)
	if failed.TokensAt(now) < 1 {
		return "", &Problem{Status: http.StatusTooManyRequests, Message: "Too many failures to authenticate; wait and try again"}
	}
	name, ok := g.tokenOf(r.Header)
	if !ok {
		failed.AllowN(now, 1)
		return "", &Problem{Status: http.StatusUnauthorized, Message: "Unauthorized"}
	}
	if g.certificate {
		return name + " (" + who + ")", nil
	}
	return name, nil
}

// tokenOf compares hashes with every token, so that the time taken says nothing.
func (g *guard) tokenOf(h http.Header) (name string, ok bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(token)))
	for _, t := range g.tokens {
		if subtle.ConstantTimeCompare(hash[:], t.hash) == 1 {
			name, ok = t.name, true
		}
	}
	return name, ok
}

func (g *guard) knowsHost(host string) bool {
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
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name, port, name != "" && checkHost(name) == ""
}

const (
	// failureBurst failures are free, then one each failureInterval.
	failureBurst    = 20
	failureInterval = 10 * time.Second
	// maxFailing bounds the addresses that are remembered.
	maxFailing = 4096
)

// failures bounds the failures to authenticate of each address. The zero value
// is ready.
type failures struct {
	mu     sync.Mutex
	by     map[netip.Prefix]*rate.Limiter
	shared *rate.Limiter
	// pruned is when addresses were last forgotten: to look at all of them for
	// each failure would be what a flood is after.
	pruned time.Time
}

// of returns the limiter of an address; whoever fails from too many addresses at
// once shares one.
func (f *failures) of(remote string, now time.Time) *rate.Limiter {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by, f.shared = map[netip.Prefix]*rate.Limiter{}, newFailureLimiter()
	}
	key, err := network(remote)
	if err != nil {
		return f.shared
	}
	if l := f.by[key]; l != nil {
		return l
	}
	if len(f.by) >= maxFailing && now.Sub(f.pruned) >= failureInterval {
		f.pruned = now
		for k, l := range f.by {
			if l.TokensAt(now) >= failureBurst {
				delete(f.by, k)
			}
		}
	}
	if len(f.by) >= maxFailing {
		return f.shared
	}
	l := newFailureLimiter()
	f.by[key] = l
	return l
}

func newFailureLimiter() *rate.Limiter {
	return rate.NewLimiter(rate.Every(failureInterval), failureBurst)
}

// network is the address, or for IPv6 the /64 that one host has to itself.
func network(remote string) (netip.Prefix, error) {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}, errors.New("not an address")
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.Prefix(32)
	}
	return ip.Prefix(64)
}
