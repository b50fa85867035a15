package authz

import (
	"slices"
	"strings"
)

// The identity headers: Kong's, in the order in which a decision sets them.
// What a client sends under any of these names never reaches the upstream.
const (
	identityConsumerID = iota
	identityCustomID
	identityUsername
	identityCredential
	identityAnonymous
	identityGroups
	identityAuthenticatedGroups
	identityCount
)

var identityHeaders = [identityCount]string{
	identityConsumerID:          "x-consumer-id",
	identityCustomID:            "x-consumer-custom-id",
	identityUsername:            "x-consumer-username",
	identityCredential:          "x-credential-identifier",
	identityAnonymous:           "x-anonymous-consumer",
	identityGroups:              "x-consumer-groups",
	identityAuthenticatedGroups: "x-authenticated-groups",
}

// stripper knows which headers to keep from the upstream, whichever of the
// identity headers are set.
type stripper struct {
	// bySet is indexed by the set of identity headers that are set, one bit
	// each, and lists all spellings of all others, and the other spellings of
	// those that are set: Envoy removes after it sets, so a header that is set
	// must not be listed.
	bySet [1 << identityCount]struct {
		names []string
		memo  Memo
	}
}

func newStripper() *stripper {
	s := &stripper{}
	var all []string
	for _, name := range identityHeaders {
		all = append(all, spellings(name)...)
	}
	for set := range s.bySet {
		s.bySet[set].names = slices.DeleteFunc(slices.Clone(all), func(name string) bool {
			i := slices.Index(identityHeaders[:], name)
			return i >= 0 && set&(1<<i) != 0
		})
	}
	return s
}

// isIdentity says whether a folded name is that of an identity header.
func isIdentity(folded string) bool { return slices.Contains(identityHeaders[:], folded) }

// newConsumer writes the identity headers of a consumer, once for all requests.
func newConsumer(c Consumer) *consumer {
	out := &consumer{Consumer: c}
	add := func(i int, value string) {
		out.headers = append(out.headers, Header{Name: identityHeaders[i], Value: value})
		out.mask |= 1 << i
	}
	add(identityConsumerID, c.ID)
	if c.CustomID != "" {
		add(identityCustomID, c.CustomID)
	}
	if c.Username != "" {
		add(identityUsername, c.Username)
	}
	add(identityGroups, joinGroups(c.Groups))
	return out
}

// upstream writes the changes to a request that is let through. It sets the headers that tell the
// upstream which consumer makes the request, and removes all others of that kind; without a
// consumer, all of them.
func (a *Authorizer) upstream(u *Upstream, p *policy, by *authentication, x *extraction) {
	set := 0
	if c := by.consumer; c != nil {
		u.Set, u.SetMemo, set = c.headers, &c.memo, c.mask
		// With an acl, Kong sets the header even where it comes out empty.
		if p.HideGroupsHeader || !p.hasACL() && len(c.Groups) == 0 {
			last := len(c.headers) - 1
			u.Set, u.SetMemo, set = c.headers[:last:last], &c.memoUngrouped, set&^(1<<identityGroups)
		}
		if by.anonymous() {
			u.SetAlso = Header{Name: identityHeaders[identityAnonymous], Value: "true"}
			set |= 1 << identityAnonymous
		} else if !p.HideCredentialIdentifier {
			u.SetAlso = Header{Name: identityHeaders[identityCredential], Value: x.access}
			set |= 1 << identityCredential
		}
	}
	rest := &a.strip.bySet[set]
	u.Remove, u.RemoveMemo = rest.names, &rest.memo
	if p.hides {
		u.RemoveAlso, u.RemoveAlsoMemo = p.hidden, &p.hiddenMemo
		u.RemoveQuery = x.parameters
	}
	if len(x.nonCanonical) > 0 {
		u.RemoveAlso, u.RemoveAlsoMemo = slices.Concat(u.RemoveAlso, x.nonCanonical), nil
	}
}

// hidesName says whether a folded name is that of a token to hide.
func (p *policy) hidesName(folded string) bool {
	_, ok := p.foldedTokens[folded]
	return ok && p.hides
}

// joinGroups is how Kong's acl writes a list of groups.
func joinGroups(groups []string) string { return strings.Join(groups, ", ") }
