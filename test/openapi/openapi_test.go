package openapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func newValidator(t *testing.T, raw []byte) validator.Validator {
	t.Helper()
	doc, err := libopenapi.NewDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return v
}

func TestTheDocumentIsValid(t *testing.T) {
	if valid, problems := newValidator(t, document(t)).ValidateDocument(); !valid {
		for _, p := range problems {
			t.Errorf("%s: %s", p.Message, p.Reason)
			for _, e := range p.SchemaValidationErrors {
				t.Errorf("%s: %s", e.FieldPath, e.Reason)
			}
		}
	}
}

// An operation is a method of a path.
type operation struct {
	method, path string
	schema       schema
	parameters   []any
}

func operations(g generator) []operation {
	var all []operation
	paths, _ := g.doc["paths"].(schema)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := g.at(paths[path])
		shared, _ := item["parameters"].([]any)
		for _, method := range slices.Sorted(maps.Keys(item)) {
			if method == "parameters" {
				continue
			}
			of := g.at(item[method])
			own, _ := of["parameters"].([]any)
			all = append(all, operation{strings.ToUpper(method), path, of, slices.Concat(shared, own)})
		}
	}
	return all
}

// A request that the document allows is answered as the document says, and never refused
// for its form.
func TestTheServiceBehavesAsTheDocumentSays(t *testing.T) {
	raw := document(t)
	g := generator{}
	if err := yaml.Unmarshal(raw, &g.doc); err != nil {
		t.Fatal(err)
	}
	v := newValidator(t, raw)
	all := operations(g)
	if len(all) < 100 {
		t.Fatalf("the document has %d operations", len(all))
	}
	for _, op := range all {
		t.Run(op.method+" "+op.path, func(t *testing.T) {
			furnish(t)
			rapid.Check(t, func(rt *rapid.T) { op.try(rt, g, v) })
		})
	}
}

