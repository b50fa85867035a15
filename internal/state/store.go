package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
)

// A Config says how the log is followed. Start from [DefaultConfig].
type Config struct {
	// Interval is how often the log is read, give or take a tenth. Default 1s.
	Interval time.Duration
	// Margin is how much longer than two intervals a replica may show no sign
	// of life, or have no proof that it is current, before it has to wait for
	// one. Default 500ms.
	Margin time.Duration
	// Bridge is for how long replicas of the earlier version may run beside those
	// of this one, after the first start of this one. Default 24h.
	Bridge time.Duration
	// MaxStale is for how long decisions may be made from memory when nothing
	// proves that it is current. Default 30s.
	MaxStale time.Duration
	// WriteWithin bounds the write of a credential, from before the moment at
	// which the writer asked for the hold. Default 3s.
	WriteWithin time.Duration
	// HoldGrace is for how long a hold is left to its holder, by the clock of
	// who waits for it. At least twice WriteWithin. Default 6s.
	HoldGrace time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Interval: time.Second, Margin: 500 * time.Millisecond, Bridge: 24 * time.Hour, MaxStale: 30 * time.Second,
		WriteWithin: 3 * time.Second, HoldGrace: 6 * time.Second,
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
	check(c.HoldGrace >= 2*c.WriteWithin, "hold_grace: %s is less than twice write_within", c.HoldGrace)
	return errors.Join(errs...)
}

// limit is how old a proof may be.
func (c *Config) limit() time.Duration { return 2*c.Interval + c.Margin }

// A Watcher is told what a reading of the log leads to, in order. It must be quick,
// and must not call the Store. What it is told of entities takes effect at once, unless
// Later is set.
type Watcher struct {
	// Later: who is told calls [Store.Using] when decisions are made by a View.
	Later bool

	// Drop: the credential of the access token may change, or has changed. It is
	// called more than once for a change.
	Drop func(accessToken string)
	// DropAll: any credential and any entity may have changed.
	DropAll func()
	// Changed: these entities are others in the view than in the one before it; with nil,
	// any may be.
	Changed func([]Change, *View)
}

// A Store is the shared log and this replica's copy of the state. It is safe for
// concurrent use. Its errors wrap [authz.ErrUnavailable] where they are about the
// engine, or where a replica cannot know what the state is.
type Store struct {
	kv    Engine
	cfg   Config
	watch Watcher
	log   *zap.Logger
	gate  *gate
	queue queue
	// shared are the exchanges of Refresh.
	shared exchanges

	// view is the state as it is known here, and shown the same once anybody may go by
	// it.
	view, shown atomic.Pointer[View]
	// problem is why the last poll failed.
	problem atomic.Pointer[error]

	mu sync.Mutex
	// replica is nil until the state has been read.
	replica *replica
	// suspects are credentials to be dropped at each reading of the log, up to and with
	// one that began after a time.
	suspects map[string]time.Time
	// allSuspect is that time for all of them, zero for none.
	allSuspect time.Time
	// news counts what was told about entities.
	news int
	// loading is the reading of everything that is under way, nil for none.
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
		kv: kv, cfg: c, watch: w, log: log, gate: newGate(c.limit(), c.MaxStale),
		suspects: map[string]time.Time{}, compacting: compaction{turn: newTurn()}, bridging: newBridging(),
	}, nil
}

// View returns the state as it is known here. Its error wraps
// [authz.ErrUnavailable] before it has been read for the first time.
func (s *Store) View() (*View, error) {
	if v := s.shown.Load(); v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("state store: %w: the state has not been read yet", authz.ErrUnavailable)
}

// Refresh reads on in the log. When it returns nil, the View has every change that
// had been committed by anyone before Refresh was called. Calls at the same time share
// what is asked of the server.
func (s *Store) Refresh(ctx context.Context) error {
	err := s.shared.share(ctx, s.refresh)
	if err != nil && !errors.Is(err, authz.ErrUnavailable) {
		return unavailable(err)
	}
	return err
}

// refresh is Refresh with an exchange of its own, for those who must not wait for
// somebody else's.
func (s *Store) refresh(ctx context.Context) error {
	s.mu.Lock()
	since := s.moves()
	s.mu.Unlock()
	if err := s.kv.Sync(ctx); err != nil {
		return unavailable(err)
	}
	return s.readOn(ctx, since)
}

// moves says how often the tail has moved. The caller holds mu.
func (s *Store) moves() int {
	if s.replica == nil {
		return 0
	}
	return s.replica.tail.moves
}

// readOn reads the log from the tail on. since is what moves was before the Sync.
func (s *Store) readOn(ctx context.Context, since int) error {
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
			// It may have begun before the Sync.
			continue
		}
		raw, version, found, err := s.kv.ReadVersion(ctx, segmentPath(number))
		if err != nil {
			return unavailable(err)
		}
		more, err := s.take(r, number, reading{raw: raw, version: version, found: found, since: since})
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

// take hands what was read to the replica, unless there is another one by now.
func (s *Store) take(r *replica, number int, read reading) (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replica != r {
		return true, nil
	}
	more, e, err := r.accept(number, read, time.Now())
	s.tell(e)
	return more, err
}

