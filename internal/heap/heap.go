// Package heap decides how large the heap may become before a garbage collection.
//
// Go collects when the heap has doubled. The live heap of the service is a few megabytes,
// so with thousands of checks a second it would collect dozens of times a second. That is
// a fifth of the CPU of a check, and delays other checks each time. Therefore the heap may
// reach a floor first. The floor has no effect once the live heap is half of it.
package heap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// Floor is the size in bytes that the heap may always reach. In measurements the cost
	// of a check falls up to about a third of this value. The rest makes collections
	// during a flood of misses so rare that the 99th percentile does not show them.
	Floor = 64 << 20
	// share is the maximum part of the memory limit for the floor.
	share = 4
	// usual is Go's default percentage (GOGC), and least the heap that Go allows with it
	// however small the live heap is. Go scales least with the percentage.
	usual, least = 100, 4 << 20
	// interval is the longest time between two adjustments of the percentage.
	interval = time.Second
)

// Tend sets the memory limit of Go to that of the container, and lets the heap reach about [Floor],
// or a quarter of the limit if that is less, until ctx ends. GOMEMLIMIT and GOGC in environ take
// precedence. Problems are written to stderr. A process has one heap: Tend must be called once.
func Tend(ctx context.Context, environ []string, stderr io.Writer) {
	if err := limit(); err != nil {
		fmt.Fprintln(stderr, "vault-authz:", err)
	}
	if slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) {
		return
	}
	collected := make(chan struct{}, 1)
	signalCollections(ctx, collected)
	go tend(ctx, collected)
}

// limit sets the memory limit of Go to the limit of the container, minus a tenth for memory
// outside of the heap, like GOMEMLIMIT. It changes nothing if GOMEMLIMIT is set, or if the
// container has no limit or its limit is unknown.
func limit() error {
	_, err := memlimit.Set()
	if err != nil && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrCgroupsNotSupported) {
		return fmt.Errorf("looking for the memory limit of the container (set GOMEMLIMIT to it instead): %w", err)
	}
	return nil
}

// tend adjusts the percentage at each interval and after each collection.
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

// signalCollections sends to a channel after each collection until ctx ends. The live heap
// may grow fast, for example when much is read at a start: with the percentage for a small
// live heap it would become many times as large as the floor before the next interval.
func signalCollections(ctx context.Context, collected chan<- struct{}) {
	// It is unreachable, so each collection frees it. Its pointer keeps Go from placing it
	// in a block with reachable objects.
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

// A use is what the last collection found in use, in bytes: the heap, and the stacks and
// globals, which also count for the size of the next collection.
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

// bounded returns the floor with a memory limit.
func bounded(floor uint64, limit int64) uint64 {
	return min(floor, uint64(max(0, limit))/share)
}

// percent returns the percentage with which the heap may grow to the floor. It is at most
// the percentage at which Go's minimum heap is as large as the floor. Otherwise a live heap
// that grows between two adjustments could push the heap far above the floor.
func percent(u use, floor uint64) int {
	if u.live >= floor/2 {
		return usual
	}
	most := floor * usual / least
	return int(max(usual, min(most, (floor-u.live)*usual/max(1, u.live+u.roots)))) //nolint:gosec // at most usual * floor / least
}

// differs says whether a new percentage differs enough: setting it stops the process for
// some microseconds.
func differs(p, set int) bool {
	return p != set && (p == usual || p > set+set/8 || p < set-set/8)
}
