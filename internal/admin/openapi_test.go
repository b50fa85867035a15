package admin

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/kong"
	"github.com/vault-authz/vault-authz/internal/admin/openapi"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

func openAPI(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(openapi.Document(), &doc); err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return doc
}

// at follows names and references.
func at(t *testing.T, doc map[string]any, node any, names ...string) any {
	t.Helper()
	for {
		m, _ := node.(map[string]any)
		ref, isRef := m["$ref"].(string)
		switch {
		case isRef:
			node = at(t, doc, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		case len(names) == 0:
			return node
		case m == nil || m[names[0]] == nil:
			t.Fatalf("openapi.yaml: there is no %q in %v", names[0], node)
		default:
			node, names = m[names[0]], names[1:]
		}
	}
}

func TestTheDocumentHasTheRoutesAndNoOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config, _ *Dependencies) { c.Vaults = false })
	var routes, documented []string
	for _, r := range b.api.routes() {
		routes = append(routes, r.method+" "+strings.Replace(r.pattern, "...}", "}", 1))
	}
	doc := openAPI(t)
	for path, item := range doc["paths"].(map[string]any) {
		for method := range at(t, doc, item).(map[string]any) {
			if method != "parameters" {
				documented = append(documented, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(routes)
	slices.Sort(documented)
	if diff := cmp.Diff(routes, documented); diff != "" {
		t.Errorf("routes (-) and document (+) differ:\n%s", diff)
	}
}

func TestVaultsIsEveryRouteOfVaultAuthAndCanBeLeftOut(t *testing.T) {
	t.Parallel()
	with := newBench(t)
	without := newBench(t, func(c *Config, _ *Dependencies) { c.Vaults = false })
	served := func(b *bench) (served []string) {
		for _, r := range b.api.routes() {
			if strings.HasPrefix(r.pattern, "/vaults") {
				served = append(served, r.method+" "+r.pattern)
			}
		}
		slices.Sort(served)
		return served
	}
	var alias []string
	for _, r := range with.api.vaultRoutes("/vaults") {
		alias = append(alias, r.method+" "+r.pattern)
	}
	slices.Sort(alias)
	if diff := cmp.Diff(alias, served(with)); diff != "" {
		t.Errorf("routes of the alias (-) and what is served (+) differ:\n%s", diff)
	}
	if got := served(without); len(got) == 0 || slices.Contains(got, "GET /vaults/{id}") {
		t.Errorf("without the alias %q is served, want an empty list and refusals", got)
	}
	for _, b := range []*bench{with, without} {
		b.must(201, b.form("POST", "/vault-auth", vaultForm))
	}
	if a := with.must(200, with.get("/vaults")); !strings.Contains(a.raw, "kong-auth") {
		t.Errorf("GET /vaults = %s, want the vault object", a.raw)
	}
	if a := without.must(200, without.get("/vaults")); a.raw != `{"data":[],"next":null}`+"\n" {
		t.Errorf("GET /vaults = %s without the alias, want nothing", a.raw)
	}
	if a := without.must(400, without.form("POST", "/vaults", vaultForm)); !strings.Contains(a.raw, "/vault-auth") {
		t.Errorf("POST /vaults = %s without the alias, want the path of vault objects", a.raw)
	}
}

func strictly[T any](raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(new(T))
}

type page[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next"`
}

type envelope struct {
	Data api.Credential `json:"data"`
}

type schemaAnswer struct {
	Fields []map[string]kong.SchemaField `json:"fields"`
}

type tagAnswer struct {
	Entity string `json:"entity_name"`
	ID     string `json:"entity_id"`
	Tag    string `json:"tag"`
}

type workspaceAnswer struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Comment *string        `json:"comment"`
	Config  map[string]any `json:"config"`
	Meta    map[string]any `json:"meta"`
}

var decoders = map[string]func([]byte) error{
	"Consumer": strictly[api.Consumer], "ACL": strictly[api.ACL], "Vault": strictly[api.Vault], "Policy": strictly[api.Policy], "Plugin": strictly[api.Plugin],
	"Credential": strictly[envelope], "NewCredential": strictly[envelope], "VaultStatus": strictly[api.VaultStatus],
	"Consumers": strictly[page[api.Consumer]], "ACLs": strictly[page[api.ACL]], "Vaults": strictly[page[api.Vault]],
	"Policies": strictly[page[api.Policy]], "Plugins": strictly[page[api.Plugin]], "Credentials": strictly[page[api.Credential]],
	"Batch":   strictly[struct{ Answers []outcome }],
	"Denials": strictly[api.Denials], "Overview": strictly[api.Overview],
	"Rehashed": strictly[struct {
		Data api.Rehashed
		Next *string
	}],
	"Nothing": strictly[page[struct{}]], "Valid": strictly[api.Problem], "Schema": strictly[schemaAnswer],
	"EnabledPlugins": strictly[struct {
		Enabled []string `json:"enabled_plugins"`
	}],
	"Tags":      strictly[page[tagAnswer]],
	"Workspace": strictly[workspaceAnswer], "Workspaces": strictly[page[workspaceAnswer]],
	"Problem": strictly[api.Problem], "Node": strictly[kong.Node], "Status": strictly[kong.Status], "Explanation": strictly[authz.Explanation],
}

func TestTheExamplesOfTheDocumentDecode(t *testing.T) {
	t.Parallel()
	doc := openAPI(t)
	for name, response := range at(t, doc, doc, "components", "responses").(map[string]any) {
		raw, err := json.Marshal(at(t, doc, response, "content", "application/json", "example"))
		if err != nil {
			t.Fatal(err)
		}
		decode := decoders[name]
		if decode == nil {
			t.Errorf("response %s: nothing decodes it", name)
			continue
		}
		if err := decode(raw); err != nil {
			t.Errorf("response %s: %v: %s", name, err, raw)
		}
	}
}

func TestTheExamplesOfTheDocumentAreAcceptedAndAnsweredAsItSays(t *testing.T) {
	t.Parallel()
	doc := openAPI(t)
	body := func(name string) string {
		raw, err := json.Marshal(at(t, doc, doc, "components", "requestBodies", name, "content", "application/json", "example"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	b := newBench(t)
	const vaultID = "d3da058d-0acb-49c2-b7fe-72b3e9fd4b0a"
	const token = "/vault-auth/kong-auth/credentials/token/v3cOV1jWglS0PFOrTcdr85bs1GP0e2yM"
	for _, step := range []struct {
		method, path, body, response string
		status                       int
	}{
		{"PUT", "/vault-auth/" + vaultID, "Vault", "Vault", 200},
		{"POST", "/consumers", "Consumer", "Consumer", 201},
		{"POST", "/consumers/alice/acls", "ACL", "ACL", 201},
		{"POST", "/policies", "Policy", "Policy", 201},
		{"POST", "/plugins", "Plugin", "Plugin", 201},
		{"POST", "/vault-auth/kong-auth/credentials/alice", "Credential", "NewCredential", 201},
		{"PATCH", token, "Limits", "Credential", 200},
		{"POST", token + "/rotate", "Rotation", "NewCredential", 201},
		{"POST", "/batch", "Batch", "Batch", 200},
		{"GET", "/vault-auth/kong-auth/credentials", "", "Credentials", 200},
		{"GET", "/consumers/alice/credentials", "", "Credentials", 200},
		{"GET", "/consumers", "", "Consumers", 200},
		{"GET", "/acls", "", "ACLs", 200},
		{"GET", "/vault-auth", "", "Vaults", 200},
		{"GET", "/policies", "", "Policies", 200},
		{"GET", "/plugins", "", "Plugins", 200},
		{"GET", "/", "", "Node", 200},
		{"GET", "/status", "", "Status", 200},
		{"GET", "/overview", "", "Overview", 200},
		{"GET", "/kong", "", "Node", 200},
		{"PATCH", "/consumers/alice/acls/admin", "ACLChange", "ACL", 200},
		{"PATCH", "/policies/orders", "PolicyChange", "Policy", 200},
		{"PATCH", "/plugins/vault-auth", "PluginChange", "Plugin", 200},
		{"PATCH", "/vault-auth/kong-auth", "VaultChange", "Vault", 200},
		{"POST", "/vault-auth/kong-auth/rehash", "Rehash", "Rehashed", 200},
		{"GET", "/plugins/enabled", "", "EnabledPlugins", 200},
		{"GET", "/vault-auth/kong-auth/status", "", "VaultStatus", 200},
		{"GET", "/plugins/schema/acl", "", "Schema", 200},
		{"GET", "/schemas/consumers", "", "Schema", 200},
		{"GET", "/schemas/plugins/vault-auth", "", "Schema", 200},
		{"POST", "/schemas/consumers/validate", "Consumer", "Valid", 200},
		{"GET", "/services", "", "Nothing", 200},
		{"GET", "/consumers/alice/plugins", "", "Nothing", 200},
		{"GET", "/tags", "", "Tags", 200},
		{"GET", "/tags/gold", "", "Tags", 200},
		{"GET", "/workspaces", "", "Workspaces", 200},
		{"GET", "/workspaces/default", "", "Workspace", 200},
	} {
		contentType, sent := "", ""
		if step.body != "" {
			contentType, sent = typeJSON, body(step.body)
		}
		a := b.must(step.status, b.do(step.method, step.path, contentType, sent))
		if err := decoders[step.response]([]byte(a.raw)); err != nil {
			t.Errorf("%s %s: %v: %s", step.method, step.path, err, a.raw)
		}
		fields := func(v any) []string {
			m, _ := v.(map[string]any)
			if inner, ok := m["data"].([]any); ok && len(inner) > 0 {
				m, _ = inner[0].(map[string]any)
			} else if inner, ok := m["data"].(map[string]any); ok {
				m = inner
			}
			return slices.Sorted(maps.Keys(m))
		}
		want := fields(at(t, doc, doc, "components", "responses", step.response, "content", "application/json", "example"))
		if got := fields(a.body); !cmp.Equal(want, got) && step.path != "/consumers/alice/credentials" {
			t.Errorf("%s %s: the fields are not those of the example:\n%s", step.method, step.path, cmp.Diff(want, got))
		}
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := b.must(200, b.get("/openapi.yaml"))
	if got := a.header.Get("Content-Type"); got != "application/yaml" || a.raw != string(openapi.Document()) {
		t.Errorf("got %q of type %q, want the document as application/yaml", a.raw[:min(40, len(a.raw))], got)
	}
}

// A field that is added to an entity belongs into what may be sent of it, and into what
// is answered.
func TestTheDocumentHasTheFieldsOfEveryEntityAndNoOthers(t *testing.T) {
	t.Parallel()
	doc := openAPI(t)
	names := func(lists ...[]api.Field) []string {
		set := map[string]bool{}
		for _, f := range slices.Concat(lists...) {
			set[f.Name] = true
			if f.Alias != "" {
				set[f.Alias] = true
			}
		}
		return slices.Sorted(maps.Keys(set))
	}
	answers := func(fields []api.Field) []string {
		return slices.DeleteFunc(names(fields), func(name string) bool {
			return slices.ContainsFunc(fields, func(f api.Field) bool { return f.Alias == name })
		})
	}
	var foreign []api.Field
	for _, name := range []string{"run_on", "ordering", "consumer_group", "partials", "condition"} {
		foreign = append(foreign, api.Field{Name: name})
	}
	for schema, want := range map[string][]string{
		"NewConsumer": names(schema.Consumer), "Consumer": answers(schema.Consumer),
		"ACLFields": names(schema.ACL), "ACL": answers(schema.ACL),
		"VaultFields": names(schema.Vault), "Vault": answers(schema.Vault),
		"PolicyFields": names(schema.Policy), "Policy": answers(schema.Policy),
		"PluginFields": names(schema.Plugin(), foreign), "Plugin": answers(schema.Plugin()),
		"VaultAuthConfig": names(schema.VaultAuthConfig), "ACLConfig": names(schema.ACLPluginConfig),
		"NewCredential": names(schema.NewCredential), "Limits": names(schema.Limits), "Credential": answers(api.FieldsOf(api.Credential{})),
		"Rotation": names(schema.Rotation), "Rehash": names(schema.Rehash),
	} {
		properties := at(t, doc, doc, "components", "schemas", schema, "properties").(map[string]any)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(properties))); diff != "" {
			t.Errorf("%s: fields (-) and document (+) differ:\n%s", schema, diff)
		}
	}
}

// A record that was made by hand may lack anything.
func TestTheDocumentAllowsWhatIsAnsweredOfAnEmptyCredential(t *testing.T) {
	t.Parallel()
	doc := openAPI(t)
	for name, value := range newBench(t).api.states()(&credential.Place{}, schema.Document{}) {
		schema := at(t, doc, doc, "components", "schemas", "Credential", "properties", name)
		raw, err := json.Marshal(schema)
		if err != nil {
			t.Fatal(err)
		}
		if value == nil && !strings.Contains(string(raw), `"null"`) {
			t.Errorf("%s is answered as null, and the document says %s", name, raw)
		}
	}
}

// What a path may give (the consumer of a group) or what has two names (the token of a vault
// object) is not among the fields that a body must have.
func TestTheDocumentRequiresWhatTheServiceRequires(t *testing.T) {
	t.Parallel()
	doc := openAPI(t)
	for schema, fields := range map[string][]api.Field{"NewACL": schema.ACL, "NewVault": schema.Vault, "NewPolicy": schema.Policy} {
		var want, got []string
		for _, f := range fields {
			if f.Required && f.Alias == "" && f.Key != "username" {
				want = append(want, f.Name)
			}
		}
		for _, part := range at(t, doc, doc, "components", "schemas", schema, "allOf").([]any) {
			names, _ := part.(map[string]any)["required"].([]any)
			for _, name := range names {
				got = append(got, name.(string))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: required fields (-) and document (+) differ:\n%s", schema, diff)
		}
	}
}
