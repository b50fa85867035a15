package kongimport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/internal/admin"
)

const (
	vaultID  = "d3da058d-0acb-49c2-b7fe-72b3e9fd4b0a"
	aliceID  = "ce67c25e-2168-4a09-81e5-e06187a2384f"
	groupID  = "64063284-e3b5-48e7-9bca-802251c32138"
	pluginID = "b4d0cbb7-bff2-4599-ba19-67c705c15b9a"
	token    = "hvs.notInAnyPlan"
)

const vaultJSON = `{"vault-auths":{"data":[{"id":"` + vaultID + `","name":"main","protocol":"https","host":"vault.internal","port":8200,` +
	`"mount":"kong-auth","vault_token":"` + token + `","kv":"v1","created_at":1550538920}],"next":null}}`

func existing() *Existing {
	yes, alice := true, "alice"
	name := "vault-auth"
	return &Existing{
		Vaults:    []admin.Vault{{ID: vaultID, Name: "main", Protocol: "https", Host: "vault.internal", Port: 8200, Mount: "kong-auth", KV: "v1", VaultToken: "[redacted]"}},
		Consumers: []admin.Consumer{{ID: aliceID, Username: &alice, Tags: []string{"b", "a"}}},
		ACLs:      []admin.ACL{{ID: groupID, Group: "gold", Consumer: &admin.Ref{ID: aliceID}}},
		Plugins: []admin.Plugin{{ID: pluginID, Name: "vault-auth", InstanceName: &name, Config: admin.PluginConfig{
			Vault: &admin.Ref{ID: vaultID}, AccessTokenName: admin.Names{"access_token"}, SecretTokenName: admin.Names{"secret_token"}, HideCredentials: &yes, RunOnPreflight: &yes,
		}}},
		Policies: []admin.Policy{{ID: pluginID, Name: "vault-auth", Default: &yes}},
	}
}

