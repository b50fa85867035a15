package kongimport

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/internal/api"
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
		Vaults:    []api.Vault{{ID: vaultID, Name: "main", Protocol: "https", Host: "vault.internal", Port: 8200, Mount: "kong-auth", KV: "v1", VaultToken: "[redacted]"}},
		Consumers: []api.Consumer{{ID: aliceID, Username: &alice, Tags: []string{"b", "a"}}},
		ACLs:      []api.ACL{{ID: groupID, Group: "gold", Consumer: &api.Ref{ID: aliceID}}},
		Plugins: []api.Plugin{{ID: pluginID, Name: "vault-auth", InstanceName: &name, Config: api.PluginConfig{Policy: api.Policy{
			Vault: &api.Ref{ID: vaultID}, AccessTokenName: api.Names{"access_token"}, SecretTokenName: api.Names{"secret_token"}, HideCredentials: &yes, RunOnPreflight: &yes,
		}}}},
		Policies: []api.Policy{{ID: pluginID, Name: "vault-auth", Default: &yes}},
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

func ref(s string) *string { return &s }

func planned(t *testing.T, file string, have *Existing) *Changes {
	t.Helper()
	f, err := Parse(Part{"the file", []byte(file)})
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
needs vault-auth main d3da058d | needs a token: vault-authz vault create main --id ` + vaultID + ` --address https://vault.internal:8200 --mount kong-auth --kv v1 --prefix team-a/kong-auth --vault-token-file FILE
`,
		},
		{
			name: "a token that is a reference is asked for and never sent, and what hangs on it waits",
			file: strings.Replace(vaultJSON, token, "{vault://env/token}", 1) + `{"plugins":[{"name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}}]}`,
			have: &Existing{},
			want: `
needs vault-auth main d3da058d | needs a token: vault-authz vault create main --id ` + vaultID + ` --address https://vault.internal:8200 --mount kong-auth --kv v1 --vault-token-file FILE
needs plugin vault-auth | needs the vault object "main" first, see above
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
left credential  | has no counterpart
left list consumers | ends before its last page, so entities are missing; add the other pages, or get the list with size=1000
`,
		},
		{
			name: "a consumer without an id gets one of its username, or else its custom_id",
			file: "consumers:\n- username: zed\n  custom_id: \"1\"\n  acls:\n  - group: gold\n- custom_id: \"7\"\n- username: \"7\"\n",
			have: &Existing{},
			want: `
create consumer zed fc0d4cee
create consumer 7 c485ec6b
create consumer 7 ` + idOf("username", "7")[:8] + `
create acl zed: gold
`,
		},
		{
			name: "a consumer without an id is the one of its name, or the one that was made of it",
			file: "consumers:\n- username: alice\n  tags: [a, b]\n- username: zed\n",
			have: &Existing{Consumers: append(existing().Consumers, api.Consumer{ID: "fc0d4cee-e61a-5311-9a30-024e16171ff2", Username: ref("renamed")})},
			want: `
equal consumer alice
differs consumer zed | username is "zed" in the file and "renamed" here
`,
		},
		{
			name: "the pages of a dump are one list, whatever stands between them",
			file: `{"data":[{"id":"` + aliceID + `","username":"alice"}],"next":"/consumers?offset=a&size=1","offset":"a"}` +
				`{"data":[{"id":"` + groupID + `","username":"bob"}],"next":"/consumers?offset=b&size=1","offset":"b"}` +
				`{"data":[{"consumer":{"id":"` + aliceID + `"},"group":"gold"}],"next":"/acls?offset=c"}` +
				`{"data":[{"id":"` + pluginID + `","username":"carol"}],"next":null}` +
				`{"data":[],"next":null}`,
			have: &Existing{},
			want: `
create consumer alice ce67c25e
create consumer bob 64063284
create consumer carol b4d0cbb7
create acl alice: gold
`,
		},
		{
			name: "pages may be in a list, and under their names",
			file: `[{"data":[{"id":"` + aliceID + `","username":"alice"}],"next":"/consumers?offset=a"},{"data":[{"id":"` + groupID + `","username":"bob"}],"next":null}]` +
				`{"acls":{"data":[{"consumer":{"id":"` + aliceID + `"},"group":"a"}],"next":"/acls?offset=x"}}{"acls":{"data":[{"consumer":{"id":"` + aliceID + `"},"group":"b"}],"next":null}}`,
			have: &Existing{},
			want: `
create consumer alice ce67c25e
create consumer bob 64063284
create acl alice: a
create acl alice: b
`,
		},
		{
			name: "a last page that is missing is said, for each list",
			file: `{"data":[{"id":"` + aliceID + `","username":"alice"}],"next":"/consumers?offset=a"}` +
				`{"data":[{"consumer":{"id":"` + aliceID + `"},"group":"a"}],"next":"/consumers/a/acls?offset=x"}{"data":[{"consumer":{"id":"` + aliceID + `"},"group":"b"}],"next":"/consumers/b/acls?offset=x"}` +
				`{"data":[{"consumer":{"id":"` + aliceID + `"},"group":"c"}],"next":null}`,
			have: &Existing{},
			want: `
create consumer alice ce67c25e
create acl alice: a
create acl alice: b
create acl alice: c
left list acls | ends before its last page, so entities are missing; add the other pages, or get the list with size=1000
left list consumers | ends before its last page, so entities are missing; add the other pages, or get the list with size=1000
`,
		},
		{
			name: "token pairs of a dump stay in Vault, and are said once",
			file: `{"data":[{"access_token":"` + token + `","consumer":{"id":"` + aliceID + `"},"created_at":1},{"access_token":"` + token + `2","consumer":null}],"next":null}`,
			have: &Existing{},
			want: `
left credential  | 2 token pairs are not imported: they stay in Vault, where this service reads them
`,
		},
		{
			name: "what decK says of a file is used, or listed",
			file: `
_format_version: "3.0"
_info: {select_tags: [team-a, prod], default_lookup_tags: {consumers: [x]}, defaults: {}}
_konnect: {control_plane_name: cp}
_comment: by hand
_other: {a: b}
consumers:
- username: alice
  id: ` + aliceID + `
  tags: [prod, a]
  acls: [{group: gold}]
plugins:
- {name: acl, config: {allow: [gold]}}
`,
			have: &Existing{
				Consumers: []api.Consumer{{ID: aliceID, Username: ref("alice"), Tags: []string{"a", "prod", "team-a"}}},
				ACLs:      []api.ACL{{ID: groupID, Group: "gold", Consumer: &api.Ref{ID: aliceID}, Tags: []string{"prod"}}},
			},
			want: `
equal consumer alice ce67c25e
differs acl alice: gold | tags is ["prod","team-a"] in the file and ["prod"] here
create plugin acl
left info default_lookup_tags | has no counterpart
left konnect  | says where in Konnect the file goes; here it goes to the service of --admin
left _other  | has no counterpart
`,
		},
		{
			name: "a vault object that is not in the file is named, with where to get it",
			file: `{"plugins":[{"name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}}]}`,
			have: &Existing{},
			want: `
needs plugin vault-auth | needs the vault object "` + vaultID + `" first, which decK does not dump: give what GET /vault-auth of Kong's Admin API answers as one more FILE, or make it (vault-authz vault create NAME --id ` + vaultID + `)
`,
		},
		{
			name: "a plugin without a vault object says so",
			file: `{"plugins":[{"name":"vault-auth","config":{"hide_credentials":true}}]}`,
			have: &Existing{},
			want: `
needs plugin vault-auth | config.vault is missing: name the vault object that has the credentials
`,
		},
		{
			name: "what is said of tokens in bodies can be done in the file",
			file: `{"plugins":[{"name":"vault-auth","config":{"vault":"main","tokens_in_body":true,"body_credentials_visible":true,"hide_credentials":true}}]}`,
			have: &Existing{Vaults: existing().Vaults},
			want: `
create plugin vault-auth
`,
		},
		{
			name: "a proposal says all that it needs to be accepted, under a name of its own",
			file: `{"_info":{"select_tags":["t"]},"routes":[{"paths":["/a"]},{"name":"b","paths":["/b"]},{"name":"c","paths":["/c"]}],` +
				`"plugins":[{"name":"vault-auth","service":null,"route":{"name":"b"},"config":{"vault":{"id":"` + vaultID + `"},"tokens_in_body":true,"hide_credentials":true}},` +
				`{"name":"vault-auth","route":{"name":"c"},"config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}}]}`,
			have: &Existing{Vaults: existing().Vaults, Policies: []api.Policy{{Name: "c"}}},
			want: `
left plugin vault-auth (route b) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route b: Envoy cannot take tokens out of a body, so the upstream would see them; if it must not, leave out tokens_in_body and body_credentials_visible | {"name":"b","paths":["/b"],"vault":{"id":"` + vaultID + `"},"tokens_in_body":true,"body_credentials_visible":true,"hide_credentials":true,"tags":["t"]}
left plugin vault-auth (route c) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route c: there is a policy with that name already
left route  | routes are the gateway's
left route b | routes are the gateway's
left route c | routes are the gateway's
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
left plugin acl (service shop) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | is part of the policy instead of vault-auth (route orders)
left plugin rate-limiting (service shop) | the plugin has no counterpart
left plugin vault-auth (route orders) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route orders: the route also selects by methods, which a policy does not | route orders: a policy cannot select by "~/o/\\d+$" | {"name":"orders","hosts":["shop.example"],"paths":["/orders"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true,"acl":{"deny":["blocked"]}}
left service shop | services are the gateway's
left route orders | routes are the gateway's
left upstream pool | upstreams are the gateway's
`,
		},
		{
			name: "a proposal has the tags of all plugins that it stands for, and says that tokens stay",
			file: `{"routes":[{"name":"a","paths":["/a"]},{"name":"b","paths":["/b"]}],"plugins":[` +
				`{"name":"vault-auth","route":{"name":"a"},"tags":["t","auth"],"config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":false}},` +
				`{"name":"acl","route":{"name":"a"},"tags":["t","limits"],"config":{"allow":["x"]}},` +
				`{"name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}},` +
				`{"name":"acl","route":{"name":"b"},"tags":["limits"],"config":{"allow":["x"]}}]}`,
			have: &Existing{Vaults: existing().Vaults},
			want: `
create plugin vault-auth
left plugin vault-auth (route a) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route a: hide_credentials is false in the file, so the upstream gets the tokens as from Kong; leave it out of the policy to have them removed | {"name":"a","paths":["/a"],"vault":{"id":"` + vaultID + `"},"hide_credentials":false,"acl":{"allow":["x"]},"tags":["t","auth","limits"]}
left plugin acl (route a) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | is part of the policy instead of vault-auth (route a)
left plugin acl (route b) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | until that policy is there, route b is governed without this acl | {"name":"b","paths":["/b"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true,"acl":{"allow":["x"]},"tags":["limits"]}
left route a | routes are the gateway's
left route b | routes are the gateway's
`,
		},
		{
			name: "an acl for a route of a global vault-auth warns that it does not hold yet",
			file: `{"services":[{"id":"` + groupID + `","name":"shop"}],"routes":[{"name":"admin","paths":["/admin"],"service":{"id":"` + groupID + `"}}],"plugins":[` +
				`{"name":"vault-auth","config":{"vault":{"id":"` + vaultID + `"},"hide_credentials":true}},{"name":"acl","service":{"name":"shop"},"config":{"whitelist":["staff"]}}]}`,
			have: &Existing{Vaults: existing().Vaults},
			want: `
create plugin vault-auth
left plugin acl (service shop) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | until that policy is there, route admin is governed without this acl | {"name":"admin","paths":["/admin"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true,"acl":{"allow":["staff"]}}
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
left plugin vault-auth (route read) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route read: the route also selects by methods, which a policy does not | {"name":"read","paths":["/o"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true}
left plugin vault-auth (route write) | applies to some routes only: make a policy with their hosts and paths, or name one in the context_extensions of Envoy's routes | route write: the route also selects by methods, which a policy does not | route write: policies "read" and "write" tie: they have any host, path "/o" and priority 0 in common; give one of them another priority, or other hosts or paths | {"name":"write","paths":["/o"],"vault":{"id":"` + vaultID + `"},"hide_credentials":true}
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
create plugin vault-auth | ordering has no counterpart | config.hide_credentials is not in the file: it is true here, and false in Kong before 3.14 | config.realm has no counterpart | applies to some protocols only in Kong; here it governs all of them
left plugin acl | is switched off in Kong; here a plugin cannot be switched off
left plugin acl (consumer alice) | applies to some consumers only, which has no counterpart; use ACL groups
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
needs vault-auth v 3a1d84c5 | protocol is missing
needs consumer x x | id is not a UUID | username is not a text; put it in quotes
needs plugin acl | must have either config.allow or config.deny: correct it in the file
needs plugin vault-auth | Envoy cannot take tokens out of a body: write config.body_credentials_visible: true into the file if the upstream may see them, or leave out config.tokens_in_body
`,
		},
		{
			name: "vault-auth is not made without the acl that it has in Kong",
			file: `{"plugins":[{"name":"vault-auth","config":{"vault":"main","hide_credentials":true}},{"name":"acl","config":{"allow":["staff"]}}]}`,
			have: &Existing{Vaults: existing().Vaults, Plugins: []api.Plugin{{ID: groupID, Name: "acl", Config: api.PluginConfig{Allow: []string{"staff", "guests"}}}}},
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
needs acl alice: staff | needs the consumer "alice" first: see above, or dump GET /consumers too
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

// TestTheTutorialShowsTheProposalOfItsExample: readers copy the call from one or the other.
func TestTheTutorialShowsTheProposalOfItsExample(t *testing.T) {
	t.Parallel()
	const vault = "2ae51e9d-3b7c-4d15-a9a4-6e2c0f0b6a51"
	// deck gateway dump of Kong before 3.14 writes the default of hide_credentials.
	changes := planned(t, `{"routes":[{"name":"orders","paths":["/orders"]}],"plugins":[`+
		`{"name":"vault-auth","config":{"vault":{"id":"`+vault+`"},"hide_credentials":false}},`+
		`{"name":"acl","route":{"name":"orders"},"tags":["shop"],"config":{"allow":["gold"]}}]}`,
		&Existing{Vaults: []api.Vault{{ID: vault, Name: "kong-auth"}}})
	tutorial, err := os.ReadFile(filepath.Join("..", "..", "docs", "tutorials", "from-kong.md"))
	if err != nil {
		t.Fatal(err)
	}
	var proposed []api.Policy
	for i := range changes.Steps {
		proposed = append(proposed, changes.Steps[i].Policies...)
	}
	if len(proposed) != 1 {
		t.Fatalf("%d policies are proposed, want one", len(proposed))
	}
	raw, err := json.Marshal(proposed[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  instead, by POST /policies: " + string(raw) + "\n", " -d '" + string(raw) + "'\n"} {
		if !strings.Contains(string(tutorial), want) {
			t.Errorf("the tutorial has no line with %q", want)
		}
	}
}

func TestAPlanLeavesWhatExistsAsItIs(t *testing.T) {
	t.Parallel()
	have := &Existing{Vaults: make([]api.Vault, 0, 8)}
	planned(t, vaultJSON, have)
	if len(have.Vaults) != 0 || have.Vaults[:1][0].Name != "" {
		t.Errorf("the plan wrote into what exists: %+v", have.Vaults[:1])
	}
}

func TestAPlanSaysWhatKongCannotUseAnyMore(t *testing.T) {
	t.Parallel()
	have := existing()
	have.Vaults[0].Secrets = api.SecretsHashed
	if got := lines(planned(t, vaultJSON, have)); !strings.Contains(got, "equal vault-auth main d3da058d | secrets are stored as hashes here: Kong cannot use") {
		t.Errorf("got %s", got)
	}
	have.Vaults[0].Secrets = api.SecretsPlain
	if got := lines(planned(t, vaultJSON, have)); strings.Contains(got, "hashes") {
		t.Errorf("got %s", got)
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
