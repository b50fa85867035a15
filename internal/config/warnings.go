package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// maxCompared bounds the requests that [Config.Warnings] looks at.
const maxCompared = 10000

// Warnings describes settings that are allowed and may be a mistake: no policy at all, and
// policies that earlier versions, which went by the order of the file, applied to other
// requests.
func (c *Config) Warnings() []string {
	if len(c.Policies) == 0 && c.State.Vault == "" {
		return []string{"there are no policies, so every request is denied; add policies and their vaults, or state.vault to make policies through the admin API"}
	}
	if len(c.Policies) == 1 {
		if p := &c.Policies[0]; !p.Default && !selects(p) {
			return []string{fmt.Sprintf("policy %q is not the default: requests whose route names no policy are denied; add default: true if it is to govern them (earlier versions took a lone policy for the default)", p.Name)}
		}
		return nil
	}
	return c.outOfOrder()
}

func selects(p *authz.Policy) bool { return len(p.Hosts)+len(p.Paths) > 0 }

// outOfOrder compares every two policies by a request that both select.
func (c *Config) outOfOrder() []string {
	sources := map[string]authz.Source{}
	for i := range c.Vaults {
		sources[c.Vaults[i].Name] = stubSource{}
	}
	snapshot, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	if err != nil {
		return nil // Validate has said it
	}
	place := map[string]int{}
	for i := range c.Policies {
		place[c.Policies[i].Name] = i
	}
	var warnings []string
	seen, compared := map[[2]string]bool{}, 0
	for i := range c.Policies {
		for j := range c.Policies[:i] {
			for _, r := range shared(&c.Policies[j], &c.Policies[i]) {
				if compared++; compared > maxCompared {
					return append(warnings, fmt.Sprintf("there are more than %d requests that two policies select; the others were not looked at", maxCompared))
				}
				matching := slices.DeleteFunc(snapshot.Matching(r), func(p *authz.Policy) bool { return !selects(p) })
				if len(matching) == 0 {
					continue
				}
				governs := matching[0]
				first := slices.MinFunc(matching, func(a, b *authz.Policy) int { return place[a.Name] - place[b.Name] })
				if pair := [2]string{first.Name, governs.Name}; first != governs && !seen[pair] {
					seen[pair] = true
					warnings = append(warnings, fmt.Sprintf("policy %q governs requests like http://%s%s, because it is more specific; earlier versions took %q, which comes first in the file (move %q before it if that is right)",
						governs.Name, r.Host, r.Path, first.Name, governs.Name))
				}
			}
		}
	}
	return warnings
}

// shared returns a request for each host and path that two policies have in common.
func shared(a, b *authz.Policy) []*authz.Request {
	if !selects(a) || !selects(b) {
		return nil
	}
	var requests []*authz.Request
	for _, hostA := range orNone(a.Hosts) {
		for _, hostB := range orNone(b.Hosts) {
			host, ok := sharedHost(hostA, hostB)
			if !ok {
				continue
			}
			for _, pathA := range orNone(a.Paths) {
				for _, pathB := range orNone(b.Paths) {
					if path, ok := sharedPath(pathA, pathB, a.IgnoreCase, b.IgnoreCase); ok {
						requests = append(requests, &authz.Request{HTTP: true, Host: host, Path: path})
					}
				}
			}
		}
	}
	return requests
}

func orNone(l []string) []string {
	if len(l) == 0 {
		return []string{""}
	}
	return l
}

// sharedHost is a host that two rules select; "" is the rule for all.
func sharedHost(a, b string) (host string, ok bool) {
	nameA, portA, _ := strings.Cut(a, ":")
	nameB, portB, _ := strings.Cut(b, ":")
	if a == "" {
		portA = "*"
	}
	if b == "" {
		portB = "*"
	}
	name, ok := sharedName(nameA, nameB)
	if !ok {
		return "", false
	}
	port := portA
	switch {
	case portA == "*":
		port = portB
	case portB != "*" && portA != portB:
		return "", false
	}
	if port != "" && port != "*" {
		name += ":" + port
	}
	return name, true
}

func sharedName(a, b string) (name string, ok bool) {
	if len(a) > len(b) {
		a, b = b, a
	}
	suffix, wild := strings.CutPrefix(a, "*")
	switch {
	case a == b, a == "":
	case wild && strings.HasSuffix(b, suffix):
	case strings.HasPrefix(b, "*") && strings.HasSuffix(a, b[1:]):
		b = a // a name that is shorter than the wildcard that selects it
	default:
		return "", false
	}
	if b == "" {
		return "some.name", true
	}
	return strings.Replace(b, "*", "some", 1), true
}

// sharedPath is a path that two rules select; "" is the rule for all.
func sharedPath(a, b string, anyCaseA, anyCaseB bool) (path string, ok bool) {
	if len(a) > len(b) {
		a, b, anyCaseA, anyCaseB = b, a, anyCaseB, anyCaseA
	}
	switch {
	case b == "":
		return "/some/path", true
	case a == "":
		return b, true
	case len(a) != len(b) && !strings.HasSuffix(a, "/") && b[len(a)] != '/':
		return "", false
	case anyCaseA:
		return b, strings.EqualFold(a, b[:len(a)])
	case anyCaseB:
		return a + b[len(a):], strings.EqualFold(a, b[:len(a)])
	}
	return b, strings.HasPrefix(b, a)
}
