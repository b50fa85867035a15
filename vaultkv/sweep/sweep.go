package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// Config configures how often and how thoroughly a cache is compared with the mount.
// Start from [DefaultConfig].
type Config struct {
	// Interval is the time between two sweeps, minus up to 10 % at random. Default 1
	// minute; 0 turns sweeps off. Lists take at most a tenth of the time: after a long
	// list the next sweep comes later.
	Interval time.Duration
	// Reads is how many of the cached keys each sweep reads again, in turn. Default 0. A
	// KV v2 mount still lists a key after its latest version was deleted (`vault kv
	// delete`), so that only a read shows the deletion.
	Reads int
}

// KV2Reads is a good value of [Config.Reads] for a KV v2 mount: 50 reads a second for a
// third of the default interval.
const KV2Reads = 1000

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Interval: time.Minute} }

// Validate reports every mistake.
func (c Config) Validate() error {
	var errs []error
	if c.Interval != 0 && (c.Interval < time.Second || c.Interval > 24*time.Hour) {
		errs = append(errs, fmt.Errorf("sweep: %s is neither 0 nor between 1s and 24h", c.Interval))
	}
	if c.Reads < 0 {
		errs = append(errs, fmt.Errorf("sweep: the number of reads is negative: %d", c.Reads))
	}
	return errors.Join(errs...)
}

// A Cache is what a [Sweeper] keeps current. Its keys are those of a [vaultkv.Engine].
type Cache interface {
	Keys() []string
	Invalidate(key string)
}

// A Sweeper removes from a cache the entries that were deleted directly in the mount. Make
// one with [New] and start it with [Sweeper.Run].
//
// It compares the keys of the cache with a complete list that it requests after it has
// taken the keys, so that an entry made while the list is under way stays. A key that was
// deleted and made again meanwhile may be removed; that costs one read. After a list that
// failed nothing is removed.
type Sweeper struct {
	cfg    Config
	engine vaultkv.Engine
	cache  Cache
	log    *zap.Logger

	// Only Run uses these. problem is the last failure that was logged, after the last
	// key that was read again.
	problem, after string

	mu    sync.Mutex
	stats Stats
}

// Stats are the statistics of a Sweeper, for metrics.
type Stats struct {
	// Complete and Failed count sweeps, Dropped the keys that were removed from the cache,
	// and Reads the keys that were read again.
	Complete, Failed, Dropped, Reads uint64
	// LastComplete is when the last complete sweep began, zero before the first.
	LastComplete time.Time
	// Bound is the longest time that a deletion can go unnoticed by the sweeps. It is 0 if
	// that is not known: before the first complete sweep, after a failed one, and if sweeps
	// are off.
	Bound time.Duration
}

// New returns the Sweeper of a vault object. It does nothing before Run.
func New(name string, engine vaultkv.Engine, cache Cache, c Config, log *zap.Logger) *Sweeper {
	return &Sweeper{cfg: c, engine: engine, cache: cache, log: log.With(zap.String("vault", name))}
}

// Stats returns the current statistics.
func (s *Sweeper) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run sweeps until ctx ends, and returns nil. The first sweep comes at a random moment of
// the first interval, so that replicas that start together do not list together.
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

// Limits on the load of the server.
const (
	// Lists take at most 1/listShare of the time, and the reads of a sweep at most
	// 1/readShare of the interval.
	listShare = 10
	readShare = 2
	// readGap is the time between two reads. A burst could use up a quota that requests
	// need.
	readGap = 20 * time.Millisecond
)

// sweep sweeps once and returns the wait before the next sweep.
func (s *Sweeper) sweep(ctx context.Context) time.Duration {
	began := time.Now()
	keys, dropped, err := s.compare(ctx, s.cache.Keys())
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
	s.count(began, read, dropped, err, s.bound(len(keys), read, rest+time.Since(began)))
	s.logOutcome(dropped, err)
	return backoff.Jitter(rest-rest/10, rest/10)
}

// compare removes the keys that are not in the mount from the cache, and returns the
// remaining keys. It requests no list if there are no keys.
func (s *Sweeper) compare(ctx context.Context, keys []string) (remaining []string, dropped uint64, err error) {
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
		s.cache.Invalidate(key)
	}
	return slices.DeleteFunc(keys, func(key string) bool {
		_, is := gone[key]
		return is
	}), uint64(len(gone)), nil
}

// readAgain reads some of the keys, starting where the last sweep ended, and removes those
// that are not found from the cache. It ends at the first failure, to spare the server.
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
		// Even if this read fails, the next sweep begins after it.
		s.after = key
		_, found, err := s.engine.Read(ctx, key)
		if err != nil {
			return read, dropped, err
		}
		if !found {
			s.cache.Invalidate(key)
			dropped++
		}
		read++
	}
	return read, dropped, nil
}

// bound is the longest time that a deletion can go unnoticed if there is one sweep per
// round and each reads read of the cached keys.
func (s *Sweeper) bound(cached, read int, round time.Duration) time.Duration {
	if s.cfg.Reads == 0 || cached <= read {
		return round
	}
	read = max(read, 1)
	return round * time.Duration((cached+read-1)/read)
}

func (s *Sweeper) count(began time.Time, read int, dropped uint64, err error, bound time.Duration) {
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

// logOutcome logs a failure that differs from the last one, and the end of failures.
func (s *Sweeper) logOutcome(dropped uint64, err error) {
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
	if err == nil {
		s.log.Info("sweeps work again")
		return
	}
	advice := ""
	if refused(err) {
		advice = "; if they shall not, cache.sweep: 0 turns them off"
	}
	s.log.Warn("sweep failed: until sweeps work again, a deletion in the vault is noticed when the entry expires"+advice, zap.Error(err))
}

// refused reports whether a sweep failed because the server does not let this service list or
// read, which lasts until somebody changes that. An outage passes.
func refused(err error) bool {
	var problem *vaultkv.Error
	return errors.As(err, &problem) && problem.State == vaultkv.StateForbidden
}
