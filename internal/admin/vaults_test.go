package admin

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/entities/entitiestest"
)

func TestVaultObjects(t *testing.T) {
	t.Parallel()
	const rest = "&mount=m&protocol=https&host=vault.example.com&port=8200"
	apart(t, []step{
		{name: "the token is masked", method: "GET", path: "/vault-auth/kong-auth", status: 200, want: []string{`"vault_token":"[redacted]"`, `"kv":"v1"`, `"namespace":null`, `"port":8200`}, not: []string{vaultToken}},
		{name: "in lists too", method: "GET", path: "/vault-auth", status: 200, want: []string{`"[redacted]"`}, not: []string{vaultToken}},
		{name: "a name that is taken", method: "POST", path: "/vault-auth", contentType: typeForm, body: vaultForm, status: 409, want: []string{`{name=\"kong-auth\"}`}, not: []string{vaultToken}},
		{name: "token is another name", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t" + rest, status: 201, not: []string{`"token"`}},
		{name: "two tokens", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t&vault_token=u" + rest, status: 400, want: []string{"token: is another name of vault_token"}},
		{name: "two tokens that cannot be compared", method: "POST", path: "/vault-auth", contentType: typeJSON, body: `{"token":{},"vault_token":{}}`, status: 400},
		{name: "the mask is no token", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&vault_token=[redacted]" + rest, status: 400, want: []string{"mask"}},
		{name: "kv", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t&kv=v3" + rest, status: 400, want: []string{"expected one of: v1, v2"}},
		{name: "a mount that leads elsewhere", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t&protocol=https&host=h&port=1&mount=a/../sys", status: 400, want: []string{"mount: "}},
		{name: "a folder in the mount", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t&prefix=team-a/kong-auth" + rest, status: 201, want: []string{`"prefix":"team-a/kong-auth"`}},
		{name: "a folder that is unset", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t&prefix=" + rest, status: 201, want: []string{`"prefix":null`}},
		{name: "a folder that leads elsewhere", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t&prefix=../sys" + rest, status: 400, want: []string{"prefix: "}},
		{name: "a folder of an empty segment", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t&prefix=a//b" + rest, status: 400, want: []string{"prefix: "}},
		{name: "a folder with an escape", method: "POST", path: "/vault-auth", contentType: typeJSON, body: `{"name":"x","token":"t","protocol":"https","host":"h","port":1,"mount":"m","prefix":"a%2fb"}`, status: 400, want: []string{"prefix: "}},
		{name: "a host that is a URL", method: "POST", path: "/vault-auth", contentType: typeForm, body: "name=x&token=t&protocol=https&host=http://h/x&port=1&mount=m", status: 400, want: []string{"host: "}},
		{name: "a name that looks like an id", method: "POST", path: "/vault-auth", contentType: typeForm, body: "token=t&name=" + someID + rest, status: 400, want: []string{"must not look like an id"}},
		{name: "patch keeps the token", method: "PATCH", path: "/vault-auth/kong-auth", contentType: typeForm, body: "name=payments", status: 200, want: []string{`"name":"payments"`, `"[redacted]"`}},
		{name: "another server with the token", method: "PATCH", path: "/vault-auth/kong-auth", contentType: typeForm, body: "host=other&vault_token=" + vaultToken, status: 200},
		{name: "put needs all", method: "PUT", path: "/vault-auth/kong-auth", contentType: typeForm, body: "mount=m", status: 400, want: []string{"required field missing"}},
		{name: "delete", method: "DELETE", path: "/vault-auth/kong-auth", status: 204},
		{name: "delete of none", method: "DELETE", path: "/vault-auth/none", status: 204},
	})
}

func TestATokenThatIsNotGivenAgainGoesNowhereElse(t *testing.T) {
	t.Parallel()
	for _, change := range []string{"protocol=https", "host=evil.example.com", "port=8201", "mount=sys-audit", "prefix=team-b", "kv=v2", "namespace=ns1"} {
		field, value, _ := strings.Cut(change, "=")
		for _, way := range []struct {
			name, method, path, fields string
		}{
			{"patch", "PATCH", "/vault-auth/kong-auth", ""},
			{"patch with the mask", "PATCH", "/vault-auth/kong-auth", "vault_token=[redacted]"},
			{"patch with the mask under its other name", "PATCH", "/vault-auth/kong-auth", "token=[redacted]"},
			{"patch under the other path", "PATCH", "/vaults/kong-auth/", ""},
			{"patch in the workspace", "PATCH", "/default/vault-auth/kong-auth", ""},
			{"patch with a new name", "PATCH", "/vault-auth/kong-auth", "name=other"},
			{"put with the mask", "PUT", "/vault-auth/kong-auth", strings.Replace(vaultForm, vaultToken, "[redacted]", 1)},
			{"put with the mask and a new name", "PUT", "/vault-auth/ID", strings.NewReplacer(vaultToken, "[redacted]", "name=kong-auth", "name=other").Replace(vaultForm)},
		} {
			t.Run(field+", "+way.name, func(t *testing.T) {
				t.Parallel()
				b := furnished(t)
				id := b.get("/vault-auth/kong-auth").text("id")
				form, err := url.ParseQuery(way.fields)
				if err != nil {
					t.Fatal(err)
				}
				form.Set(field, value)
				a := b.form(way.method, strings.Replace(way.path, "ID", id, 1), form.Encode())
				if a.status != 400 || !strings.Contains(a.raw, "vault_token: must be given again") {
					t.Errorf("got %d %s, want a 400 that asks for the token", a.status, a.raw)
				}
				state, err := entities.Build(entities.Declared{}, b.store.view())
				if err != nil || len(state.Vaults) != 1 || state.Vaults[0].Revision != 1 {
					t.Errorf("got %+v, %v, want the vault object as it was", state.Vaults, err)
				}
				form.Set("vault_token", "another-token")
				form.Del("token")
				b.must(200, b.form(way.method, strings.Replace(way.path, "ID", id, 1), form.Encode()))
			})
		}
	}
}

// What could not be opened is not stored either; the message names the field here.
func TestAVaultObjectThatCannotBeOpenedIsNotStored(t *testing.T) {
	t.Parallel()
	for _, step := range []step{
		{name: "create", method: "POST", path: "/vault-auth", contentType: typeForm, body: strings.Replace(vaultForm, "name=kong-auth", "name=new", 1)},
		{name: "put, new", method: "PUT", path: "/vault-auth/new", contentType: typeForm, body: strings.Replace(vaultForm, "name=kong-auth", "name=new", 1)},
		{name: "put", method: "PUT", path: "/vault-auth/kong-auth", contentType: typeForm, body: vaultForm},
		{name: "patch", method: "PATCH", path: "/vault-auth/kong-auth", contentType: typeForm, body: "name=new"},
	} {
		b := furnished(t)
		b.invalid = errors.Join(errors.New(`mount: "sys" is refused`), errors.New("address: cannot be"), errors.New("token: is no token"))
		step.status, step.want = 400, []string{`"mount":"\"sys\" is refused"`, `"host":"cannot be"`, `"vault_token":"is no token"`}
		step.run(b)
		b.must(404, b.get("/vault-auth/new"))
	}
}

func TestAnAnswerCanBePutBackWithoutLosingTheToken(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	shown := b.get("/vault-auth/kong-auth").raw
	b.must(200, b.json("PUT", "/vault-auth/kong-auth", shown))
	state, err := entities.Build(entities.Declared{}, b.store.view())
	if err != nil || len(state.Vaults) != 1 {
		t.Fatalf("got %v, %v, want one vault object", state.Vaults, err)
	}
	if got := state.Vaults[0]; got.Token.Reveal() != vaultToken || got.Revision != 2 || got.Address() != "http://127.0.0.1:8200" {
		t.Errorf("got %+v with the token %q, want revision 2 and the token as it was", got, got.Token.Reveal())
	}
}

func TestAVaultObjectThatAPolicyRefersToIsNotDeleted(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	plugin := b.must(201, b.form("POST", "/plugins", "name=vault-auth&config.vault.name=kong-auth")).text("id")
	for _, s := range []step{
		{name: "refused", method: "DELETE", path: "/vault-auth/kong-auth", status: 400, want: []string{`"code":4`, `"foreign key violation"`, "an existing 'plugins' entity references this 'vaults' entity"}},
		{name: "still there", method: "GET", path: "/vault-auth/kong-auth", status: 200},
		{name: "the policy goes", method: "DELETE", path: "/plugins/" + plugin, status: 204},
		{name: "now it goes too", method: "DELETE", path: "/vault-auth/kong-auth", status: 204},
	} {
		s.run(b)
	}
}

func TestPlugins(t *testing.T) {
	t.Parallel()
	const good = "name=vault-auth&config.vault.name=kong-auth"
	apart(t, []step{
		{name: "kong's defaults", method: "POST", path: "/plugins", contentType: typeForm, body: good, status: 201, want: []string{
			`"access_token_name":"access_token"`, `"secret_token_name":"secret_token"`, `"tokens_in_body":false`, `"hide_credentials":true`,
			`"anonymous":null`, `"run_on_preflight":true`, `"enabled":true`, `"service":null`, `"route":null`, `"consumer":null`, `"name":"vault-auth"`,
		}},
		{name: "as json", method: "POST", path: "/plugins", contentType: typeJSON, body: `{"name":"vault-auth","config":{"vault":{"name":"kong-auth"},"access_token_name":"x-access"}}`, status: 201, want: []string{`"access_token_name":"x-access"`}},
		{name: "no name", method: "POST", path: "/plugins", contentType: typeForm, body: "config.vault.name=kong-auth", status: 400, want: []string{"name: required field missing"}},
		{name: "another plugin", method: "POST", path: "/plugins", contentType: typeForm, body: "name=key-auth", status: 400, want: []string{"plugin 'key-auth' not enabled"}},
		{name: "no vault", method: "POST", path: "/plugins", contentType: typeForm, body: "name=vault-auth", status: 400, want: []string{"schema violation (config.vault: required field missing)"}},
		{name: "an unknown vault", method: "POST", path: "/plugins", contentType: typeForm, body: "name=vault-auth&config.vault.id=" + someID, status: 400, want: []string{`"code":4`, "does not reference an existing 'vaults' entity"}},
		{name: "a vault that is no UUID", method: "POST", path: "/plugins", contentType: typeForm, body: "name=vault-auth&config.vault.id=x", status: 400, want: []string{"config.vault.id: expected a valid UUID"}},
		{name: "unknown option", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&config.realm=x", status: 400, want: []string{"config.realm: unknown field"}},
		{name: "a name that is no header's", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&config.access_token_name=a%20b", status: 400, want: []string{`"config":{"access_token_name":`}},
		{name: "tokens in a body that cannot be hidden", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&config.tokens_in_body=true", status: 400, want: []string{"config.tokens_in_body: "}},
		{name: "tokens in a body that need not be hidden", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&config.tokens_in_body=true&config.hide_credentials=false", status: 201},
		{name: "anonymous nobody", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&config.anonymous=nobody", status: 400, want: []string{"config.anonymous: there is no consumer"}},
		{name: "anonymous somebody", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&config.anonymous=bob", status: 201},
		{name: "a scope that is the gateway's", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&service.id=" + someID, status: 400, want: []string{"service: value must be null"}},
		{name: "kong 1's run_on", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&run_on=first", status: 201, not: []string{`"run_on":`}},
		{name: "a run_on that means another proxy", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&run_on=second", status: 400, want: []string{"run_on: expected one of: first, all"}},
		{name: "kong's own answer as input", method: "POST", path: "/plugins", contentType: typeJSON, body: `{"name":"vault-auth","config":{"vault":{"name":"kong-auth"}},"ordering":null,"consumer_group":null,"partials":null,"route":null,"protocols":["grpc","grpcs","http","https","ws","wss"]}`, status: 201, want: []string{`"protocols":["grpc","grpcs","http","https"]`}, not: []string{"ordering"}},
		{name: "an order of plugins", method: "POST", path: "/plugins", contentType: typeJSON, body: `{"name":"vault-auth","config":{"vault":{"name":"kong-auth"}},"ordering":{"before":{"access":["acl"]}}}`, status: 400, want: []string{"ordering: value must be null"}},
		{name: "a group of consumers", method: "POST", path: "/plugins", contentType: typeJSON, body: `{"name":"vault-auth","config":{"vault":{"name":"kong-auth"}},"consumer_group":{"name":"gold"}}`, status: 400, want: []string{"consumer_group: value must be null"}},
		{name: "a route", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&route.name=orders", status: 400, want: []string{"route: value must be null", "a policy with hosts or paths"}},
		{name: "a consumer", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&consumer.username=alice", status: 400, want: []string{"consumer: value must be null"}},
		{name: "some of the protocols", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&protocols=http&protocols=https", status: 400, want: []string{"a plugin governs all of"}},
		{name: "a protocol that is none of HTTP", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&protocols=tcp", status: 400, want: []string{"protocols: expected one of: grpc, grpcs, http, https"}},
		{name: "acl as kong 3 shows it", method: "POST", path: "/plugins", contentType: typeJSON, body: `{"name":"acl","config":{"allow":["admin"],"deny":null,"always_use_authenticated_groups":false,"include_consumer_groups":false}}`, status: 201, want: []string{`"always_use_authenticated_groups":false`, `"include_consumer_groups":false`}},
		{name: "acl by groups that there are none of", method: "POST", path: "/plugins", contentType: typeForm, body: "name=acl&config.allow=admin&config.include_consumer_groups=true", status: 400, want: []string{"config.include_consumer_groups: value must be false"}},
		{name: "switched off is not silently open", method: "POST", path: "/plugins", contentType: typeForm, body: good + "&enabled=false", status: 400, want: []string{"enabled: value must be true"}},
		{name: "acl", method: "POST", path: "/plugins", contentType: typeForm, body: "name=acl&config.allow=admin&config.allow=dev", status: 201, want: []string{`"allow":["admin","dev"]`, `"deny":null`}},
		{name: "acl with brackets", method: "POST", path: "/plugins", contentType: typeForm, body: "name=acl&config.deny[]=bad&config.deny[]=worse", status: 201, want: []string{`"deny":["bad","worse"]`}},
		{name: "acl with one group", method: "POST", path: "/plugins", contentType: typeForm, body: "name=acl&config.allow=admin", status: 201, want: []string{`"allow":["admin"]`}},
		{name: "acl with both", method: "POST", path: "/plugins", contentType: typeForm, body: "name=acl&config.allow=a&config.deny=b", status: 400, want: []string{"exactly one of these fields"}},
		{name: "acl with neither", method: "POST", path: "/plugins", contentType: typeForm, body: "name=acl", status: 400, want: []string{"exactly one of these fields"}},
		{name: "acl with groups in one value", method: "POST", path: "/plugins", contentType: typeForm, body: "name=acl&config.allow=a,b", status: 400, want: []string{"a group has no comma"}},
		{name: "delete of none", method: "DELETE", path: "/plugins/" + someID, status: 204},
		{name: "none", method: "GET", path: "/plugins/" + someID, status: 404},
	})
}

func TestAPluginAndItsPolicyAreOneThing(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	id := b.must(201, b.form("POST", "/plugins", "name=vault-auth&config.vault.name=kong-auth")).text("id")
	acl := b.must(201, b.form("POST", "/plugins", "name=acl&config.allow=admin")).text("id")
	for _, s := range []step{
		{name: "only one is global", method: "POST", path: "/plugins", contentType: typeForm, body: "name=vault-auth&config.vault.name=kong-auth&instance_name=x", status: 409, want: []string{`name=\"vault-auth\"`, "route=null"}},
		{name: "only one acl", method: "POST", path: "/plugins", contentType: typeForm, body: "name=acl&config.deny=x", status: 409, want: []string{`name=\"acl\"`}},
		{name: "as a policy", method: "GET", path: "/policies/" + id, status: 200, want: []string{`"default":true`, `"name":"vault-auth"`}},
		{name: "an acl is no policy", method: "GET", path: "/policies/" + acl, status: 404},
		{name: "policies are without it", method: "GET", path: "/policies", status: 200, want: []string{id}, not: []string{acl}},
		{name: "plugins are both", method: "GET", path: "/plugins", status: 200, want: []string{id, acl}},
		{name: "more as a policy", method: "PATCH", path: "/policies/vault-auth", contentType: typeJSON, body: `{"hosts":["a.example.com"],"realm":"shop"}`, status: 200},
		{name: "a plugin leaves the policy's own alone", method: "PATCH", path: "/plugins/" + id, contentType: typeForm, body: "config.anonymous=bob", status: 200, want: []string{`"anonymous":"bob"`}},
		{name: "put does too", method: "PUT", path: "/plugins/" + id, contentType: typeForm, body: "name=vault-auth&config.vault.name=kong-auth", status: 200, want: []string{`"anonymous":null`}},
		{name: "they are still there", method: "GET", path: "/policies/vault-auth", status: 200, want: []string{"a.example.com", `"realm":"shop"`}},
		{name: "the name stays", method: "PATCH", path: "/plugins/" + id, contentType: typeForm, body: "name=acl", status: 400, want: []string{"name: cannot be changed"}},
		{name: "change the acl", method: "PATCH", path: "/plugins/" + acl, contentType: typeJSON, body: `{"config":{"allow":null,"deny":["bad"]}}`, status: 200, want: []string{`"deny":["bad"]`}},
		{name: "put by id", method: "PUT", path: "/plugins/" + someID, contentType: typeForm, body: "name=acl&config.allow=x", status: 409},
		{name: "the consumer that stands in", method: "PATCH", path: "/plugins/" + id, contentType: typeForm, body: "config.anonymous=bob", status: 200},
		{name: "is not deleted", method: "DELETE", path: "/consumers/bob", status: 400, want: []string{"an existing 'plugins' entity references this 'consumers' entity"}},
		{name: "delete", method: "DELETE", path: "/plugins/" + id, status: 204},
		{name: "the policy is gone", method: "GET", path: "/policies/" + id, status: 404},
	} {
		s.run(b)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	apart(t, []step{
		{
			name: "all of it", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"orders","vault":"kong-auth","hosts":["*.example.com"],"paths":["/orders"],"access_token_name":["a","b"],
			"hide_credential_identifier":true,"preflight":"any","acl":{"deny":["bad"]},"hide_groups_header":true,"shadow":true,"realm":"r","on_error":"error_response"}`, status: 201,
			want: []string{`"access_token_name":["a","b"]`, `"on_error":"error_response"`, `"deny":["bad"]`, `"default":false`},
		},
		{name: "no vault", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"orders"}`, status: 400, want: []string{`"fields":{"vault":"required field missing"}`}},
		{name: "a bad path", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"orders","vault":"kong-auth","paths":["/a/../b"]}`, status: 400, want: []string{"paths: "}},
		{name: "a bad host", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"orders","vault":"kong-auth","hosts":["A.example.com:80"]}`, status: 400, want: []string{"hosts: "}},
		{name: "a reserved name", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"orders","vault":"kong-auth","access_token_name":"host"}`, status: 400, want: []string{"access_token_name: "}},
		{name: "no names", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"orders","vault":"kong-auth","access_token_name":[]}`, status: 400, want: []string{"access_token_name: give 1 to 16 names"}},
		{name: "an unknown word", method: "POST", path: "/policies", contentType: typeJSON, body: `{"name":"orders","vault":"kong-auth","on_error":"allow"}`, status: 400, want: []string{"on_error: expected one of"}},
	})
}

func TestAPartOfAPolicyIsChangedOrUnset(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.json("POST", "/policies", `{"name":"p","vault":"kong-auth","acl":{"allow":["a"]},"hide_credentials":false,"realm":"r"}`))
	for _, s := range []step{
		{name: "the rest stays", body: `{"shadow":true}`, want: []string{`"allow":["a"]`, `"hide_credentials":false`, `"realm":"r"`}},
		{name: "one list for the other", body: `{"acl":{"allow":null,"deny":["b"]}}`, want: []string{`"allow":null`, `"deny":["b"]`}},
		{name: "none at all", body: `{"acl":null,"realm":null}`, want: []string{`"allow":null`, `"deny":null`, `"realm":null`}},
		{name: "null is the default where there is one", body: `{"hide_credentials":null}`, want: []string{`"hide_credentials":true`}},
	} {
		s.method, s.path, s.contentType, s.status = "PATCH", "/policies/p", typeJSON, 200
		s.run(b)
	}
}

func TestWhatTheFileDeclaresIsShownAndNotChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t, declaring)
	for _, s := range []step{
		{name: "consumers", method: "GET", path: "/consumers/dora", status: 200, want: []string{entitiestest.DeclaredConsumer}},
		{name: "its groups", method: "GET", path: "/consumers/dora/acls", status: 200, want: []string{`"staff"`}},
		{name: "vault objects", method: "GET", path: "/vault-auth/fixed", status: 200, want: []string{`"[redacted]"`, `"host":"vault.internal"`}},
		{name: "policies", method: "GET", path: "/policies/fixed", status: 200, want: []string{`"default":true`}},
		{name: "as plugins", method: "GET", path: "/plugins", status: 200, want: []string{`"instance_name":"fixed"`}},
		{name: "patch", method: "PATCH", path: "/consumers/dora", contentType: typeForm, body: "custom_id=x", status: 405, want: []string{`"code":12`, "cannot update 'consumers'"}},
		{name: "put", method: "PUT", path: "/vault-auth/fixed", contentType: typeForm, body: strings.Replace(vaultForm, "name=kong-auth", "name=fixed", 1), status: 405},
		{name: "delete", method: "DELETE", path: "/policies/fixed", status: 405, want: []string{"cannot delete 'policies'"}},
		{name: "delete a consumer", method: "DELETE", path: "/consumers/dora", status: 405},
		{name: "add a group", method: "POST", path: "/consumers/dora/acls", contentType: typeForm, body: "group=x", status: 400, want: []string{"configuration file"}},
		{name: "its name", method: "POST", path: "/consumers", contentType: typeForm, body: "username=dora", status: 409},
		{name: "its id", method: "POST", path: "/consumers", contentType: typeForm, body: "username=x&id=" + entitiestest.DeclaredConsumer, status: 400, want: []string{`"code":3`}},
		{name: "a second default", method: "POST", path: "/plugins", contentType: typeForm, body: "name=vault-auth&config.vault.name=fixed", status: 409},
		{name: "credentials are made", method: "POST", path: "/vault-auth/fixed/credentials/dora", status: 201},
	} {
		s.run(b)
	}
}

func TestTheVaultObjectInMemoryHasNoPort(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *Config, d *Dependencies) {
		d.Declared.Vaults = []entities.VaultObject{{Name: "memory", Mount: "memory"}}
	})
	if a := b.must(200, b.get("/vault-auth/memory")); !strings.Contains(a.raw, `"port":null`) || !strings.Contains(a.raw, `"host":null`) {
		t.Errorf("got %s, want neither host nor port", a.raw)
	}
}
