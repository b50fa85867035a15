package openloop

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pace sleeps in the kernel, on a thread of its own: Go's timers may be a
// millisecond late when the process is idle otherwise, which is more than most
// answers take.
func pace(ctx context.Context, start time.Time, requests int, rate float64, send func(time.Time)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel may wake us this many nanoseconds late; its default is 50 µs.
	// Without it the pace is a little less even.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	paced(func(d time.Duration) {
		ts := unix.NsecToTimespec(d.Nanoseconds())
		// When a signal wakes us early, the request leaves early, by less than
		// the time between two; its latency still counts from when it was due.
		_ = unix.Nanosleep(&ts, nil)
	})(ctx, start, requests, rate, send)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)
}
