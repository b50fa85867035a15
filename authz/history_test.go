package authz

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// hour60 is an hour of minutes with the counts of some of them, by how many minutes ago.
func hour60(counts map[int]uint64) []uint64 {
	all := make([]uint64, 60)
	for ago, n := range counts {
		all[59-ago] = n
	}
	return all
}

func TestDecisionsAreCountedInTheMinuteInWhichTheyWereMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // time begins with a whole minute
		a := deciding(t, policyNamed("orders"))
		m := newMetrics(t, prometheus.NewRegistry(), a)
		count := func(n int, allowed bool, reason Reason) {
			for range n {
				m.Count(t.Context(), get("/"), &Decision{Allowed: allowed, Reason: reason, Policy: &Policy{Name: "orders"}}, time.Millisecond)
			}
		}
		count(7, true, ReasonAuthenticated)
		h := NewHistory(m)
		go func() { _ = h.Run(t.Context()) }()
		expect := func(when string, want map[string][]uint64) {
			t.Helper()
			got := h.LastHour()
			if from := time.Now().Truncate(time.Minute).Add(-59 * time.Minute).Unix(); got.Step != 60 || got.From != from {
				t.Errorf("%s: steps of %d from %d, want 60 from %d", when, got.Step, got.From, from)
			}
			if diff := cmp.Diff(want, got.Reasons); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		expect("what was before does not count", map[string][]uint64{})

		time.Sleep(10 * time.Second)
		count(2, true, ReasonAuthenticated)
		expect("in the same minute", map[string][]uint64{"authenticated": hour60(map[int]uint64{0: 2})})
		time.Sleep(49 * time.Second)
		count(1, true, ReasonAuthenticated)
		count(4, false, ReasonWrongSecret)
		time.Sleep(2 * time.Second)
		count(5, true, ReasonAuthenticated)
		expect("in the next minute", map[string][]uint64{
			"authenticated": hour60(map[int]uint64{1: 3, 0: 5}), "wrong_secret": hour60(map[int]uint64{1: 4}),
		})

		// The series of the policy end, and what it has decided stays.
		a.Replace(policySnapshot(t, policyNamed("stock")))
		m.keep(m.current())
		time.Sleep(time.Minute)
		count(1, false, ReasonACL) // by the policy that is gone, at the moment of the change
		expect("after its policy was deleted", map[string][]uint64{
			"authenticated": hour60(map[int]uint64{2: 3, 1: 5}), "wrong_secret": hour60(map[int]uint64{2: 4}), "acl": hour60(map[int]uint64{0: 1}),
		})

		time.Sleep(58*time.Minute + 29*time.Second)
		expect("an hour later", map[string][]uint64{
			"authenticated": hour60(map[int]uint64{59: 5}), "acl": hour60(map[int]uint64{58: 1}),
		})
		time.Sleep(2 * time.Minute)
		expect("two minutes later", map[string][]uint64{})
	})
}
