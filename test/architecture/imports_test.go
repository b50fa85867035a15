// Package architecture tests which package may import which, and that documents and
// links are complete.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vault-authz/vault-authz/"

// mayImport lists, for each package of ours, the packages of ours that it may
// import. A package that is not listed may import none.
func mayImport() map[string][]string {
	return map[string][]string{
		"authz":             nil,
		"cache":             nil,
		"vaultkv":           {"internal/backoff", "internal/kvpath", "internal/loopback", "internal/strictjson", "internal/tlsfiles", "vaultkv/login"},
		"vaultkv/login":     {"internal/backoff", "internal/kvpath"},
		"vaultkv/record":    {"authz", "internal/kvpath", "internal/redact", "internal/strictjson"},
		"vaultkv/sweep":     {"internal/backoff", "vaultkv"},
		"envoy":             {"authz"},
		"internal/state":    {"authz", "internal/backoff"},
		"internal/lastused": {"internal/backoff"},
		"internal/replicas": {"internal/backoff"},
		"internal/api":      {"authz", "internal/kvpath", "internal/fieldcopy", "internal/replicas"},
		"internal/admin": {
			"authz", "internal/admin/authn", "internal/admin/body", "internal/admin/credential", "internal/admin/entities", "internal/admin/kong", "internal/admin/openapi", "internal/admin/schema",
			"internal/api", "internal/kvpath", "internal/loopback", "internal/redact", "internal/state", "internal/strictjson", "internal/tlsfiles", "internal/ui",
		},
		"internal/admin/authn":                 {"internal/api", "internal/clientcert"},
		"internal/admin/body":                  {"internal/admin/schema", "internal/api", "internal/strictjson"},
		"internal/admin/credential":            {"authz", "internal/admin/schema", "internal/api", "internal/kvpath", "internal/state"},
		"internal/admin/entities":              {"authz", "internal/admin/schema", "internal/api", "internal/redact", "internal/state"},
		"internal/admin/entities/entitiestest": {"authz", "internal/admin/entities", "internal/api"},
		"internal/admin/kong":                  {"internal/admin/schema", "internal/api"},
		"internal/admin/openapi":               {"internal/admin/schema", "internal/api", "internal/redact"},
		"internal/admin/schema":                {"authz", "internal/api", "internal/redact"},
		"internal/logging":                     {"internal/metric"},
		"internal/server":                      {"internal/metric", "internal/tlsfiles"},
		"internal/tlsfiles":                    {"internal/backoff", "internal/metric"},
		"internal/kongimport":                  {"authz", "internal/api", "internal/backoff"},
		"internal/config":                      {"authz", "cache", "internal/admin", "internal/admin/authn", "internal/api", "internal/clientcert", "internal/logging", "internal/loopback", "internal/fieldcopy", "internal/server", "internal/tlsfiles", "vaultkv", "vaultkv/login", "vaultkv/sweep"},
		"internal/vaults":                      {"authz", "cache", "vaultkv", "vaultkv/login", "vaultkv/record", "vaultkv/sweep", "internal/admin/entities", "internal/api", "internal/config", "internal/expiring", "internal/lastused", "internal/metric", "internal/state", "internal/tlsfiles", "internal/tracing"},
		"internal/reconcile":                   {"authz", "vaultkv", "vaultkv/sweep", "internal/admin/entities", "internal/backoff", "internal/config", "internal/state", "internal/vaults"},
		"internal/app":                         {"authz", "envoy", "vaultkv", "vaultkv/record", "internal/admin", "internal/admin/credential", "internal/admin/entities", "internal/api", "internal/clientcert", "internal/config", "internal/debugging", "internal/lastused", "internal/logging", "internal/memkv", "internal/metric", "internal/reconcile", "internal/replicas", "internal/server", "internal/state", "internal/tlsfiles", "internal/tracing", "internal/vaults", "internal/version"},
		"internal/debugging":                   {"internal/clientcert", "internal/logging", "internal/loopback"},
		"internal/tracing":                     {"authz", "cache"},
		"internal/cli":                         {"authz", "envoy", "internal/api", "internal/app", "internal/backoff", "internal/clientcert", "internal/config", "internal/heap", "internal/kongimport", "internal/loopback", "internal/server", "internal/tlsfiles", "internal/vaults", "internal/version"},
		"cmd/vault-authz":                      {"internal/cli"},
	}
}

// only lists the packages that may import a library directly.
func only() map[string][]string {
	return map[string][]string{
		"github.com/envoyproxy/":      {"envoy"},
		"github.com/hashicorp/vault/": {"vaultkv", "vaultkv/login"},
		"go.opentelemetry.io/":        {"internal/tracing"},
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"authz/...", module+"cache/...",
		module+"vaultkv/...", module+"envoy/...", module+"internal/...", module+"cmd/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module); ok && !slices.Contains(mayImport()[name], ours) {
				t.Errorf("%s imports %s", name, ours)
			}
			for library, allowed := range only() {
				if strings.HasPrefix(i, library) && !slices.Contains(allowed, name) {
					t.Errorf("%s imports %s, which only %v may", name, i, allowed)
				}
			}
			if i == "gopkg.in/yaml.v3" || i == "math/rand" {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
	if seen < len(mayImport()) {
		t.Errorf("go list named %d packages, want at least %d", seen, len(mayImport()))
	}
}

// The decision must not depend on any of these, not even through others.
func TestTheCoreDependsOnNeitherEnvoyNorVault(t *testing.T) {
	t.Parallel()
	for _, core := range []string{"authz", "cache"} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+core).Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		deps := strings.Fields(string(out))
		if len(deps) < 10 {
			t.Fatalf("%s: go list named %d dependencies", core, len(deps))
		}
		for _, d := range deps {
			for _, never := range []string{"github.com/envoyproxy/", "github.com/hashicorp/vault/", "google.golang.org/grpc", "go.opentelemetry.io/"} {
				if strings.HasPrefix(d, never) {
					t.Errorf("%s depends on %s", core, d)
				}
			}
		}
	}
}

// Package state would be shared by two services in one process.
func TestNoInitFunctions(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "grep", "-nE", `^func init\(\)`, "--", "../../*.go").CombinedOutput()
	if err == nil {
		t.Errorf("init functions:\n%s", out)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() != 1 {
		t.Fatalf("git grep: %v\n%s", err, out)
	}
}
