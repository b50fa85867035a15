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
)

func openAPI(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(openAPIDocument, &doc); err != nil {
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
		routes = append(routes, r.method+" "+r.pattern)
	}
	doc := openAPI(t)
	for path, item := range doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
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
	with.must(200, with.get("/vaults"))
	without.must(404, without.get("/vaults"))
	if got, want := len(with.api.routes())-len(without.api.routes()), len(with.api.vaultRoutes("/vaults")); got != want || want == 0 {
		t.Errorf("got %d more routes with the alias, want %d", got, want)
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
	Data Credential `json:"data"`
}

var decoders = map[string]func([]byte) error{
	"Consumer": strictly[Consumer], "ACL": strictly[ACL], "Vault": strictly[Vault], "Policy": strictly[Policy], "Plugin": strictly[Plugin],
	"Credential": strictly[envelope], "NewCredential": strictly[envelope],
	"Consumers": strictly[page[Consumer]], "ACLs": strictly[page[ACL]], "Vaults": strictly[page[Vault]],
	"Policies": strictly[page[Policy]], "Plugins": strictly[page[Plugin]], "Credentials": strictly[page[Credential]],
	"Batch":   strictly[struct{ Answers []outcome }],
	"Problem": strictly[Problem], "Node": strictly[Node], "Status": strictly[Status],
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
	if got := a.header.Get("Content-Type"); got != "application/yaml" || a.raw != string(openAPIDocument) {
		t.Errorf("got %q of type %q, want the document as application/yaml", a.raw[:min(40, len(a.raw))], got)
	}
}
