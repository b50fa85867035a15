package vaultkv

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asked calls join n times at once, and returns a function that waits for the outcomes.
func asked(ctx context.Context, c *coalescer, n int) (outcomes func() []*Error) {
	all := make([]*Error, n)
	var callers sync.WaitGroup
	for i := range all {
		callers.Go(func() { all[i] = c.join(ctx) })
	}
	return func() []*Error {
		callers.Wait()
		return all
	}
}

// recorder is an operation that takes a second, and records when its runs began.
type recorder struct {
	began    []time.Duration
	since    time.Time
	outcomes []*Error
}

func (r *recorder) do(ctx context.Context) *Error {
	r.began = append(r.began, time.Since(r.since))
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return interrupted("cancelled", ctx.Err())
	}
	problem := fail(StateFailing, 0, "outcome")
	r.outcomes = append(r.outcomes, problem)
	return problem
}

func TestCallersAtOnceShareTheRunAfterTheirCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{since: time.Now()}
		c := newCoalescer(r.do, time.Minute, 0)
		first := asked(t.Context(), c, 1)
		time.Sleep(time.Second / 2)
		second := asked(t.Context(), c, 100)
		for _, problem := range append(first(), second()...) {
			if problem == nil {
				t.Fatal("join = nil, want the outcome of a run")
			}
		}
		third := asked(t.Context(), c, 1)()
		for i, outcomes := range [][]*Error{first(), second(), third} {
			for _, problem := range outcomes {
				if problem != r.outcomes[i] {
					t.Errorf("a caller has not got the outcome of run %d", i)
				}
			}
		}
		if len(r.began) != 3 || r.began[1] != time.Second || r.began[2] != 2*time.Second {
			t.Errorf("runs at %v, want one after the other", r.began)
		}
		c.close()
	})
}

func TestRunsKeepAGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{since: time.Now()}
		c := newCoalescer(r.do, time.Minute, 5*time.Second)
		asked(t.Context(), c, 1)()
		waiting := asked(t.Context(), c, 1)
		time.Sleep(3 * time.Second)
		meanwhile := asked(t.Context(), c, 10)
		waiting()
		meanwhile()
		if len(r.began) != 2 || r.began[1] != 5*time.Second {
			t.Errorf("runs at %v, want two with a gap of 5s", r.began)
		}
		c.close()
	})
}

func TestACallerThatLeavesEndsItsWaitOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{since: time.Now()}
		c := newCoalescer(r.do, time.Minute, 0)
		brief, cancel := context.WithTimeout(t.Context(), time.Second/4)
		defer cancel()
		leaves := asked(brief, c, 1)
		synctest.Wait()
		waits := asked(brief, c, 1)
		stays := asked(t.Context(), c, 1)
		for _, problem := range append(leaves(), waits()...) {
			if !errors.Is(problem, context.DeadlineExceeded) || !problem.inconclusive {
				t.Errorf("join = %v, want an inconclusive error of the context", problem)
			}
		}
		if got := stays()[0]; len(r.outcomes) != 2 || got != r.outcomes[1] {
			t.Errorf("%d runs ended, and the caller that stayed has %v", len(r.outcomes), got)
		}
		c.close()
	})
}

func TestARunEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{since: time.Now()}
		c := newCoalescer(r.do, time.Second/2, 0)
		if problem := c.join(t.Context()); !errors.Is(problem, context.DeadlineExceeded) || time.Since(r.since) != time.Second/2 {
			t.Errorf("join = %v after %s, want the end of the limit", problem, time.Since(r.since))
		}
		c.close()
	})
}

func TestAPanicIsAnError(t *testing.T) {
	t.Parallel()
	c := newCoalescer(func(context.Context) *Error { panic("secret") }, time.Minute, 0)
	for range 2 {
		if problem := c.join(t.Context()); problem == nil || problem.State != StateFailing {
			t.Errorf("join = %v, want an error", problem)
		}
	}
	c.close()
}

func TestCloseEndsTheRunAndLetsNoOtherBegin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{since: time.Now()}
		c := newCoalescer(r.do, time.Minute, 0)
		first := asked(t.Context(), c, 1)
		synctest.Wait()
		second := asked(t.Context(), c, 10)
		synctest.Wait()
		c.close()
		c.close()
		for _, problem := range append(append(first(), second()...), c.join(t.Context())) {
			if !errors.Is(problem, context.Canceled) || !problem.inconclusive {
				t.Errorf("join = %v, want an inconclusive cancellation", problem)
			}
		}
		if len(r.began) != 1 || time.Since(r.since) != 0 {
			t.Errorf("%d runs in %s, want one that ends at once", len(r.began), time.Since(r.since))
		}
	})
}
