package deploy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

var update = flag.Bool("update", false, "write the generated files of the chart")

// generated compares a file of the chart with what it is made of, or writes it.
func generated(t *testing.T, name, want string) {
	t.Helper()
	file := filepath.Join(chart, name)
	if *update {
		must(t, os.WriteFile(file, []byte(want), 0o644))
		return
	}
	got, err := os.ReadFile(file)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s is not up to date: run `make manifests`", file)
	}
}

// The last member of the schema of the values is the schema of the configuration. The rest
// is written by hand.
func TestTheSchemaOfTheValuesHasEverySettingOfTheConfiguration(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), service.Binary(t), "config", "schema").Output()
	must(t, err)
	var schema map[string]any
	must(t, json.Unmarshal(out, &schema))
	// Only a whole document says which draft it is.
	delete(schema, "$schema")
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("    ", "  ")
	must(t, encoder.Encode(schema))
	const member = "\"definitions\": {\n    \"configuration\": "
	byHand, _, found := strings.Cut(shipped(t, "chart/vault-authz/values.schema.json"), member)
	if !found {
		t.Fatalf("values.schema.json has no %s", member)
	}
	generated(t, "values.schema.json", byHand+member+strings.TrimSpace(text.String())+"\n  }\n}\n")
}

func TestTheReadmeOfTheChartHasEveryValue(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), partstest.Binary(t, "HELM_DOCS_BIN"), "--dry-run", "--log-level", "warning", "--chart-search-root", chart)
	readme, err := cmd.Output()
	must(t, err)
	generated(t, "README.md", string(readme))
}
