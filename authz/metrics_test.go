package authz

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestDecisionsAreCountedByWhatTheyWere(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
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
				m.Count(&decisions[i], time.Millisecond)
			}
		})
	}
	all.Wait()
	want := `
# HELP vault_authz_decisions_total Decisions by verdict, reason and policy; shadow says that a policy only observes.
# TYPE vault_authz_decisions_total counter
vault_authz_decisions_total{decision="allow",policy="orders",reason="authenticated",shadow="false"} 4
vault_authz_decisions_total{decision="deny",policy="orders",reason="acl",shadow="false"} 4
vault_authz_decisions_total{decision="allow",policy="orders",reason="acl",shadow="true"} 4
vault_authz_decisions_total{decision="allow",policy="stock",reason="authenticated",shadow="false"} 8
vault_authz_decisions_total{decision="deny",policy="",reason="no_policy",shadow="false"} 4
vault_authz_decisions_total{decision="deny",policy="",reason="unset",shadow="false"} 8
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "vault_authz_decisions_total"); err != nil {
		t.Error(err)
	}
}
