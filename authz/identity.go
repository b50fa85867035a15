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
	bySet [1 << identityCount][]string
}

func newStripper() *stripper {
	s := &stripper{}
	var all []string
	for _, name := range identityHeaders {
		all = append(all, spellings(name)...)
	}
	for set := range s.bySet {
		s.bySet[set] = slices.DeleteFunc(slices.Clone(all), func(name string) bool {
			i := slices.Index(identityHeaders[:], name)
			return i >= 0 && set&(1<<i) != 0
		})
	}
	return s
}

// isIdentity says whether a folded name is that of an identity header.
func isIdentity(folded string) bool { return slices.Contains(identityHeaders[:], folded) }

// identity returns the headers that tell the upstream who the request is from.
func (p *policy) identity(d *Decision, c *consumer) (set []Header, mask int) {
	set = make([]Header, 0, identityCount)
	add := func(i int, value string) {
		set = append(set, Header{Name: identityHeaders[i], Value: value})
		mask |= 1 << i
	}
	if c == nil {
		return nil, 0
	}
	add(identityConsumerID, c.ID)
	if c.CustomID != "" {
		add(identityCustomID, c.CustomID)
	}
	if c.Username != "" {
		add(identityUsername, c.Username)
	}
	if d.Anonymous {
		add(identityAnonymous, "true")
	} else if !p.HideCredentialIdentifier {
		add(identityCredential, d.AccessToken)
	}
	// With an acl, Kong sets the header even where it comes out empty.
	if !p.HideGroupsHeader && (p.hasACL() || len(c.Groups) > 0) {
		add(identityGroups, c.groupsHeader)
	}
	return set, mask
}

// upstream returns the changes to a request that is let through.
func (a *Authorizer) upstream(p *policy, d *Decision, c *consumer, r *Request, parameters []string) Upstream {
	set, mask := p.identity(d, c)
	u := Upstream{Set: set, Remove: a.strip.bySet[mask]}
	hide := p.HideCredentials && !p.Shadow
	if hide {
		u.RemoveAlso = p.hidden
		u.RemoveQuery = parameters
	}
	for i := range r.Headers {
		name := r.Headers[i].Name
		if plainName(name) && p.spelledOut {
			continue
		}
		// A name in none of the listed spellings that an upstream may still
		// take for one of ours, such as x.consumer.id.
		folded := foldedName(name)
		if isIdentity(folded) || hide && p.hides(folded) {
			u.RemoveAlso = append(slices.Clip(u.RemoveAlso), name)
		}
	}
	return u
}

// hides says whether a folded name is that of one of the policy's tokens.
func (p *policy) hides(folded string) bool {
	_, ok := p.foldedTokens[folded]
	return ok
}

// joinGroups is how Kong's acl writes a list of groups.
func joinGroups(groups []string) string { return strings.Join(groups, ", ") }
