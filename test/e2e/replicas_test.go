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

// within is what is promised of a revocation on the other replicas, with a poll
// of one second.
const within = 2 * time.Second

// TestRevocationHoldsOnEveryReplicaWithinTwoSeconds revokes through either of
// two replicas, under load, and measures from the answer on for how long the
// pair is still good on the other one. On the replica that took it, it must be
// over by then.
//
// It measures, so it does not run beside the others.
//
//nolint:paralleltest // see above
func TestRevocationHoldsOnEveryReplicaWithinTwoSeconds(t *testing.T) {
	const revocations, batch = 200, 20
	s := newSite(t, 2)
	s.furnish(t, mountV1, parts.KVv1)
	pairs := s.putPairs(t, revocations+batch)
	revoked, spared := pairs[:revocations], pairs[revocations:]
	for _, r := range s.replicas {
		together(len(pairs), 8, func(i int) { r.allows(t, pairs[i]) })
	}
	if t.Failed() {
		return
	}
	calls := s.load(t, spared)

	took, held := make([]time.Duration, revocations), make([]time.Duration, revocations)
	together(revocations, batch, func(i int) {
		p, through, other := revoked[i], s.replicas[i%2], s.replicas[(i+1)%2]
		began := time.Now()
		if err := through.revoke(t.Context(), p); err != nil {
			t.Error(err)
			return
		}
		answered := time.Now()
		took[i] = answered.Sub(began)
		if a, err := through.ask(t.Context(), p); err != nil || a.Allowed {
			t.Errorf("%s allows what was revoked through it: %+v, %v", through.name, a, err)
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
			if late := asked.Sub(answered); late > within {
				t.Errorf("%s allows, asked %s after the revocation was answered", other.name, late)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	// And none comes back, with what was under way by then.
	time.Sleep(within)
	for _, r := range s.replicas {
		together(revocations, 8, func(i int) {
			if a, err := r.ask(t.Context(), revoked[i]); err != nil || a.Status != http.StatusUnauthorized {
				t.Errorf("%s, in the end: %+v, %v, want 401", r.name, a, err)
			}
		})
		for _, p := range spared {
			if a, err := r.ask(t.Context(), p); err != nil || !a.Allowed {
				t.Errorf("%s denies a pair that was not revoked: %+v, %v", r.name, a, err)
			}
		}
	}
	t.Logf("%d revocations through two replicas beside %d requests: answered after %s; denied by the other replica %s after that",
		revocations, calls(), spread(took), spread(held))
}

// spread sums up durations.
func spread(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("p50 %s, max %s", d[len(d)/2].Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond))
}

// load asks all replicas about pairs, all the time, until what it returns is
// called, which says how often.
func (s *site) load(t *testing.T, pairs []pair) (stop func() int64) {
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
				// Two cores are shared with everything else.
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func() int64 {
		cancel()
		wg.Wait()
		if calls.Load() < 100 {
			t.Errorf("the load was %d requests: it shows nothing", calls.Load())
		}
		return calls.Load()
	}
}

// raceRounds is how often the replicas race for each kind of name: RACE_ROUNDS,
// or what fits into the time of the suite.
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

// TestTwoReplicasNeverCreateTheSameNameTwice creates the same thing through both
// replicas at the same moment. An access token is made for another consumer by
// each: for the same one, as in Kong, it would be written over.
func TestTwoReplicasNeverCreateTheSameNameTwice(t *testing.T) {
	t.Parallel()
	rounds := raceRounds(t)
	// It is about the order of things, not about a disk or a short time limit.
	s := newSiteWith(t, 2, setup{entities: strings.Replace(nothingButTheState, "timeout: 2s", "timeout: 10s", 1)})
	s.furnish(t, mountV1, parts.KVv1)
	s.furnishV2(t)
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
				t.Errorf("there are %d consumers %q, want one", counts[name], name)
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
				t.Errorf("there are the plugins %v, want %q alone", there, won.text("id"))
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
						t.Errorf("%s: the credential is that of %q, want the winner's, %q", r.name, got, owner)
					}
				}
			}
			races.report(t)
		})
	}
}

// races are those for one kind of thing.
type races struct {
	site *site
	wins map[string]int
	took []time.Duration
	// unclear are rounds in which a replica could not tell at first, since the
	// server was too slow for it: its first call may have been the one that won.
	unclear int
}

func newRaces(s *site) *races { return &races{site: s, wins: map[string]int{}} }

func (r *races) report(t *testing.T) {
	t.Helper()
	t.Logf("%d rounds, never two winners: %v; %d rounds with a 503; both answered after %s", len(r.took), r.wins, r.unclear, spread(r.took))
	if r.unclear > len(r.took)/2 {
		t.Errorf("%d of %d rounds had a 503: this shows little", r.unclear, len(r.took))
	}
}

