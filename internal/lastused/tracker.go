package lastused

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// An Engine keeps JSON objects that all replicas share. It is a part of that of package state.
type Engine interface {
	// ReadVersion returns the object at path, and the version to write over. The object may
	// be out of date, but not older than the last Sync.
	ReadVersion(ctx context.Context, path string) (document []byte, version int, found bool, err error)
	// WriteVersion writes if the version is still cas. A refusal (ok is false) may also come from a
	// node that is out of date; nothing is written then.
	WriteVersion(ctx context.Context, path string, document []byte, cas int) (version int, ok bool, err error)
	ListUnder(ctx context.Context, folder string) (names []string, err error)
	Sync(ctx context.Context) error
}

// Interval is how often a Tracker writes at the most.
const Interval = time.Minute

const (
	// firstPause is about how long after the start the first document is written: there must
	// be one, which says since when uses are recorded.
	firstPause = 5 * time.Second
	// maxPause is the longest time between two writes that fail.
	maxPause = 10 * time.Minute
	// saveTimeout bounds a write.
	saveTimeout = 20 * time.Second
	// attempts is how often a document is written again because another replica has written
	// it meanwhile.
	attempts = 4
)

// A Tracker gathers the uses of credentials on this replica, and keeps them in documents that
// all replicas share. It is safe for concurrent use.
type Tracker struct {
	kv    Engine
	log   *zap.Logger
	queue queue

	// saving is held while a document is written.
	saving *semaphore.Weighted
	// after is the first key behind the part that was written last.
	after key
	// present says that there are documents.
	present bool
	// seen are the versions of documents that this replica wrote or read to write them.
	seen map[part]int

	mu sync.Mutex
	// pending are the uses that are not in a document yet: one for each credential.
	pending map[key]minute
	// stuck is a credential that could not be saved and is not saved yet, if isStuck.
	stuck   key
	isStuck bool
	// problem is why the last attempt to save failed, nil if it did not.
	problem error

	// reading is held while All reads the documents, and kept is what it read last, for a
	// while.
	reading *semaphore.Weighted
	kept    atomic.Pointer[table]
}

// New returns a Tracker that records from now on, in memory. It starts no goroutine.
func New(log *zap.Logger) *Tracker {
	return &Tracker{log: log, saving: semaphore.NewWeighted(1), seen: map[part]int{}, pending: map[key]minute{}, reading: semaphore.NewWeighted(1)}
}

// KeepIn makes the Tracker keep documents in an engine. It must be called before all methods but
// Use.
func (t *Tracker) KeepIn(kv Engine) { t.kv = kv }

// Use returns what is to be told of the uses of a credential. There may be several Uses of one.
func (t *Tracker) Use(accessToken string) *Use {
	return &Use{key: keyOf(accessToken), queue: &t.queue}
}

// Run writes one document a minute at the most, if there is something new, until ctx ends. After
// an error it tries again more and more rarely.
func (t *Tracker) Run(ctx context.Context) error {
	pauses := backoff.Exponential{First: Interval, Max: maxPause}
	pause, failed := backoff.Jitter(firstPause, firstPause), false
	for t.rest(ctx, pause) == nil {
		err := t.saveOne(ctx)
		t.mu.Lock()
		t.problem = err
		t.mu.Unlock()
		switch {
		case err != nil && ctx.Err() != nil:
		case err != nil:
			if pause = pauses.Next(); !failed {
				t.log.Warn("the last uses of credentials are not saved; they are kept in memory, and it is tried again", zap.Error(err))
			}
			failed = true
		default:
			// Replicas that start together do not write together.
			pauses.Reset()
			if pause = backoff.Jitter(Interval*9/10, Interval/5); failed && t.allSaved() {
				t.log.Info("the last uses of credentials are saved again")
				failed = false
			}
		}
	}
	return nil
}

// rest waits for d or the end of ctx, whose error it returns, and empties the queue meanwhile:
// each load of a credential makes a new Use.
func (t *Tracker) rest(ctx context.Context, d time.Duration) error {
	for ; d > 0; d -= Interval {
		if err := backoff.Sleep(ctx, min(d, Interval)); err != nil {
			return err
		}
		t.gather()
	}
	return ctx.Err()
}

func (t *Tracker) saveOne(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	_, err := t.save(ctx)
	return err
}

// Flush writes what is pending, as much of it as it can before ctx ends. It is for a stop.
func (t *Tracker) Flush(ctx context.Context) error {
	for {
		if more, err := t.save(ctx); !more || err != nil {
			return err
		}
	}
}

