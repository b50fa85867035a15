package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// A replica is what one process has read: the state, and where the log goes on. It is not
// safe for concurrent use.
type replica struct {
	log  string
	view *View
	tail tail
	// checkpoint is the last one that is known. The segments from there on must stay.
	checkpoint checkpoint
	// recent are the names of the last batches. Writers find their own among them.
	recent []appliedBatch
}

type appliedBatch struct {
	by       string
	position int
}

// maxRecent is more than the batches that can be written while one write is in doubt.
const maxRecent = 1024

// A tail is the segment that takes the next change.
type tail struct {
	number int
	// exists says that the segment has been created, and seg is its content.
	// Otherwise the entry still has an older segment of the ring, or nothing.
	exists bool
	seg    segment
	// version is that of the entry, -1 before it has been read.
	version int
	// generation counts the changes of the tail.
	generation int
}

// effects are what the new lines of the log change.
type effects struct {
	// leased are access tokens whose credentials are about to change, released those
	// whose change was made or given up.
	leased, released []string
	// changes are the entities that have changed.
	changes []Change
	// all: anything may have changed. first: this is the first load, so no credential
	// has changed unnoticed but for those of leased.
	all, first bool
}

// errBehind means that the log does not go on from the position of this replica, which
// has to load the whole state.
var errBehind = errors.New("the log does not go on from here")

// A reading is what was read at the path of a segment.
type reading struct {
	raw     []byte
	version int
	found   bool
	// generation is that of the tail before the Sync that preceded the read. If it is
	// still the same, an entry of a lower version means that a backup was restored.
	generation int
}

// accept applies what was read at the tail. more says that the next segment has to be read,
// too.
func (r *replica) accept(number int, read reading, now time.Time) (more bool, e effects, err error) {
	if number != r.tail.number {
		return true, e, nil // another call has read on meanwhile
	}
	if r.tail.version >= 0 && read.version < r.tail.version {
		if read.generation == r.tail.generation {
			return false, e, errBehind
		}
		return false, e, nil // older than the known one
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

// missing records that the segment of the tail was not found.
func (r *replica) missing(version int) error {
	if r.tail.exists {
		return errBehind
	}
	r.tail.version = version
	r.tail.generation++
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
		next.dropOldLeases(now)
		r.view = next
		if len(r.recent) > maxRecent {
			r.recent = slices.Clone(r.recent[len(r.recent)-maxRecent/2:])
		}
	}
	r.tail = tail{number: seg.Number, exists: true, seg: *seg, version: version, generation: r.tail.generation + 1}
	if seg.Sealed {
		r.tail = tail{number: seg.Number + 1, version: -1, generation: r.tail.generation}
	}
	return e, nil
}

func (e *effects) add(b *batch) {
	for i := range b.Ops {
		switch c := &b.Ops[i]; c.Op {
		case opLease:
			e.leased = append(e.leased, c.Key)
		case opRelease:
			e.released = append(e.released, c.Key)
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

// next returns the segment to write so that a line is appended, or, for an empty line, the
// one to create the tail with. full says that the ring has no room for it before another
// checkpoint is written.
func (r *replica) next(line string) (seg segment, version int, full bool) {
	seg = r.tail.seg
	if !r.tail.exists {
		seg = segment{Format: format, Log: r.log, Number: r.tail.number, First: r.view.position + 1}
		full = r.tail.number-segments >= r.checkpoint.Segment
	}
	if line != "" {
		seg.Lines += line + "\n"
	}
	seg.Sealed = len(seg.Lines) > tailBytes
	return seg, r.tail.version, full
}
