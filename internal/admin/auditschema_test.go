package admin

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/state"
)

func TestTheSchemaOfTheAuditLogHasWhatTheLinesHaveAndNoMore(t *testing.T) {
	t.Parallel()
	c := logging.DefaultConfig()
	c.Audit.Target = filepath.Join(t.TempDir(), "audit")
	logs, err := logging.Open(c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	logs.Start()
	for _, s := range changes() {
		b := auditBench(t, func(_ *Config, d *Dependencies) { d.Audit = logs.Audit })
		b.headers[headerRequestID] = strings.Repeat("é", 300)
		b.headers[headerTraceParent] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
		b.must(s.status, b.change(s))
		for _, fail := range []error{state.ErrConflict, authz.ErrUnavailable} {
			b.store.failWrites = fail
			b.form("POST", "/consumers", "username=erik")
		}
	}
	// Whether a rehash can be done shows in its answer and not in the status.
	b := auditBench(t, func(_ *Config, d *Dependencies) { d.Audit = logs.Audit })
	b.rehashable(t)
	if a := b.must(200, b.form("POST", rehashPath, "destroy_old_versions=true")); !strings.Contains(a.raw, `"versions_destroyed":1`) {
		t.Errorf("got %s, want a version to be destroyed", a.raw)
	}
	e, _ := explaining(t, func(_ *Config, d *Dependencies) { d.Audit = logs.Audit })
	e.must(200, e.json("POST", "/explain", aRequest))
	logs.Close(time.Minute)
	raw, err := os.ReadFile(c.Audit.Target)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(filepath.Join("..", "..", "docs", "reference", "audit-log.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	written, values := map[string]bool{}, map[string]map[any]bool{"action": {}, "outcome": {}, "level": {}}
	for line := range strings.Lines(string(raw)) {
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(instance); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		for field, value := range instance.(map[string]any) { //nolint:forcetypeassert // the schema says so
			written[field] = true
			if values[field] != nil {
				values[field][value] = true
			}
		}
		for _, secret := range []string{vaultToken, "supersecretvalue", `"foo"`, `"bar"`} {
			if strings.Contains(line, secret) {
				t.Errorf("%s is in the line %s", secret, line)
			}
		}
	}
	known := map[string]bool{}
	for field := range schema.Properties {
		known[field] = true
	}
	if diff := cmp.Diff(known, written); diff != "" {
		t.Errorf("fields of the schema (-) and of the lines (+):\n%s", diff)
	}
	for field, found := range values {
		enum := map[any]bool{}
		for _, value := range schema.Properties[field].Enum.Values {
			enum[value] = true
		}
		if diff := cmp.Diff(enum, found); diff != "" {
			t.Errorf("%s: values of the schema (-) and of the lines (+):\n%s", field, diff)
		}
	}
}
