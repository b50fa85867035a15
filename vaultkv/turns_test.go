package vaultkv_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv"
)

func newTurns(t *testing.T, kv vaultkv.Versioned) *vaultkv.Turns {
	t.Helper()
	turns, err := vaultkv.NewTurns(kv, vaultkv.DefaultTurnsConfig())
	if err != nil {
		t.Fatalf("NewTurns: %v", err)
	}
	return turns
}

// commit is what do of Take is given.
type commit = func(context.Context, func(context.Context) error) error

// A shelf keeps one document without versions, as KV v1 does.
type shelf struct {
	mu     sync.Mutex
	holder string
}

func (s *shelf) read() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder
}

func (s *shelf) write(ctx context.Context, who string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holder = who
	return nil
}

var errTaken = errors.New("somebody has it")

// claim writes who onto the shelf if nobody is on it.
func (s *shelf) claim(ctx context.Context, turns *vaultkv.Turns, who string, between func()) error {
	return turns.Take(ctx, "access", func(commit commit) error {
		if s.read() != "" {
			return errTaken
		}
		between()
		return commit(ctx, func(ctx context.Context) error { return s.write(ctx, who) })
	})
}

// turnsConformance is what turns do on any engine: of many who look and then
// write, one writes.
func turnsConformance(t *testing.T, kv vaultkv.Versioned, rounds int) {
	t.Helper()
	replicas := []*vaultkv.Turns{newTurns(t, kv), newTurns(t, kv), newTurns(t, kv)}
	for round := range rounds {
		var s shelf
		var wg sync.WaitGroup
		errs := make([]error, len(replicas))
		for i, turns := range replicas {
			wg.Go(func() { errs[i] = s.claim(t.Context(), turns, fmt.Sprint(i), func() {}) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, errTaken) {
				t.Fatalf("round %d: Take = %v, want nil or %v", round, err, errTaken)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d writers won, want one", round, won)
		}
	}
}

func TestTurnsInMemory(t *testing.T) {
	t.Parallel()
	turnsConformance(t, memkv.New(), 500)
}

func TestATurnKeepsNoAccessTokenAndFewEntries(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	turns := newTurns(t, kv)
	for range 3 {
		wantErr(t, "Take", turns.Take(t.Context(), "an-access-token", func(commit) error { return nil }), nil)
	}
	names, err := kv.ListUnder(t.Context(), "turns")
	if err != nil || len(names) != 1 || len(names[0]) != 4 {
		t.Fatalf("entries = %q, %v, want one with a name of four digits", names, err)
	}
	raw, _, _, _ := kv.ReadVersion(t.Context(), "turns/"+names[0])
	if strings.Contains(string(raw), "access") || strings.Contains(string(raw), "holder") {
		t.Errorf("the entry is %s, want neither the key nor a holder in it", raw)
	}
}

func TestWhoCrashedInItsTurnBlocksNobodyLongerThanTheGrace(t *testing.T) {
	t.Parallel()
	grace := vaultkv.DefaultTurnsConfig().Grace
	for _, lands := range []bool{false, true} {
		for writes := range 4 {
			t.Run(fmt.Sprintf("%d writes/last done %t", writes, lands), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					kv := memkv.New()
					die := &mortal{Versioned: kv, left: writes, lands: lands}
					var s shelf
					err := s.claim(t.Context(), newTurns(t, die), "the dead", func() {})
					if err != nil && !errors.Is(err, authz.ErrUnavailable) {
						t.Fatalf("Take = %v, want nil or %v", err, authz.ErrUnavailable)
					}
					dead := s.read()
					begin := time.Now()
					err = s.claim(t.Context(), newTurns(t, kv), "the living", func() {})
					if want := map[bool]error{true: errTaken}[dead != ""]; !errors.Is(err, want) || want == nil && err != nil {
						t.Errorf("Take of the next = %v, want %v: %q is there", err, want, dead)
					}
					if took := time.Since(begin); took > grace+time.Second {
						t.Errorf("the next waited %s, want at most the grace, %s", took, grace)
					}
				})
			})
		}
	}
}

// TestTheGraceGoesOnFromCallToCall, for those who give up sooner each time.
func TestTheGraceGoesOnFromCallToCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		grace := vaultkv.DefaultTurnsConfig().Grace
		var s shelf
		die := &mortal{Versioned: kv, left: 1, lands: true}
		wantErr(t, "Take of the dead", s.claim(t.Context(), newTurns(t, die), "the dead", func() {}), authz.ErrUnavailable)
		turns := newTurns(t, kv)
		begin := time.Now()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := s.claim(ctx, turns, "the living", func() {})
			cancel()
			took := time.Since(begin)
			if err == nil {
				if took < grace {
					t.Errorf("the turn was taken over after %s, want the grace, %s", took, grace)
				}
				return
			}
			if !errors.Is(err, authz.ErrUnavailable) || took > grace+time.Second {
				t.Fatalf("Take = %v after %s, want the turn after the grace, %s", err, took, grace)
			}
		}
	})
}

// TestATurnThatMovedBetweenTwoCallsHasItsGraceAnew: what was seen of an earlier
// version says nothing.
func TestATurnThatMovedBetweenTwoCallsHasItsGraceAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		grace := vaultkv.DefaultTurnsConfig().Grace
		turns, slow := newTurns(t, kv), newTurns(t, kv)
		var s shelf
		impatient := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return s.claim(ctx, turns, "the living", func() {})
		}
		hold := func(seconds int) {
			wantErr(t, "Take of the slow", slow.Take(t.Context(), "access", func(commit) error {
				for range seconds {
					wantErr(t, "Take of the other", impatient(), authz.ErrUnavailable)
				}
				return nil
			}), nil)
		}
		// Together they are longer than the grace, each is shorter.
		seconds := int(grace/time.Second) - 1
		hold(seconds)
		hold(seconds)
		wantErr(t, "Take", impatient(), nil)
	})
}

