package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A rule is a recording rule or an alert.
type rule struct {
	Record, Alert, Expr string
	Annotations         map[string]string
}

type ruleFile struct{ Groups []struct{ Rules []rule } }

// rules returns the rules of a text.
func rules(t *testing.T, text string) (all []rule) {
	t.Helper()
	var f ruleFile
	must(t, yaml.Unmarshal([]byte(text), &f))
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 15 {
		t.Fatalf("%d rules, want at least 15", len(all))
	}
	return all
}

// alerts returns the names of the alerts.
func alerts(t *testing.T) (names []string) {
	t.Helper()
	for _, r := range rules(t, shipped(t, "observability/rules.yaml")) {
		if r.Alert != "" {
			names = append(names, r.Alert)
		}
	}
	return names
}

// panels returns the expressions of the dashboard, by panel.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal([]byte(shipped(t, "observability/dashboard.json")), &dashboard))
	all := map[string][]string{}
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || all[p.Title] != nil {
			t.Errorf("the panel %q has no expression, or there are two with this title", p.Title)
		}
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], target.Expr)
		}
	}
	if len(all) < 15 {
		t.Fatalf("%d panels, want at least 15", len(all))
	}
	return all
}

// selector is the name of a metric with its labels.
var selector = regexp.MustCompile(`([a-z_:0-9]+)\{([^}]*)\}`)

// The reference is compared with the code by another test. A running service has the metrics
// of Go and of the process.
func TestRulesAndDashboardNameExistingMetrics(t *testing.T) {
	t.Parallel()
	s := partstest.StartDev(t, service.Binary(t))
	known := map[string]bool{"up": true} // of Prometheus itself
	for _, line := range strings.Split(ask(t, s.Probes, request{path: "/metrics"}).body, "\n") {
		if name, found := strings.CutPrefix(line, "# TYPE "); found {
			name, kind, _ := strings.Cut(name, " ")
			known[name] = true
			if kind == "histogram" {
				known[name+"_bucket"], known[name+"_count"], known[name+"_sum"] = true, true, true
			}
		}
	}
	raw, err := os.ReadFile("../../docs/reference/metrics.md")
	must(t, err)
	for _, row := range regexp.MustCompile("(?m)^\\| `(vault_authz_[a-z_]+)` \\| (.*)$").FindAllStringSubmatch(string(raw), -1) {
		known[row[1]] = true
		if strings.Contains(row[2], "histogram") {
			known[row[1]+"_bucket"], known[row[1]+"_count"] = true, true
		}
	}
	expressions := map[string][]string{}
	for title, all := range panels(t) {
		expressions["the panel "+title] = all
	}
	for _, r := range rules(t, shipped(t, "observability/rules.yaml")) {
		if r.Record != "" {
			known[r.Record] = true
		}
		expressions[r.Alert+r.Record] = []string{r.Expr}
	}
	for where, all := range expressions {
		for _, expression := range all {
			selectors := selector.FindAllStringSubmatch(expression, -1)
			if len(selectors) == 0 {
				t.Errorf("%s: no metric in %q", where, expression)
			}
			for _, m := range selectors {
				if !known[m[1]] {
					t.Errorf("%s: there is no metric %s", where, m[1])
				}
				if !strings.HasPrefix(m[2], `job="vault-authz"`) && !strings.HasPrefix(m[2], `job=~"$job"`) {
					t.Errorf("%s: %s does not select a job, so it counts those of others", where, m[0])
				}
			}
			// A name without labels.
			for _, name := range regexp.MustCompile(`(vault_authz|go|process)_[a-z_]+`).FindAllString(selector.ReplaceAllString(expression, ""), -1) {
				t.Errorf("%s: %s selects no job", where, name)
			}
		}
	}
}

