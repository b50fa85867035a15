package authz

import (
	"context"
	"math/bits"
	"sync/atomic"
	"time"
)

// exemplars chooses the requests whose traces go with the durations. A duration
// links to one trace only, so one a second is plenty, and requests are looked at no
// more often than every 10 ms: an exemplar takes memory, and finding out about the
// trace takes as long as counting does. Each order of magnitude of durations has turns of
// its own, so that the many fast ones do not hide the slow ones. It is safe for concurrent
// use, and the zero value works.
type exemplars struct {
	traceOf TraceOf
	// due is when a request is looked at again, in nanoseconds since 1970.
	due [maxMagnitude + 1]atomic.Int64
}

const (
	exemplarInterval = time.Second
	exemplarPause    = 10 * time.Millisecond
	// maxMagnitude is 2^20 µs, about a second, and what is above it.
	maxMagnitude = 20
)

// trace returns the trace that goes with a duration, "" for none.
func (e *exemplars) trace(ctx context.Context, r *Request, took time.Duration) string {
	now := r.Received.UnixNano()
	due := &e.due[min(bits.Len64(uint64(max(took.Microseconds(), 0))), maxMagnitude)]
	was := due.Load()
	if now < was || !due.CompareAndSwap(was, now+int64(exemplarPause)) {
		return ""
	}
	id, sampled := e.traceOf.of(ctx, r)
	if !sampled {
		return ""
	}
	due.Store(now + int64(exemplarInterval))
	return id
}
