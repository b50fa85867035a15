package vaultkv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// SweepConfig says how often and how thoroughly what is held in memory is
// compared with the mount. Start from [DefaultSweepConfig].
type SweepConfig struct {
	// Interval is the time between two sweeps, default 1 minute; less up to
	// 10 % at random. 0 turns them off. Lists take no more than a tenth of all
	// time: after a long one the next sweep is later.
	Interval time.Duration
	// Reads is how many of the keys held are read again in a sweep, in turn,
	// default 0. A KV v2 mount goes on listing a key after its newest version
	// was deleted (`vault kv delete`): only reading tells.
	Reads int
}

// KV2Reads is a good number for SweepConfig.Reads of a KV v2 mount: 50 reads a
// second for a third of the default interval.
const KV2Reads = 1000

// DefaultSweepConfig returns the defaults.
func DefaultSweepConfig() SweepConfig { return SweepConfig{Interval: time.Minute} }

// Validate reports every mistake.
func (c SweepConfig) Validate() error {
	var errs []error
	if c.Interval != 0 && (c.Interval < time.Second || c.Interval > 24*time.Hour) {
		errs = append(errs, fmt.Errorf("sweep: %s is neither 0 nor between 1s and 24h", c.Interval))
	}
	if c.Reads < 0 {
		errs = append(errs, fmt.Errorf("sweep: %d reads are less than none", c.Reads))
	}
	return errors.Join(errs...)
}

// Held is what a sweep looks after: a cache whose keys are those of an [Engine].
type Held interface {
	Keys() []string
	Invalidate(key string)
}

// A Sweeper drops from a cache what was deleted in the mount behind its back.
// Make one with [NewSweeper] and let it work with [Sweeper.Run].
//
// What it goes by is a list that is complete and was asked for after the keys
// held were noted, so that nothing is dropped because it was made while the list
// was on its way. A key that was deleted and made again meanwhile may be
// dropped; that costs one read. A list that fails drops nothing.
type Sweeper struct {
	cfg    SweepConfig
	engine Engine
	held   Held
	log    *zap.Logger

	// Only Run uses these.
	problem string
	after   string // the last key that was read again

	mu    sync.Mutex
	stats SweepStats
}

// SweepStats is what a Sweeper has done, for metrics.
type SweepStats struct {
	// Complete and Failed count sweeps, Dropped the keys that were dropped, and
	// Reads those that were read again.
	Complete, Failed, Dropped, Reads uint64
	// LastComplete is when the last complete sweep began, zero before one.
	LastComplete time.Time
	// Bound is the longest that a deletion can go unnoticed by the sweeps, 0
	// if there is no telling: before the first complete one, after a failed
	// one, and without any.
	Bound time.Duration
}

// NewSweeper returns the Sweeper of a vault object. It starts nothing.
func NewSweeper(name string, engine Engine, held Held, c SweepConfig, log *zap.Logger) *Sweeper {
	return &Sweeper{cfg: c, engine: engine, held: held, log: log.With(zap.String("vault", name))}
}

// Stats returns the figures of now.
func (s *Sweeper) Stats() SweepStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run sweeps until ctx ends, and returns nil. The first sweep comes at a random
// moment of the first interval: replicas that start together do not ask for the
// list together.
func (s *Sweeper) Run(ctx context.Context) error {
	if s.cfg.Interval == 0 {
		<-ctx.Done()
		return nil
	}
	for rest := backoff.Jitter(0, s.cfg.Interval); backoff.Sleep(ctx, rest) == nil; {
		rest = s.sweep(ctx)
	}
	return nil
}

// What a sweep may ask of the server.
const (
	// A list takes no more than a tenth of the time, the reads of a sweep no
	// more than half an interval.
	listShare = 10
	readShare = 2
	// readGap is the time between two reads: a burst could use up a quota that
	// requests need.
	readGap = 20 * time.Millisecond
)

// sweep sweeps once and returns how long to wait before the next time.
func (s *Sweeper) sweep(ctx context.Context) time.Duration {
	began := time.Now()
	keys, dropped, err := s.compare(ctx, s.held.Keys())
	listing := time.Since(began)
	read := 0
	if err == nil {
		var deleted uint64
		read, deleted, err = s.readAgain(ctx, keys)
		dropped += deleted
	}
	rest := max(s.cfg.Interval-(time.Since(began)-listing), listShare*listing)
	if ctx.Err() != nil {
		return rest
	}
	s.note(began, read, dropped, err, s.bound(len(keys), read, rest+time.Since(began)))
	s.tell(dropped, err)
	return backoff.Jitter(rest-rest/10, rest/10)
}

// compare drops what is not in the mount, and returns what is left. Nobody asks
// for a list to compare nothing with.
func (s *Sweeper) compare(ctx context.Context, keys []string) (left []string, dropped uint64, err error) {
	if len(keys) == 0 {
		return nil, 0, nil
	}
	gone := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		gone[key] = struct{}{}
	}
	if err := s.engine.EachKey(ctx, func(key string) { delete(gone, key) }); err != nil {
		return keys, 0, err
	}
	for key := range gone {
		s.held.Invalidate(key)
	}
	return slices.DeleteFunc(keys, func(key string) bool {
		_, is := gone[key]
		return is
	}), uint64(len(gone)), nil
}

// readAgain reads some of the keys, going on where the last sweep ended, and
// drops those that there is nothing under. It ends at the first failure: the
// server has enough to do then.
func (s *Sweeper) readAgain(ctx context.Context, keys []string) (read int, dropped uint64, err error) {
	if s.cfg.Reads == 0 || len(keys) == 0 {
		return 0, 0, nil
	}
	began := time.Now()
	slices.Sort(keys)
	next, found := slices.BinarySearch(keys, s.after)
	if found {
		next++
	}
	for read < min(s.cfg.Reads, len(keys)) && time.Since(began) < s.cfg.Interval/readShare {
		if read > 0 {
			if err := backoff.Sleep(ctx, readGap); err != nil {
				return read, dropped, err
			}
		}
		key := keys[(next+read)%len(keys)]
		// Also if this one fails: the next sweep begins behind it.
		s.after = key
		_, found, err := s.engine.Read(ctx, key)
		if err != nil {
			return read, dropped, err
		}
		if !found {
			s.held.Invalidate(key)
			dropped++
		}
		read++
	}
	return read, dropped, nil
}

// bound is how long a deletion can go unnoticed if a sweep comes round every so
// often.
func (s *Sweeper) bound(held, read int, round time.Duration) time.Duration {
	if s.cfg.Reads == 0 || held <= read {
		return round
	}
	read = max(read, 1)
	return round * time.Duration((held+read-1)/read)
}

func (s *Sweeper) note(began time.Time, read int, dropped uint64, err error, bound time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Dropped += dropped
	s.stats.Reads += uint64(read) //nolint:gosec // it is not negative
	if err != nil {
		s.stats.Failed++
		s.stats.Bound = 0
		return
	}
	s.stats.Complete++
	s.stats.LastComplete, s.stats.Bound = began, bound
}

// tell logs a failure when it is another than before, and when it has passed.
func (s *Sweeper) tell(dropped uint64, err error) {
	if dropped > 0 {
		s.log.Info("credentials that were deleted in the vault are dropped", zap.Uint64("count", dropped))
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem == s.problem {
		return
	}
	s.problem = problem
	if err != nil {
		s.log.Warn("sweep failed: a deletion in the vault is noticed when the entry expires; cache.sweep: 0 turns sweeps off", zap.Error(err))
		return
	}
	s.log.Info("sweeps work again")
}
