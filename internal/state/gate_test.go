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

// limit is for how long a replica may show no sign of life, or allow by what it knows
// to be old.
const limit = 2500 * time.Millisecond

// TestGateAfterAStop is what SIGSTOP and SIGCONT do to the gate: nobody gives a
// sign of life while time goes on.
func TestGateAfterAStop(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// first says who notices first.
		first func(g state.TestGate)
		stop  time.Duration
		waits bool
	}{
		{"noticed by a caller", func(state.TestGate) {}, limit + time.Millisecond, true},
		{"noticed by the sign of life", func(g state.TestGate) { g.Alive() }, limit + time.Millisecond, true},
		{"noticed by the reading in flight", func(g state.TestGate) { g.Polled(1, true, 0) }, limit + time.Millisecond, true},
		{"a sign of life that is just in time", func(g state.TestGate) { g.Alive() }, limit, false},
		{"too short to matter", func(state.TestGate) {}, limit, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := state.NewTestGate(state.DefaultConfig())
				g.Alive()
				if !g.Polled(g.Now(), true, 0) {
					t.Fatal("the first reading does not open the gate")
				}
				inFlight := g.Now()
				time.Sleep(tt.stop)
				tt.first(g)
				passed := make(chan error, 1)
				go func() { passed <- g.Pass(t.Context()) }()
				synctest.Wait()
				if waits := len(passed) == 0; waits != tt.waits {
					t.Fatalf("the caller waits: %t, want %t", waits, tt.waits)
				}
				if !tt.waits {
					return
				}
				if g.Polled(inFlight, true, 0) || len(passed) != 0 {
					t.Fatal("a reading that began before the stop opens the gate")
				}
				began := g.Now()
				if g.Polled(began, true, 1) {
					t.Fatal("the gate opens before what was found is in use")
				}
				if g.Polled(g.Now(), false, 1) {
					t.Fatal("a reading that failed opens the gate before what was found is in use")
				}
				g.Use(1)
				if err := <-passed; err != nil {
					t.Errorf("Pass = %v when what was found is in use", err)
				}
				if err := g.Pass(t.Context()); err != nil {
					t.Errorf("Pass = %v when it is open", err)
				}
			})
		})
	}
}

func TestGateIsShutBeforeTheFirstReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.Alive()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Pass(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Pass = %v, want that it waits", err)
		}
	})
}

// TestGateCountsFromTheReadingBefore: what a reading finds may have been made since
// then.
func TestGateCountsFromTheReadingBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.Polled(g.Now(), true, 0)
		news := 0
		for range 200 {
			time.Sleep(time.Second)
			g.Alive()
			// Each is in use a second and a bit after it was found.
			news++
			if !g.Polled(g.Now(), true, news) {
				t.Fatalf("the gate is closed when news %d is found", news)
			}
			time.Sleep(200 * time.Millisecond)
			g.Alive()
			g.Use(news - 1)
		}
		time.Sleep(100 * time.Millisecond)
		g.Alive()
		open := func() bool { return g.Polled(g.Now(), true, news) }
		if !open() {
			t.Error("the gate is closed before the limit")
		}
		for range 12 {
			time.Sleep(200 * time.Millisecond)
			g.Alive()
		}
		if open() {
			t.Error("the gate is open although the news is not in use")
		}
		// However many readings there are meanwhile.
		for range 1000 {
			time.Sleep(time.Second)
			g.Alive()
			if open() {
				t.Fatal("the gate is open although the news is not in use")
			}
		}
		g.Use(news)
		if !open() {
			t.Error("the gate is closed although all is in use")
		}
	})
}

// TestGateCountsFromTheLastFailureOfAnOutage: nobody could have known before, and what
// was made soon after it holds within the limit however long the first answer takes.
func TestGateCountsFromTheLastFailureOfAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.Polled(g.Now(), true, 0)
		pass := func(d time.Duration) {
			for range d / (500 * time.Millisecond) {
				time.Sleep(500 * time.Millisecond)
				g.Alive()
			}
		}
		pass(2 * time.Second)
		g.Polled(g.Now(), false, 0)
		began := g.Now()
		pass(2 * time.Second)
		if !g.Polled(began, true, 1) {
			t.Error("the gate is closed at the first answer")
		}
		pass(limit - 2*time.Second)
		if err := g.Pass(t.Context()); err != nil {
			t.Errorf("Pass = %v before the limit", err)
		}
		pass(500 * time.Millisecond)
		if g.Polled(g.Now(), true, 1) {
			t.Error("the gate is open after the limit although what was found is not in use")
		}
	})
}

// TestGateCountsNewsBeforeTheReadingInFlightEnds: a change that this replica made itself
// is known before a reading, which may take long, says so.
func TestGateCountsNewsBeforeTheReadingInFlightEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.Polled(g.Now(), true, 0)
		time.Sleep(time.Second)
		g.Alive()
		g.Told(1)
		time.Sleep(limit - time.Second)
		g.Alive()
		if err := g.Pass(t.Context()); err != nil {
			t.Errorf("Pass = %v within the limit", err)
		}
		time.Sleep(time.Millisecond)
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if g.Pass(ctx) == nil {
			t.Error("the gate is open after the limit although a change is not in use")
		}
		g.Use(1)
		if err := g.Pass(t.Context()); err != nil {
			t.Errorf("Pass = %v when the change is in use", err)
		}
	})
}