// run posts to all replicas at the same moment, and returns the one success. In
// an unclear round there may be none to return.
func (r *races) run(t *testing.T, path string, form func(*replica) []string) (won reply, certain bool) {
	t.Helper()
	replicas := r.site.replicas
	replies, errs := make([]reply, len(replicas)), make([]error, len(replicas))
	var waits atomic.Int64
	began := time.Now()
	together(len(replicas), len(replicas), func(i int) {
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
		t.Fatalf("POST %s: %d replicas answered 201, want one; the answers are %v", path, winners, replies)
	}
	return won, winners == 1
}

// insist is do, again and again for as long as a slow server makes it a 503.
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

// all lists all entities, page by page, through the first replica.
func (s *site) all(t *testing.T, path string) []map[string]any {
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

// TestManyChangesAtOnceAreAllAnswered makes 64 changes through two replicas at one
// moment, and revokes as much.
func TestManyChangesAtOnceAreAllAnswered(t *testing.T) {
	t.Parallel()
	const changes = 64
	s := newSite(t, 2)
	s.furnish(t, mountV1, parts.KVv1)
	pairs := s.putPairs(t, changes)
	measure := func(what string, change func(i int, r *replica) (reply, error), want int) {
		took := make([]time.Duration, changes)
		began := time.Now()
		together(changes, changes, func(i int) {
			r := s.replicas[i%2]
			got, err := change(i, r)
			if took[i] = time.Since(began); err != nil || got.status != want {
				t.Errorf("%s: %s: status = %d, %v, want %d; body %s", r.name, what, got.status, err, want, got.raw)
			}
		})
		t.Logf("%d at once of %s: %s", changes, what, spread(took))
	}
	measure("POST /consumers", func(i int, r *replica) (reply, error) {
		return r.do(t.Context(), "POST", "/consumers", "username=one-of-many-"+strconv.Itoa(i))
	}, http.StatusCreated)
	measure("DELETE of a pair", func(i int, r *replica) (reply, error) {
		return r.do(t.Context(), "DELETE", "/vault-auth/"+vaultName+"/credentials/token/"+pairs[i].access)
	}, http.StatusNoContent)
}

// TestAReplicaThatWasStoppedCatchesUpBeforeItAllows stops a replica for longer
// than it may go without the log of changes, and asks it about what was revoked
// meanwhile: the questions are there before it wakes.
func TestAReplicaThatWasStoppedCatchesUpBeforeItAllows(t *testing.T) {
	t.Parallel()
	const revocations = 20
	tests := []struct {
		name string
		// meanwhile is what happens after the revocations.
		meanwhile func(t *testing.T, s *site)
	}{
		{"the log says what it missed", func(*testing.T, *site) {}},
		{"the log is another one", func(t *testing.T, s *site) {
			t.Helper()
			for _, entry := range []string{"checkpoint", "log/00"} {
				must(t, s.vault.Do(t.Context(), "DELETE", mountState+"/metadata/"+entry, nil, nil))
			}
			partstest.Await(t, 10*time.Second, func(ctx context.Context) error {
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
			s := newSiteWith(t, 2, setup{durable: true, entities: nothingButTheState})
			s.furnish(t, mountV1, parts.KVv1)
			pairs := s.putPairs(t, revocations+1)
			for _, p := range pairs {
				s.replicas[0].allows(t, p)
			}
			s.sleepThroughRevocations(t, pairs[:revocations], func() { test.meanwhile(t, s) })
			if test.name == "the log says what it missed" {
				s.replicas[0].allows(t, pairs[revocations])
			}
		})
	}
}

// sleepThroughRevocations stops the first replica while pairs are revoked
// through the second one.
func (s *site) sleepThroughRevocations(t *testing.T, pairs []pair, meanwhile func()) {
	t.Helper()
	stopped, other := s.replicas[0], s.replicas[1]
	must(t, stopped.Signal(syscall.SIGSTOP))
	began := time.Now()
	together(len(pairs), 8, func(i int) {
		if err := other.revoke(t.Context(), pairs[i]); err != nil {
			t.Error(err)
		}
	})
	meanwhile()
	var answers sync.WaitGroup
	for _, p := range pairs {
		answers.Go(func() {
			// The first are there when it wakes, the others come while it
			// catches up.
			for range 20 {
				a, err := stopped.ask(t.Context(), p)
				if err != nil || a.Allowed {
					t.Errorf("%s allows what was revoked while it was stopped: %+v, %v", stopped.name, a, err)
					return
				}
			}
		})
	}
	time.Sleep(time.Until(began.Add(3500 * time.Millisecond)))
	must(t, stopped.Signal(syscall.SIGCONT))
	answers.Wait()
}
