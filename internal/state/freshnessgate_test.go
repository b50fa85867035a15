package state_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/state"
)

// limit is how long a replica may go without a heartbeat, or decide by a state that it
// knows to be old.
const limit = 2500 * time.Millisecond

// SIGSTOP and SIGCONT look like this to the gate: time goes on without a heartbeat.
func TestGateClosesAfterAPauseUntilALaterPollIsInUse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// first is what happens first after the pause.
		first func(g state.TestGate)
		pause time.Duration
		waits bool
	}{
		{"noticed by a caller", func(state.TestGate) {}, limit + time.Millisecond, true},
		{"noticed by the heartbeat", func(g state.TestGate) { g.Heartbeat() }, limit + time.Millisecond, true},
		{"noticed by the poll in flight", func(g state.TestGate) { g.PollEnded(1, true, 0) }, limit + time.Millisecond, true},
		{"a heartbeat that is just in time", func(g state.TestGate) { g.Heartbeat() }, limit, false},
		{"too short to matter", func(state.TestGate) {}, limit, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := state.NewTestGate(state.DefaultConfig())
				g.Heartbeat()
				if !g.PollEnded(g.Now(), true, 0) {
					t.Fatal("the first poll does not open the gate")
				}
				inFlight := g.Now()
				time.Sleep(tt.pause)
				tt.first(g)
				passed := make(chan error, 1)
				go func() { passed <- g.Wait(t.Context()) }()
				synctest.Wait()
				if waits := len(passed) == 0; waits != tt.waits {
					t.Fatalf("the caller waits: %t, want %t", waits, tt.waits)
				}
				if !tt.waits {
					return
				}
				if g.PollEnded(inFlight, true, 0) || len(passed) != 0 {
					t.Fatal("a poll that began before the pause opens the gate")
				}
				began := g.Now()
				if g.PollEnded(began, true, 1) {
					t.Fatal("the gate opens before what was found is in use")
				}
				if g.PollEnded(g.Now(), false, 1) {
					t.Fatal("a poll that failed opens the gate before what was found is in use")
				}
				g.Use(1)
				if err := <-passed; err != nil {
					t.Errorf("Wait = %v when what was found is in use", err)
				}
				if err := g.Wait(t.Context()); err != nil {
					t.Errorf("Wait = %v when it is open", err)
				}
			})
		})
	}
}

func TestGateIsClosedBeforeTheFirstPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.Heartbeat()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v, want that it waits", err)
		}
	})
}

// What a poll finds may have been there since the poll before it.
func TestGateClosesALimitAfterThePollBeforeAChangeWasFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.PollEnded(g.Now(), true, 0)
		revision := 0
		for range 200 {
			time.Sleep(time.Second)
			g.Heartbeat()
			// Each is in use a second and a bit after it was found.
			revision++
			if !g.PollEnded(g.Now(), true, revision) {
				t.Fatalf("the gate is closed when revision %d is found", revision)
			}
			time.Sleep(200 * time.Millisecond)
			g.Heartbeat()
			g.Use(revision - 1)
		}
		time.Sleep(100 * time.Millisecond)
		g.Heartbeat()
		open := func() bool { return g.PollEnded(g.Now(), true, revision) }
		if !open() {
			t.Error("the gate is closed before the limit")
		}
		for range 12 {
			time.Sleep(200 * time.Millisecond)
			g.Heartbeat()
		}
		if open() {
			t.Error("the gate is open although the revision is not in use")
		}
		// More polls do not change that.
		for range 1000 {
			time.Sleep(time.Second)
			g.Heartbeat()
			if open() {
				t.Fatal("the gate is open although the revision is not in use")
			}
		}
		g.Use(revision)
		if !open() {
			t.Error("the gate is closed although all is in use")
		}
	})
}

// During an outage no replica can know of a change. What was made soon after it is in use
// within the limit, however long the first answer takes.
func TestGateClosesALimitAfterTheLastFailureOfAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.PollEnded(g.Now(), true, 0)
		pass := func(d time.Duration) {
			for range d / (500 * time.Millisecond) {
				time.Sleep(500 * time.Millisecond)
				g.Heartbeat()
			}
		}
		pass(2 * time.Second)
		g.PollEnded(g.Now(), false, 0)
		began := g.Now()
		pass(2 * time.Second)
		if !g.PollEnded(began, true, 1) {
			t.Error("the gate is closed at the first answer")
		}
		pass(limit - 2*time.Second)
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("Wait = %v before the limit", err)
		}
		pass(500 * time.Millisecond)
		if g.PollEnded(g.Now(), true, 1) {
			t.Error("the gate is open after the limit although what was found is not in use")
		}
	})
}

// A change that this replica made itself is known before a poll brings it, which may take
// long.
func TestGateClosesALimitAfterAChangeWithoutWaitingForThePoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.PollEnded(g.Now(), true, 0)
		time.Sleep(time.Second)
		g.Heartbeat()
		g.Published(1)
		time.Sleep(limit - time.Second)
		g.Heartbeat()
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("Wait = %v within the limit", err)
		}
		time.Sleep(time.Millisecond)
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if g.Wait(ctx) == nil {
			t.Error("the gate is open after the limit although a change is not in use")
		}
		g.Use(1)
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("Wait = %v when the change is in use", err)
		}
	})
}

