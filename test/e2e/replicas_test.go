package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestRevocationHoldsOnEveryReplicaWithinTwoSeconds revokes pairs through both of two
// replicas, under load, and measures for how long after the answer the other replica still
// allows them. The replica that answered must deny them at once.
//
// It measures times, so no test runs in parallel with it.
//
//nolint:paralleltest // see above
func TestRevocationHoldsOnEveryReplicaWithinTwoSeconds(t *testing.T) {
	const revocations, batch = 200, 20
	s := newDeployment(t, 2)
	s.createEntities(t, mountV1, parts.KVv1)
	pairs := s.putPairs(t, revocations+batch)
	revoked, spared := pairs[:revocations], pairs[revocations:]
	for _, r := range s.replicas {
		parallel(len(pairs), 8, func(i int) { r.awaitAllowed(t, pairs[i]) })
	}
	if t.Failed() {
		return
	}
	calls := s.load(t, spared)

	took, held := make([]time.Duration, revocations), make([]time.Duration, revocations)
	parallel(revocations, batch, func(i int) {
		p, through, other := revoked[i], s.replicas[i%2], s.replicas[(i+1)%2]
		began := time.Now()
		if err := through.revoke(t.Context(), p); err != nil {
			t.Error(err)
			return
		}
		answered := time.Now()
		took[i] = answered.Sub(began)
		if a, err := through.ask(t.Context(), p); err != nil || a.Allowed {
			t.Errorf("%s allows a pair that was revoked through it: %+v, %v", through.name, a, err)
		}
		for {
			asked := time.Now()
			a, err := other.ask(t.Context(), p)
			if err != nil {
				t.Error(err)
				return
			}
			if held[i] = time.Since(answered); !a.Allowed {
				return
			}
			if late := asked.Sub(answered); late > parts.RevocationLimit {
				t.Errorf("%s still allows a pair %s after the revocation was answered", other.name, late)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	// No revoked pair is allowed again by a request that was in flight.
	time.Sleep(parts.RevocationLimit)
	for _, r := range s.replicas {
		parallel(revocations, 8, func(i int) {
			if a, err := r.ask(t.Context(), revoked[i]); err != nil || a.Status != http.StatusUnauthorized {
				t.Errorf("%s, at the end: %+v, %v, want 401", r.name, a, err)
			}
		})
		for _, p := range spared {
			if a, err := r.ask(t.Context(), p); err != nil || !a.Allowed {
				t.Errorf("%s denies a pair that was not revoked: %+v, %v", r.name, a, err)
			}
		}
	}
	t.Logf("%d revocations through two replicas beside %d requests: answered after %s; denied by the other replica %s after that",
		revocations, calls(), summary(took), summary(held))
}

// summary returns the median and the maximum of durations.
func summary(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("p50 %s, max %s", d[len(d)/2].Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond))
}

// load asks all replicas about pairs again and again until stop is called, which returns
// the number of requests.
func (s *deployment) load(t *testing.T, pairs []pair) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var calls atomic.Int64
	for _, r := range s.replicas {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if a, err := r.ask(ctx, pairs[i%len(pairs)]); err == nil && !a.Allowed {
					t.Errorf("%s denies a pair of the load: %+v", r.name, a)
					return
				}
				calls.Add(1)
				// The machine may have two cores only.
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func() int64 {
		cancel()
		wg.Wait()
		if calls.Load() < 100 {
			t.Errorf("the load was %d requests, want at least 100", calls.Load())
		}
		return calls.Load()
	}
}

// raceRounds is how often the replicas race for each kind of name: RACE_ROUNDS, or 25,
// which fits into the time of the suite.
func raceRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("RACE_ROUNDS")
	if text == "" {
		return 25
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("RACE_ROUNDS=%q is not a number of rounds", text)
	}
	return n
}

// TestTwoReplicasNeverCreateTheSameNameTwice creates the same entity through both replicas
// at the same moment. Each creates the access token for a different consumer: for the same
// consumer it would be overwritten, as in Kong.
func TestTwoReplicasNeverCreateTheSameNameTwice(t *testing.T) {
	t.Parallel()
	rounds := raceRounds(t)
	// A slow disk or a short timeout must not decide the race.
	s := newDeploymentWith(t, 2, setup{entities: strings.Replace(nothingButTheState, "timeout: 2s", "timeout: 10s", 1)})
	s.createEntities(t, mountV1, parts.KVv1)
	s.createVaultV2(t)
	for _, r := range s.replicas {
		r.admin(t, 201, "POST", "/consumers", "username=owner of "+r.name)
	}
	t.Run("username", func(t *testing.T) {
		t.Parallel()
		races := newRaces(s)
		for i := range rounds {
			name := "twin-" + strconv.Itoa(i)
			won, certain := races.run(t, "/consumers", func(*replica) []string { return []string{"username=" + name} })
			for _, r := range s.replicas {
				if got := r.insist(t, 200, "GET", "/consumers/"+name); certain && got.text("id") != won.text("id") {
					t.Errorf("%s: consumer %q has the id %q, want %q", r.name, name, got.text("id"), won.text("id"))
				}
			}
		}
		counts := map[string]int{}
		for _, c := range s.all(t, "/consumers") {
			name, _ := c["username"].(string)
			counts[name]++
		}
		for i := range rounds {
			if name := "twin-" + strconv.Itoa(i); counts[name] != 1 {
				t.Errorf("%d consumers are called %q, want 1", counts[name], name)
			}
		}
		races.report(t)
	})
	t.Run("plugin", func(t *testing.T) {
		t.Parallel()
		races := newRaces(s)
		there := s.all(t, "/plugins")
		for range rounds {
			for _, p := range there {
				s.replicas[0].insist(t, 204, "DELETE", fmt.Sprint("/plugins/", p["id"]))
			}
			won, certain := races.run(t, "/plugins", func(*replica) []string {
				return []string{"name=vault-auth", "config.vault.name=" + vaultName}
			})
			if there = s.all(t, "/plugins"); len(there) != 1 || certain && there[0]["id"] != won.text("id") {
				t.Errorf("plugins = %v, want only %q", there, won.text("id"))
			}
		}
		races.report(t)
	})
	for _, vault := range []string{vaultName, vaultOfV2} {
		t.Run("access token in "+vault, func(t *testing.T) {
			t.Parallel()
			races := newRaces(s)
			credentials := "/vault-auth/" + vault + "/credentials"
			for range rounds {
				access := unique("twin")
				won, certain := races.run(t, credentials, func(r *replica) []string {
					return []string{"access_token=" + access, "consumer.username=owner of " + r.name}
				})
				owner := won.text("data.consumer.id")
				for _, r := range s.replicas {
					got := r.insist(t, 200, "GET", credentials+"/token/"+access).text("data.consumer.id")
					if !certain && owner == "" {
						owner = got
					}
					if got != owner {
						t.Errorf("%s: the credential belongs to %q, want the winner %q", r.name, got, owner)
					}
				}
			}
			races.report(t)
		})
	}
}

// races are the races for one kind of name.
type races struct {
	deployment *deployment
	wins       map[string]int
	took       []time.Duration
	// unclear are rounds in which a replica answered with 503 because Vault was too
	// slow: its first call may have won.
	unclear int
}

func newRaces(s *deployment) *races { return &races{deployment: s, wins: map[string]int{}} }

func (r *races) report(t *testing.T) {
	t.Helper()
	t.Logf("%d rounds, winners: %v; %d rounds with a 503; both answered after %s", len(r.took), r.wins, r.unclear, summary(r.took))
	if r.unclear > len(r.took)/2 {
		t.Errorf("%d of %d rounds had a 503, want at most half", r.unclear, len(r.took))
	}
}

// run posts to all replicas at the same moment and returns the reply of the winner. An
// unclear round may have no winner.
func (r *races) run(t *testing.T, path string, form func(*replica) []string) (won reply, certain bool) {
	t.Helper()
	replicas := r.deployment.replicas
	replies, errs := make([]reply, len(replicas)), make([]error, len(replicas))
	var waits atomic.Int64
	began := time.Now()
	parallel(len(replicas), len(replicas), func(i int) {
		for {
			replies[i], errs[i] = replicas[i].do(t.Context(), "POST", path, form(replicas[i])...)
			if errs[i] != nil || replies[i].status != http.StatusServiceUnavailable || time.Since(began) > time.Minute {
				return
			}
			waits.Add(1)
		}
	})
	r.took = append(r.took, time.Since(began))
	winners := 0
	for i, got := range replies {
		switch {
		case errs[i] != nil:
			t.Fatal(errs[i])
		case got.status == http.StatusCreated:
			winners++
			won = got
			r.wins[replicas[i].name]++
		case got.status != http.StatusConflict:
			t.Errorf("%s: POST %s: status = %d, want 201 or 409; body %s", replicas[i].name, path, got.status, got.raw)
		}
	}
	if certain = waits.Load() == 0; !certain {
		r.unclear++
	}
	if winners > 1 || winners == 0 && certain {
		t.Fatalf("POST %s: %d replicas answered 201, want 1; the answers are %v", path, winners, replies)
	}
	return won, winners == 1
}

// insist repeats a call while it is answered with 503, and expects a status.
func (r *replica) insist(t *testing.T, status int, method, path string) (got reply) {
	t.Helper()
	partstest.Await(t, time.Minute, func(ctx context.Context) (err error) {
		got, err = r.do(ctx, method, path)
		if err == nil && got.status == http.StatusServiceUnavailable {
			err = fmt.Errorf("%s: %s %s: status = %d, want %d; body %s", r.name, method, path, got.status, status, got.raw)
		}
		return err
	})
	if got.status != status {
		t.Fatalf("%s: %s %s: status = %d, want %d; body %s", r.name, method, path, got.status, status, got.raw)
	}
	return got
}

// all lists all entities through the first replica, page by page.
func (s *deployment) all(t *testing.T, path string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for next := path; next != ""; {
		page := s.replicas[0].insist(t, 200, "GET", next)
		data, _ := page.body["data"].([]any)
		for _, d := range data {
			entity, _ := d.(map[string]any)
			all = append(all, entity)
		}
		next = page.text("next")
	}
	return all
}

// TestManyChangesAtOnceAreAllAnswered makes 64 changes through two replicas at the same
// moment, and then 64 revocations.
func TestManyChangesAtOnceAreAllAnswered(t *testing.T) {
	t.Parallel()
	const changes = 64
	s := newDeployment(t, 2)
	s.createEntities(t, mountV1, parts.KVv1)
	pairs := s.putPairs(t, changes)
	measure := func(what string, change func(i int, r *replica) (reply, error), want int) {
		took := make([]time.Duration, changes)
		began := time.Now()
		parallel(changes, changes, func(i int) {
			r := s.replicas[i%2]
			got, err := change(i, r)
			if took[i] = time.Since(began); err != nil || got.status != want {
				t.Errorf("%s: %s: status = %d, %v, want %d; body %s", r.name, what, got.status, err, want, got.raw)
			}
		})
		t.Logf("%d at once of %s: %s", changes, what, summary(took))
	}
	measure("POST /consumers", func(i int, r *replica) (reply, error) {
		return r.do(t.Context(), "POST", "/consumers", "username=one-of-many-"+strconv.Itoa(i))
	}, http.StatusCreated)
	measure("DELETE of a pair", func(i int, r *replica) (reply, error) {
		return r.do(t.Context(), "DELETE", "/vault-auth/"+vaultName+"/credentials/token/"+pairs[i].access)
	}, http.StatusNoContent)
}

// TestAReplicaThatWasStoppedCatchesUpBeforeItAllows stops a replica for longer than it may
// decide without the log of changes, and asks it about pairs that were revoked during that
// time. The requests are waiting when the replica continues.
func TestAReplicaThatWasStoppedCatchesUpBeforeItAllows(t *testing.T) {
	t.Parallel()
	const revocations = 20
	tests := []struct {
		name string
		// meanwhile is called after the revocations.
		meanwhile func(t *testing.T, s *deployment)
	}{
		{"the log has the changes", func(*testing.T, *deployment) {}},
		{"the log was replaced", func(t *testing.T, s *deployment) {
			t.Helper()
			for _, entry := range []string{"checkpoint", "log/00"} {
				must(t, s.vault.Do(t.Context(), "DELETE", mountState+"/metadata/"+entry, nil, nil))
			}
			partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
				got, err := s.replicas[1].do(ctx, "POST", "/consumers", "username=begins a new log")
				if err == nil && got.status != http.StatusCreated && got.status != http.StatusConflict {
					err = fmt.Errorf("status %d: %s", got.status, got.raw)
				}
				return err
			})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newDeploymentWith(t, 2, setup{durable: true, entities: nothingButTheState})
			s.createEntities(t, mountV1, parts.KVv1)
			pairs := s.putPairs(t, revocations+1)
			for _, p := range pairs {
				s.replicas[0].awaitAllowed(t, p)
			}
			s.revokeWhileStopped(t, pairs[:revocations], func() { test.meanwhile(t, s) })
			if test.name == "the log has the changes" {
				s.replicas[0].awaitAllowed(t, pairs[revocations])
			}
		})
	}
}

// revokeWhileStopped stops the first replica while pairs are revoked through the second
// one.
func (s *deployment) revokeWhileStopped(t *testing.T, pairs []pair, meanwhile func()) {
	t.Helper()
	stopped, other := s.replicas[0], s.replicas[1]
	must(t, stopped.Signal(syscall.SIGSTOP))
	began := time.Now()
	parallel(len(pairs), 8, func(i int) {
		if err := other.revoke(t.Context(), pairs[i]); err != nil {
			t.Error(err)
		}
	})
	meanwhile()
	var answers sync.WaitGroup
	for _, p := range pairs {
		answers.Go(func() {
			// The first requests are waiting when it continues, the others arrive
			// while it catches up.
			for range 20 {
				a, err := stopped.ask(t.Context(), p)
				if err != nil || a.Allowed {
					t.Errorf("%s allows a pair that was revoked while it was stopped: %+v, %v", stopped.name, a, err)
					return
				}
			}
		})
	}
	time.Sleep(time.Until(began.Add(3500 * time.Millisecond)))
	must(t, stopped.Signal(syscall.SIGCONT))
	answers.Wait()
}
