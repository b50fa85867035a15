package vaultkv

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

const turnsFolder = "turns"

// turnPoll is how long who waits for a turn waits before it looks again.
const turnPoll = 25 * time.Millisecond

// A TurnsConfig is how [Turns] waits. Start from [DefaultTurnsConfig].
type TurnsConfig struct {
	// Grace is for how long a turn that does not move is left to its holder, by
	// the clock of who waits for it. At least twice WriteWithin. Default 6s.
	Grace time.Duration
	// WriteWithin bounds the one write of the holder, from before the moment at
	// which it has shown that it still is the holder. Default 3s.
	WriteWithin time.Duration
}

// DefaultTurnsConfig returns the defaults.
func DefaultTurnsConfig() TurnsConfig {
	return TurnsConfig{Grace: 2 * CommitWithin, WriteWithin: CommitWithin}
}

// Validate reports every mistake.
func (c *TurnsConfig) Validate() error {
	var errs []error
	if c.WriteWithin <= 0 || c.WriteWithin > time.Minute {
		errs = append(errs, fmt.Errorf("write_within: %s is not between 0 and 1m", c.WriteWithin))
	}
	if c.Grace < 2*c.WriteWithin {
		errs = append(errs, fmt.Errorf("grace: %s is less than twice write_within", c.Grace))
	}
	return errors.Join(errs...)
}

// Turns let one writer at a time, of all replicas, read and write what lies under
// a key of another mount. KV v1 has no check-and-set, and KV v2 forgets the
// versions of what is deleted: without turns two replicas can both create one
// access token, and a rotation can bring back what was deleted meanwhile. It is
// safe for concurrent use, and keeps nothing itself but when it saw turns that it
// did not get: who waits again has not to wait from the beginning.
//
// # What is kept
//
//	turns/<first four digits of SHA-256 of the key>   who has the turn, if anyone
//
// The path tells nobody the key. That a few keys share a turn costs a short wait
// now and then, and bounds the number of entries, which are never deleted. The
// vault object is not part of the key: two of them may be of the same mount.
//
// # Who may write
//
// A turn is taken by a check-and-set write of its entry, proved by another one
// right before the write that it is for, and given back by a third. Who waits may
// take it once the entry has not changed for the grace, by its own clock: no two
// clocks are compared. So who held it and was slow, or stopped, finds the entry
// changed when it wants to prove its turn, and does not write.
//
// Between the proof and the write nothing can help on KV v1. What bounds it: the
// write's context ends WriteWithin after the moment before the proof was sent, it
// is looked at once more after the proof, since a process that was stopped and
// continued can be faster than its timers, and the grace, which the proof begins
// anew, is at least twice as long. What is left is a process that is stopped for
// half the grace between two of its instructions, or a server that does a write
// so long after its client has hung up. On KV v2 the version of the document
// decides then, too, unless it was deleted and created again meanwhile.
//
// # What a crash costs
//
// The others wait for the grace, once, and then go on. The same holds after a
// write whose outcome is unknown: it may happen yet, so its turn is not given
// back.
type Turns struct {
	kv  Versioned
	cfg TurnsConfig

	mu sync.Mutex
	// seen are turns that calls have waited for in vain, by path.
	seen map[string]sighting
}

// A sighting is the version that a turn had, and since when it is known to.
type sighting struct {
	version int
	since   time.Time
}

// maxSeen bounds the sightings; who finds his gone waits from the beginning.
const maxSeen = 1024

// NewTurns returns the turns in kv.
func NewTurns(kv Versioned, c TurnsConfig) (*Turns, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("turns: %w", err)
	}
	return &Turns{kv: kv, cfg: c, seen: map[string]sighting{}}, nil
}

// Take waits for the turn of a key, calls do, and gives the turn back. do makes
// its one write by handing it to commit, and must not write otherwise.
//
// commit calls write with a context that ends before somebody else may have the
// turn, and returns its error. If the turn is lost it does not call write, and
// its error wraps [authz.ErrConflict]: do may be tried again in a new turn. An
// error of write counts as an unknown outcome unless it wraps ErrConflict.
//
// Take returns the error of do, or one that wraps [authz.ErrUnavailable] if do was
// not called.
func (t *Turns) Take(ctx context.Context, key string, do func(commit func(ctx context.Context, write func(context.Context) error) error) error) error {
	held, err := t.take(ctx, turnPath(key))
	if err != nil {
		return err
	}
	defer held.giveBack(ctx)
	return do(held.commit)
}

