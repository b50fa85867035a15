package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// kubernetesModule contains the OpenAPI document of Kubernetes.
const kubernetesModule = "k8s.io/kubernetes@v" + kubernetes

// schemas writes a schema for each kind of Kubernetes in the layout of kubeconform, and
// returns the pattern of the names. The schemas refuse unknown fields, which the document
// does not.
func schemas(t *testing.T) string {
	t.Helper()
	var document struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	files, err := parts.ModuleFiles(t.Context(), kubernetesModule, "api/openapi-spec/swagger.json")
	must(t, err)
	raw, err := os.ReadFile(files[0])
	must(t, err)
	must(t, json.Unmarshal(raw, &document))
	dir := t.TempDir()
	write := func(name string, schema any) {
		raw, err := json.Marshal(schema)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	name := func(kind, group, version any) string {
		short, _, _ := strings.Cut(group.(string), ".")
		words := slices.DeleteFunc([]string{kind.(string), short, version.(string)}, func(w string) bool { return w == "" })
		return strings.ToLower(strings.Join(words, "-")) + ".json"
	}
	definitions, kinds := map[string]any{}, 0
	for defined, schema := range document.Definitions {
		definitions[defined] = strict(schema)
		if strings.HasSuffix(defined, ".resource.Quantity") || strings.HasSuffix(defined, ".intstr.IntOrString") {
			// In the document these are strings.
			definitions[defined] = map[string]any{"type": []string{"string", "number"}}
		}
		of, _ := schema["x-kubernetes-group-version-kind"].([]any)
		for _, v := range of {
			gvk := v.(map[string]any)
			write(name(gvk["kind"], gvk["group"], gvk["version"]), map[string]string{"$ref": "definitions.json#/definitions/" + defined})
			kinds++
		}
	}
	if kinds < 100 {
		t.Fatalf("%s has %d kinds, want at least 100", kubernetesModule, kinds)
	}
	write("definitions.json", map[string]any{"definitions": definitions})
	resources, err := parts.ChartResources(t.Context())
	must(t, err)
	for _, file := range resources {
		raw, err := os.ReadFile(file)
		must(t, err)
		var document map[string]any
		must(t, yaml.Unmarshal(raw, &document))
		crd := object(document)
		for _, v := range crd.at("spec.versions").([]any) {
			version := object(v.(map[string]any))
			write(name(crd.at("spec.names.kind"), crd.at("spec.group"), version.at("name")), strict(version.at("schema.openAPIV3Schema")))
		}
	}
	return filepath.Join(dir, "{{.ResourceKind}}{{.KindSuffix}}.json")
}

// strict returns a schema that refuses fields without a definition.
func strict(v any) any {
	in, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for key, value := range in {
		switch {
		case key == "description", key == "default", key == "format", strings.HasPrefix(key, "x-kubernetes-"):
			// These do not validate, or are not JSON Schema.
		case key == "properties":
			// The name of a property is not a keyword.
			properties := map[string]any{}
			for name, property := range value.(map[string]any) {
				properties[name] = strict(property)
			}
			out[key] = properties
		default:
			out[key] = strict(value)
		}
	}
	if in["x-kubernetes-int-or-string"] == true {
		out["type"] = []string{"string", "integer"}
	}
	if _, more := out["additionalProperties"]; out["properties"] != nil && !more && in["x-kubernetes-preserve-unknown-fields"] != true {
		out["additionalProperties"] = false
	}
	return out
}

// conform runs kubeconform on objects and returns its output.
func conform(t *testing.T, pattern, text string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), partstest.Binary(t, "KUBECONFORM_BIN"), "-strict", "-summary", "-schema-location", pattern)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestKubernetesKnowsEveryFieldOfTheChartAndTheManifests(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "KUBECONFORM_BIN")
	pattern := schemas(t)
	for name, text := range map[string]string{
		"vault-authz.yaml":           shipped(t, "kubernetes/vault-authz.yaml"),
		"sidecar.yaml":               shipped(t, "kubernetes/sidecar.yaml"),
		"find-unused-credentials.md": blocks(t, "find-unused-credentials.md", "yaml", 1)[0],
	} {
		if out, err := conform(t, pattern, text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	for _, file := range values(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := render(t, "--values", file)
			must(t, err)
			if out, err := conform(t, pattern, text); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			// The schemas must refuse an unknown field.
			misspelt := strings.Replace(text, "automountServiceAccountToken", "automountServiceAccountTokn", 1)
			if out, err := conform(t, pattern, misspelt); err == nil || !strings.Contains(out, "automountServiceAccountTokn") {
				t.Errorf("a field that does not exist: err = %v\n%s", err, out)
			}
		})
	}
}
