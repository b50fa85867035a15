package admin

import (
	"strings"
	"testing"
)

func TestSchemasSayWhatEntitiesHave(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for path, wants := range map[string][]string{
		"/schemas/consumers":          {`{"id":{"type":"string","uuid":true,"auto":true}}`, `{"username":{"type":"string"}}`, `{"tags":{"type":"set","elements":{"type":"string"}}}`},
		"/schemas/acls":               {`{"consumer":{"type":"foreign","required":true,"reference":"consumers"}}`, `{"group":{"type":"string","required":true}}`},
		"/schemas/plugins":            {`{"name":{"type":"string","required":true,"one_of":["vault-auth","acl"]}}`, `"default":["grpc","grpcs","http","https"]`},
		"/schemas/plugins/acl":        {`{"allow":{"type":"set","elements":{"type":"string"}}}`, `{"hide_groups_header":{"type":"boolean","default":false}}`},
		"/schemas/plugins/vault-auth": {`{"access_token_name":{"type":"string","default":"access_token"}}`, `{"hide_credentials":{"type":"boolean","default":true}}`, `{"vault":{"type":"record","required":true,"fields":[{"id":{"type":"string","uuid":true}}]}}`},
		"/plugins/schema/acl":         {`{"fields":[{"allow":`},
		"/schemas/vault_auth_vaults":  {`{"port":{"type":"integer","required":true,"between":[0,65535]}}`, `{"vault_token":{"type":"string","required":true,"encrypted":true}}`},
		"/schemas/services":           {`{"fields":[]}`},
		"/schemas/targets":            {`{"fields":[]}`},
		"/default/schemas/routes":     {`{"fields":[]}`},
	} {
		a := b.must(200, b.get(path))
		for _, want := range wants {
			if !strings.Contains(a.raw, want) {
				t.Errorf("GET %s = %s, want it to have %s", path, a.raw, want)
			}
		}
	}
	for path, want := range map[string]string{
		"/schemas/nothing":         "No entity named 'nothing'",
		"/schemas/plugins/jwt":     "No plugin named 'jwt'; there are: acl, vault-auth",
		"/plugins/schema/jwt":      "No plugin named 'jwt'",
		"/schemas/consumers/alice": "No entity named 'consumers/alice'",
	} {
		if a := b.must(404, b.get(path)); !strings.Contains(a.raw, want) {
			t.Errorf("GET %s = %s, want it to have %s", path, a.raw, want)
		}
	}
}

func TestAnEntityIsValidatedWithoutBeingMade(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	before := len(b.store.all())
	for _, s := range []step{
		{name: "a consumer", path: "consumers", body: `{"id":"` + someID + `","username":"carol","tags":["gold"]}`, status: 200},
		{name: "a consumer whose name is taken, which only making it shows", path: "consumers", body: `{"username":"alice"}`, status: 200},
		{name: "a consumer without a name", path: "consumers", body: `{"tags":["gold"]}`, status: 400, want: []string{`"code":2`, "at least one of these fields must be non-empty"}},
		{name: "an unknown field", path: "consumers", body: `{"username":"x","nope":1}`, status: 400, want: []string{"nope: unknown field"}},
		{name: "a group of a consumer that is not there yet, as decK sends it", path: "acls", body: `{"consumer":{"id":"` + someID + `","username":"carol"},"group":"staff"}`, status: 200},
		{name: "no group", path: "acls", body: `{"consumer":{"id":"` + someID + `"}}`, status: 400, want: []string{"group: required field missing"}},
		{name: "an acl plugin", path: "plugins", body: `{"name":"acl","config":{"allow":["staff"]}}`, status: 200},
		{name: "an acl plugin that does both", path: "plugins", body: `{"name":"acl","config":{"allow":["staff"],"deny":["x"]}}`, status: 400, want: []string{"exactly one of these fields"}},
		{name: "a vault-auth plugin", path: "plugins", body: `{"name":"vault-auth","config":{"vault":{"id":"` + someID + `"}}}`, status: 200},
		{name: "one without its vault object", path: "plugins", body: `{"name":"vault-auth","config":{"vault":{"id":null}}}`, status: 400, want: []string{"config.vault: required field missing"}},
		{name: "one whose fields do not go together", path: "plugins", body: `{"name":"vault-auth","config":{"vault":{"id":"` + someID + `"},"tokens_in_body":true}}`, status: 400, want: []string{`"fields":{"config":{`}},
		{name: "a plugin of a service", path: "plugins", body: `{"name":"acl","service":{"name":"x"},"config":{"allow":["staff"]}}`, status: 400, want: []string{"services and routes are the gateway's"}},
		{name: "another plugin", path: "plugins", body: `{"name":"key-auth"}`, status: 400, want: []string{"plugin 'key-auth' not enabled"}},
		{name: "a vault object", path: "vault_auth_vaults", body: `{"name":"v","protocol":"http","host":"127.0.0.1","port":8200,"mount":"m","vault_token":"t"}`, status: 200},
		{name: "a vault object without a port", path: "vault_auth_vaults", body: `{"name":"v","protocol":"http","host":"127.0.0.1","port":0,"mount":"m","vault_token":"t"}`, status: 400, want: []string{"port: 0 is no port"}},
		{name: "what there is none of", path: "services", body: `{"name":"x"}`, status: 400, want: []string{"are the gateway's"}},
		{name: "what nobody knows", path: "nothing", body: `{}`, status: 404, want: []string{"No entity named 'nothing'"}},
	} {
		s.method, s.path, s.contentType = "POST", "/schemas/"+s.path+"/validate", typeJSON
		if s.status == 200 {
			s.want = []string{"schema validation successful"}
		}
		s.run(b)
	}
	b.must(404, b.json("POST", "/schemas/consumers/other", `{"username":"x"}`))
	if after := len(b.store.all()); after != before {
		t.Errorf("there were %d records and there are %d, want nothing to be made", before, after)
	}
}

func TestAReferenceMayHaveNullsBesideItsName(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.json("POST", "/plugins", `{"name":"vault-auth","config":{"vault":{"id":null,"name":"kong-auth"}}}`))
	b.must(400, b.json("POST", "/policies", `{"name":"p","vault":{"id":"`+someID+`","name":"kong-auth"}}`))
}

// decK takes off what a file does not have, at every run.
func TestAPluginWithoutANameIsShownWithoutOne(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	vault := b.must(200, b.get("/vault-auth/kong-auth")).text("id")
	made := b.must(200, b.json("PUT", "/plugins/"+someID, `{"id":"`+someID+`","name":"vault-auth","config":{"vault":{"id":"`+vault+`"}}}`))
	if name, has := made.body["instance_name"]; !has || name != nil {
		t.Errorf("got the instance name %v, want null", name)
	}
	if a := b.must(200, b.get("/policies/vault-auth")); a.text("id") != someID {
		t.Errorf("got %s, want the policy to go by the name of the plugin", a.raw)
	}
	if a := b.must(200, b.json("PATCH", "/plugins/vault-auth", `{"instance_name":"edge"}`)); a.text("instance_name") != "edge" {
		t.Errorf("got %s, want the name that was given", a.raw)
	}
}
