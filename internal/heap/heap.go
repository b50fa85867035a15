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
	// usual is Go's own percentage.
	usual = 100
	// most bounds the percentage, and so what the heap may become if what is
	// alive grows between two looks at it.
	most = 1600
	// look is how often the percentage is made to fit what is alive.
	look = time.Second
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

// Tend lets the heap reach [Floor], or a quarter of the memory limit if that is
// less, until ctx ends. A process has one heap: it must not run twice at once.
func Tend(ctx context.Context) {
	before := debug.SetGCPercent(usual)
	defer debug.SetGCPercent(before)
	floor := bounded(Floor, debug.SetMemoryLimit(-1))
	set := usual
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		if p := percent(alive(), floor); differs(p, set) {
			debug.SetGCPercent(p)
			set = p
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// alive returns how many bytes the last collection found in use.
func alive() uint64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if live[0].Value.Kind() != metrics.KindUint64 {
		return math.MaxUint64
	}
	return live[0].Value.Uint64()
}

// bounded returns the floor under a memory limit.
func bounded(floor uint64, limit int64) uint64 {
	return min(floor, uint64(max(0, limit))/share)
}

// percent returns what of the bytes alive may gather as garbage, so that both
// make the floor.
func percent(live, floor uint64) int {
	if live >= floor/2 {
		return usual
	}
	return int(min(most, (floor-live)*100/max(1, live)))
}

// differs says whether a percentage is worth stopping the process for, which
// setting it does for some microseconds.
func differs(p, set int) bool {
	return p != set && (p == usual || p > set+set/8 || p < set-set/8)
}
