package vaultkv

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A flood of unknown tokens keeps runs following each other for hours. Each looks values up
// in its context, so the context of the last must be no longer than that of the first.
func TestTheContextOfARunDoesNotGrowWithTheRunsBeforeIt(t *testing.T) {
	t.Parallel()
	const runs = 100
	var depths []int
	var callers sync.WaitGroup
	c := &coalescer{limit: time.Minute}
	c.do = func(ctx context.Context) *Error {
		// The text of a context has each of its layers: context.Background.WithCancel.
		depths = append(depths, strings.Count(fmt.Sprint(ctx), ".With"))
		if len(depths) < runs {
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
	if len(depths) != runs {
		t.Fatalf("%d runs, want %d", len(depths), runs)
	}
	if first, last := depths[0], depths[runs-1]; last != first || first == 0 {
		t.Errorf("the context grew from %d to %d layers in %d runs", first, last, runs)
	}
}
