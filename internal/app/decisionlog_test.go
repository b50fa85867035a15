package app

import (
	"errors"
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
	"github.com/vault-authz/vault-authz/internal/tracing"
)

// schemaOf compiles a schema of the documentation.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join("..", "..", "docs", "reference", name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSchemaOfTheDecisionLogHasWhatTheLinesHaveAndNoMore(t *testing.T) {
	t.Parallel()
	c := logging.DefaultConfig()
	c.Decisions.Target = filepath.Join(t.TempDir(), "decisions")
	logs, err := logging.Open(c, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	logs.Start()
	lines := authz.NewDecisionLog(logs.Decisions, 1, tracing.TraceOf)
	long := strings.Repeat("x", 1000)
	r := &authz.Request{
		HTTP: true, Method: long, Host: long, Path: "/" + long + "?secret", Source: long, Received: time.Now(),
		Headers: []authz.Header{{Name: "x-request-id", Value: long}, {Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
	}
	policy, consumer := &authz.Policy{Name: "orders", Vault: "main"}, &authz.Consumer{ID: "c", Username: "bob"}
	for _, reason := range authz.Reasons() {
		for _, shadow := range []bool{false, true} {
			d := authz.Decision{Allowed: shadow || reason.Status() == 0 && reason != authz.ReasonUnset, Shadow: shadow, Reason: reason, Policy: policy, Consumer: consumer, AccessToken: "a", Err: errors.New("sealed")}
			d.Anonymous, d.InsteadOf = reason == authz.ReasonAnonymous, authz.ReasonMissingToken
			lines.Write(t.Context(), r, &d, time.Millisecond)
		}
	}
	for range 300 { // more than there is room for in a second
		lines.Write(t.Context(), r, &authz.Decision{Reason: authz.ReasonNoPolicy}, time.Microsecond)
	}
	told := authz.Decision{Reason: authz.ReasonNoPolicy, RequestID: [32]byte([]byte("0123456789abcdef0123456789abcdef"))}
	lines.Write(t.Context(), &authz.Request{PolicyName: long, Received: r.Received.Add(30 * time.Second)}, &told, 0)
	later := authz.Request{Received: r.Received.Add(time.Minute)}
	lines.Write(t.Context(), &later, &authz.Decision{Reason: authz.ReasonNotHTTP}, 0)
	logs.Close(time.Minute)
	file, err := os.Open(c.Decisions.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	schema := schemaOf(t, "decision-log.schema.json")
	raw, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	written, reasons := map[string]bool{}, map[any]bool{}
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
			if field == "reason" {
				reasons[value] = true
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
	enum := map[any]bool{}
	for _, reason := range schema.Properties["reason"].Enum.Values {
		enum[reason] = true
	}
	if diff := cmp.Diff(enum, reasons); diff != "" {
		t.Errorf("reasons of the schema (-) and of the lines (+):\n%s", diff)
	}
}
