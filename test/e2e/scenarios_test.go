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
		{"isolated standby", func(t *testing.T, s *clusterDeployment) { t.Helper(); isolatedStandby(t, s, (*parts.Link).Cut) }},
		{"silent standby", func(t *testing.T, s *clusterDeployment) { t.Helper(); isolatedStandby(t, s, (*parts.Link).Silence) }},
		{"isolated leader", func(t *testing.T, s *clusterDeployment) { t.Helper(); isolatedLeader(t, s, (*parts.Link).Cut) }},
		{"step-down", stepDown},
	}
}

// manyChanges shows that no limit of the server bounds the number of changes.
func manyChanges(t *testing.T, s *clusterDeployment) {
	t.Helper()
	r := s.start(t, s.leader)
	const n = 250
	var refused atomic.Int64
	parallel(n, 8, func(int) {
		if refused.Load() > 0 {
			return
		}
		got, err := retryUnavailable(t.Context(), func() (reply, error) { return r.do(t.Context(), "POST", "/consumers", "username=many-"+rand.Text()) })
		if err != nil || got.status != http.StatusCreated {
			refused.Add(1)
		}
	})
	if refused.Load() > 0 {
		t.Errorf("a change is refused permanently before %d changes", n)
	}
}

// deleteThroughAStandby shows that the replica which answered a revocation denies the next
// request.
func deleteThroughAStandby(t *testing.T, s *clusterDeployment) {
	t.Helper()
	r := s.start(t, s.standbys[0])
	pairs := s.pairs(t, 40, r)
	allowed := 0
	for _, p := range pairs {
		revoked := r.revokeRetrying(t, p)
		if held := r.allowedFor(t, p, revoked); held > 10*time.Millisecond {
			allowed++
		}
	}
	t.Logf("%d of %d were allowed after the answer", allowed, len(pairs))
	if allowed > 0 {
		t.Errorf("%d of %d pairs are allowed by the replica that revoked them", allowed, len(pairs))
	}
}

// createThenUse shows that all replicas allow a pair once its creation was answered.
func createThenUse(t *testing.T, s *clusterDeployment) {
	t.Helper()
	a, b := s.start(t, s.leader), s.start(t, s.standbys[0])
	// Both replicas must know the consumer.
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

// callsThroughAStandby shows that no admin call is slow because it passes a standby.
func callsThroughAStandby(t *testing.T, s *clusterDeployment) {
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
	if longest.max > parts.CallLimit || refused > 0 {
		t.Errorf("the longest of %d calls took %s, want at most %s; %d were refused, want 0", 6*rounds, longest.max, parts.CallLimit, refused)
	}
}

// slow delays everything between the leader and the first standby.
func (s *clusterDeployment) slow() {
	s.cluster.Link(s.leader, s.standbys[0]).SetDelay(parts.SlowLink)
	s.cluster.Link(s.standbys[0], s.leader).SetDelay(parts.SlowLink)
}

// disableThenRotate shows that a change through one replica does not undo the change through
// another one, even if it reads the record from a node that is behind.
func disableThenRotate(t *testing.T, s *clusterDeployment) {
	t.Helper()
	a, b := s.start(t, s.leader), s.startSplit(t, s.standbys[0], s.leader)
	pairs := s.pairs(t, 8, a)
	s.slow()
	token := "/vault-auth/" + vaultName + "/credentials/token/"
	var lost atomic.Int64
	parallel(len(pairs), 4, func(i int) {
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
		time.Sleep(parts.RevocationLimit)
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
	if lost.Load() > 0 {
		t.Errorf("%d of %d pairs that were disabled and then rotated are allowed", lost.Load(), len(pairs))
	}
}

// twoCreators shows that only one of two consumers gets the same access token.
func twoCreators(t *testing.T, s *clusterDeployment) {
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
		parallel(rounds, 4, func(int) {
			access := unique("twin")
			statuses := make([]int, 2)
			parallel(2, 2, func(i int) {
				r := []*replica{a, b}[i]
				got, err := retryUnavailable(t.Context(), func() (reply, error) {
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
		if len(wrong) > 0 {
			t.Errorf("%s: statuses in %d rounds: %v, want 201 and 409", vault, rounds, wrong)
		}
	}
}

// isolatedStandby shows that a replica changes to another node if its node is isolated.
func isolatedStandby(t *testing.T, s *clusterDeployment, cut func(*parts.Link)) {
	t.Helper()
	a, b := s.start(t, s.leader), s.start(t, s.standbys[0])
	pairs := s.pairs(t, 2, a)
	stop := s.keepUsing(t, pairs[0])
	s.cluster.Isolate(s.standbys[0], cut)
	b.checkDenied(t, pairs[1], a.revokeRetrying(t, pairs[1]))
	took := b.recoveryTime(t)
	t.Logf("%s creates a consumer in %s", b.name, took.Round(time.Millisecond))
	if took > parts.RecoveryLimit {
		t.Errorf("%s creates a consumer in %s, want at most %s", b.name, took, parts.RecoveryLimit)
	}
	stop()
}

// isolatedLeader shows the same for a node that was the leader, and that the replica does
// not return to it.
func isolatedLeader(t *testing.T, s *clusterDeployment, cut func(*parts.Link)) {
	t.Helper()
	a, b := s.start(t, s.standbys[0]), s.start(t, s.leader)
	pairs := s.pairs(t, 3, a)
	stop := s.keepUsing(t, pairs[0])
	s.afterAnElection(t, func() { s.cluster.Isolate(s.leader, cut) })
	b.checkDenied(t, pairs[1], a.revokeRetrying(t, pairs[1]))
	// A replica checks the health of its first address every 15 seconds.
	time.Sleep(18 * time.Second)
	b.checkDenied(t, pairs[2], a.revokeRetrying(t, pairs[2]))
	stop()
}

// stepDown shows that only calls which need a leader notice an election.
func stepDown(t *testing.T, s *clusterDeployment) {
	t.Helper()
	a, b := s.start(t, s.leader), s.start(t, s.standbys[0])
	pairs := s.pairs(t, 3, a)
	stop := s.keepUsing(t, pairs[0])
	s.afterAnElection(t, func() {
		_, err := s.cluster.StepDown(t.Context())
		must(t, err)
		b.checkDenied(t, pairs[1], a.revokeRetrying(t, pairs[1]))
	})
	a.checkDenied(t, pairs[2], b.revokeRetrying(t, pairs[2]))
	stop()
}

// afterAnElection forces an election and expects that admin calls succeed on all replicas
// soon afterwards.
func (s *clusterDeployment) afterAnElection(t *testing.T, end func()) {
	t.Helper()
	began := time.Now()
	end()
	s.awaitLeader(t)
	elected := time.Now()
	for _, r := range s.replicas {
		took := r.recoveryTime(t)
		t.Logf("a leader after %s; %s creates a consumer %s later", elected.Sub(began).Round(time.Millisecond), r.name, took.Round(time.Millisecond))
		if took > parts.RecoveryLimit {
			t.Errorf("%s creates a consumer %s after the election, want at most %s", r.name, took, parts.RecoveryLimit)
		}
	}
}
