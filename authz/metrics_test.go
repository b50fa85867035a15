package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

func newMetrics(tb testing.TB, reg prometheus.Registerer, a *Authorizer) *Metrics {
	tb.Helper()
	m, err := NewMetrics(reg, a, ofHeader)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// families gathers what is registered, by name.
func families(tb testing.TB, reg prometheus.Gatherer) map[string]*dto.MetricFamily {
	tb.Helper()
	all, err := reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range all {
		byName[f.GetName()] = f
	}
	return byName
}

// counted are the counters of decisions as they are exported, by "decision reason policy
// shadow".
func counted(tb testing.TB, reg prometheus.Gatherer) map[string]float64 {
	tb.Helper()
	all := map[string]float64{}
	for _, metric := range families(tb, reg)["vault_authz_decisions_total"].GetMetric() {
		values := map[string]string{}
		for _, l := range metric.GetLabel() {
			values[l.GetName()] = l.GetValue()
		}
		all[fmt.Sprintf("%s %s %s %s", values["decision"], values["reason"], values["policy"], values["shadow"])] = metric.GetCounter().GetValue()
	}
	return all
}

func happened(all map[string]float64) map[string]float64 {
	maps.DeleteFunc(all, func(_ string, n float64) bool { return n == 0 })
	return all
}

func deciding(t *testing.T, policies ...Policy) *Authorizer {
	t.Helper()
	return New(policySnapshot(t, policies...), NewDigester(), DefaultGrammar())
}

func policySnapshot(t *testing.T, policies ...Policy) *Snapshot {
	t.Helper()
	for i := range policies {
		policies[i].Vault = "kong-auth"
	}
	s, err := NewSnapshot(policies, testConsumers(), map[string]Source{"kong-auth": recorded{}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func policyNamed(name string, change ...func(*Policy)) Policy {
	p := DefaultPolicy()
	p.Name = name
	for _, c := range change {
		c(&p)
	}
	return p
}

func TestDecisionsAreCountedByWhatTheyWere(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(t, reg, nil)
	orders, stock := &Policy{Name: "orders"}, &Policy{Name: "stock"}
	decisions := []Decision{
		{Allowed: true, Reason: ReasonAuthenticated, Policy: orders},
		{Reason: ReasonACL, Policy: orders},
		{Allowed: true, Shadow: true, Reason: ReasonACL, Policy: orders},
		{Allowed: true, Reason: ReasonAuthenticated, Policy: stock},
		// Another snapshot's policy of the same name is the same policy.
		{Allowed: true, Reason: ReasonAuthenticated, Policy: &Policy{Name: "stock"}},
		{Reason: ReasonNoPolicy},
		{Reason: 255},
		{Reason: reasonCount},
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range decisions {
				m.Count(t.Context(), get("/"), &decisions[i], time.Millisecond)
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[string]float64{
		"allow authenticated orders false": 4,
		"deny acl orders false":            4,
		"allow acl orders true":            4,
		"allow authenticated stock false":  8,
		"deny no_policy  false":            4,
		"deny unset  false":                8,
	}, happened(counted(t, reg))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatAPolicyCanDecideIsCountedFromZero(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(t, reg, deciding(t,
		policyNamed("plain"),
		policyNamed("open", func(p *Policy) { p.Anonymous, p.RunOnPreflight = "visitor", false }),
		policyNamed("watching", func(p *Policy) { p.Shadow = true }),
	))
	got := counted(t, reg)
	always := []string{
		"authenticated", "missing_token", "duplicate_token", "malformed_token", "unknown_token", "wrong_secret", "expired", "not_yet_valid",
		"disabled", "malformed_record", "unknown_consumer", "acl", "unavailable", "canceled", "internal",
	}
	want := map[string]float64{}
	for _, reason := range []string{"not_http", "no_policy", "ambiguous_path", "ambiguous_host", "ambiguous_policy", "unavailable", "canceled", "internal"} {
		want["deny "+reason+"  false"] = 0
	}
	for _, reason := range always {
		decision := "deny"
		if reason == "authenticated" {
			decision = "allow"
		}
		want[decision+" "+reason+" plain false"] = 0
		want[decision+" "+reason+" open false"] = 0
		want["allow "+reason+" watching true"] = 0
	}
	for _, reason := range []string{"allow anonymous", "deny anonymous_acl", "deny anonymous_missing", "allow preflight"} {
		want[reason+" open false"] = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A decision that can be made and is not expected would begin at one: no rate shows it.
func TestEveryReasonThatADecisionHasIsExpected(t *testing.T) {
	t.Parallel()
	for _, w := range pathways() {
		a, reg := w.authorizer(t, 1), prometheus.NewRegistry()
		m := newMetrics(t, reg, a)
		before := counted(t, reg)
		d := a.Check(t.Context(), w.request)
		m.Count(t.Context(), w.request, &d, 0)
		for series := range happened(counted(t, reg)) {
			if _, expected := before[series]; !expected {
				t.Errorf("%s: %q was not there before", w.name, series)
			}
		}
	}
}

func TestTheCountersOfAPolicyThatIsGoneAreDropped(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	a := deciding(t, policyNamed("stays"), policyNamed("goes"))
	m := newMetrics(t, reg, a)
	for _, name := range []string{"stays", "goes"} {
		m.Count(t.Context(), get("/"), &Decision{Reason: ReasonACL, Policy: &Policy{Name: name}}, 0)
	}
	m.Count(t.Context(), get("/"), &Decision{Reason: ReasonNoPolicy}, 0)
	before := counted(t, reg)
	a.Replace(nil)
	if diff := cmp.Diff(happened(before), happened(counted(t, reg))); diff != "" {
		t.Errorf("without a snapshot (-before +got):\n%s", diff)
	}
	a.Replace(policySnapshot(t, policyNamed("stays")))
	got := counted(t, reg)
	for series := range got {
		if strings.Contains(series, "goes") {
			t.Errorf("%q is still there", series)
		}
	}
	if got["deny acl stays false"] != 1 || got["deny no_policy  false"] != 1 {
		t.Errorf("got %v, want the other counters as before", happened(got))
	}
}

func TestTheSeriesOfWhatHasNotHappenedAreBounded(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	var policies []Policy
	for i := range 3 * maxExpected {
		policies = append(policies, policyNamed(fmt.Sprintf("policy-%03d", i)))
	}
	m := newMetrics(t, reg, deciding(t, policies...))
	last := policies[len(policies)-1].Name
	m.Count(t.Context(), get("/"), &Decision{Reason: ReasonACL, Policy: &Policy{Name: last}}, 0)
	got := counted(t, reg)
	if most := 20 * (maxExpected + 1); len(got) > most || len(got) < 10*maxExpected {
		t.Errorf("got %d series, want at most %d", len(got), most)
	}
	if got["deny acl "+last+" false"] != 1 {
		t.Error("what has happened beyond the bound is not shown")
	}
}

// durations are the histograms by result.
func durations(tb testing.TB, reg prometheus.Gatherer) map[string]*dto.Histogram {
	tb.Helper()
	all := map[string]*dto.Histogram{}
	for _, metric := range families(tb, reg)["vault_authz_decision_duration_seconds"].GetMetric() {
		all[metric.GetLabel()[0].GetValue()] = metric.GetHistogram()
	}
	return all
}

func TestDurationsAreTakenByResult(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(t, reg, nil)
	if got := durations(t, reg); len(got) != int(resultCount) {
		t.Errorf("got %d series before any decision, want %d", len(got), resultCount)
	}
	for _, d := range []Decision{
		{Allowed: true, Reason: ReasonAuthenticated},
		{Allowed: true, Shadow: true, Reason: ReasonUnavailable},
		{Reason: ReasonACL},
		{Reason: ReasonAuthenticated}, // a contradiction, and still a denial
		{Reason: ReasonUnavailable},
		{Reason: ReasonCanceled},
		{Reason: ReasonInternal},
	} {
		m.Count(t.Context(), get("/"), &d, 190*time.Millisecond)
	}
	for result, want := range map[string]uint64{"allow": 2, "deny": 2, "error": 3} {
		h := durations(t, reg)[result]
		if h.GetSampleCount() != want {
			t.Errorf("%s: got %d, want %d", result, h.GetSampleCount(), want)
		}
		if len(h.GetPositiveSpan()) == 0 {
			t.Errorf("%s: it is no native histogram", result)
		}
		bounds := map[float64]uint64{}
		for _, b := range h.GetBucket() {
			bounds[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		if at, known := bounds[.2]; !known || at != want || bounds[.15] != 0 {
			t.Errorf("%s: got the buckets %v, want all %d between 0.15 and 0.2", result, bounds, want)
		}
	}
}

func exemplarsOf(tb testing.TB, reg prometheus.Gatherer) (traces []string) {
	tb.Helper()
	for _, h := range durations(tb, reg) {
		for _, b := range h.GetBucket() {
			for _, l := range b.GetExemplar().GetLabel() {
				traces = append(traces, l.GetName()+"="+l.GetValue())
			}
		}
	}
	slices.Sort(traces)
	return traces
}

func TestDurationsComeWithTheTracesOfSampledRequests(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(t, reg, nil)
	began := time.Now()
	count := func(after, took time.Duration, traceparent string) {
		r := get("/", "traceparent", traceparent)
		r.Received = began.Add(after)
		m.Count(t.Context(), r, &Decision{Allowed: true, Reason: ReasonAuthenticated}, took)
	}
	parent := func(first byte, flags string) string {
		return "00-" + string(first) + someTrace[1:] + "-00f067aa0ba902b7-" + flags
	}
	count(0, time.Microsecond, parent('1', "00"))
	count(time.Millisecond, time.Microsecond, parent('2', "01"))
	if got := exemplarsOf(t, reg); len(got) > 0 {
		t.Errorf("got %v of a request that is not sampled, and of one that came too soon after it", got)
	}
	count(20*time.Millisecond, time.Microsecond, parent('3', "01"))
	count(40*time.Millisecond, time.Microsecond, parent('4', "01"))
	count(40*time.Millisecond, 300*time.Millisecond, parent('5', "01"))
	want := []string{"trace_id=3" + someTrace[1:], "trace_id=5" + someTrace[1:]}
	if diff := cmp.Diff(want, exemplarsOf(t, reg)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	count(1100*time.Millisecond, time.Microsecond, parent('6', "01"))
	if got := exemplarsOf(t, reg)[1]; got != "trace_id=6"+someTrace[1:] {
		t.Errorf("a second later: got %s", got)
	}
}

func TestTheMetricsOfTheDecisionFollowTheConventions(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	newMetrics(t, reg, deciding(t, policyNamed("orders")))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
}