// furnish creates the entities that the words of the generator name, because earlier calls
// may have deleted them.
func furnish(t *testing.T) {
	t.Helper()
	for path, body := range map[string]string{
		"/consumers/alice":                              `{"tags":["gold"]}`,
		"/vault-auth/edge":                              `{"protocol":"http","host":"127.0.0.1","port":8200,"mount":"edge","vault_token":"t"}`,
		"/vault-auth/memory/credentials/demo":           `{"access_token":"x","secret_token":"y"}`,
		"/consumers/alice/acls/partners":                `{"tags":["gold"]}`,
		"/policies/edge":                                `{"hosts":["example.com"],"vault":"memory"}`,
		"/plugins/7f853474-7b70-439d-ad59-2481a0a9a904": `{"name":"acl","config":{"allow":["partners"]}}`,
	} {
		method := http.MethodPut
		if strings.Contains(path, "credentials") {
			method = http.MethodPost
		}
		r, err := http.NewRequestWithContext(t.Context(), method, service+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= http.StatusInternalServerError {
			t.Fatalf("%s %s: %s", method, path, resp.Status)
		}
	}
}

func (op operation) try(t *rapid.T, g generator, v validator.Validator) {
	path, query := op.path, url.Values{}
	for _, p := range op.parameters {
		p := g.at(p)
		name, _ := p["name"].(string)
		switch {
		case p["in"] == "path":
			// The validator does not accept a slash in a segment.
			value := strings.ReplaceAll(rapid.SampledFrom(slices.Concat(words, ids)).Draw(t, name), "/", "")
			path = strings.ReplaceAll(path, "{"+name+"}", strings.ReplaceAll(url.PathEscape(value), "+", "%2B"))
		case rapid.IntRange(0, 3).Draw(t, "has "+name) == 0:
			query.Set(name, fmt.Sprint(g.value(t, p["schema"])))
		}
	}
	contentType, body := op.body(t, g)
	target := service + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request := func() *http.Request {
		r, err := http.NewRequestWithContext(context.Background(), op.method, target, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		return r
	}
	resp, err := http.DefaultClient.Do(request())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprintf("%s %s %s %s: %s %s", op.method, target, contentType, body, resp.Status, answer)
	if resp.StatusCode >= http.StatusInternalServerError {
		t.Fatal(said)
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	if valid, problems := v.ValidateHttpResponse(request(), resp); !valid && !strings.HasSuffix(op.path, ".yaml") {
		for _, p := range problems {
			t.Errorf("%s: %s", p.Message, p.Reason)
			for _, e := range p.SchemaValidationErrors {
				t.Errorf("%s: %s", e.FieldPath, e.Reason)
			}
		}
		t.Fatal(said)
	}
	if resp.StatusCode == http.StatusBadRequest && op.isTyped(contentType) {
		if problem := badForm(answer); problem != "" {
			t.Fatalf("the service refuses a form that the document allows: %s: %s", problem, said)
		}
	}
}

// isTyped says whether the document defines the whole form of the body. It does not where
// the path names a plugin or any entity, and for HTML forms, whose fields are described in
// the text.
func (op operation) isTyped(contentType string) bool {
	untyped := []any{"putPlugin", "patchPlugin", "validate"}
	return !slices.Contains(untyped, op.schema["operationId"]) && contentType != "application/x-www-form-urlencoded"
}

// form matches the message about a field whose type differs from the schema.
var form = regexp.MustCompile(`^(unknown field|expected an? (string|integer|boolean|array|record)|expected one of|length must be|value should be between)`)

// badForm returns the message of a schema violation about the form of a field.
func badForm(answer []byte) string {
	var p struct {
		Message string
		Fields  map[string]any
	}
	if err := json.Unmarshal(answer, &p); err != nil {
		return err.Error()
	}
	if strings.HasPrefix(p.Message, "Cannot parse") {
		return p.Message
	}
	return badField(p.Fields)
}

func badField(fields map[string]any) string {
	for name, problem := range fields {
		switch problem := problem.(type) {
		case string:
			if form.MatchString(problem) {
				return name + ": " + problem
			}
		case map[string]any:
			if inner := badField(problem); inner != "" {
				return name + "." + inner
			}
		}
	}
	return ""
}

func (op operation) body(t *rapid.T, g generator) (contentType string, body []byte) {
	of := g.at(op.schema["requestBody"])
	content, _ := of["content"].(schema)
	if content == nil || of["required"] != true && rapid.Bool().Draw(t, "no body") {
		return "", nil
	}
	contentType = rapid.SampledFrom(slices.Sorted(maps.Keys(content))).Draw(t, "content type")
	value := g.value(t, g.at(content[contentType])["schema"])
	switch contentType {
	case "application/x-www-form-urlencoded":
		return contentType, []byte(encoded(value).Encode())
	case "multipart/form-data":
		return inParts(t, value)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return contentType, raw
}

func encoded(value any) url.Values {
	out := url.Values{}
	fields, _ := value.(schema)
	for name, field := range fields {
		list, isList := field.([]any)
		if !isList {
			list = []any{field}
		}
		for _, one := range list {
			out.Add(name, fmt.Sprint(one))
		}
	}
	return out
}

// inParts encodes a multipart form as the specification does: objects and lists as JSON,
// other values as text. It omits null.
func inParts(t *rapid.T, value any) (contentType string, body []byte) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	fields, _ := value.(schema)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		header := textproto.MIMEHeader{}
		header.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q", name))
		text := []byte(fmt.Sprint(fields[name]))
		switch fields[name].(type) {
		case nil:
			continue
		case schema, []any:
			header.Set("Content-Type", "application/json")
			var err error
			if text, err = json.Marshal(fields[name]); err != nil {
				t.Fatal(err)
			}
		}
		part, err := w.CreatePart(header)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(text) // into memory
	}
	_ = w.Close()
	return w.FormDataContentType(), out.Bytes()
}
