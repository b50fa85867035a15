package authz

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Snapshot is everything a decision is based on besides the request and the
// credential: policies, consumers, and the Source of each vault object. It is
// immutable and safe for concurrent use; a change makes a new one.
type Snapshot struct {
	// policies are in the order of their names; byName has their ids, too.
	policies []*policy
	byName   map[string]*policy
	// selection has the policies with hosts or paths.
	selection *selection
	// fallback is the default policy, nil if there is none.
	fallback *policy

	consumers *Directory
}

// policy is a Policy with what is worked out from it ahead of requests.
type policy struct {
	Policy
	source Reporter
	// rechecker is source if that answers from memory, else nil. It is also nil if
	// requests may get through while the store is unavailable: a request with a
	// credential that is known to be bad must not get through so.
	rechecker Rechecker
	names     *tokenNames
	edges     *edges
	// hides says that tokens are kept from the upstream.
	hides bool
	// hidden are the header names to strip for that.
	hidden     []string
	hiddenMemo Memo
	// spelledOut says that hidden has every spelling with "_" and "-".
	spelledOut bool
	// foldedTokens are the folded names of both tokens.
	foldedTokens map[string]struct{}
	// listed are the groups of Allow, or else of Deny.
	listed map[string]struct{}
}

// consumer is a Consumer with its identity headers.
type consumer struct {
	Consumer
	// headers are those of every request, and then that with the groups, which
	// a policy may leave out.
	headers []Header
	// mask has a bit for each of headers, as in [stripper].
	mask int
	// memo is that of headers, memoUngrouped of headers without the last, and
	// memoSelf that of the consumer.
	memo, memoUngrouped, memoSelf Memo
}

// NewSnapshot checks the entities against each other and reports every mistake.
// sources has a Source for the name of each vault object. Policies that tie are no
// mistake to it: requests that it cannot decide about are denied, see [Ties].
func NewSnapshot(policies []Policy, consumers []Consumer, sources map[string]Source) (*Snapshot, error) {
	directory, err := NewDirectory(consumers, nil)
	s, problem := NewSnapshotOf(policies, directory, sources)
	if err := errors.Join(err, problem); err != nil {
		return nil, err
	}
	return s, nil
}

// NewSnapshotOf is NewSnapshot with consumers that have been checked.
func NewSnapshotOf(policies []Policy, consumers *Directory, sources map[string]Source) (*Snapshot, error) {
	s := &Snapshot{byName: map[string]*policy{}, selection: newSelection(), consumers: consumers}
	var errs []error
	for i := range policies {
		if err := s.addPolicy(policies[i], sources); err != nil {
			errs = append(errs, &EntityError{List: "policies", Index: i, Name: policies[i].Name, Err: err})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(s.policies, func(a, b *policy) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

// named returns the policy of a name, nil if there is none. s may be nil.
func (s *Snapshot) named(name string) *policy {
	if s == nil {
		return nil
	}
	if p := s.byName[name]; p != nil && p.Name == name {
		return p
	}
	return nil
}

func (s *Snapshot) addPolicy(p Policy, sources map[string]Source) error {
	if err := p.Validate(); err != nil {
		// An invalid policy cannot be compiled, but what it refers to can be
		// checked.
		return errors.Join(err, s.dangling(&p, sources))
	}
	errs := []error{s.dangling(&p, sources)}
	compiled := compile(p, sources[p.Vault])
	s.policies = append(s.policies, compiled)
	for _, name := range []string{p.Name, p.ID} {
		if name == "" {
			continue
		}
		if s.byName[name] != nil && s.byName[name] != compiled {
			errs = append(errs, fmt.Errorf("name: %q is taken by another policy", name))
		}
		s.byName[name] = compiled
	}
	if p.Default {
		if s.fallback != nil {
			errs = append(errs, fmt.Errorf("default: policy %q is the default already", s.fallback.Name))
		}
		s.fallback = compiled
	}
	if len(p.Hosts) > 0 || len(p.Paths) > 0 {
		s.selection.add(compiled)
	}
	return errors.Join(errs...)
}

// dangling reports what a policy refers to and does not exist.
func (s *Snapshot) dangling(p *Policy, sources map[string]Source) error {
	var errs []error
	if p.Vault != "" && sources[p.Vault] == nil {
		errs = append(errs, fmt.Errorf("vault: there is no vault object %q; there are: %s", p.Vault, list(sources)))
	}
	if p.Anonymous != "" && s.consumers.named(p.Anonymous) == nil {
		errs = append(errs, fmt.Errorf("anonymous: there is no consumer with the id or username %q", p.Anonymous))
	}
	return errors.Join(errs...)
}

func compile(p Policy, source Source) *policy {
	c := &policy{
		Policy:       p,
		source:       reporterOf(source),
		names:        newTokenNames(p.AccessTokenNames, p.SecretTokenNames, p.AuthorizationScheme),
		hides:        p.HideCredentials && !p.Shadow,
		foldedTokens: map[string]struct{}{},
		spelledOut:   true,
		listed:       map[string]struct{}{},
	}
	c.Templates = p.Denial.templates()
	if p.OnError == OnErrorDeny {
		c.rechecker, _ = source.(Rechecker)
	}
	tokens := slices.Concat(p.AccessTokenNames, p.SecretTokenNames)
	if p.AuthorizationScheme != SchemeNone {
		tokens = append(tokens, authorizationHeader)
	}
	for _, name := range tokens {
		c.spelledOut = c.spelledOut && spelledOut(name)
		c.hidden = append(c.hidden, spellings(name)...)
		c.foldedTokens[foldedName(name)] = struct{}{}
	}
	slices.Sort(c.hidden)
	c.hidden = slices.Compact(c.hidden)
	c.edges = newEdges(slices.AppendSeq(slices.Clone(identityHeaders[:]), maps.Keys(c.foldedTokens)))
	for _, group := range slices.Concat(p.Allow, p.Deny) {
		c.listed[group] = struct{}{}
	}
	return c
}

func list(sources map[string]Source) string {
	if len(sources) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(sources)), ", ")
}
