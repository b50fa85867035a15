package authz

import "slices"

func (p *policy) hasACL() bool { return len(p.Allow) > 0 || len(p.Deny) > 0 }

// admits applies the policy's acl, with Kong's rules: allow needs one of the
// groups, deny forbids each of them, names match exactly. A consumer without
// any group passes deny; where allow is given, an anonymous one without groups
// is asked to authenticate and any other is refused.
func (p *policy) admits(c *Consumer, anonymous bool) (Reason, bool) {
	listed := func(groups []string) bool {
		return slices.ContainsFunc(c.Groups, func(g string) bool { return slices.Contains(groups, g) })
	}
	switch {
	case len(p.Deny) > 0 && !listed(p.Deny), len(p.Allow) > 0 && listed(p.Allow), !p.hasACL():
		return ReasonUnset, true
	case anonymous && len(c.Groups) == 0:
		return ReasonAnonymousACL, false
	}
	return ReasonACL, false
}
