package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/state"
)

// policies are what Kong calls instances of the vault-auth plugin, with all that
// the core knows. Records of the kind that hold an acl plugin are none.
func policiesEntity() *entity {
	return &entity{
		kind: state.KindPolicies, name: "policies", key: "name",
		fields: policyFields,
		owns:   func(d document) bool { return d["plugin"] == nil },
		unique: func(d document) []constraint {
			all := uniqueTexts(d, "name")
			if d.yes("default") {
				// What Kong says of a second global plugin of one name.
				all = append(all, constraint{key: "default=true", fields: map[string]any{"name": pluginVaultAuth, "service": nil, "route": nil, "consumer": nil}})
			}
			return all
		},
		check:  checkPolicy,
		beside: checkTies,
		warn:   warnOfNoDefault,
	}
}

// warnOfNoDefault says what becomes of requests whose policy is the default no
// more: nothing else becomes it in its place.
func warnOfNoDefault(before, after document) string {
	if before.yes("default") && !after.yes("default") {
		return "there is no default policy now: requests that no policy selects are denied"
	}
	return ""
}

var policyFields = []field{
	idField,
	{name: "name", required: true, check: checkName},
	{name: "default", kind: boolean, byDefault: false},
	{name: "hosts", kind: list},
	{name: "paths", kind: list},
	{name: "ignore_case", kind: boolean, byDefault: false},
	{name: "priority", kind: integer, byDefault: int64(0), min: -1_000_000, max: 1_000_000},
	{name: "vault", kind: reference, key: "name", required: true},
	{name: "access_token_name", kind: names, byDefault: []string{"access_token"}},
	{name: "secret_token_name", kind: names, byDefault: []string{"secret_token"}},
	{name: "authorization_scheme", oneOf: []string{string(authz.SchemeBearer), string(authz.SchemeBasic)}},
	{name: "tokens_in_body", kind: boolean, byDefault: false},
	{name: "body_credentials_visible", kind: boolean, byDefault: false},
	{name: "hide_credentials", kind: boolean, byDefault: true},
	{name: "hide_credential_identifier", kind: boolean, byDefault: false},
	{name: "anonymous"},
	{name: "run_on_preflight", kind: boolean, byDefault: true},
	{name: "preflight", byDefault: string(authz.PreflightStrict), oneOf: []string{string(authz.PreflightStrict), string(authz.PreflightAny)}},
	{name: "acl", kind: record, fields: []field{
		{name: "allow", kind: list, check: checkGroup},
		{name: "deny", kind: list, check: checkGroup},
	}},
	{name: "hide_groups_header", kind: boolean, byDefault: false},
	{name: "shadow", kind: boolean, byDefault: false},
	{name: "realm"},
	{name: "on_error", byDefault: string(authz.OnErrorDeny), oneOf: []string{string(authz.OnErrorDeny), string(authz.OnErrorResponse), string(authz.OnErrorGRPC)}},
	tagsField, createdField, updatedField,
}

func checkGroup(group string) string {
	if strings.Contains(group, ",") {
		return "a group has no comma; repeat the field, or send a JSON array, for more than one"
	}
	return ""
}

func checkPolicy(a *API, d, _ document, v violations) error {
	if _, err := a.resolve(d, "vault", a.vaults); err != nil {
		return err
	}
	if err := a.checkAnonymous(d.text("anonymous"), v); err != nil {
		return err
	}
	checkPolicyFields(d, v)
	return nil
}

// checkPolicyFields checks what does not depend on which other entities there are.
func checkPolicyFields(d document, v violations) {
	p := policyOf(d)
	if p.Vault == "" {
		p.Vault = "missing" // the schema has reported it
	}
	if p.Name == "" {
		p.Name = "missing"
	}
	v.addErrors(p.Validate(), same)
}

