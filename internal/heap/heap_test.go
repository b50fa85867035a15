package heap

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheHeapMayReachTheFloor(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	tests := []struct {
		name               string
		live, roots, floor uint64
		want               int
	}{
		{"nothing alive yet", 0, 0, 64 * mib, 1600},
		{"next to nothing", 1 * mib, 0, 64 * mib, 1600},
		{"a sixteenth of the floor", 4 * mib, 0, 64 * mib, 1500},
		{"a quarter", 16 * mib, 0, 64 * mib, 300},
		{"a quarter, and as much of stacks", 16 * mib, 16 * mib, 64 * mib, 150},
		{"little, and much of stacks", 4 * mib, 200 * mib, 64 * mib, 100},
		{"half: as Go does it", 32 * mib, 0, 64 * mib, 100},
		{"more than the floor", 400 * mib, 0, 64 * mib, 100},
		{"nobody knows how much", math.MaxUint64, 0, 64 * mib, 100},
		{"no floor", 4 * mib, 0, 0, 100},
		{"a low floor, nothing alive yet", 0, 0, 16 * mib, 400},
		{"a floor below what Go allows for", 1 * mib, 0, 3 * mib, 100},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := percent(use{test.live, test.roots}, test.floor); got != test.want {
				t.Errorf("percent = %d, want %d", got, test.want)
			}
		})
	}
}

func TestTheFloorLeavesRoomInASmallContainer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		limit int64
		want  uint64
	}{
		{"no limit", math.MaxInt64, Floor},
		{"a gigabyte", 1 << 30, Floor},
		{"64 MiB", 64 << 20, 16 << 20},
		{"none at all", 0, 0},
		{"nonsense", -1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := bounded(Floor, test.limit); got != test.want {
				t.Errorf("floor = %d, want %d", got, test.want)
			}
		})
	}
}

func TestOnlyARelevantChangeIsSet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		p, set int
		want   bool
	}{
		{"the same", 300, 300, false},
		{"a little more", 320, 300, false},
		{"a little less", 280, 300, false},
		{"more", 400, 300, true},
		{"less", 200, 300, true},
		{"Go's own, from near", 100, 105, true},
		{"from Go's own, to near", 105, 100, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := differs(test.p, test.set); got != test.want {
				t.Errorf("differs = %t, want %t", got, test.want)
			}
		})
	}
}

// goal returns the size of the heap at which the next collection begins.
func goal() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestTendFollowsTheLiveHeap changes the percentage of the whole process, so it is not
// parallel.
func TestTendFollowsTheLiveHeap(t *testing.T) {
	before := debug.SetGCPercent(usual)
	defer debug.SetGCPercent(before)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { tend(ctx, nil); close(ended) }()
		current := func() int {
			synctest.Wait()
			p := debug.SetGCPercent(usual)
			debug.SetGCPercent(p)
			return p
		}
		if p := current(); p <= usual {
			t.Errorf("with little alive, the percentage is %d", p)
		}
		runtime.GC()
		time.Sleep(interval)
		runtime.GC()
		if got := goal(); got < Floor/2 || got > Floor+Floor/4 {
			t.Errorf("the heap may reach %d MiB, want about %d", got>>20, Floor>>20)
		}
		held := make([]byte, 2*Floor)
		runtime.GC()
		time.Sleep(interval)
		if p := current(); p != usual {
			t.Errorf("with much alive, the percentage is %d, want %d", p, usual)
		}
		runtime.KeepAlive(held)
		runtime.GC()
		time.Sleep(interval)
		if p := current(); p <= usual {
			t.Errorf("with little alive again, the percentage is %d", p)
		}
		stop()
		<-ended
		if p := current(); p != usual {
			t.Errorf("after the end, the percentage is %d, want %d as before", p, usual)
		}
	})
}

// TestTendAdjustsAfterACollection changes the percentage of the whole process, so it is not
// parallel.
func TestTendAdjustsAfterACollection(t *testing.T) {
	before := debug.SetGCPercent(usual)
	defer debug.SetGCPercent(before)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		collected := make(chan struct{}, 1)
		go tend(ctx, collected)
		synctest.Wait()
		runtime.GC()
		held := make([]byte, Floor*3/8)
		runtime.GC()
		collected <- struct{}{}
		synctest.Wait()
		// The goal follows from the next collection with the new percentage.
		runtime.GC()
		if got := goal(); got > Floor+Floor/4 {
			t.Errorf("with %d MiB alive, the heap may reach %d MiB, want about %d", len(held)>>20, got>>20, Floor>>20)
		}
		runtime.KeepAlive(held)
		stop()
		synctest.Wait()
	})
}

func TestEachCollectionIsSignalled(t *testing.T) {
	collected := make(chan struct{}, 1)
	signalCollections(t.Context(), collected)
	for range 3 {
		runtime.GC()
		<-collected
	}
}
