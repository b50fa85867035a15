package e2e

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

func scenarios() []scenario {
	return []scenario{
		{"many changes", manyChanges},
		{"delete through a standby", deleteThroughAStandby},
		{"create, then use through a standby", createThenUse},
		{"admin calls through a standby", callsThroughAStandby},
		{"disable, then rotate on a slow link", disableThenRotate},
		{"two creators on a slow link", twoCreators},
		{"isolated standby", func(t *testing.T, s *clusterSite) { t.Helper(); isolatedStandby(t, s, (*parts.Link).Cut) }},
		{"silent standby", func(t *testing.T, s *clusterSite) { t.Helper(); isolatedStandby(t, s, (*parts.Link).Silence) }},
		{"isolated leader", func(t *testing.T, s *clusterSite) { t.Helper(); isolatedLeader(t, s, (*parts.Link).Cut) }},
		{"step-down", stepDown},
	}
}

// manyChanges: no number of changes is too many for a limit of the server.
func manyChanges(t *testing.T, s *clusterSite) {
	t.Helper()
	r := s.start(t, s.leader)
	const n = 250
	var refused atomic.Int64
	together(n, 8, func(int) {
		if refused.Load() > 0 {
			return
		}
		got, err := patiently(t.Context(), func() (reply, error) { return r.do(t.Context(), "POST", "/consumers", "username=many-"+rand.Text()) })
		if err != nil || got.status != http.StatusCreated {
			refused.Add(1)
		}
	})
	if refused.Load() > 0 {
		t.Errorf("changes are refused for good before %d are made", n)
	}
}

// deleteThroughAStandby: where a revocation was answered, the next request is
// denied.
func deleteThroughAStandby(t *testing.T, s *clusterSite) {
	t.Helper()
	r := s.start(t, s.standbys[0])
	pairs := s.pairs(t, 40, r)
	allowed := 0
	for _, p := range pairs {
		revoked := r.revokes(t, p)
		if held := r.held(t, p, revoked); held > 10*time.Millisecond {
			allowed++
		}
	}
	t.Logf("%d of %d were allowed after the answer", allowed, len(pairs))
	if allowed > 0 {
		t.Errorf("%d of %d are allowed by the replica that had revoked them", allowed, len(pairs))
	}
}

// createThenUse: a pair is good everywhere once its creation was answered.
func createThenUse(t *testing.T, s *clusterSite) {
	t.Helper()
	a, b := s.start(t, s.leader), s.start(t, s.standbys[0])
	// So that they know the consumer.
	s.pairs(t, 1, a)
	for _, way := range []struct{ through, on *replica }{{a, b}, {b, a}, {b, b}} {
		const n = 20
		denied := 0
		for range n {
			if got, err := way.on.ask(t.Context(), s.newPair(t, way.through)); err != nil || !got.Allowed {
				denied++
			}
		}
		t.Logf("created on %s, used on %s: %d of %d are denied", way.through.name, way.on.name, denied, n)
		if denied > 0 {
			t.Errorf("%d of %d pairs are denied on %s just after they were created on %s", denied, n, way.on.name, way.through.name)
		}
	}
}

// callsThroughAStandby: no admin call takes long because of the way it goes.
func callsThroughAStandby(t *testing.T, s *clusterSite) {
	t.Helper()
	r := s.start(t, s.standbys[0])
	s.consumer(t, operator)
	var longest stopwatch
	refused := 0
	call := func(status int, method, path string, form ...string) {
		longest.time(func() {
			if got, err := r.do(t.Context(), method, path, form...); err != nil || got.status != status {
				refused++
				t.Logf("%s %s: status = %d, %v, want %d; body %s", method, path, got.status, err, status, got.raw)
			}
		})
	}
	const rounds = 8
	credentials := "/vault-auth/" + vaultName + "/credentials"
	for range rounds {
		name, access := "called-"+rand.Text(), unique("access")
		call(201, "POST", "/consumers", "username="+name)
		call(201, "POST", credentials+"/"+operator, "access_token="+access)
		call(200, "PATCH", credentials+"/token/"+access, "disabled=true")
		call(201, "POST", credentials+"/token/"+access+"/rotate")
		call(204, "DELETE", credentials+"/token/"+access)
		call(204, "DELETE", "/consumers/"+name)
	}
	t.Logf("the longest of %d calls took %s, %d were refused", 6*rounds, longest.max.Round(time.Millisecond), refused)
	if longest.max > callLimit || refused > 0 {
		t.Errorf("the longest of %d calls took %s, want %s at most; %d were refused, want none", 6*rounds, longest.max, callLimit, refused)
	}
}

// slow has everything between the leader and the first standby arrive late.
func (s *clusterSite) slow() {
	s.cluster.Link(s.leader, s.standbys[0]).SetDelay(slowLink)
	s.cluster.Link(s.standbys[0], s.leader).SetDelay(slowLink)
}

