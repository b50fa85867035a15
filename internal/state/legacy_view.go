package state

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/btree"
)

// A bridge is what a state that was moved on from format 1 knows of the entries there,
// while replicas of both versions may run. It is part of the state, so that it is the
// same on all replicas and survives them. Nil: there is nothing to look after.
type bridge struct {
	// epoch and last say up to which change of the log of format 1 everything is in
	// the state.
	epoch string
	last  int
	// moved is the position of the first checkpoint. A record of that version or less
	// is as it was moved, and its version is that of its entry.
	moved int
	// until is when the bridge ends, in Unix seconds.
	until int64
	// entries are the others, by kind and id.
	entries *btree.Map[string, entryState]
	// unmirrored has those of them that were changed here and are not mirrored.
	unmirrored *btree.Map[string, entryState]
}

// An entryState is how the entry of a record stands to the state.
type entryState struct {
	// from is the version of the entry up to which it is in the state.
	from int
	// changed is the position at which the record was changed in the state and is not
	// in the entry yet, 0 if it is.
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

// bridged takes note of a change before it is made.
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
			return // it is of a checkpoint
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

// change is what makes the bridge, without its entries.
func (b *bridge) change() change {
	return change{Op: opBridge, Key: b.epoch, Version: b.last, From: b.moved, Until: b.until}
}

// bridgeEntries is how many go into one piece of a checkpoint.
const bridgeEntries = 5000

// cuts divides the bridge, which comes before the entries that are of it.
func (b *bridge) cuts() []cut {
	if b == nil {
		return nil
	}
	all := []cut{{bridge: true}}
	b.entries.Scan(func(key string, _ entryState) bool {
		last := &all[len(all)-1]
		if last.n == bridgeEntries {
			all = append(all, cut{bridge: true, after: key})
			last = &all[len(all)-1]
		}
		last.n++
		return true
	})
	return all
}

// encode writes a cut.
func (b *bridge) encode(to *json.Encoder, c cut) error {
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