// save writes one document, if there is something new, and says whether there is more.
func (t *Tracker) save(ctx context.Context) (more bool, err error) {
	if err := t.saving.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer t.saving.Release(1)
	t.gather()
	if t.present && t.idle() {
		return false, nil
	}
	parts, err := t.parts(ctx)
	if err != nil {
		return false, err
	}
	if t.present = len(parts) > 0; t.present && t.idle() {
		return false, nil
	}
	level := 0
	for _, p := range parts {
		level = max(level, p.level)
	}
	p, some := t.next(level)
	for {
		full, err := t.write(ctx, p, some)
		if err != nil {
			// The other documents do not wait for this one.
			t.after = p.end()
			t.stick(some)
			return false, err
		}
		if !full {
			break
		}
		p, some = t.next(p.level + 1)
	}
	t.present, t.after = true, p.end()
	t.settle(some)
	return !t.idle(), nil
}

// gather takes the uses out of the queue.
func (t *Tracker) gather() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue.empty(func(k key, at minute) { t.pending[k] = max(t.pending[k], at) })
}

func (t *Tracker) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pending) == 0
}

// settle forgets the uses that are in a document, and none that came later.
func (t *Tracker) settle(written map[key]minute) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, at := range written {
		if t.pending[k] <= at {
			delete(t.pending, k)
		}
	}
	if _, is := written[t.stuck]; is {
		t.isStuck = false
	}
}

// stick remembers one of the uses that could not be saved.
func (t *Tracker) stick(failed map[key]minute) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range failed {
		t.stuck, t.isStuck = k, true
	}
}

// allSaved says whether what could not be saved is saved.
func (t *Tracker) allSaved() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.isStuck || len(t.pending) == 0
}

// next returns the part of a level whose turn it is, and what is pending of it.
func (t *Tracker) next(level int) (p part, some map[key]minute) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, found, behind := key(0), false, false
	for k := range t.pending {
		is := k >= t.after
		if !found || is && !behind || is == behind && k < first {
			first, found, behind = k, true, is
		}
	}
	p, some = partOf(first, level), map[key]minute{}
	for k, at := range t.pending {
		if partOf(k, level) == p {
			some[k] = at
		}
	}
	return p, some
}

// parts returns the documents that there are.
func (t *Tracker) parts(ctx context.Context) (parts []part, err error) {
	names, err := t.kv.ListUnder(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", folder, err)
	}
	for _, name := range names {
		if p, ok := parsePart(name); ok {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// write merges uses into a document. It is full if it has no room for them: nothing is written
// then, and the next level has room.
func (t *Tracker) write(ctx context.Context, p part, some map[key]minute) (full bool, err error) {
	now := minuteOf(time.Now())
	for range attempts {
		d, version, err := t.read(ctx, p)
		if err == nil && version < t.seen[p] {
			// The node is out of date, or the document was deleted or restored.
			if err = t.kv.Sync(ctx); err == nil {
				d, version, err = t.read(ctx, p)
			}
		}
		if err != nil {
			return false, err
		}
		news, lost := d == nil, version < t.seen[p] || d == nil && version > 0
		if d == nil {
			d = &document{began: now, last: map[key]minute{}}
		}
		if lost {
			d.forgotten, news = max(d.forgotten, now), true
		}
		for k, at := range some {
			news = d.add(k, at) || news
		}
		if !news {
			t.seen[p] = version
			return false, nil
		}
		if len(d.last) > maxEntries && p.level < maxLevel {
			return true, nil
		}
		d.forget(now, maxEntries)
		raw, err := d.encode()
		if err != nil {
			return false, err
		}
		version, written, err := t.kv.WriteVersion(ctx, p.path(), raw, version)
		switch {
		case err != nil:
			return false, fmt.Errorf("writing %s: %w", p.path(), err)
		case written:
			t.seen[p] = version
			return false, nil
		}
		// Another replica was first, or the node is out of date.
		if err := t.kv.Sync(ctx); err != nil {
			return false, err
		}
	}
	return false, errContended
}

var errContended = errors.New("other replicas write the last uses at the same time")

// read returns a document, nil if there is none, and the version to write over.
func (t *Tracker) read(ctx context.Context, p part) (*document, int, error) {
	raw, version, found, err := t.kv.ReadVersion(ctx, p.path())
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", p.path(), err)
	}
	if !found {
		return nil, version, nil
	}
	d, err := decode(raw)
	return d, version, err
}
