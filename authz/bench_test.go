package authz

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// manyPolicies returns n policies on one vault object. The last one is the one
// that requests of the tests select: by host and path where there are several.
func manyPolicies(n int, change func(*Policy)) []Policy {
	policies := make([]Policy, n)
	for i := range policies {
		p := DefaultPolicy()
		p.Name, p.Vault = fmt.Sprintf("policy-%d", i), "kong-auth"
		switch {
		case n == 1:
			p.Default = true
		case i == n-1:
			p.Hosts, p.Paths = []string{"*.example.com"}, []string{"/"}
		case i%2 == 0:
			p.Hosts = []string{fmt.Sprintf("service-%d.example.com", i), fmt.Sprintf("*.service-%d.example.org", i)}
		default:
			p.Hosts, p.Paths = []string{"api.example.com"}, []string{fmt.Sprintf("/service-%d", i)}
		}
		if change != nil {
			change(&p)
		}
		policies[i] = p
	}
	return policies
}

func BenchmarkCheck(b *testing.B) {
	for _, w := range pathways() {
		for _, policies := range []int{1, 10, 1000} {
			b.Run(fmt.Sprintf("%s/policies=%d", w.name, policies), func(b *testing.B) {
				a, d := w.authorizer(b, policies), new(Decision)
				b.ReportAllocs()
				for b.Loop() {
					w.check(b, a, d)
				}
			})
		}
	}
}

// BenchmarkObserve is what counting a decision and not logging it costs.
func BenchmarkObserve(b *testing.B) {
	for _, w := range pathways() {
		b.Run(w.name, func(b *testing.B) {
			metrics, lines := newMetrics(b, prometheus.NewRegistry(), nil), NewDecisionLog(zap.NewNop(), 1000, nil)
			a, d := w.authorizer(b, 1), new(Decision)
			w.check(b, a, d)
			b.ReportAllocs()
			for b.Loop() {
				metrics.Count(b.Context(), w.request, d, 700*time.Nanosecond)
				lines.Write(b.Context(), w.request, d, 700*time.Nanosecond)
			}
		})
	}
}