// lines has the steps with what a reader of the plan must see.
func lines(c *Changes) string {
	var b strings.Builder
	for _, s := range c.Steps {
		fmt.Fprintf(&b, "%s %s %s", s.Action, s.Kind, s.Name)
		if s.ID != "" {
			fmt.Fprintf(&b, " %s", s.ID[:min(8, len(s.ID))])
		}
		for _, n := range s.Notes {
			fmt.Fprintf(&b, " | %s", n)
		}
		for i := range s.Policies {
			fmt.Fprintf(&b, " | %s", encoded(&s.Policies[i]))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func planned(t *testing.T, file string, have *Existing) *Changes {
	t.Helper()
	f, err := Parse([]byte(file))
	if err != nil {
		t.Fatalf("parsing %s: %v", file, err)
	}
	return Plan(f, have)
}

func TestPlan(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file string
		have       *Existing
		want       string
	}{
		{
			name: "a decK file with ids is made with these ids",
			file: `
_format_version: "3.0"
consumers:
- username: alice
  custom_id: "7"
  id: ` + aliceID + `
  tags: [a]
  acls:
  - {group: gold, id: ` + groupID + `}
plugins:
- name: vault-auth
  id: ` + pluginID + `
  config: {vault: {id: ` + vaultID + `}, hide_credentials: true}
- name: acl
  config: {allow: [gold]}
`,
			have: &Existing{Vaults: existing().Vaults},
			want: `
create consumer alice ce67c25e
create acl alice: gold 64063284
create plugin acl
create plugin vault-auth b4d0cbb7
`,
		},
		{
			name: "a vault object whose token is in the file is made",
			file: vaultJSON,
			have: &Existing{},
			want: "\ncreate vault-auth main d3da058d\n",
		},
		{
			name: "a vault object of Kong 2 under vaults is one, an entity of secrets management is not",
			file: strings.Replace(vaultJSON, "vault-auths", "vaults", 1) + `{"vaults":[{"prefix":"hcv","name":"hcv","config":{"token":"` + token + `"}}]}`,
			have: &Existing{},
			want: `
create vault-auth main d3da058d
left vault hcv | is an entity of Kong's secrets management, not a vault object of vault-auth
`,
		},
		{
			name: "a vault object of a folder is made with it, and told from one of the mount itself",
			file: strings.Replace(strings.Replace(vaultJSON, "vault-auths", "vaults", 1), `"mount":`, `"prefix":"team-a/kong-auth","mount":`, 1),
			have: existing(),
			want: `
differs vault-auth main d3da058d | prefix is "team-a/kong-auth" in the file and null here
`,
		},
		{
			name: "a vault object of a folder whose token is not in the file is asked for with the folder",
			file: strings.Replace(strings.Replace(vaultJSON, token, "{vault://env/token}", 1), `"mount":`, `"prefix":"team-a/kong-auth","mount":`, 1),
			have: &Existing{},
			want: `
needs vault-auth main d3da058d | needs a token: vault-authz vault create main --id ` + vaultID + ` --address https://vault.internal:8200 --mount kong-auth --kv v1 --prefix team-a/kong-auth --token-from-file FILE
`,
		},
		{
			name: "a token that is a reference is asked for and never sent, and what hangs on it waits",
			file: strings.Replace(vaultJSON, token, "{vault://env/token}", 1) + `{"plugins":[{"name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}}]}`,
			have: &Existing{},
			want: `
needs vault-auth main d3da058d | needs a token: vault-authz vault create main --id ` + vaultID + ` --address https://vault.internal:8200 --mount kong-auth --kv v1 --token-from-file FILE
needs plugin vault-auth | needs its vault object first
`,
		},
		{
			name: "what exists is equal whatever the order of tags",
			file: vaultJSON + `{"consumers":[{"id":"` + aliceID + `","username":"alice","custom_id":null,"tags":["a","b"]}]}` +
				`{"acls":{"data":[{"id":"` + groupID + `","consumer":{"id":"` + aliceID + `"},"group":"gold","tags":null}]}}` +
				`{"plugins":{"data":[{"id":"` + pluginID + `","name":"vault-auth","service":null,"route":null,"enabled":true,"protocols":["grpc","grpcs","http","https"],` +
				`"config":{"vault":{"id":"` + vaultID + `"},"access_token_name":"access_token","secret_token_name":"secret_token","tokens_in_body":false,"hide_credentials":true,"anonymous":null,"run_on_preflight":true}}]}}`,
			have: existing(),
			want: `
equal vault-auth main d3da058d
equal consumer alice ce67c25e
equal acl alice: gold 64063284
equal plugin vault-auth b4d0cbb7
`,
		},
		{
			name: "what differs is said and left alone",
			file: `{"vault_auth":[{"name":"main","protocol":"http","host":"vault.internal","port":8200,"mount":"kong-auth"}],` +
				`"consumers":[{"id":"` + groupID + `","username":"alice"}],` +
				`"plugins":[{"name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":false}}]}`,
			have: existing(),
			want: `
differs vault-auth main | protocol is "http" in the file and "https" here
differs consumer alice 64063284 | id is "` + groupID + `" in the file and "` + aliceID + `" here | tags is [] in the file and ["a","b"] here
differs plugin vault-auth | config.hide_credentials is false in the file and true here
`,
		},
		{
			name: "lists of the Admin API one after the other are told by their fields",
			file: `{"data":[{"id":"` + aliceID + `","username":"alice"}],"next":"/consumers?offset=x"}{"data":[{"consumer":{"id":"` + aliceID + `"},"group":"gold"}]}{"data":[{"consumer":{"id":"` + aliceID + `"},"key":"` + token + `"}]}`,
			have: &Existing{},
			want: `
create consumer alice ce67c25e
create acl alice: gold
left list  | a list of the dump ends before its last page; get the rest, or list with size=1000
left credential  | has no counterpart
`,
		},
		{
			name: "a consumer without its id is not made, because its credentials would not find it",
			file: "consumers:\n- username: alice\n  acls:\n  - group: gold\n",
			have: &Existing{},
			want: `
needs consumer alice | needs its id, by which the credentials in Vault name it: make the file with deck gateway dump --with-id
needs acl alice: gold | needs its consumer first
`,
		},
		{
			name: "plugins for a route become a proposal with the acl of the service",
			file: `
services:
- name: shop
  plugins:
  - {name: acl, config: {deny: [blocked]}}
  - {name: rate-limiting, config: {minute: 5}}
  routes:
  - name: orders
    hosts: [shop.example]
    paths: [/orders, '~/o/\d+$']
    methods: [GET]
    plugins:
    - {name: vault-auth, config: {vault: ` + vaultID + `, hide_credentials: true}}
upstreams:
- name: pool
`,
			have: existing(),
			want: `
left plugin acl (service shop) | is for some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | is part of the policy instead of vault-auth (route orders)
left plugin rate-limiting (service shop) | the plugin has no counterpart
left plugin vault-auth (route orders) | is for some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route orders: the route also selects by methods, which a policy does not | route orders: a policy cannot select by "~/o/\\d+$" | {"name":"orders","hosts":["shop.example"],"paths":["/orders"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true,"acl":{"deny":["blocked"]}}
left service shop | services are the gateway's
left route orders | routes are the gateway's
left upstream pool | upstreams are the gateway's
`,
		},
		{
			name: "an acl for a route of a global vault-auth warns that it does not hold yet",
			file: `{"services":[{"id":"` + groupID + `","name":"shop"}],"routes":[{"name":"admin","paths":["/admin"],"service":{"id":"` + groupID + `"}}],"plugins":[` +
				`{"name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}},{"name":"acl","service":{"name":"shop"},"config":{"whitelist":["staff"]}}]}`,
			have: &Existing{Vaults: existing().Vaults},
			want: `
create plugin vault-auth
left plugin acl (service shop) | is for some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | until that policy is there, route admin is governed without this acl | {"name":"admin","paths":["/admin"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true,"acl":{"allow":["staff"]}}
left route admin | routes are the gateway's
left service shop | services are the gateway's
`,
		},
		{
			name: "policies for routes that differ in their methods only would tie",
			file: `{"routes":[{"name":"read","paths":["/o"],"methods":["GET"]},{"name":"write","paths":["/o"],"methods":["POST"]}],"plugins":[` +
				`{"name":"vault-auth","route":{"name":"read"},"config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}},` +
				`{"name":"vault-auth","route":{"name":"write"},"config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}}]}`,
			have: existing(),
			want: `
left plugin vault-auth (route read) | is for some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route read: the route also selects by methods, which a policy does not | {"name":"read","paths":["/o"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true}
left plugin vault-auth (route write) | is for some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route write: the route also selects by methods, which a policy does not | route write: policies "read" and "write" tie: they have any host, path "/o" and priority 0 in common; give one of them another priority, or other hosts or paths | {"name":"write","paths":["/o"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true}
left route read | routes are the gateway's
left route write | routes are the gateway's
`,
		},
		{
			name: "fields and switches without a counterpart are listed",
			file: `
_workspace: team
plugins:
- name: vault-auth
  protocols: [https]
  ordering: {before: {access: [cors]}}
  config: {vault: {id: ` + vaultID + `}, realm: x}
- {name: acl, enabled: false, config: {allow: [a]}}
- {name: acl, consumer: alice, config: {allow: [a]}}
consumers:
- {id: ` + aliceID + `, username: alice, keyauth_credentials: [{key: ` + token + `}]}
`,
			have: &Existing{Vaults: existing().Vaults},
			want: `
create consumer alice ce67c25e
create plugin vault-auth | ordering has no counterpart | config.hide_credentials is not in the file: it is true here, and false in Kong before 3.14 | config.realm has no counterpart | is for some protocols only in Kong; here it governs all of them
left plugin acl | is switched off; there are no plugins that do nothing
left plugin acl (consumer alice) | is for some consumers only, which has no counterpart; ACL groups have
left workspace team | there are no workspaces: entities of all workspaces are in one place
left keyauth_credential  | has no counterpart
`,
		},
		{
			name: "what cannot be made says why",
			file: `{"consumers":[{"id":"x","username":7}],"vault_auth_vaults":[{"name":"v","vault_token":"` + token + `"}],` +
				`"plugins":[{"name":"acl","config":{"allow":["a"],"deny":["b"]}},{"name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"tokens_in_body":true,"hide_credentials":true}}]}`,
			have: &Existing{Vaults: existing().Vaults},
			want: `
needs vault-auth v | protocol is missing
needs consumer x x | id is not a UUID | username is not a text; put it in quotes
needs plugin acl | must have one of config.allow and config.deny
needs plugin vault-auth | Envoy cannot take tokens out of a body: make it with config.body_credentials_visible=true, or without config.tokens_in_body
`,
		},
		{
			name: "vault-auth is not made without the acl that it has in Kong",
			file: `{"plugins":[{"name":"vault-auth","config":{"vault":"main","hide_credentials":true}},{"name":"acl","config":{"allow":["staff"]}}]}`,
			have: &Existing{Vaults: existing().Vaults, Plugins: []admin.Plugin{{ID: groupID, Name: "acl", Config: admin.PluginConfig{Allow: []string{"staff", "guests"}}}}},
			want: `
differs plugin acl | config.allow is ["staff"] in the file and ["guests","staff"] here
needs plugin vault-auth | needs the acl plugin as it is in the file first: without it, more would get in
`,
		},
		{
			name: "groups are not given to another consumer of the same name",
			file: `{"consumers":[{"id":"` + groupID + `","username":"alice","tags":["a","b"],"acls":[{"group":"staff"}]}]}`,
			have: existing(),
			want: `
differs consumer alice 64063284 | id is "` + groupID + `" in the file and "` + aliceID + `" here
needs acl alice: staff | needs its consumer first
`,
		},
		{
			name: "a second global plugin is no other one",
			file: `{"plugins":[{"name":"vault-auth","config":{"vault":"main","hide_credentials":true}},{"name":"vault-auth","instance_name":"b","config":{"vault":"main","hide_credentials":true}}]}`,
			have: &Existing{Vaults: existing().Vaults},
			want: `
create plugin vault-auth
differs plugin vault-auth | instance_name is "b" in the file and null here
`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := lines(planned(t, tt.file, tt.have))
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), got); diff != "" {
				t.Errorf("plan of\n%s\nwant (-), got (+):\n%s", tt.file, diff)
			}
			if strings.Contains(got, token) {
				t.Errorf("the plan has the token in it:\n%s", got)
			}
		})
	}
}

func TestAPlanLeavesWhatExistsAsItIs(t *testing.T) {
	t.Parallel()
	have := &Existing{Vaults: make([]admin.Vault, 0, 8)}
	planned(t, vaultJSON, have)
	if len(have.Vaults) != 0 || have.Vaults[:1][0].Name != "" {
		t.Errorf("the plan wrote into what exists: %+v", have.Vaults[:1])
	}
}

func TestNoTokenIsTakenForWhatItIsNot(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", "{vault://env/vault-token}", " {vault://hcv/a/b} ", `${{ env "DECK_TOKEN" }}`, "$ke$1$-abc", "[redacted]", "<redacted>", "***", "a b", "a\n", "ü",
	} {
		r := readerOf(object{"vault_token": value}, "")
		if got, usable := vaultToken(r); usable {
			t.Errorf("%q: got the token %q, want none", value, got)
		}
	}
	for _, field := range []string{"vault_token", "token"} {
		if got, usable := vaultToken(readerOf(object{field: token}, "")); !usable || got != token {
			t.Errorf("%s: got %q, %v", field, got, usable)
		}
	}
}
