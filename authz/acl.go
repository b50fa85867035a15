package authz

func (p *policy) hasACL() bool { return len(p.Allow) > 0 || len(p.Deny) > 0 }

// admits applies the policy's acl by Kong's rules: allow requires one of the groups, deny
// forbids each of them, and names match exactly. A consumer without groups passes deny.
// With allow, an anonymous consumer without groups has to authenticate (401), and any
// other consumer is refused (403).
func (p *policy) admits(c *Consumer, anonymous bool) (Reason, bool) {
	if !p.hasACL() {
		return ReasonUnset, true
	}
	if p.lists(c.Groups) == (len(p.Allow) > 0) {
		return ReasonUnset, true
	}
	if anonymous && len(c.Groups) == 0 {
		return ReasonAnonymousACL, false
	}
	return ReasonACL, false
}

// lists says whether the acl names one of the groups.
func (p *policy) lists(groups []string) bool {
	for _, g := range groups {
		if _, ok := p.listed[g]; ok {
			return true
		}
	}
	return false
}
