package vaultkv

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
)

// lookAgainFor is how long after it was first seen a change is handed out: the
// time that it may be made in, and what a request in flight may take on top.
const lookAgainFor = CommitWithin + 2*time.Second

// maxBackoff is how many intervals the log is left alone at most, after failures.
const maxBackoff = 4

// minPollTimeout bounds one reading of the log, unless two intervals are longer.
const minPollTimeout = 2 * time.Second

// Follow reads the log over and over until ctx ends, and then returns nil. It
// calls apply with what is about to change, and reload where it cannot know what
// has changed: at the start, when it fell behind the log, when there is another
// log. Both are called by Follow alone, one at a time.
//
// A change is handed to apply when it is first seen and by every reading in the
// 5 s after, the last one not before they are over: the change may not have been
// made at the first look. For the same reason there is a second reload 5 s after
// one. What apply does must bear repetition; it can also fail, which is for its
// owner to make good.
//
// An error of reload makes the next reading call it again. It should begin with
// dropping what it is about to load anew, if that is an allowance.
//
// No error ends Follow: it reads less often, at every fourth interval at last.
//
// At most one Follow may run, and it has to run for as long as
// [Changes.Current] is asked.
func (c *Changes) Follow(ctx context.Context, apply func([]authz.Change), reload func(context.Context) error) error {
	c.gate.alive()
	beats, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { c.gate.beatUntil(beats, c.cfg.Interval/4) })
	defer wg.Wait()
	defer stop()

	f := follower{changes: c, apply: apply, reload: reload}
	failures := 0
	for ctx.Err() == nil {
		began := c.gate.now()
		err := f.poll(ctx)
		if ctx.Err() != nil {
			break
		}
		c.note(err, failures)
		if failures++; err == nil {
			failures = 0
		}
		if !c.gate.polled(began, err == nil) {
			// It began before a stop, so it says nothing about the time since.
			continue
		}
		wait := c.cfg.Interval * time.Duration(min(max(failures, 1), maxBackoff))
		c.gate.rest(ctx, jitter(wait-wait/10, wait/5))
	}
	return nil
}

// Current returns at once, unless this process has just been stopped and
// continued (or was starved) for longer than two intervals and the margin, or has
// not read the log yet. Then it waits for a reading of the log that began after
// that to end, with what it led to, whether it succeeded or not: who is about to
// allow from memory asks this first. Its error is that of ctx.
//
// A log that cannot be read does not make it wait: memory has its own limits.
func (c *Changes) Current(ctx context.Context) error { return c.gate.pass(ctx) }

// Lag is for how long nothing is known of changes: the time since the beginning
// of the last reading of the log that succeeded, or since the log was opened.
func (c *Changes) Lag() time.Duration { return c.gate.lag() }

// note logs that following stops to work, and that it works again.
func (c *Changes) note(err error, failures int) {
	switch {
	case err != nil && failures == 0:
		c.log.Warn("changes of other replicas are not seen", zap.Error(err))
	case err == nil && failures > 0:
		c.log.Info("changes of other replicas are seen again", zap.Int("failures", failures))
	}
}

// A follower is where one Follow is.
type follower struct {
	changes *Changes
	apply   func([]authz.Change)
	reload  func(context.Context) error

	// placed: epoch and last say what has been seen of the log.
	placed bool
	epoch  string
	last   int
	// open are the changes to hand out, in the order in which they came, and
	// since when.
	open  []authz.Change
	since map[authz.Change]time.Time
	// due: reload must be called. again: it must be called again then.
	due   bool
	again time.Time
}

func (f *follower) poll(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, max(minPollTimeout, 2*f.changes.cfg.Interval))
	defer cancel()
	l, _, err := f.changes.read(bounded)
	if err != nil {
		// After a damaged log nobody knows what it said.
		f.placed = f.placed && !errors.Is(err, authz.ErrMalformed)
		return err
	}
	now := time.Now()
	f.advance(&l, now)
	f.handOut(now)
	if !f.due && (f.again.IsZero() || now.Before(f.again)) {
		return nil
	}
	if f.due {
		f.again = now.Add(lookAgainFor)
	} else {
		f.again = time.Time{}
	}
	f.due = true
	if err := f.reload(ctx); err != nil {
		return err
	}
	f.due = false
	return nil
}

// advance takes note of what is new in the log.
func (f *follower) advance(l *changeLog, now time.Time) {
	fresh, ok := l.after(f.epoch, f.last)
	if !f.placed || !ok {
		fresh, f.due = l.Changes, true
	}
	f.placed, f.epoch, f.last = true, l.Epoch, l.Last
	if f.since == nil {
		f.since = map[authz.Change]time.Time{}
	}
	for _, ch := range fresh {
		if _, known := f.since[ch.change()]; !known {
			f.open = append(f.open, ch.change())
		}
		f.since[ch.change()] = now
	}
}

// handOut calls apply, and forgets what has been handed out for long enough.
func (f *follower) handOut(now time.Time) {
	if len(f.open) == 0 {
		return
	}
	f.apply(append([]authz.Change(nil), f.open...))
	kept := f.open[:0]
	for _, ch := range f.open {
		if now.Sub(f.since[ch]) < lookAgainFor {
			kept = append(kept, ch)
			continue
		}
		delete(f.since, ch)
	}
	f.open = kept
}
