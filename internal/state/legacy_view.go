package state

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/btree"
)

// A bridge is what a state that was moved on from format 1 knows of the entries there,
// while replicas of both versions may run. It is part of the state, so it is the same on
// all replicas and outlives them. It is nil without a move, and after the end.
type bridge struct {
	// epoch and last name the change of the log of format 1 up to which the state has
	// everything.
	epoch string
	last  int
	// moved is the position of the first checkpoint. A record with that version or a
	// lower one has not changed since the move, and its version is that of its entry.
	moved int
	// until is when the bridge ends, in Unix seconds.
	until int64
	// entries are those of all other records, by kind and id.
	entries *btree.Map[string, entryState]
	// unmirrored are the entries whose records were changed here and not mirrored yet.
	unmirrored *btree.Map[string, entryState]
}

// An entryState says how far the entry of a record and the state agree.
type entryState struct {
	// from is the version of the entry up to which the state has it.
	from int
	// changed is the position of a change of the record that the entry does not have
	// yet, or 0.
	changed int
}

func newBridge(epoch string, last, moved int, until int64) *bridge {
	return &bridge{
		epoch: epoch, last: last, moved: moved, until: until,
		entries: &btree.Map[string, entryState]{}, unmirrored: &btree.Map[string, entryState]{},
	}
}

func (b *bridge) clone() *bridge {
	if b == nil {
		return nil
	}
	c := *b
	c.entries, c.unmirrored = b.entries.Copy(), b.unmirrored.Copy()
	return &c
}

func entryKey(kind, id string) string { return kind + "/" + id }

func (v *View) entry(kind, id string) entryState {
	if e, ok := v.bridge.entries.Get(entryKey(kind, id)); ok {
		return e
	}
	if r, err := v.Get(kind, id); err == nil && r.Version <= v.bridge.moved {
		return entryState{from: r.Version}
	}
	return entryState{}
}

func (v *View) setEntry(kind, id string, e entryState) {
	key := entryKey(kind, id)
	v.bridge.entries.Set(key, e)
	if e.changed > 0 {
		v.bridge.unmirrored.Set(key, e)
	} else {
		v.bridge.unmirrored.Delete(key)
	}
}

// bridged records in the bridge a change that is about to be made.
func (v *View) bridged(c *change, position int) {
	if c.Op == opBridge {
		v.setBridge(c)
		return
	}
	if v.bridge == nil {
		return
	}
	switch c.Op {
	case opPut, opDelete:
		if c.Version > 0 {
			return // the change comes from a checkpoint
		}
		e := v.entry(c.Kind, c.ID)
		if c.From > 0 {
			e = entryState{from: max(e.from, c.From)}
		} else {
			e.changed = position
		}
		v.setEntry(c.Kind, c.ID, e)
	case opMirrored:
		e := v.entry(c.Kind, c.ID)
		e.from = max(e.from, c.From)
		if e.changed <= c.Version {
			e.changed = 0
		}
		v.setEntry(c.Kind, c.ID, e)
	case opEntry:
		v.setEntry(c.Kind, c.ID, entryState{from: c.From, changed: c.Version})
	}
}

func (v *View) setBridge(c *change) {
	if c.Until == 0 {
		v.bridge = nil
		return
	}
	b := v.bridge
	if b == nil {
		v.bridge = newBridge(c.Key, c.Version, c.From, c.Until)
		return
	}
	b.epoch, b.last, b.moved, b.until = c.Key, c.Version, c.From, c.Until
}

// change returns the change that creates the bridge without its entries.
func (b *bridge) change() change {
	return change{Op: opBridge, Key: b.epoch, Version: b.last, From: b.moved, Until: b.until}
}

// bridgeEntries is how many entries go into one piece of a checkpoint.
const bridgeEntries = 5000

// pieceRanges divides the bridge. Its piece comes before those of its entries.
func (b *bridge) pieceRanges() []pieceRange {
	if b == nil {
		return nil
	}
	all := []pieceRange{{bridge: true}}
	b.entries.Scan(func(key string, _ entryState) bool {
		last := &all[len(all)-1]
		if last.n == bridgeEntries {
			all = append(all, pieceRange{bridge: true, after: key})
			last = &all[len(all)-1]
		}
		last.n++
		return true
	})
	return all
}

// encode writes a cut.
func (b *bridge) encode(to *json.Encoder, c pieceRange) error {
	if c.after == "" {
		if err := to.Encode(b.change()); err != nil {
			return err
		}
	}
	left := c.n
	var problem error
	b.entries.Ascend(c.after, func(key string, e entryState) bool {
		if left == 0 {
			return false
		}
		left--
		kind, id, _ := strings.Cut(key, "/")
		problem = to.Encode(change{Op: opEntry, Kind: kind, ID: id, From: e.from, Version: e.changed})
		return problem == nil
	})
	return problem
}
