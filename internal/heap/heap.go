// Package heap decides how much garbage may gather before it is collected.
//
// Go collects when the heap has doubled. The service keeps a few megabytes alive,
// and at thousands of checks a second it would collect dozens of times a second:
// a fifth of the CPU that a check costs, and a pause of its neighbours each time.
// So the heap may reach a floor first. Once what is alive has half of that, the
// floor has no effect any more.
package heap

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// Floor is the size in bytes that the heap may reach, whatever is alive.
	// Measured, the cost of a check falls up to about a third of this; the rest
	// makes the collections under a flood of misses rare enough not to show in
	// the 99th percentile.
	Floor = 64 << 20
	// share is the part of the memory limit that the floor may take at most.
	share = 4
	// usual is Go's own percentage, and least the heap that Go allows for with
	// it, whatever is alive. Both grow with the percentage.
	usual, least = 100, 4 << 20
	// interval is how often the percentage is made to fit what is alive, at the least.
	interval = time.Second
)

// Limit makes the collector respect the memory limit of the container, less a
// tenth for what is not heap, as if GOMEMLIMIT had been set to it. A GOMEMLIMIT
// that is set stands. Without a limit, or a way to know it, nothing changes.
func Limit() error {
	_, err := memlimit.Set()
	if err != nil && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrCgroupsNotSupported) {
		return fmt.Errorf("looking for the memory limit of the container (set GOMEMLIMIT to it instead): %w", err)
	}
	return nil
}

// Tend lets the heap reach about [Floor], or a quarter of the memory limit of Go if
// that is less, until ctx ends. A process has one heap: it must not run twice at once.
func Tend(ctx context.Context) {
	collected := make(chan struct{}, 1)
	signalCollections(ctx, collected)
	tend(ctx, collected)
}

// tend looks each interval, and when it is told of a collection.
func tend(ctx context.Context, collected <-chan struct{}) {
	before := debug.SetGCPercent(usual)
	defer debug.SetGCPercent(before)
	floor := bounded(Floor, debug.SetMemoryLimit(-1))
	set := usual
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if p := percent(look(), floor); differs(p, set) {
			debug.SetGCPercent(p)
			set = p
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-collected:
		}
	}
}

// signalCollections sends to a channel after each collection until ctx ends. What is
// alive may grow fast, as when much is read at a start: with a percentage for little of
// it the heap would become many times as large as the floor before the next look.
func signalCollections(ctx context.Context, collected chan<- struct{}) {
	// Nobody holds it, so that each collection finds it dead. It has a pointer, lest it
	// share its memory with something that lives.
	sentinel := &struct{ self *int }{new(int)}
	runtime.AddCleanup(sentinel, func(struct{}) {
		if ctx.Err() != nil {
			return
		}
		select {
		case collected <- struct{}{}:
		default:
		}
		signalCollections(ctx, collected)
	}, struct{}{})
}

// A use is what the last collection found in use, in bytes: the heap, and the
// stacks and globals, for which garbage may gather too.
type use struct{ live, roots uint64 }

func look() use {
	found := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(found)
	for _, f := range found {
		if f.Value.Kind() != metrics.KindUint64 {
			return use{live: math.MaxUint64}
		}
	}
	return use{live: found[0].Value.Uint64(), roots: found[1].Value.Uint64() + found[2].Value.Uint64()}
}

// bounded returns the floor under a memory limit.
func bounded(floor uint64, limit int64) uint64 {
	return min(floor, uint64(max(0, limit))/share)
}

// percent returns how much garbage may gather, as a percentage of what is in use,
// so that it and the live heap make the floor. It is never more than makes the
// floor the least heap: that bounds what the heap may become if what is alive grows
// between two looks at it.
func percent(u use, floor uint64) int {
	if u.live >= floor/2 {
		return usual
	}
	most := floor * usual / least
	return int(max(usual, min(most, (floor-u.live)*usual/max(1, u.live+u.roots)))) //nolint:gosec // at most usual * floor / least
}

// differs says whether a percentage is worth stopping the process for, which
// setting it does for some microseconds.
func differs(p, set int) bool {
	return p != set && (p == usual || p > set+set/8 || p < set-set/8)
}
