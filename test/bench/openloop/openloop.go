package openloop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// Config says how much load there is.
type Config struct {
	// Rate is in requests a second.
	Rate float64
	// Duration is for how long requests are sent.
	Duration time.Duration
	// Connections bounds the requests under way. One that is due while all are
	// taken waits, and the wait is part of its latency: give so many that it
	// only happens to a server that is too slow.
	Connections int
}

// Validate reports every mistake.
func (c Config) Validate() error {
	var errs []error
	if !(c.Rate > 0) || c.Rate > 1e6 {
		errs = append(errs, fmt.Errorf("rate: %g is not between 0 and 1000000 requests a second", c.Rate))
	}
	if c.Duration <= 0 || c.Duration > 24*time.Hour {
		errs = append(errs, fmt.Errorf("duration: %s is not between 0 and 24h", c.Duration))
	}
	if c.Connections < 1 || c.Connections > 100_000 {
		errs = append(errs, fmt.Errorf("connections: %d is not between 1 and 100000", c.Connections))
	}
	if n := c.Rate * c.Duration.Seconds(); len(errs) == 0 && (n < 1 || n > 1e8) {
		errs = append(errs, fmt.Errorf("rate and duration: they make %.0f requests, which is not between 1 and 100000000", n))
	}
	return errors.Join(errs...)
}

// A Caller makes one request and waits for its answer. Every connection has its
// own, so it need not be safe for concurrent use.
type Caller interface {
	Call(ctx context.Context) error
	Close() error
}

// A Result is what came of the load.
type Result struct {
	// Latencies are those of the requests that were answered as they should,
	// sorted, each from when it was due.
	Latencies []time.Duration
	// Failed is how many requests were not, and Err the error of one of them.
	Failed int
	Err    error
	// Lag is how late the generator itself was at the 99th percentile. Latencies
	// hold it too: if it is not far below them, the generator is what was
	// measured.
	Lag time.Duration
}

// Percentile returns the latency that the given share (0 to 1) of requests did
// not exceed, 0 if there were none.
func (r *Result) Percentile(share float64) time.Duration { return percentile(r.Latencies, share) }

func percentile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(share * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Run puts load on what connect connects to. It returns an error if it could not
// do so, or ctx ended; requests that failed are in the result.
func Run(ctx context.Context, c Config, connect func(context.Context) (Caller, error)) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	return run(ctx, c, connect, pace)
}

// run is Run with a pacer: a function that calls its last argument at the time
// of each request, which is given to it, or later.
func run(ctx context.Context, c Config, connect func(context.Context) (Caller, error), pace pacer) (Result, error) {
	callers := make([]Caller, c.Connections)
	defer func() {
		for _, caller := range callers {
			if caller != nil {
				_ = caller.Close()
			}
		}
	}()
	for i := range callers {
		var err error
		if callers[i], err = connect(ctx); err != nil {
			return Result{}, fmt.Errorf("connecting: %w", err)
		}
	}
	requests := int(c.Rate * c.Duration.Seconds())
	// Room for all: the schedule waits for nobody.
	due := make(chan time.Time, requests)
	lags := make([]time.Duration, 0, requests)
	results := make([]Result, c.Connections)
	var workers sync.WaitGroup
	for i, caller := range callers {
		workers.Go(func() { results[i].work(ctx, caller, due) })
	}
	pace(ctx, time.Now(), requests, c.Rate, func(at time.Time) {
		due <- at
		lags = append(lags, time.Since(at))
	})
	close(due)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	var all Result
	for i := range results {
		all.Latencies = append(all.Latencies, results[i].Latencies...)
		all.Failed += results[i].Failed
		if all.Err == nil {
			all.Err = results[i].Err
		}
	}
	slices.Sort(all.Latencies)
	slices.Sort(lags)
	all.Lag = percentile(lags, 0.99)
	return all, nil
}

// work makes the requests that are due.
func (r *Result) work(ctx context.Context, caller Caller, due <-chan time.Time) {
	for at := range due {
		if ctx.Err() != nil {
			return
		}
		if err := caller.Call(ctx); err != nil {
			r.Failed++
			r.Err = err
			continue
		}
		r.Latencies = append(r.Latencies, time.Since(at))
	}
}

// A pacer calls send for each request when it is due, or as soon as it can after
// that, until ctx ends. The i-th is due i/rate seconds after start.
type pacer func(ctx context.Context, start time.Time, requests int, rate float64, send func(due time.Time))

// paced is a pacer that waits with the given function.
func paced(sleep func(time.Duration)) pacer {
	return func(ctx context.Context, start time.Time, requests int, rate float64, send func(time.Time)) {
		for i := range requests {
			at := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			if wait := time.Until(at); wait > 0 {
				sleep(wait)
			}
			if ctx.Err() != nil {
				return
			}
			send(at)
		}
	}
}
