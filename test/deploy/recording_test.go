package deploy

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A recording has what Prometheus would have scraped from a service, as series for promtool.
// Each scrape counts as one of every 30 seconds, so that alerts with "for" fire within a test.
type recording struct {
	scrapes int
	series  map[string][]string
}

// scrape takes the metrics of a service as they are now.
func (r *recording) scrape(ctx context.Context, s *parts.Service) {
	now := map[string]string{`up{job="vault-authz", instance="a"}`: "0"}
	if all, err := s.Metrics(ctx); err == nil {
		now[`up{job="vault-authz", instance="a"}`] = "1"
		for series, value := range all {
			if !strings.HasPrefix(series, "vault_authz_") && !strings.HasPrefix(series, "go_") || math.IsInf(value, 0) {
				continue
			}
			metric, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
			if labels != "" {
				labels = ", " + labels
			}
			now[metric+`{job="vault-authz", instance="a"`+labels+"}"] = strconv.FormatFloat(value, 'g', -1, 64)
		}
	}
	for name := range now {
		if r.series[name] == nil {
			r.series[name] = slices.Repeat([]string{"_"}, r.scrapes)
		}
	}
	for name := range r.series {
		value, has := now[name]
		if !has {
			value = "_"
		}
		r.series[name] = append(r.series[name], value)
	}
	r.scrapes++
}

// firing says whether an alert fires at the time of the last scrape.
func (r *recording) firing(t *testing.T, alert string) bool {
	t.Helper()
	type input struct{ Series, Values string }
	var all []input
	for _, name := range slices.Sorted(maps.Keys(r.series)) {
		all = append(all, input{name, strings.Join(r.series[name], " ")})
	}
	file := filepath.Join(t.TempDir(), "test.yaml")
	absolute, err := filepath.Abs("../../deploy/observability/rules.yaml")
	must(t, err)
	text, err := yaml.Marshal(map[string]any{
		"rule_files": []string{absolute}, "evaluation_interval": "30s",
		"tests": []any{map[string]any{
			"interval": "30s", "input_series": all,
			"alert_rule_test": []any{map[string]any{
				"eval_time": fmt.Sprintf("%ds", 30*(r.scrapes-1)), "alertname": alert, "exp_alerts": []any{},
			}},
		}},
	})
	must(t, err)
	must(t, os.WriteFile(file, text, 0o600))
	out, err := promtool(t, "test", "rules", file)
	if err == nil {
		return false
	}
	if !strings.Contains(out, `alertname="`+alert+`"`) {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	return true
}
