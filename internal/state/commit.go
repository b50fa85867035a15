package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// commitTimeout bounds a commit with everything that is tried for it.
	commitTimeout = 5 * time.Second
	// maxCommits bounds how often a commit starts over because another replica was faster.
	maxCommits = 100
	// maxGroup bounds how many calls are committed together. About as many fit into one
	// line.
	maxGroup = 1024
	// roomTimeout bounds the wait for room in the log. Nothing is committed meanwhile.
	roomTimeout = time.Minute
	// roomPause is the time between two looks whether another replica has made room.
	roomPause = 200 * time.Millisecond
)

// A queue collects the calls of Update that come during a commit. They are committed
// together by the next one.
type queue struct {
	mu      sync.Mutex
	waiting []*update
	running bool
}

// An update is one call of Update.
type update struct {
	do func(*Tx) error
	// outcome receives one value.
	outcome chan outcome
	// abandoned says that the caller has given up. Guarded by the queue's mu.
	abandoned bool
}

type outcome struct {
	position int
	err      error
}

// Update commits the changes that do makes in its Tx, and returns the position of the
// commit. When it returns nil, the View has the changes. do is called with the state as it
// is known, and again when another replica has changed the state meanwhile; it must not
// block. An error of do ends the Update and is returned, but only if the state that do saw
// was current. If do changes nothing, nothing is written.
//
// An error that wraps [authz.ErrUnavailable] means that the outcome is unknown: the
// changes may have been made, or may be made yet. The call can be repeated.
func (s *Store) Update(ctx context.Context, do func(*Tx) error) (position int, err error) {
	u := &update{do: do, outcome: make(chan outcome, 1)}
	s.enqueue(u) //nolint:contextcheck // the commit is for all that wait
	select {
	case o := <-u.outcome:
		return o.position, o.err
	case <-ctx.Done():
		s.queue.mu.Lock()
		u.abandoned = true
		s.queue.mu.Unlock()
		return 0, unavailable(ctx.Err())
	}
}

func (s *Store) enqueue(u *update) {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	s.queue.waiting = append(s.queue.waiting, u)
	if !s.queue.running {
		s.queue.running = true
		go s.commitAll()
	}
}

// group takes the waiting calls from the queue, and returns nil if there are none.
func (q *queue) group() []*update {
	q.mu.Lock()
	defer q.mu.Unlock()
	var group []*update
	n := 0
	for n < len(q.waiting) && len(group) < maxGroup {
		if u := q.waiting[n]; !u.abandoned {
			group = append(group, u)
		}
		n++
	}
	q.waiting = q.waiting[n:]
	q.running = len(group) > 0
	return group
}

// commitAll commits until the queue is empty.
func (s *Store) commitAll() {
	for {
		s.makeRoom()
		group := s.queue.group()
		if group == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout) //nolint:forbidigo // it is for all that wait, and bounded
		s.commit(ctx, group)
		cancel()
	}
}

// makeRoom waits for a checkpoint if the ring is full, since changes may come faster than
// checkpoints are written to a slow server. This time does not count towards
// commitTimeout. If makeRoom fails, the commit does, too.
func (s *Store) makeRoom() {
	s.mu.Lock()
	full := s.replica != nil && s.replica.tail.number-segments >= s.replica.checkpoint.Segment
	s.mu.Unlock()
	if full {
		ctx, cancel := context.WithTimeout(context.Background(), roomTimeout) //nolint:forbidigo // it is for all that wait, and bounded
		defer cancel()
		// Another replica may be writing one, or may have crashed while it did.
		for errors.Is(s.compact(ctx), errBusy) && backoff.Sleep(ctx, backoff.Jitter(roomPause, roomPause)) == nil {
		}
	}
}

// A proposal is the line that a group wants to append to one state.
type proposal struct {
	batch    batch
	line     string
	position int
	members  []*update
}

