package authz

// edges says of each byte whether the name of a header that matters can begin
// or end with it. Nearly every header of a browser is passed over by a look at
// two bytes of its name.
type edges [256]uint8

const (
	beginsName uint8 = 1 << iota
	endsName
)

// newEdges returns the edges of all names that fold to one of these.
func newEdges(folded []string) *edges {
	e := &edges{}
	for b := range e {
		// The first and the last byte of a name tell the first and the last
		// of what it folds to, those of a character of several bytes too.
		c := foldedByte(byte(b))
		for _, name := range folded {
			if c == name[0] {
				e[b] |= beginsName
			}
			if c == name[len(name)-1] {
				e[b] |= endsName
			}
		}
	}
	return e
}

// match says whether name may be one that matters. If it returns false, the name certainly
// does not matter; true may be a false alarm.
func (e *edges) match(name string) bool {
	return name != "" && e[name[0]]&beginsName != 0 && e[name[len(name)-1]]&endsName != 0
}

// searchHeaders goes over the headers once. It finds the tokens, and the non-canonical
// names. Those spellings are not in the precomputed list, yet an upstream may read them as
// one of our header names, for example x.consumer.id.
func (p *policy) searchHeaders(r *Request) (found findings, nonCanonical []string) {
	for i := range r.Headers {
		h := &r.Headers[i]
		if !p.edges.match(h.Name) {
			continue
		}
		if t, ok := p.names.lookupHeader(h.Name); ok {
			// The names that tokens are read from are all listed.
			if t == tokenOfScheme {
				found.addAuthorization(p.names.scheme, p.names.bearer, h.Value)
				continue
			}
			found[t].add(h.Value)
			continue
		}
		plain := plainName(h.Name)
		if plain && p.spelledOut {
			continue
		}
		// All plain spellings of the identity headers are listed, and to list
		// one here that is set would take it away again.
		if folded := foldedName(h.Name); !plain && isIdentity(folded) || p.hidesName(folded) {
			nonCanonical = append(nonCanonical, h.Name)
		}
	}
	return found, nonCanonical
}
