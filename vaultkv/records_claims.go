package vaultkv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// claimPoll is how long a write waits before it looks again what has become of
// another one.
const claimPoll = 25 * time.Millisecond

// A recordWrite is one attempt to write one record over one version of it. The
// steps and what they may do are explained at [Records].
type recordWrite struct {
	*Records
	kind, id string
	base     int
	held     []holding
}

// A holding is a claim as it was seen, or made.
type holding struct {
	path    string
	version int
}

// claim claims a key that the record does not have. The error is errFenced if
// the write has to start over.
func (w *recordWrite) claim(ctx context.Context, key string) error {
	path := claimPath(w.kind, key)
	patience := time.Now().Add(w.cfg.Patience)
	cas := 0
	for {
		claim := keyClaim{Key: key, ID: w.id, Base: w.base, ClaimedAt: time.Now().UTC()}
		version, ok, err := w.put(ctx, path, claim, cas)
		if err != nil {
			return err
		}
		if ok {
			w.held = append(w.held, holding{path, version})
			return nil
		}
		if cas, err = w.vacancy(ctx, path, key, patience); err != nil {
			return err
		}
	}
}

// vacancy returns the version of a claim that may be written over. It waits for
// a pending write until patience.
func (w *recordWrite) vacancy(ctx context.Context, path, key string, patience time.Time) (int, error) {
	for {
		c, version, err := w.readClaim(ctx, path, key)
		if err != nil {
			return 0, err
		}
		if c.free() {
			return version, nil
		}
		owner, err := w.load(ctx, w.kind, c.ID)
		own := c.ID == w.id
		switch {
		case err != nil:
			return 0, err
		case own && (owner.version != w.base || c.Base > w.base):
			return 0, errFenced
		case slices.Contains(owner.Unique, key):
			return 0, authz.TakenError{Key: key}
		case owner.version > c.Base:
			return version, nil
		case !own && w.abandoned(&c), own && !time.Now().Before(patience):
			// Next time around the base is gone, by this or by another write.
			if err := w.fence(ctx, c.ID, &owner); err != nil {
				return 0, err
			}
		case !time.Now().Before(patience):
			// It is not taken yet, and may never be.
			return 0, fmt.Errorf("state store: another write has claimed %q and is neither done nor given up; try again within %s: %w", key, w.cfg.Grace, authz.ErrUnavailable)
		default:
			if err := pause(ctx, claimPoll); err != nil {
				return 0, unavailableState(err)
			}
		}
	}
}

// abandoned says whether the grace is over. A claim from a future further away
// than that is of a clock that cannot be trusted.
func (s *Records) abandoned(c *keyClaim) bool {
	return time.Since(c.ClaimedAt).Abs() >= s.cfg.Grace
}

// fence takes the base away from whoever is about to write the record. That
// somebody was faster shows when it is read again.
func (w *recordWrite) fence(ctx context.Context, id string, seen *recordEntry) error {
	_, _, err := w.put(ctx, recordPath(w.kind, id), seen.fenced(), seen.version)
	return err
}

// commit writes the entry. errFenced: it is not written, and the claims are given
// back. After any other error it may be, and the claims have to stay.
func (w *recordWrite) commit(ctx context.Context, e recordEntry) (int, error) {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		// A process that was stopped and continued can be faster than its timers.
		w.giveBack(ctx)
		return 0, unavailableState(context.DeadlineExceeded)
	}
	version, ok, err := w.put(ctx, recordPath(w.kind, w.id), e, w.base)
	if err != nil {
		if version, ok := w.happened(ctx, &e); ok {
			return version, nil
		}
		return 0, err
	}
	if !ok {
		w.giveBack(ctx)
		return 0, errFenced
	}
	return version, nil
}

// happened says whether a write without an answer is known to have happened.
func (w *recordWrite) happened(ctx context.Context, e *recordEntry) (int, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	now, err := w.load(ctx, w.kind, w.id)
	return now.version, err == nil && now.Attempt == e.Attempt
}

// giveBack frees what this write has claimed, once it is certain that it does not
// happen.
func (w *recordWrite) giveBack(ctx context.Context) {
	w.release(ctx, w.held)
	w.held = nil
}

// holdings returns the claims of keys that a record has, before it loses them.
// What cannot be read stays, to go out of date.
func (s *Records) holdings(ctx context.Context, kind, id string, keys []string) []holding {
	var held []holding
	for _, key := range keys {
		path := claimPath(kind, key)
		if c, version, err := s.readClaim(ctx, path, key); err == nil && c.ID == id {
			held = append(held, holding{path, version})
		}
	}
	return held
}

// release frees claims that nobody has changed. It need not succeed.
func (s *Records) release(ctx context.Context, held []holding) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for _, h := range held {
		if _, _, err := s.put(ctx, h.path, keyClaim{ClaimedAt: time.Now().UTC()}, h.version); err != nil {
			return
		}
	}
}

func (s *Records) readClaim(ctx context.Context, path, key string) (keyClaim, int, error) {
	raw, version, found, err := s.kv.ReadVersion(ctx, path)
	if err != nil {
		return keyClaim{}, 0, unavailableState(err)
	}
	if !found {
		return keyClaim{}, version, nil
	}
	c, err := decodeClaim(raw, key)
	if err != nil {
		return keyClaim{}, 0, fmt.Errorf("the claim of %q: %w: %w; if no record has this key, delete the entry %s", key, authz.ErrMalformed, err, path)
	}
	return c, version, nil
}

func (s *Records) put(ctx context.Context, path string, entry any, cas int) (int, bool, error) {
	raw, err := json.Marshal(entry)
	if err != nil {
		return 0, false, errors.New("state store: the document of the record is not a JSON object")
	}
	version, ok, err := s.kv.WriteVersion(ctx, path, raw, cas)
	if err != nil {
		return 0, false, unavailableState(err)
	}
	return version, ok, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