// disableThenRotate: what one replica has changed is not undone by the next
// change through another one, which has the turn from a node that is current and
// the record from one that is late.
func disableThenRotate(t *testing.T, s *clusterSite) {
	t.Helper()
	a, b := s.start(t, s.leader), s.startSplit(t, s.standbys[0], s.leader)
	pairs := s.pairs(t, 8, a)
	s.slow()
	token := "/vault-auth/" + vaultName + "/credentials/token/"
	var lost atomic.Int64
	together(len(pairs), 4, func(i int) {
		p := pairs[i]
		if got, err := a.do(t.Context(), "PATCH", token+p.access, "disabled=true"); err != nil || got.status != http.StatusOK {
			t.Errorf("disabling: status = %d, %v, want 200; body %s", got.status, err, got.raw)
			return
		}
		got, err := b.do(t.Context(), "POST", token+p.access+"/rotate", "secret_token=next-"+p.secret)
		if err != nil {
			t.Error(err)
			return
		}
		time.Sleep(within)
		for _, r := range s.replicas {
			for _, secret := range []string{p.secret, "next-" + p.secret} {
				if answer, err := r.ask(t.Context(), pair{p.access, secret}); err != nil || answer.Allowed {
					lost.Add(1)
					t.Logf("rotated with %d; then %s allows: %+v, %v", got.status, r.name, answer, err)
					return
				}
			}
		}
	})
	t.Logf("%d of %d are good after all", lost.Load(), len(pairs))
	if lost.Load() > 0 {
		t.Errorf("%d of %d pairs are good that were disabled, then rotated", lost.Load(), len(pairs))
	}
}

// twoCreators: of two consumers that take one access token, one gets it.
func twoCreators(t *testing.T, s *clusterSite) {
	t.Helper()
	a, b := s.start(t, s.leader), s.startSplit(t, s.standbys[0], s.leader)
	for _, r := range s.replicas {
		s.consumer(t, "owner of "+r.name)
	}
	s.slow()
	const rounds = 8
	for _, vault := range []string{parts.ReplicaVaultV1, parts.ReplicaVaultV2} {
		var mu sync.Mutex
		wrong := map[string]int{}
		together(rounds, 4, func(int) {
			access := unique("twin")
			statuses := make([]int, 2)
			together(2, 2, func(i int) {
				r := []*replica{a, b}[i]
				got, err := patiently(t.Context(), func() (reply, error) {
					return r.do(t.Context(), "POST", "/vault-auth/"+vault+"/credentials", "access_token="+access, fmt.Sprintf("secret_token=%s-%d", access, i), "consumer.username=owner of "+r.name)
				})
				if err != nil {
					t.Error(err)
				}
				statuses[i] = got.status
			})
			if statuses[0]+statuses[1] != http.StatusCreated+http.StatusConflict {
				mu.Lock()
				defer mu.Unlock()
				wrong[fmt.Sprint(statuses)]++
			}
		})
		t.Logf("%s: of %d rounds these had not one winner: %v", vault, rounds, wrong)
		if len(wrong) > 0 {
			t.Errorf("%s: of %d rounds these had not one 201 and one 409: %v", vault, rounds, wrong)
		}
	}
}

// isolatedStandby: a replica whose node is cut off goes to another one.
func isolatedStandby(t *testing.T, s *clusterSite, cut func(*parts.Link)) {
	t.Helper()
	a, b := s.start(t, s.leader), s.start(t, s.standbys[0])
	pairs := s.pairs(t, 2, a)
	stop := s.uses(t, pairs[0])
	s.cluster.Isolate(s.standbys[0], cut)
	b.denies(t, pairs[1], a.revokes(t, pairs[1]))
	took := b.recovers(t)
	t.Logf("%s makes a consumer in %s", b.name, took.Round(time.Millisecond))
	if took > recoveryLimit {
		t.Errorf("%s makes a consumer in %s, want %s at most", b.name, took, recoveryLimit)
	}
	stop()
}

// isolatedLeader: so does one whose node was the leader until it was cut off,
// and it does not come back to it.
func isolatedLeader(t *testing.T, s *clusterSite, cut func(*parts.Link)) {
	t.Helper()
	a, b := s.start(t, s.standbys[0]), s.start(t, s.leader)
	pairs := s.pairs(t, 3, a)
	stop := s.uses(t, pairs[0])
	s.afterAnElection(t, func() { s.cluster.Isolate(s.leader, cut) })
	b.denies(t, pairs[1], a.revokes(t, pairs[1]))
	// The health of the first address is looked at every 15 seconds.
	time.Sleep(18 * time.Second)
	b.denies(t, pairs[2], a.revokes(t, pairs[2]))
	stop()
}

// stepDown: a change of the leader is not felt but by calls that need one.
func stepDown(t *testing.T, s *clusterSite) {
	t.Helper()
	a, b := s.start(t, s.leader), s.start(t, s.standbys[0])
	pairs := s.pairs(t, 3, a)
	stop := s.uses(t, pairs[0])
	s.afterAnElection(t, func() {
		_, err := s.cluster.StepDown(t.Context())
		must(t, err)
		b.denies(t, pairs[1], a.revokes(t, pairs[1]))
	})
	a.denies(t, pairs[2], b.revokes(t, pairs[2]))
	stop()
}

// afterAnElection does what makes the nodes choose another leader, and has admin
// calls work on all replicas soon after they have.
func (s *clusterSite) afterAnElection(t *testing.T, end func()) {
	t.Helper()
	began := time.Now()
	end()
	s.leads(t)
	elected := time.Now()
	for _, r := range s.replicas {
		took := r.recovers(t)
		t.Logf("a leader after %s; %s makes a consumer %s later", elected.Sub(began).Round(time.Millisecond), r.name, took.Round(time.Millisecond))
		if took > recoveryLimit {
			t.Errorf("%s makes a consumer %s after there is a leader, want %s at most", r.name, took, recoveryLimit)
		}
	}
}