// TestGateKeepsReadingsBesideManyChanges: readings that end during a bulk load go on to
// prove that the replica is current.
func TestGateKeepsReadingsBesideManyChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.Polled(g.Now(), true, 0)
		news := 0
		for range 60 {
			for range 1000 {
				time.Sleep(time.Millisecond)
				news++
				g.Told(news)
			}
			g.Alive()
			g.Use(news - 500)
			g.Polled(g.Now(), true, news)
			if err := g.Pass(t.Context()); err != nil {
				t.Fatalf("Pass = %v while changes are in use half a second after they are made", err)
			}
		}
	})
}

// TestGateCountsAReloadFromWhenTheLogWasLost: what a replica that cannot read on finds
// when it reads everything was there since then, however many readings fail meanwhile
// and although the reading of everything has ended.
func TestGateCountsAReloadFromWhenTheLogWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.Polled(g.Now(), true, 0)
		g.Lose()
		for range limit / (500 * time.Millisecond) {
			if err := g.Pass(t.Context()); err != nil {
				t.Fatalf("Pass = %v within the limit", err)
			}
			time.Sleep(500 * time.Millisecond)
			g.Alive()
			g.Polled(g.Now(), false, 0)
		}
		time.Sleep(time.Millisecond)
		g.Loaded(true, 1)
		if g.Polled(g.Now(), true, 1) {
			t.Error("the gate is open although what was read is not in use")
		}
		g.Use(1)
		if err := g.Pass(t.Context()); err != nil {
			t.Errorf("Pass = %v when what was read is in use", err)
		}
	})
}

// What was read anew proves nothing about what was made since, and takes no proof away.
func TestGateKeepsItsProofWhenEverythingWasRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		for range 60 {
			g.Polled(g.Now(), true, 0)
			time.Sleep(time.Second)
		}
		g.Lose()
		g.Loaded(true, 1)
		g.Use(1)
		if err := g.Pass(t.Context()); err != nil {
			t.Errorf("Pass = %v a second after the last reading", err)
		}
		for range 29 {
			time.Sleep(time.Second)
			g.Alive()
		}
		if err := g.Pass(t.Context()); err != nil {
			t.Errorf("Pass = %v half a minute after the last reading", err)
		}
		time.Sleep(time.Nanosecond)
		if err := g.Pass(t.Context()); !errors.Is(err, authz.ErrUnavailable) {
			t.Errorf("Pass = %v beyond that, want %v", err, authz.ErrUnavailable)
		}
	})
}

// TestGateStaysLostUntilAReadingFindsTheLog: one that saw the log as it was before it was
// lost says nothing about it.
func TestGateStaysLostUntilAReadingFindsTheLog(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// then happens when the reading that began before has ended well.
		then func(g state.TestGate)
		open bool
	}{
		{"everything is being read", func(state.TestGate) {}, false},
		{"everything being read, a reading succeeds", func(g state.TestGate) { g.Polled(g.Now(), true, 0) }, false},
		{"everything could not be read", func(g state.TestGate) { g.Loaded(false, 0) }, false},
		{"everything could not be read, a reading fails", func(g state.TestGate) { g.Loaded(false, 0); g.Polled(g.Now(), false, 0) }, false},
		{"everything could not be read, a reading succeeds", func(g state.TestGate) { g.Loaded(false, 0); g.Polled(g.Now(), true, 0) }, true},
		{"everything was read, and is in use", func(g state.TestGate) { g.Loaded(true, 1); g.Use(1) }, true},
		{"everything was read, and is not in use", func(g state.TestGate) { g.Loaded(true, 1) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := state.NewTestGate(state.DefaultConfig())
				g.Polled(g.Now(), true, 0)
				began := g.Now()
				time.Sleep(time.Second)
				g.Alive()
				g.Lose()
				g.Polled(began, true, 0)
				tt.then(g)
				for range 10 {
					time.Sleep(time.Second)
					g.Alive()
				}
				passed := make(chan error, 1)
				ctx, stop := context.WithCancel(t.Context())
				go func() { passed <- g.Pass(ctx) }()
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

func TestGateWithoutAProofIsUnavailableAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := state.NewTestGate(state.DefaultConfig())
		g.Polled(g.Now(), true, 0)
		for range 30 {
			if err := g.Pass(t.Context()); err != nil {
				t.Fatalf("Pass = %v within MaxStale", err)
			}
			time.Sleep(time.Second)
			g.Alive()
			g.Polled(g.Now(), false, 0)
		}
		time.Sleep(time.Second)
		g.Alive()
		began := time.Now()
		if err := g.Pass(t.Context()); !errors.Is(err, authz.ErrUnavailable) || time.Since(began) > 0 {
			t.Errorf("Pass = %v after %s, want %v at once", err, time.Since(began), authz.ErrUnavailable)
		}
	})
}