// checkTies refuses a policy between which and another one nothing decides, unless the
// change leaves alone what it selects: what ties already can be changed in all else.
func checkTies(a *API, d, old document) func(*state.View) error {
	p := policyOf(d)
	if len(p.Hosts)+len(p.Paths) == 0 || old != nil && selectsAlike(&p, policyOf(old)) {
		return nil
	}
	return func(view *state.View) error {
		policies := []authz.Policy{p}
		if err := a.eachIn(view, a.policies, "", func([]string) bool { return true }, func(s stored) bool {
			// One of the same name is refused for that.
			if other := policyOf(s.document); other.ID != p.ID && other.Name != p.Name {
				policies = append(policies, other)
			}
			return true
		}); err != nil {
			return err
		}
		for _, tie := range authz.Ties(policies) {
			if slices.Contains(tie.Policies, p.Name) {
				return tied(tie)
			}
		}
		return nil
	}
}

func selectsAlike(p *authz.Policy, old authz.Policy) bool {
	return slices.Equal(p.Hosts, old.Hosts) && slices.Equal(p.Paths, old.Paths) && p.IgnoreCase == old.IgnoreCase && p.Priority == old.Priority
}

// checkAnonymous wants the id or username of a consumer that exists.
func (a *API) checkAnonymous(who string, v violations) error {
	if who == "" {
		return nil
	}
	_, err := a.find(a.consumers, who)
	if errors.Is(err, authz.ErrNotFound) {
		v.add("anonymous", fmt.Sprintf("there is no consumer with the id or username %q", who))
		return nil
	}
	return err
}

// policyOf is the policy that a document means, its vault object by id.
func policyOf(d document) authz.Policy {
	return authz.Policy{
		ID: d.text("id"), Name: d.text("name"),
		Hosts: d.list("hosts"), Paths: d.list("paths"), IgnoreCase: d.yes("ignore_case"), Priority: int(d.number("priority")),
		Default:          d.yes("default"),
		Vault:            d.record("vault").text("id"),
		AccessTokenNames: d.list("access_token_name"), SecretTokenNames: d.list("secret_token_name"),
		AuthorizationScheme: authz.Scheme(d.text("authorization_scheme")),
		TokensInBody:        d.yes("tokens_in_body"), BodyCredentialsVisible: d.yes("body_credentials_visible"),
		HideCredentials: d.yes("hide_credentials"), HideCredentialIdentifier: d.yes("hide_credential_identifier"),
		Anonymous:      d.text("anonymous"),
		RunOnPreflight: d.yes("run_on_preflight"), Preflight: authz.PreflightMode(d.text("preflight")),
		Allow: d.record("acl").list("allow"), Deny: d.record("acl").list("deny"),
		HideGroupsHeader: d.yes("hide_groups_header"),
		Shadow:           d.yes("shadow"), Realm: d.text("realm"), OnError: authz.OnError(d.text("on_error")),
	}
}

// documentOf is the document of a policy that was declared.
func documentOf(p authz.Policy, id, vaultID string) document {
	return document{
		"id": id, "name": p.Name,
		"hosts": orNil(p.Hosts), "paths": orNil(p.Paths), "ignore_case": p.IgnoreCase, "priority": int64(p.Priority), "default": p.Default,
		"vault":             document{"id": vaultID},
		"access_token_name": orNil(p.AccessTokenNames), "secret_token_name": orNil(p.SecretTokenNames),
		"authorization_scheme": orNilText(string(p.AuthorizationScheme)),
		"tokens_in_body":       p.TokensInBody, "body_credentials_visible": p.BodyCredentialsVisible,
		"hide_credentials": p.HideCredentials, "hide_credential_identifier": p.HideCredentialIdentifier,
		"anonymous":        orNilText(p.Anonymous),
		"run_on_preflight": p.RunOnPreflight, "preflight": string(p.Preflight),
		"acl":                document{"allow": orNil(p.Allow), "deny": orNil(p.Deny)},
		"hide_groups_header": p.HideGroupsHeader,
		"shadow":             p.Shadow, "realm": orNilText(p.Realm), "on_error": string(p.OnError),
	}
}

func orNil(l []string) any {
	if len(l) == 0 {
		return nil
	}
	return l
}

func orNilText(s string) any {
	if s == "" {
		return nil
	}
	return s
}
