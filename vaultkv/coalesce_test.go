package vaultkv

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// A flood of unknown tokens keeps runs following each other for hours. Each looks values up
// in its context, so the context of the last must be no longer than that of the first.
func TestTheContextOfARunDoesNotGrowWithTheRunsBeforeIt(t *testing.T) {
	t.Parallel()
	const runs = 100
	var lengths []int
	var callers sync.WaitGroup
	c := &coalescer{limit: time.Minute}
	c.do = func(ctx context.Context) *Error {
		lengths = append(lengths, len(fmt.Sprint(ctx)))
		if len(lengths) < runs {
			next := c.enter(ctx) // as one that came meanwhile
			callers.Go(func() { <-next.done })
		}
		return nil
	}
	if problem := c.join(t.Context()); problem != nil {
		t.Fatal(problem)
	}
	c.group.Wait()
	callers.Wait()
	if len(lengths) != runs {
		t.Fatalf("%d runs, want %d", len(lengths), runs)
	}
	if first, last := lengths[0], lengths[runs-1]; last > first {
		t.Errorf("the text of the context grew from %d to %d bytes in %d runs", first, last, runs)
	}
}