// tell publishes the view and says what it leads to. The caller holds mu.
func (s *Store) tell(e effects) {
	if s.bridging.held {
		s.view.Store(s.replica.view)
		return // everything is told in the end
	}
	if e.all || len(e.changes) > 0 {
		s.news++
		s.gate.told(s.news)
	}
	if s.replica != nil && s.replica.view != s.shown.Load() {
		s.replica.view.news = s.news
		s.view.Store(s.replica.view)
		s.shown.Store(s.replica.view)
	}
	if !s.watch.Later {
		defer s.gate.use(s.news)
	}
	now := time.Now()
	if e.all {
		s.watch.Changed(nil, s.shown.Load())
		s.watch.DropAll()
		s.allSuspect = now
		if !e.first {
			s.allSuspect = now.Add(s.cfg.lookAgainFor())
		}
	}
	for _, key := range e.held {
		s.watch.Drop(key)
		s.suspects[key] = now.Add(s.cfg.lookAgainFor())
	}
	for _, key := range e.done {
		s.watch.Drop(key)
		// The earlier version has its own turns, and may be about to write all the same.
		if s.replica.view.bridge == nil || s.suspects[key].Before(now) {
			s.suspects[key] = now
		}
	}
	if len(e.changes) > 0 {
		s.watch.Changed(e.changes, s.shown.Load())
	}
}

func (s *Store) lastNews() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.news
}

// Using says that decisions are made by the view.
func (s *Store) Using(v *View) { s.gate.use(v.news) }

// A loading is a reading of everything, for all who need it.
type loading struct {
	done chan struct{}
	err  error
}

// loadTimeout bounds it. There may be a lot, so it goes on when those give up who wait.
const loadTimeout = 2 * time.Minute

// load reads everything, unless there is another replica than the one that was
// found behind. Credentials are dropped before: nobody knows which have changed.
func (s *Store) load(ctx context.Context, behind *replica) error {
	s.mu.Lock()
	if s.replica != behind {
		s.mu.Unlock()
		return nil
	}
	l := s.loading
	if l == nil {
		l = &loading{done: make(chan struct{})}
		s.loading = l
		if behind != nil {
			s.gate.lose()
			s.watch.DropAll()
		}
		go s.finish(context.WithoutCancel(ctx), l, behind)
	}
	s.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// finish does what a loading is for.
func (s *Store) finish(ctx context.Context, l *loading, behind *replica) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	l.err = errPanicked
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("reading the state failed within this program; please report it", zap.String("panic", fmt.Sprintf("%T", p)))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if behind != nil {
			s.gate.loaded(l.err == nil, s.news)
		}
		s.loading = nil
		close(l.done)
	}()
	l.err = s.loadAll(ctx, behind)
}

var errPanicked = fmt.Errorf("state store: %w: reading it failed within this program", authz.ErrUnavailable)

// maxLoads bounds how often everything is read again because checkpoints were
// written meanwhile.
const maxLoads = 5

func (s *Store) loadAll(ctx context.Context, behind *replica) error {
	var err error
	for range maxLoads {
		var r *replica
		if r, err = s.readAll(ctx); err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if behind != nil {
				s.log.Warn("the state was read anew: the log does not go on from what was known, as after a restored backup or a long stop", zap.Int("position", r.view.position))
				r.tail.moves = behind.tail.moves + 1
			}
			s.replica = r
			s.bridging.held = r.view.bridge != nil && s.shown.Load() == nil
			s.tell(effects{all: true, first: behind == nil, held: slices.Collect(maps.Keys(r.view.holds))})
			return nil
		}
		if !errors.Is(err, errBehind) {
			return err
		}
	}
	return fmt.Errorf("state store: %w: the checkpoint and the log do not fit together: %w; if a backup was restored in part, restore all of the mount", authz.ErrUnavailable, err)
}

// readAll reads the checkpoint and the log behind it.
func (s *Store) readAll(ctx context.Context) (*replica, error) {
	kept, _, found, err := readCheckpoint(ctx, s.kv)
	switch {
	case err != nil:
		return nil, wrapAll(err)
	case !found, kept.Moving:
		if err := s.begin(ctx); err != nil {
			return nil, err
		}
		return nil, errBehind
	}
	v, err := loadView(ctx, s.kv, &kept, time.Now())
	if err != nil {
		return nil, wrapAll(err)
	}
	r := &replica{log: kept.Log, view: v, kept: kept, tail: tail{number: kept.Segment, version: -1}}
	for {
		number := r.tail.number
		raw, version, found, err := s.kv.ReadVersion(ctx, segmentPath(number))
		if err != nil {
			return nil, unavailable(err)
		}
		more, _, err := r.accept(number, reading{raw: raw, version: version, found: found}, time.Now())
		if err != nil {
			return nil, wrapAll(err)
		}
		if !more {
			return r, nil
		}
	}
}

func wrapAll(err error) error {
	if errors.Is(err, errBehind) {
		return err
	}
	if errors.Is(err, errNewer) || errors.Is(err, authz.ErrMalformed) {
		return wrapLog(err)
	}
	return unavailable(err)
}

// begin creates the log. That another replica was faster is as good.
func (s *Store) begin(ctx context.Context) error {
	kept, version, found, err := readCheckpoint(ctx, s.kv)
	if err == nil && (!found || kept.Moving) {
		var legacy bool
		if legacy, err = hasLegacy(ctx, s.kv); err == nil && (legacy || kept.Moving) {
			return s.moveSoon(kept.Writing) //nolint:contextcheck // it goes on after this reading
		}
		if err == nil {
			_, _, err = writeEntry(ctx, s.kv, checkpointPath, checkpoint{Format: format, Log: rand.Text(), Set: "a"}, version)
		}
	}
	if err != nil {
		return wrapAll(err)
	}
	return nil
}
