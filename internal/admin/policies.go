package admin

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// policies are what Kong calls instances of the vault-auth plugin, with all options of
// this service. The acl plugin has a record of the same kind and is left out.
func policiesEntity() *entity {
	return &entity{
		kind: state.KindPolicies, name: "policies", key: "name",
		fields: schema.Policy,
		owns:   func(d schema.Document) bool { return d["plugin"] == nil },
		unique: func(d schema.Document) []constraint {
			all := uniqueTexts(d, "name")
			if d.Yes("default") {
				// What Kong says of a second global plugin of one name.
				all = append(all, constraint{key: "default=true", fields: map[string]any{"name": api.PluginVaultAuth, "service": nil, "route": nil, "consumer": nil}})
			}
			return all
		},
		check:  checkPolicy,
		beside: checkTies,
		warn:   warnOfNoDefault,
	}
}

// warnOfNoDefault warns of a change after which there is no default policy: no other
// policy becomes the default in its place.
func warnOfNoDefault(before, after schema.Document) string {
	if before.Yes("default") && !after.Yes("default") {
		return "there is no default policy now: requests that no policy selects are denied"
	}
	return ""
}

func checkPolicy(a *API, d, _ schema.Document, v schema.Violations) error {
	if _, err := a.resolve(d, "vault", a.vaults); err != nil {
		return err
	}
	if err := a.checkAnonymous(d.Text("anonymous"), v); err != nil {
		return err
	}
	checkPolicyFields(d, v)
	return nil
}

// checkPolicyFields checks what does not depend on which other entities there are.
func checkPolicyFields(d schema.Document, v schema.Violations) {
	p := entities.PolicyOf(d)
	if p.Vault == "" {
		p.Vault = "missing" // the schema has reported it
	}
	if p.Name == "" {
		p.Name = "missing"
	}
	v.AddErrors(p.Validate(), same)
}

// checkTies refuses a policy that ties with another one: nothing would decide between
// them. A change that leaves the selection as it is passes, so that policies that tie
// already can be changed otherwise.
func checkTies(a *API, d, old schema.Document) func(*state.View) error {
	p := entities.PolicyOf(d)
	if len(p.Hosts)+len(p.Paths) == 0 || old != nil && selectsAlike(&p, entities.PolicyOf(old)) {
		return nil
	}
	return func(view *state.View) error {
		policies := []authz.Policy{p}
		if err := a.eachIn(view, a.policies, "", everything, func(s schema.Stored) bool {
			// One of the same name is refused for that.
			if other := entities.PolicyOf(s.Document); other.ID != p.ID && other.Name != p.Name {
				policies = append(policies, other)
			}
			return true
		}); err != nil {
			return err
		}
		for _, tie := range authz.Ties(policies) {
			if slices.Contains(tie.Policies, p.Name) {
				return uniqueViolation.problem(tie.Error(), nil)
			}
		}
		return nil
	}
}

func selectsAlike(p *authz.Policy, old authz.Policy) bool {
	return slices.Equal(p.Hosts, old.Hosts) && slices.Equal(p.Paths, old.Paths) && p.IgnoreCase == old.IgnoreCase && p.Priority == old.Priority
}

// checkAnonymous refuses a consumer that does not exist.
func (a *API) checkAnonymous(who string, v schema.Violations) error {
	if who == "" {
		return nil
	}
	_, err := a.find(a.consumers, who)
	if errors.Is(err, authz.ErrNotFound) {
		v.Add("anonymous", fmt.Sprintf("there is no consumer with the id or username %q", who))
		return nil
	}
	return err
}
