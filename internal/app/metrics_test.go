package app

import (
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/config"
)

const ownMetrics = "vault_authz_"

// conditional are metrics that are there only with TLS files, or once a token is known.
func conditional() map[string]string {
	return map[string]string{
		"vault_authz_tls_expires_seconds":         "file, use, vault",
		"vault_authz_tls_files_refused":           "use, vault",
		"vault_authz_vault_token_expires_seconds": "vault",
	}
}

// metricFamilies are those of a service with a vault object on a server, a state, and one
// call of the admin API behind it.
func metricFamilies(t *testing.T) (families []*dto.MetricFamily, s *service) {
	t.Helper()
	c := DevConfig()
	c.Vaults[0].Address, c.Vaults[0].Token = "http://127.0.0.1:1", "a-token"
	s, err := build(&c, newServerEngines(&c), nil, testLogs(t, &c, zap.NewNop()))
	if err != nil {
		t.Fatal(err)
	}
	r := newReloader(&config.Origin{}, nil, s.config.Load, s.reconfigure, zap.NewNop())
	if err := s.registry.Register(r.metrics()); err != nil {
		t.Fatal(err)
	}
	s.admin.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://localhost/", nil))
	families, err = s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families, s
}

func TestTheTableOfMetricsIsThatOfTheRegistry(t *testing.T) {
	t.Parallel()
	families, _ := metricFamilies(t)
	registered := conditional()
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), ownMetrics) {
			continue
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		registered[f.GetName()] = strings.Join(slices.Sorted(maps.Keys(labels)), ", ")
	}
	raw, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `("+ownMetrics+"[a-z_]+)` \\| ([^|]*)\\|").FindAllStringSubmatch(string(raw), -1) {
		labels := strings.FieldsFunc(row[2], func(r rune) bool { return strings.ContainsRune("` ,", r) })
		slices.Sort(labels)
		documented[row[1]] = strings.Join(labels, ", ")
	}
	if diff := cmp.Diff(registered, documented); diff != "" {
		t.Errorf("metrics and their labels in the registry (-) and in docs/reference/metrics.md (+):\n%s", diff)
	}
}

// What `promtool check metrics` says.
func TestTheMetricsFollowTheConventions(t *testing.T) {
	t.Parallel()
	_, s := metricFamilies(t)
	problems, err := testutil.GatherAndLint(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, ownMetrics) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
