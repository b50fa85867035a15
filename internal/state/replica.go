package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// A replica is how far one has read: the state, and where the log goes on. It is
// not safe for concurrent use.
type replica struct {
	log  string
	view *View
	tail tail
	// kept is the checkpoint that is known; the segments from there on are needed.
	kept checkpoint
	// recent are the names of the last batches, by which writers find their own.
	recent []appliedBatch
}

type appliedBatch struct {
	by       string
	position int
}

// maxRecent is more than are made while one write is in doubt.
const maxRecent = 1024

// A tail is the segment that takes the next change.
type tail struct {
	number int
	// exists: the segment is there, and seg is what it holds. Otherwise it is to
	// be created over the entry of the ring that is there.
	exists bool
	seg    segment
	// version is that of the entry, -1 if it has not been read.
	version int
	// moves counts what is learned about the tail.
	moves int
}

// effects are what a reading of the log leads to.
type effects struct {
	// held are access tokens whose credentials are about to change, done those whose
	// have changed, or will not.
	held, done []string
	// changes are the entities that have changed.
	changes []Change
	// all: anything may have changed. first: since nothing was known, so that held are
	// all whose credentials are about to change.
	all, first bool
}

// errBehind: what is in the log does not go on from where this replica is. It has
// to load everything.
var errBehind = errors.New("the log does not go on from here")

// A reading is what was read at the path of a segment.
type reading struct {
	raw     []byte
	version int
	found   bool
	// since is what tail.moves was before the reading was asked for, after which
	// an entry of a lower version means that somebody put it back.
	since int
}

// accept takes in what was read at the tail. more says that the next segment is to
// be read, too.
func (r *replica) accept(number int, read reading, now time.Time) (more bool, e effects, err error) {
	if number != r.tail.number {
		return true, e, nil // somebody else has read on meanwhile
	}
	if r.tail.version >= 0 && read.version < r.tail.version {
		if read.since == r.tail.moves {
			return false, e, errBehind
		}
		return false, e, nil // older than what is known
	}
	if !read.found {
		return false, e, r.missing(read.version)
	}
	seg, err := decodeSegment(read.raw)
	switch {
	case err != nil:
		return false, e, fmt.Errorf("segment %d: %w", number, err)
	case seg.Log != r.log, seg.Number > number:
		return false, e, errBehind
	case seg.Number < number:
		return false, e, r.missing(read.version)
	}
	e, err = r.extend(&seg, read.version, now)
	return err == nil && seg.Sealed, e, err
}

// missing: the tail has not been created yet.
func (r *replica) missing(version int) error {
	if r.tail.exists {
		return errBehind
	}
	r.tail.version = version
	r.tail.moves++
	return nil
}

// extend applies the lines of the tail that are new.
func (r *replica) extend(seg *segment, version int, now time.Time) (effects, error) {
	lines := seg.lines()
	have := r.view.position - seg.First + 1
	if have < 0 || have > len(lines) || r.tail.exists && (seg.First != r.tail.seg.First || !strings.HasPrefix(seg.Lines, r.tail.seg.Lines)) {
		return effects{}, errBehind
	}
	batches := make([]batch, 0, len(lines)-have)
	for _, line := range lines[have:] {
		b, err := decodeBatch(line)
		if err != nil {
			return effects{}, fmt.Errorf("segment %d: %w: %w", seg.Number, authz.ErrMalformed, err)
		}
		batches = append(batches, b)
	}
	var e effects
	if len(batches) > 0 {
		next := r.view.clone()
		for i := range batches {
			next.apply(&batches[i], next.position+1, now)
			r.recent = append(r.recent, appliedBatch{batches[i].By, next.position})
			e.add(&batches[i])
		}
		next.forget(now)
		r.view = next
		if len(r.recent) > maxRecent {
			r.recent = slices.Clone(r.recent[len(r.recent)-maxRecent/2:])
		}
	}
	r.tail = tail{number: seg.Number, exists: true, seg: *seg, version: version, moves: r.tail.moves + 1}
	if seg.Sealed {
		r.tail = tail{number: seg.Number + 1, version: -1, moves: r.tail.moves}
	}
	return e, nil
}

func (e *effects) add(b *batch) {
	for i := range b.Ops {
		switch c := &b.Ops[i]; c.Op {
		case opHold:
			e.held = append(e.held, c.Key)
		case opDone:
			e.done = append(e.done, c.Key)
		case opPut, opDelete:
			e.changes = append(e.changes, Change{Kind: interned(c.Kind), ID: c.ID})
		}
	}
}

// applied returns the position of a batch by its name.
func (r *replica) applied(by string) (int, bool) {
	for i := len(r.recent) - 1; i >= 0; i-- {
		if r.recent[i].by == by {
			return r.recent[i].position, true
		}
	}
	return 0, false
}

// next returns the segment to write so that a line is appended; with an empty line,
// the tail as it is to be created. full says that the ring has no room for it until
// there is another checkpoint.
func (r *replica) next(line string) (seg segment, version int, full bool) {
	seg = r.tail.seg
	if !r.tail.exists {
		seg = segment{Format: format, Log: r.log, Number: r.tail.number, First: r.view.position + 1}
		full = r.tail.number-segments >= r.kept.Segment
	}
	if line != "" {
		seg.Lines += line + "\n"
	}
	seg.Sealed = len(seg.Lines) > tailBytes
	return seg, r.tail.version, full
}