func TestEachAlertHasItsSectionOfTheRunbookAndATest(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/how-to/runbook.md")
	must(t, err)
	var sections []string
	for _, heading := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(string(raw), -1) {
		sections = append(sections, heading[1])
	}
	if names := alerts(t); !slices.Equal(sections, names) {
		t.Errorf("the runbook has the sections %q, and the alerts are %q", sections, names)
	}
	var tests struct {
		Tests []struct {
			Cases []struct {
				Name string           `yaml:"alertname"`
				Want []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	must(t, yaml.Unmarshal([]byte(shipped(t, "observability/rules_test.yaml")), &tests))
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, c := range test.Cases {
			if len(c.Want) > 0 {
				fires[c.Name] = true
			} else {
				quiet[c.Name] = true
			}
		}
	}
	for _, r := range rules(t, shipped(t, "observability/rules.yaml")) {
		if r.Alert == "" {
			continue
		}
		if !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/how-to/runbook.md#"+strings.ToLower(r.Alert)) || r.Annotations["summary"] == "" {
			t.Errorf("%s has the annotations %v, want a summary and the URL of its section", r.Alert, r.Annotations)
		}
		if !fires[r.Alert] || !quiet[r.Alert] {
			t.Errorf("%s: rules_test.yaml needs a case in which it fires, and one in which it does not", r.Alert)
		}
	}
}

func TestTheChartHasTheRulesAndTheDashboardForItsRelease(t *testing.T) {
	t.Parallel()
	text, err := render(t, "--values", example("everything"), "--show-only", "templates/prometheusrule.yaml", "--show-only", "templates/dashboard.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	found := map[string]string{}
	for {
		var o struct {
			Kind     string
			Spec     ruleFile
			Metadata struct{ Labels map[string]string }
			Data     map[string]string
		}
		if decoder.Decode(&o) != nil {
			break
		}
		groups, err := yaml.Marshal(o.Spec)
		must(t, err)
		found[o.Kind] = string(groups) + o.Metadata.Labels["grafana_dashboard"] + o.Data["vault-authz.json"]
	}
	var shippedRules ruleFile
	must(t, yaml.Unmarshal([]byte(strings.ReplaceAll(shipped(t, "observability/rules.yaml"), `job="vault-authz"`, `namespace="edge", job="va-vault-authz"`)), &shippedRules))
	want, err := yaml.Marshal(shippedRules)
	must(t, err)
	if found["PrometheusRule"] != string(want) {
		t.Errorf("the rules of the chart differ:\n%s\nwant\n%s", found["PrometheusRule"], want)
	}
	if dashboard := "groups: []\n1" + shipped(t, "observability/dashboard.json"); found["ConfigMap"] != dashboard {
		t.Errorf("the dashboard of the chart differs: %.300s", found["ConfigMap"])
	}
}

// promtool runs promtool, which `make mesh` builds.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return promtoolReading(t, "", args...)
}

// promtoolReading runs promtool with standard input.
func promtoolReading(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	if os.Getenv("PROMTOOL_BIN") == "" {
		t.Skip("PROMTOOL_BIN is not set: `make mesh` builds promtool and runs this test")
	}
	cmd := exec.CommandContext(t.Context(), os.Getenv("PROMTOOL_BIN"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestRulesPassPromtool(t *testing.T) {
	t.Parallel()
	folder := "../../deploy/observability/"
	for _, args := range [][]string{{"check", "rules", folder + "rules.yaml"}, {"test", "rules", folder + "rules_test.yaml"}} {
		if out, err := promtool(t, args...); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// promtool also lints the metrics of Go and of the process, which are as their library has them.
func TestMetricsPassPromtool(t *testing.T) {
	t.Parallel()
	s := partstest.StartDev(t, service.Binary(t))
	exposed := ask(t, s.Probes, request{path: "/metrics"}).body
	if !strings.Contains(exposed, "# TYPE vault_authz_decisions_total counter") {
		t.Fatalf("these are no metrics of vault-authz: %.200s", exposed)
	}
	if out, err := promtoolReading(t, exposed, "check", "metrics"); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestExpressionsOfTheDashboardPassPromtool(t *testing.T) {
	t.Parallel()
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")
	type record struct{ Record, Expr string }
	var all []record
	for _, expressions := range panels(t) {
		for _, expression := range expressions {
			all = append(all, record{fmt.Sprintf("panel:%d", len(all)), variables.Replace(expression)})
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": all}}})
	must(t, err)
	file := filepath.Join(t.TempDir(), "rules.yaml")
	must(t, os.WriteFile(file, text, 0o600))
	if out, err := promtool(t, "check", "rules", file); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