// commit answers every member of the group.
func (s *Store) commit(ctx context.Context, group []*update) {
	var p proposal
	// inDoubt says that a write of p may have happened, or may happen yet. current says
	// that the state was read after the group was taken.
	inDoubt, current := false, false
	for range maxCommits {
		v := s.view.Load()
		if v == nil {
			if err := s.refresh(ctx); err != nil {
				answer(group, outcome{err: err})
				return
			}
			continue
		}
		if inDoubt {
			if position, ok := s.appliedAt(p.batch.By); ok {
				s.mirrorSoon(&p.batch) //nolint:contextcheck // it is for later
				answer(p.members, outcome{position: position})
				if group, inDoubt = without(group, p.members), false; len(group) == 0 {
					return
				}
			}
		}
		if !inDoubt || v.position+1 != p.position {
			// At another position the write in doubt has not happened, and will not.
			inDoubt = false
			p, group = propose(v, group, current)
			if len(group) == 0 {
				return
			}
			if len(p.members) == 0 {
				if err := s.refresh(ctx); err != nil {
					answer(group, outcome{err: err})
					return
				}
				current = true
				continue
			}
		}
		ok, err := s.append(ctx, p.line, p.position)
		if ok {
			s.mirrorSoon(&p.batch) //nolint:contextcheck // it is for later
			answer(p.members, outcome{position: p.position})
			if group, inDoubt = without(group, p.members), false; len(group) == 0 {
				return
			}
			continue
		}
		// A refusal proves nothing. The node may have forwarded the write, lost its
		// connection, and repeated it elsewhere, where it was refused.
		inDoubt = inDoubt || !errors.Is(err, errNotSent)
		if ctx.Err() != nil {
			break
		}
		problem := s.refresh(ctx)
		if problem == nil {
			current = true
			_ = backoff.Sleep(ctx, backoff.Jitter(0, 5*time.Millisecond))
			continue
		}
		if backoff.Sleep(ctx, backoff.Jitter(50*time.Millisecond, 50*time.Millisecond)) != nil {
			break
		}
	}
	answer(group, outcome{err: fmt.Errorf("state store: %w: the change could not be committed within %s", authz.ErrUnavailable, commitTimeout)})
}

func answer(group []*update, o outcome) {
	for _, u := range group {
		u.outcome <- o
	}
}

func without(group, members []*update) []*update {
	var rest []*update
	for _, u := range group {
		if !slices.Contains(members, u) {
			rest = append(rest, u)
		}
	}
	return rest
}

// propose collects the changes of a group. rest are the updates that stay in the group:
// those whose changes are in p, which are p's members; those that do not fit into the
// line; and, while the state may be out of date, those that fail or change nothing. With a
// current state the latter are answered.
func propose(v *View, group []*update, current bool) (p proposal, rest []*update) {
	p = proposal{batch: batch{By: rand.Text(), At: time.Now().Unix()}, position: v.position + 1}
	all := newTx(v, p.position, nil)
	for _, u := range group {
		before := *all
		err := call(u.do, all)
		changed := len(all.ops) > len(before.ops)
		if err != nil && changed {
			// It failed after some changes, which are taken back.
			all = newTx(v, p.position, before.ops)
			all.size = before.size
		}
		switch {
		case errors.Is(err, ErrTooLarge) && len(p.members) > 0:
			rest = append(rest, u) // it goes into the next line
		case err == nil && changed:
			p.members = append(p.members, u)
			rest = append(rest, u)
		case current:
			u.outcome <- outcome{position: v.position, err: err}
		default:
			rest = append(rest, u)
		}
	}
	p.batch.Ops = all.ops
	if len(p.members) > 0 {
		raw, err := encode(p.batch)
		if err != nil {
			// This cannot happen: checkRecord has refused what cannot be encoded.
			answer(rest, outcome{err: err})
			return proposal{}, nil
		}
		p.line = string(raw)
	}
	return p, rest
}

// newTx returns a Tx whose view has the changes ops at a position.
func newTx(v *View, position int, ops []change) *Tx {
	tx := &Tx{view: v.clone(), ops: slices.Clip(ops)}
	tx.view.apply(&batch{Ops: ops}, position, time.Now())
	return tx
}

// call turns a panic of do into an error.
func call(do func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("an unexpected error occurred while a change was worked out")
		}
	}()
	return do(tx)
}

func (s *Store) appliedAt(by string) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replica.applied(by)
}

// errNotSent means that the write was not tried.
var errNotSent = errors.New("not written")

// append writes a line at a position. ok is false if that position is taken. After an
// error other than errNotSent the line may be in the log.
func (s *Store) append(ctx context.Context, line string, position int) (ok bool, err error) {
	for {
		s.mu.Lock()
		r := s.replica
		if r.view.position+1 != position {
			s.mu.Unlock()
			return false, nil
		}
		seg, version, full := r.next(line)
		s.mu.Unlock()
		switch {
		case version < 0:
			if err := s.readOn(ctx, noGeneration); err != nil {
				return false, fmt.Errorf("%w: %w", errNotSent, err)
			}
			continue
		case full:
			if err := s.compact(ctx); err != nil {
				return false, fmt.Errorf("%w: the log of the state is full: %w", errNotSent, err)
			}
			continue
		}
		return s.write(ctx, r, &seg, version)
	}
}

// write writes the segment of the tail, and applies what is new in it.
func (s *Store) write(ctx context.Context, r *replica, seg *segment, version int) (ok bool, err error) {
	written, ok, err := writeEntry(ctx, s.kv, segmentPath(seg.Number), seg, version)
	if err != nil {
		return false, unavailable(err)
	}
	if !ok {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replica != r || r.tail.number != seg.Number || r.tail.version >= written {
		return true, nil // it has been read already
	}
	e, err := r.extend(seg, written, time.Now())
	if err != nil {
		return true, nil // it is committed; the next poll finds and reports the error
	}
	s.publish(e)
	s.compactSoon(r) //nolint:contextcheck // it goes on after the call
	return true, nil
}
