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

// A Place is a part of a request in which tokens are looked for.
type Place uint8

// The places. The zero Place is none of them.
const (
	PlaceNone Place = iota
	PlaceHeader
	PlaceQuery
	PlaceBody
)

// String returns a word for people.
func (p Place) String() string {
	names := [...]string{"nowhere", "header", "query", "body"}
	if int(p) >= len(names) {
		p = PlaceNone
	}
	return names[p]
}

// A spelling is one way to write the name of a token.
type spelling struct {
	token int
	// index tells the spellings of one token apart.
	index int
}

// tokenNames is the search for the two tokens, prepared for one policy.
type tokenNames struct {
	// headers and parameters have each accepted spelling. Header names are in
	// lower case; the others are case-sensitive, as in Kong. A header may be
	// tokenOfScheme.
	headers    map[string]int
	parameters map[string]spelling
	// lengths has bit n set where a name of n bytes is accepted: most names
	// are told apart by their length alone.
	lengths [2]uint64
	// pairs has the names of one parameter for each token, for every two
	// spellings, so that the usual list of parameters to remove is there
	// already. The access token's spelling counts by stride.
	pairs  [][tokenCount]string
	stride int
	// scheme is that of the Authorization header, and bearer the token that is in
	// there with SchemeBearer.
	scheme Scheme
	bearer int
}

func newTokenNames(access, secret []string, scheme Scheme) *tokenNames {
	n := &tokenNames{headers: map[string]int{}, parameters: map[string]spelling{}}
	var all [tokenCount][]string
	for t, names := range [tokenCount][]string{access, secret} {
		for _, name := range names {
			for _, s := range []string{name, strings.ReplaceAll(name, "_", "-")} {
				if _, known := n.parameters[s]; !known {
					n.parameters[s] = spelling{token: t, index: len(all[t])}
					all[t] = append(all[t], s)
				}
				n.headers[strings.ToLower(s)] = t
				n.addLength(len(s))
			}
		}
	}
	if n.scheme = scheme; scheme != SchemeNone {
		n.bearer = n.headers[authorizationHeader]
		n.headers[authorizationHeader] = tokenOfScheme
		n.addLength(len(authorizationHeader))
	}
	n.stride = len(all[tokenSecret])
	for _, a := range all[tokenAccess] {
		for _, s := range all[tokenSecret] {
			n.pairs = append(n.pairs, [tokenCount]string{a, s})
		}
	}
	return n
}

func (n *tokenNames) addLength(length int) { n.lengths[length/64] |= 1 << (length % 64) }

// hasLength says whether some accepted name has so many bytes.
func (n *tokenNames) hasLength(length int) bool {
	return length >= 0 && length < 128 && n.lengths[length/64]&(1<<(length%64)) != 0
}

func (n *tokenNames) lookupHeader(name string) (token int, ok bool) {
	if !n.hasLength(len(name)) {
		return 0, false
	}
	token, ok = n.headers[name]
	return token, ok
}

func (n *tokenNames) lookupParameter(name string) (token int, ok bool) {
	if !n.hasLength(len(name)) {
		return 0, false
	}
	s, ok := n.parameters[name]
	return s.token, ok
}

// withName adds the name of a parameter to a list, once. Lists as they occur in
// requests that are in order are prepared; others are made.
func (n *tokenNames) withName(names []string, name string) []string {
	s, known := n.parameters[name]
	switch {
	case len(names) <= manySpellings && slices.Contains(names, name):
		return names
	case len(names) == 0 && known && s.token == tokenAccess:
		return n.pairs[s.index*n.stride][:1:1]
	case len(names) == 0 && known:
		return n.pairs[s.index][1:2:2]
	case len(names) == 1 && known:
		if other, plain := n.parameters[names[0]]; plain && other.token != s.token {
			if s.token == tokenAccess {
				s, other = other, s
			}
			return n.pairs[other.index*n.stride+s.index][:]
		}
	}
	return append(names, name) // those that are prepared have no room
}

// manySpellings is how many names are compared with each other. To remove one
// twice does no harm; to compare all that a client can send does.
const manySpellings = 16

// A finding is what one place (header, query, body) holds for one token.
type finding struct {
	value string
	count int
	// broken says that it was given in a form that is not a single value.
	broken bool
	// bare says that it was given without a value, which counts as not given.
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
	value, ok := unescape(p.value, true)
	f.add(value)
	f.broken = f.broken || !ok
	f.bare = f.bare || !p.assigned
}

func (f *finding) present() bool { return f.count > 1 || f.count == 1 && !f.bare }

// extraction is the outcome of the search: either two well-formed tokens, or a
// reason.
type extraction struct {
	access, secret string
	reason         Reason
	// places says where each token was taken from.
	places [tokenCount]Place
	// parameters are the names, as they stand in the query, of the tokens
	// given there.
	parameters []string
	// nonCanonical are the names of headers that [policy.searchHeaders] warns of.
	nonCanonical []string
}

// extract looks for each token on its own: in the headers, then the query, then
// the body. The first place where it is present wins, even with a bad value. A
// token given twice in one place, or differently in headers and query, is
// refused: we and the upstream might not mean the same one.
func (p *policy) extract(r *Request, g Grammar) extraction {
	header, nonCanonical := p.searchHeaders(r)
	query, parameters := p.names.searchQuery(r.Path)
	first := header
	var body findings
	if p.TokensInBody && !everyToken(header, query) {
		body = p.names.searchBody(r)
	}
	var places [tokenCount]Place
	conflict := false
	for t := range first {
		switch {
		case header[t].present() && query[t].present():
			conflict = conflict || query[t].count > 1 || query[t].value != header[t].value
			places[t] = PlaceHeader
		case header[t].present():
			places[t] = PlaceHeader
		case query[t].present():
			first[t], places[t] = query[t], PlaceQuery
		case body[t].present():
			first[t], places[t] = body[t], PlaceBody
		default:
			first[t] = body[t]
		}
	}
	x := judge(first, conflict, g)
	x.places, x.parameters, x.nonCanonical = places, parameters, nonCanonical
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
	return f.count > 1 || f.present() && strings.IndexByte(f.value, ',') >= 0
}

func (f *finding) missing() bool { return !f.present() || f.value == "" && !f.broken }

// searchQuery also returns the names under which the tokens were given, as they
// stand in the query: that is how the gateway finds the parameters to remove.
func (n *tokenNames) searchQuery(target string) (found findings, names []string) {
	_, query := splitTarget(target)
	for query != "" {
		var p parameter
		p, query = nextParameter(query)
		if t, ok := n.tokenOf(p); ok {
			found[t].addParameter(p)
			names = n.withName(names, p.name)
		}
	}
	return found, names
}