// Polls that end during a bulk load still prove that the replica is current.
func TestGateStaysOpenDuringManyChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.PollEnded(g.Now(), true, 0)
		revision := 0
		for range 60 {
			for range 1000 {
				time.Sleep(time.Millisecond)
				revision++
				g.Published(revision)
			}
			g.Heartbeat()
			g.Use(revision - 500)
			g.PollEnded(g.Now(), true, revision)
			if err := g.Wait(t.Context()); err != nil {
				t.Fatalf("Wait = %v while changes are in use half a second after they are made", err)
			}
		}
	})
}

// What a reload finds may have been there since the log was lost, however many polls fail
// meanwhile, and although the reload has ended.
func TestGateClosesALimitAfterTheLogWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.PollEnded(g.Now(), true, 0)
		g.LogLost()
		for range limit / (500 * time.Millisecond) {
			if err := g.Wait(t.Context()); err != nil {
				t.Fatalf("Wait = %v within the limit", err)
			}
			time.Sleep(500 * time.Millisecond)
			g.Heartbeat()
			g.PollEnded(g.Now(), false, 0)
		}
		time.Sleep(time.Millisecond)
		g.Reloaded(true, 1)
		if g.PollEnded(g.Now(), true, 1) {
			t.Error("the gate is open although what was read is not in use")
		}
		g.Use(1)
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("Wait = %v when what was read is in use", err)
		}
	})
}

// A reload proves nothing about later changes, and takes no proof away.
func TestGateKeepsItsProofAfterAReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		for range 60 {
			g.PollEnded(g.Now(), true, 0)
			time.Sleep(time.Second)
		}
		g.LogLost()
		g.Reloaded(true, 1)
		g.Use(1)
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("Wait = %v a second after the last poll", err)
		}
		for range 29 {
			time.Sleep(time.Second)
			g.Heartbeat()
		}
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("Wait = %v half a minute after the last poll", err)
		}
		time.Sleep(time.Nanosecond)
		if err := g.Wait(t.Context()); !errors.Is(err, authz.ErrUnavailable) {
			t.Errorf("Wait = %v beyond that, want %v", err, authz.ErrUnavailable)
		}
	})
}

// A poll that read the log before it was lost says nothing about it.
func TestGateStaysClosedUntilALaterPollFindsTheLog(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// then happens after the success of a poll that began before.
		then func(g state.TestGate)
		open bool
	}{
		{"a reload is under way", func(state.TestGate) {}, false},
		{"a reload is under way, a poll succeeds", func(g state.TestGate) { g.PollEnded(g.Now(), true, 0) }, false},
		{"the reload failed", func(g state.TestGate) { g.Reloaded(false, 0) }, false},
		{"the reload failed, a poll fails", func(g state.TestGate) { g.Reloaded(false, 0); g.PollEnded(g.Now(), false, 0) }, false},
		{"the reload failed, a poll succeeds", func(g state.TestGate) { g.Reloaded(false, 0); g.PollEnded(g.Now(), true, 0) }, true},
		{"the reload succeeded, and is in use", func(g state.TestGate) { g.Reloaded(true, 1); g.Use(1) }, true},
		{"the reload succeeded, and is not in use", func(g state.TestGate) { g.Reloaded(true, 1) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := state.NewTestGate(state.DefaultConfig())
				g.PollEnded(g.Now(), true, 0)
				began := g.Now()
				time.Sleep(time.Second)
				g.Heartbeat()
				g.LogLost()
				g.PollEnded(began, true, 0)
				tt.then(g)
				for range 10 {
					time.Sleep(time.Second)
					g.Heartbeat()
				}
				passed := make(chan error, 1)
				ctx, stop := context.WithCancel(t.Context())
				go func() { passed <- g.Wait(ctx) }()
				synctest.Wait()
				if open := len(passed) == 1; open != tt.open {
					t.Errorf("the gate is open: %t, want %t", open, tt.open)
				}
				stop()
				<-passed
			})
		})
	}
}

func TestADecisionGoesByTheMaxStaleOfTheMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.PollEnded(g.Now(), true, 0)
		for range 10 {
			time.Sleep(time.Second)
			g.Heartbeat()
		}
		for _, test := range []struct {
			maxStale time.Duration
			allowed  bool
		}{{30 * time.Second, true}, {9 * time.Second, false}, {0, false}, {11 * time.Second, true}, {10 * time.Second, true}} {
			g.SetMaxStale(test.maxStale)
			if err := g.Wait(t.Context()); (err == nil) != test.allowed {
				t.Errorf("max_stale %s, 10s after the last proof: %v", test.maxStale, err)
			}
		}
		// Between two polls nothing can be proved.
		g.PollEnded(g.Now(), true, 0)
		g.SetMaxStale(0)
		time.Sleep(time.Second)
		g.Heartbeat()
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("max_stale 0, a second after the last proof: %v", err)
		}
	})
}

func TestDecisionWithoutAProofIsUnavailableAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.PollEnded(g.Now(), true, 0)
		for range 30 {
			if err := g.Wait(t.Context()); err != nil {
				t.Fatalf("Wait = %v within MaxStale", err)
			}
			time.Sleep(time.Second)
			g.Heartbeat()
			g.PollEnded(g.Now(), false, 0)
		}
		time.Sleep(time.Second)
		g.Heartbeat()
		began := time.Now()
		if err := g.Wait(t.Context()); !errors.Is(err, authz.ErrUnavailable) || time.Since(began) > 0 {
			t.Errorf("Wait = %v after %s, want %v at once", err, time.Since(began), authz.ErrUnavailable)
		}
	})
}
