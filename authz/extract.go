package authz

import (
	"slices"
	"strings"
)

// The two tokens of a pair.
const (
	tokenAccess = iota
	tokenSecret
	tokenCount
)

// tokenNames is the search for the two tokens, prepared for one policy.
type tokenNames struct {
	// headers and parameters map each accepted spelling to its token. Header
	// names are in lower case; the others are case-sensitive, as in Kong.
	headers, parameters map[string]int
	// lengths has bit n set where a header name of n bytes is accepted: most
	// headers are told apart by their length alone.
	lengths [2]uint64
}

func newTokenNames(access, secret []string) *tokenNames {
	n := &tokenNames{headers: map[string]int{}, parameters: map[string]int{}}
	for t, names := range [tokenCount][]string{access, secret} {
		for _, name := range names {
			for _, spelling := range []string{name, strings.ReplaceAll(name, "_", "-")} {
				n.parameters[spelling] = t
				n.headers[strings.ToLower(spelling)] = t
				n.lengths[len(spelling)/64] |= 1 << (len(spelling) % 64)
			}
		}
	}
	return n
}

func (n *tokenNames) lookupHeader(name string) (token int, ok bool) {
	if len(name) >= 128 || n.lengths[len(name)/64]&(1<<(len(name)%64)) == 0 {
		return 0, false
	}
	token, ok = n.headers[name]
	return token, ok
}

func (n *tokenNames) lookupParameter(name string) (token int, ok bool) {
	token, ok = n.parameters[name]
	return token, ok
}

// A finding is what one place (header, query, body) holds for one token.
type finding struct {
	value string
	count int
	// broken: given in a form that has no one value.
	broken bool
	// bare: given without a value, which counts as not given.
	bare bool
}

// findings is one place's finding for each token.
type findings [tokenCount]finding

func (f *finding) add(value string) {
	if f.count == 0 {
		f.value = value
	}
	f.count++
}

// addParameter counts a pair. A name without "=" gives no value, as in Kong; it
// still makes a second one a duplicate.
func (f *finding) addParameter(p parameter) {
	f.add(p.value)
	f.broken = f.broken || p.broken
	f.bare = f.bare || !p.assigned
}

// addNothing counts a field that cannot hold a token.
func (f *finding) addNothing() {
	f.add("")
	f.bare = true
}

func (f *finding) present() bool { return f.count > 1 || f.count == 1 && !f.bare }

// extraction is the outcome of the search: either two well-formed tokens, or a
// reason.
type extraction struct {
	access, secret string
	reason         Reason
	// parameters are the names, as they stand in the query, of the tokens
	// given there.
	parameters []string
}

// extract looks for each token on its own: in the headers, then the query, then
// the body. The first place where it is present wins, even with a bad value. A
// token given twice in one place, or differently in headers and query, is
// refused: we and the upstream might not mean the same one.
func (p *policy) extract(r *Request, g Grammar) extraction {
	header := p.names.searchHeaders(r)
	query, parameters := p.names.searchQuery(r.Path)
	first := header
	var body findings
	if p.TokensInBody && !everyToken(header, query) {
		body = p.names.searchBody(r)
	}
	conflict := false
	for t := range first {
		switch {
		case header[t].present() && query[t].present():
			conflict = conflict || query[t].count > 1 || query[t].value != header[t].value
		case header[t].present():
		case query[t].present():
			first[t] = query[t]
		default:
			first[t] = body[t]
		}
	}
	x := judge(first, conflict, g)
	x.parameters = parameters
	return x
}

// everyToken says whether each token is present in one of two places.
func everyToken(a, b findings) bool {
	for t := range a {
		if !a[t].present() && !b[t].present() {
			return false
		}
	}
	return true
}

// judge turns findings into tokens or the reason against them.
func judge(found findings, conflict bool, g Grammar) extraction {
	access, secret := &found[tokenAccess], &found[tokenSecret]
	switch {
	case conflict || access.repeated() || secret.repeated():
		return extraction{reason: ReasonDuplicateToken}
	case access.missing() || secret.missing():
		return extraction{reason: ReasonMissingToken}
	case access.broken || secret.broken || !g.AccessToken(access.value) || !g.SecretToken(secret.value):
		return extraction{reason: ReasonMalformedToken}
	}
	return extraction{access: access.value, secret: secret.value}
}

// repeated says whether there is more than one value. A comma counts as a sign
// of two: Envoy joins repeated headers with it unless it is told to send them
// raw, and the answer must not depend on that.
func (f *finding) repeated() bool {
	return f.count > 1 || f.present() && strings.Contains(f.value, ",")
}

func (f *finding) missing() bool { return !f.present() || f.value == "" && !f.broken }

func (n *tokenNames) searchHeaders(r *Request) (found findings) {
	for i := range r.Headers {
		if t, ok := n.lookupHeader(r.Headers[i].Name); ok {
			found[t].add(r.Headers[i].Value)
		}
	}
	return found
}

// searchQuery also returns the names under which the tokens were given, as they
// stand in the query: that is how Envoy finds the parameters to remove.
func (n *tokenNames) searchQuery(target string) (found findings, names []string) {
	_, query := splitTarget(target)
	for query != "" {
		var p parameter
		p, query = nextParameter(query)
		if t, ok := n.lookupParameter(p.name); ok {
			found[t].addParameter(p)
			if !slices.Contains(names, p.raw) {
				names = append(names, p.raw)
			}
		}
	}
	return found, names
}