func TestWhoWasStoppedInItsTurnDoesNotWrite(t *testing.T) {
	t.Parallel()
	grace := vaultkv.DefaultTurnsConfig().Grace
	tests := []struct {
		name string
		// at is the write to the state before which the holder is stopped, 0
		// for never.
		at      int
		between time.Duration
		want    error
	}{
		{"between looking and its proof", 0, 2 * grace, authz.ErrConflict},
		{"before its proof is sent", 2, 2 * grace, authz.ErrConflict},
		{"after its proof is sent", 2, grace / 2, authz.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := memkv.New()
				var s shelf
				writes := 0
				stopped := newTurns(t, stopping{kv, func() {
					if writes++; writes == tt.at {
						time.Sleep(tt.between)
					}
				}})
				var wg sync.WaitGroup
				wg.Go(func() {
					time.Sleep(time.Second)
					if err := s.claim(t.Context(), newTurns(t, kv), "the other", func() {}); err != nil {
						t.Errorf("Take of the other = %v, want nil", err)
					}
				})
				err := s.claim(t.Context(), stopped, "the stopped", func() {
					if tt.at == 0 {
						time.Sleep(tt.between)
					}
				})
				wg.Wait()
				wantErr(t, "Take of who was stopped", err, tt.want)
				if got := s.read(); got != "the other" {
					t.Errorf("%q wrote, want the other", got)
				}
			})
		})
	}
}

// stopping stops before a write and goes on as if nothing had been: a process
// that is continued does not look at its timers first.
type stopping struct {
	*memkv.Engine
	before func()
}

func (s stopping) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	s.before()
	return s.Engine.WriteVersion(context.WithoutCancel(ctx), path, document, cas)
}

func TestATurnStaysTakenWhileItsWriteMayHappenYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		turns := newTurns(t, kv)
		lost := turns.Take(t.Context(), "access", func(commit commit) error {
			return commit(t.Context(), func(context.Context) error { return authz.ErrUnavailable })
		})
		wantErr(t, "Take of who got no answer", lost, authz.ErrUnavailable)
		begin := time.Now()
		wantErr(t, "Take of the next", turns.Take(t.Context(), "access", func(commit) error { return nil }), nil)
		grace := vaultkv.DefaultTurnsConfig().Grace
		if waited := time.Since(begin); waited < grace || waited > grace+time.Second {
			t.Errorf("the next waited %s, want the grace, %s", waited, grace)
		}
		// And what is known to have failed costs nothing.
		_ = turns.Take(t.Context(), "access", func(commit commit) error {
			return commit(t.Context(), func(context.Context) error { return authz.ErrConflict })
		})
		begin = time.Now()
		wantErr(t, "Take after a conflict", turns.Take(t.Context(), "access", func(commit) error { return nil }), nil)
		if waited := time.Since(begin); waited > 0 {
			t.Errorf("the next waited %s after a conflict, want no wait", waited)
		}
	})
}

func TestWaitingForATurnEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(t, memkv.New())
		err := turns.Take(t.Context(), "access", func(commit) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return turns.Take(ctx, "access", func(commit) error {
				t.Error("two have the turn")
				return nil
			})
		})
		wantErr(t, "Take of who waits", err, authz.ErrUnavailable)
	})
}

func TestADamagedTurnIsMendedAfterTheGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		turns := newTurns(t, kv)
		wantErr(t, "Take", turns.Take(t.Context(), "access", func(commit) error { return nil }), nil)
		names, _ := kv.ListUnder(t.Context(), "turns")
		kv.Put("turns/"+names[0], []byte(`{"holder":7}`))
		for range 2 {
			wantErr(t, "Take", turns.Take(t.Context(), "access", func(commit) error { return nil }), nil)
		}
	})
}

// TestNoTwoWritersOverlapWhoeverPausesOrDies: whoever is in its write is alone in
// it, and nothing that was read in a turn has changed by then.
func TestNoTwoWritersOverlapWhoeverPausesOrDies(t *testing.T) {
	t.Parallel()
	var written atomic.Int64
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			kv := memkv.New()
			var count atomic.Int64
			var wg sync.WaitGroup
			for worker := range uint64(4) {
				rng := rand.New(rand.NewPCG(seed, worker))
				nap := func() {
					if rng.IntN(6) == 0 {
						time.Sleep(time.Duration(rng.IntN(9000)) * time.Millisecond)
					}
				}
				wg.Go(func() {
					for range 6 {
						die := &mortal{Versioned: stopping{kv, nap}, left: 1 << 30, lands: rng.IntN(2) == 0}
						if rng.IntN(4) == 0 {
							die.left = rng.IntN(4)
						}
						_ = newTurns(t, die).Take(t.Context(), "access", func(commit commit) error {
							before := count.Load()
							nap()
							return commit(t.Context(), func(context.Context) error {
								if n := count.Load() - before; n != 0 {
									t.Errorf("seed %d: %d writes since it was read, want none", seed, n)
								}
								time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
								count.Add(1)
								written.Add(1)
								return nil
							})
						})
					}
				})
			}
			wg.Wait()
		})
	}
	if n := written.Load(); n < 150 {
		t.Errorf("%d writes were made, too few to say anything", n)
	}
}

func TestTurnsConfigValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []vaultkv.TurnsConfig{{}, {Grace: time.Second, WriteWithin: time.Second}, {Grace: time.Hour, WriteWithin: 2 * time.Minute}} {
		if _, err := vaultkv.NewTurns(memkv.New(), c); err == nil {
			t.Errorf("NewTurns of %+v = nil, want an error", c)
		}
	}
}
