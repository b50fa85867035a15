package vaultkv

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

const (
	// appendTimeout bounds an Append among many.
	appendTimeout = 5 * time.Second
	// appendPause is about how long a writer lets other replicas write.
	appendPause = 10 * time.Millisecond
)

// An appendQueue brings together what is appended at the same time: the log is
// one entry, so its writes go one after the other, and each can take along all
// that came while the one before was under way.
type appendQueue struct {
	// turn is held by who writes for all.
	turn chan struct{}

	mu      sync.Mutex
	waiting []*appending
}

func newAppendQueue() appendQueue { return appendQueue{turn: make(chan struct{}, 1)} }

// An appending is one Append that waits for its outcome.
type appending struct {
	changes []authz.Change
	// outcome gets one value, by who had the turn, before the turn is free.
	outcome chan appended
	// gone: nobody waits for the outcome any more. Guarded by the queue's mu.
	gone bool
}

type appended struct {
	// at is a time before which no replica can have seen the changes.
	at  time.Time
	err error
}

func (q *appendQueue) add(waiting ...*appending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range waiting {
		if !a.gone {
			q.waiting = append(q.waiting, a)
		}
	}
}

// take returns all that wait, who are then the taker's to answer.
func (q *appendQueue) take() []*appending {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.waiting
	q.waiting = nil
	return taken
}

// withdraw takes back what is not taken yet, and what is should it be put back.
func (q *appendQueue) withdraw(a *appending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a.gone = true
	q.waiting = slices.DeleteFunc(q.waiting, func(w *appending) bool { return w == a })
}

// write returns a time before which no replica can have seen the changes.
func (c *Changes) write(ctx context.Context, changes []authz.Change) (time.Time, error) {
	if len(changes) == 0 {
		return time.Now(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	own := &appending{changes: changes, outcome: make(chan appended, 1)}
	c.queue.add(own)
	select {
	case done := <-own.outcome:
		return done.at, done.err
	case <-ctx.Done():
		// If somebody is writing it already it is announced, and not made.
		c.queue.withdraw(own)
		return time.Time{}, unavailableState(ctx.Err())
	case c.queue.turn <- struct{}{}:
		c.writeWaiting(ctx)
	}
	// Who had the turn before has answered, or else it was among the waiting.
	select {
	case done := <-own.outcome:
		return done.at, done.err
	default:
		c.queue.withdraw(own)
		return time.Time{}, unavailableState(cmp.Or(ctx.Err(), errNoOutcome))
	}
}

// errNoOutcome: who had the turn panicked.
var errNoOutcome = errors.New("the write of the log was given up")

// writeWaiting appends what waits, and what comes while it tries, answers, and
// ends the turn. If ctx ends first, nobody is answered: the next one has the turn.
func (c *Changes) writeWaiting(ctx context.Context) {
	defer func() { <-c.queue.turn }()
	var batch []*appending
	for {
		batch = append(batch, c.queue.take()...)
		if len(batch) == 0 {
			return
		}
		at, ok, err := c.tryAppend(ctx, batch)
		if err == nil && !ok {
			err = pause(ctx, jitter(appendPause, appendPause))
		}
		switch {
		case ok, err != nil && ctx.Err() == nil:
			for _, a := range batch {
				a.outcome <- appended{at, err}
			}
			return
		case err != nil:
			c.queue.add(batch...)
			return
		}
	}
}

// tryAppend is not ok if another replica was faster.
func (c *Changes) tryAppend(ctx context.Context, batch []*appending) (at time.Time, ok bool, err error) {
	l, version, err := c.read(ctx)
	switch {
	case errors.Is(err, authz.ErrMalformed):
		// A new log makes every replica load everything.
		l = changeLog{}
	case err != nil:
		return time.Time{}, false, err
	}
	now := time.Now()
	for _, a := range batch {
		l.add(a.changes, now)
	}
	l.compact(c.cfg.MaxEntries, now.Add(-c.cfg.MaxAge))
	raw, err := json.Marshal(l)
	if err != nil {
		return time.Time{}, false, unavailableState(err)
	}
	_, ok, err = c.kv.WriteVersion(ctx, changesPath, raw, version)
	if err != nil {
		return time.Time{}, false, unavailableState(err)
	}
	return now, ok, nil
}