func turnPath(key string) string {
	digest := sha256.Sum256([]byte(key))
	return turnsFolder + "/" + hex.EncodeToString(digest[:2])
}

// A turnEntry is what lies at the path of a turn.
type turnEntry struct {
	// Holder is a random name of who has the turn, "" for nobody.
	Holder string `json:"holder,omitempty"`
	// At is for people.
	At time.Time `json:"at"`
}

// A heldTurn belongs to one call of Take.
type heldTurn struct {
	*Turns
	path, holder string
	version      int
	// inDoubt: the write may happen yet, or the entry may be of another version.
	inDoubt bool
}

func (t *Turns) take(ctx context.Context, path string) (h *heldTurn, err error) {
	mine := &heldTurn{Turns: t, path: path, holder: rand.Text()}
	last := t.lastSeen(path)
	defer func() { t.note(path, last, h != nil) }()
	for {
		e, version, err := t.read(ctx, path)
		if err != nil {
			return nil, err
		}
		if version != last.version {
			last = sighting{version, time.Now()}
		}
		if e.Holder != "" && time.Since(last.since) < t.cfg.Grace {
			if err := pause(ctx, turnPoll); err != nil {
				return nil, fmt.Errorf("waiting for another change of the credential: %w", unavailableState(err))
			}
			continue
		}
		ok, err := mine.put(ctx, mine.holder, version)
		if err != nil {
			return nil, err
		}
		if ok {
			return mine, nil
		}
	}
}

func (t *Turns) lastSeen(path string) sighting {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.seen[path]; ok {
		return s
	}
	return sighting{version: -1}
}

// note keeps a sighting for the next call, unless this one has the turn.
func (t *Turns) note(path string, s sighting, taken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if taken || s.version < 1 {
		delete(t.seen, path)
		return
	}
	if _, known := t.seen[path]; !known && len(t.seen) >= maxSeen {
		for other := range t.seen {
			delete(t.seen, other)
			break
		}
	}
	t.seen[path] = s
}

// read returns the entry. One that cannot be understood is somebody's: it is
// taken over after the grace, and thereby mended.
func (t *Turns) read(ctx context.Context, path string) (turnEntry, int, error) {
	raw, version, found, err := t.kv.ReadVersion(ctx, path)
	if err != nil {
		return turnEntry{}, 0, unavailableState(err)
	}
	var e turnEntry
	if found && json.Unmarshal(raw, &e) != nil {
		e.Holder = "unknown"
	}
	return e, version, nil
}

// put writes the entry over a version, and takes note of the new one.
func (h *heldTurn) put(ctx context.Context, holder string, over int) (bool, error) {
	raw, err := json.Marshal(turnEntry{Holder: holder, At: time.Now().UTC()})
	if err != nil {
		return false, unavailableState(err)
	}
	version, ok, err := h.kv.WriteVersion(ctx, h.path, raw, over)
	if err != nil {
		return false, unavailableState(err)
	}
	if ok {
		h.version = version
	}
	return ok, nil
}

func (h *heldTurn) commit(ctx context.Context, write func(context.Context) error) error {
	deadline := time.Now().Add(h.cfg.WriteWithin)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	// Until it is known what has become of the proof and the write.
	h.inDoubt = true
	mine, err := h.put(ctx, h.holder, h.version)
	if err != nil {
		return err
	}
	if !mine {
		return fmt.Errorf("another replica has taken the turn meanwhile: %w", authz.ErrConflict)
	}
	if ctx.Err() != nil || !time.Now().Before(deadline) {
		h.inDoubt = false
		return unavailableState(context.DeadlineExceeded)
	}
	err = write(ctx)
	h.inDoubt = err != nil && !errors.Is(err, authz.ErrConflict)
	return err
}

// giveBack need not succeed.
func (h *heldTurn) giveBack(ctx context.Context) {
	if h.inDoubt {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	_, _ = h.put(ctx, "", h.version) // if it is not given back, it goes out of date
}
