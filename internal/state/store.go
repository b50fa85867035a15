package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/vault-authz/vault-authz/authz"
)

// A Config says how the log is followed. Start from [DefaultConfig].
type Config struct {
	// Interval is how often the log is read, give or take a tenth. Default 1s.
	Interval time.Duration
	// Margin is added to two intervals. For that long a replica may decide
	// without a heartbeat, or without a proof that it is current. Default 500ms.
	Margin time.Duration
	// Bridge is how long replicas of the earlier version may run beside those of
	// this one, from the first start of this one. Default 24h.
	Bridge time.Duration
	// MaxStale is how long decisions may be made from memory while nothing proves
	// that it is current. Default 30s.
	MaxStale time.Duration
	// WriteWithin bounds the write of a credential, from the moment before its
	// writer asked for the lease. Default 3s.
	WriteWithin time.Duration
	// LeaseGrace is how long a lease that is not released is respected, by the
	// clock of the replica that waits. At least twice WriteWithin. Default 6s.
	LeaseGrace time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Interval: time.Second, Margin: 500 * time.Millisecond, Bridge: 24 * time.Hour, MaxStale: 30 * time.Second,
		WriteWithin: 3 * time.Second, LeaseGrace: 6 * time.Second,
	}
}

// Validate reports every mistake.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Interval >= 10*time.Millisecond && c.Interval <= time.Minute, "interval: %s is not between 10ms and 1m", c.Interval)
	check(c.Margin > 0 && c.Margin <= time.Minute, "margin: %s is not between 0 and 1m", c.Margin)
	check(c.Bridge >= 0, "bridge: %s is less than 0", c.Bridge)
	check(c.MaxStale >= 0, "max_stale: %s is less than 0", c.MaxStale)
	check(c.WriteWithin > 0 && c.WriteWithin <= time.Minute, "write_within: %s is not between 0 and 1m", c.WriteWithin)
	check(c.LeaseGrace >= 2*c.WriteWithin, "lease_grace: %s is less than twice write_within", c.LeaseGrace)
	return errors.Join(errs...)
}

// limit is how old a proof may be.
func (c *Config) limit() time.Duration { return 2*c.Interval + c.Margin }

// A Store is the shared log and this replica's copy of the state. It is safe for
// concurrent use. Its errors wrap [authz.ErrUnavailable] if the engine failed, or if this
// replica cannot know what the state is.
type Store struct {
	kv    Engine
	cfg   Config
	watch Watcher
	log   *zap.Logger
	gate  *freshnessGate
	queue queue
	// refreshes are the calls of Refresh.
	refreshes coalescer

	// view is the newest state that this replica knows. shown is the newest one that
	// others may use.
	view, shown atomic.Pointer[View]
	// problem is why the last poll failed.
	problem atomic.Pointer[error]

	mu sync.Mutex
	// replica is nil until the state has been read.
	replica *replica
	// dropAgain has access tokens whose credentials are dropped after each poll, the last
	// time after a poll that began at the given time or later.
	dropAgain map[string]time.Time
	// dropAllAgain is that time for all credentials; the zero time means that not all
	// have to be dropped.
	dropAllAgain time.Time
	// revision counts the views in which entities differ.
	revision int
	// loading is the load of the whole state that is under way, or nil.
	loading *loading

	compacting compaction
	moving     moving
	bridging   bridging
}

// New returns the store in kv, without reading it.
func New(kv Engine, c Config, w Watcher, log *zap.Logger) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return &Store{
		kv: kv, cfg: c, watch: w, log: log, gate: newFreshnessGate(c.limit(), c.MaxStale),
		dropAgain: map[string]time.Time{}, compacting: compaction{running: semaphore.NewWeighted(1)}, bridging: newBridging(),
	}, nil
}

// SetMaxStale changes [Config.MaxStale]. Decisions go by it at once.
func (s *Store) SetMaxStale(d time.Duration) { s.gate.setMaxStale(max(d, 0)) }

// View returns the newest state that this replica has read. Its error wraps
// [authz.ErrUnavailable] before the first load has ended.
func (s *Store) View() (*View, error) {
	if v := s.shown.Load(); v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("state store: %w: the state has not been read yet", authz.ErrUnavailable)
}

// Refresh reads on in the log. When it returns nil, the View has every change that any
// replica had committed before Refresh was called. Calls at the same time share the
// requests to the server.
func (s *Store) Refresh(ctx context.Context) error {
	err := s.refreshes.do(ctx, s.refresh)
	if err != nil && !errors.Is(err, authz.ErrUnavailable) {
		return unavailable(err)
	}
	return err
}

// refresh is Refresh with requests of its own. Callers that must not wait for those of
// another call use it.
func (s *Store) refresh(ctx context.Context) error {
	s.mu.Lock()
	before := s.tailGeneration()
	s.mu.Unlock()
	if err := s.kv.Sync(ctx); err != nil {
		return unavailable(err)
	}
	return s.readOn(ctx, before)
}

// tailGeneration is that of the tail, 0 before the first load. The caller holds mu.
func (s *Store) tailGeneration() int {
	if s.replica == nil {
		return 0
	}
	return s.replica.tail.generation
}

// noGeneration is that of no tail.
const noGeneration = -1

// readOn reads the log from the tail on. before is the tail's generation before the Sync,
// or noGeneration if there was no Sync.
func (s *Store) readOn(ctx context.Context, before int) error {
	for {
		s.mu.Lock()
		r := s.replica
		number := 0
		if r != nil {
			number = r.tail.number
		}
		s.mu.Unlock()
		if r == nil {
			if err := s.load(ctx, r); err != nil {
				return err
			}
			// The load may have begun before the Sync, so its last segment is read again.
			continue
		}
		raw, version, found, err := s.kv.ReadVersion(ctx, segmentPath(number))
		if err != nil {
			return unavailable(err)
		}
		more, err := s.accept(r, number, reading{raw: raw, version: version, found: found, generation: before})
		if errors.Is(err, errBehind) {
			if err := s.load(ctx, r); err != nil {
				return err
			}
			continue
		}
		if err != nil || !more {
			return wrapLog(err)
		}
	}
}

func wrapLog(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("state store: %w: %w", authz.ErrUnavailable, err)
}

// accept hands what was read to the replica, unless a load has replaced that meanwhile.
func (s *Store) accept(r *replica, number int, read reading) (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replica != r {
		return true, nil
	}
	more, e, err := r.accept(number, read, time.Now())
	s.publish(e)
	return more, err
}

func (s *Store) lastRevision() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// Using records that decisions are made by the view from now on.
func (s *Store) Using(v *View) { s.gate.use(v.revision) }
