package state

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/vault-authz/vault-authz/authz"
)

// A View is all records at one position of the log. It never changes, and is safe
// for concurrent use.
type View struct {
	position int
	records  map[string]*btree.Map[string, *Record]
	// unique maps a kind and a key of it to the record that has it.
	unique *btree.Map[string, *Record]
	holds  map[string]hold

	// cloning guards the trees against two copies at a time; reading needs no
	// guard.
	cloning *sync.Mutex
}

// A hold is the right to change one credential.
type hold struct {
	by string
	// seen is when this replica learned of it, by its own clock.
	seen time.Time
}

func newView() *View {
	return &View{
		records: map[string]*btree.Map[string, *Record]{}, unique: new(btree.Map[string, *Record]),
		holds: map[string]hold{}, cloning: &sync.Mutex{},
	}
}

// clone returns a copy to be changed. The nodes of the trees are shared until then.
func (v *View) clone() *View {
	v.cloning.Lock()
	defer v.cloning.Unlock()
	c := &View{position: v.position, records: make(map[string]*btree.Map[string, *Record], len(v.records)), holds: maps.Clone(v.holds), cloning: &sync.Mutex{}}
	for kind, tree := range v.records {
		c.records[kind] = tree.Copy()
	}
	c.unique = v.unique.Copy()
	return c
}

// Position is that of the last change in the view.
func (v *View) Position() int { return v.position }

// Get returns a record, or [authz.ErrNotFound].
func (v *View) Get(kind, id string) (*Record, error) {
	if tree := v.records[kind]; tree != nil {
		if r, ok := tree.Get(id); ok {
			return r, nil
		}
	}
	return nil, authz.ErrNotFound
}

// ByUnique returns the record that has a unique key, or [authz.ErrNotFound].
func (v *View) ByUnique(kind, key string) (*Record, error) {
	if r, ok := v.unique.Get(uniqueKey(kind, key)); ok {
		return r, nil
	}
	return nil, authz.ErrNotFound
}

// Len returns the number of records of a kind.
func (v *View) Len(kind string) int {
	if tree := v.records[kind]; tree != nil {
		return tree.Len()
	}
	return 0
}

// After calls each with the records of a kind in the order of their ids, from the
// first one that comes after id, until it returns false.
func (v *View) After(kind, id string, each func(*Record) bool) {
	tree := v.records[kind]
	if tree == nil {
		return
	}
	tree.Ascend(id, func(at string, r *Record) bool { return at == id || each(r) })
}

// WithPrefix calls each with the records of a kind that have a unique key which
// begins with prefix, in the order of these keys, until it returns false.
func (v *View) WithPrefix(kind, prefix string, each func(*Record) bool) {
	from := uniqueKey(kind, prefix)
	v.unique.Ascend(from, func(key string, r *Record) bool { return strings.HasPrefix(key, from) && each(r) })
}

func uniqueKey(kind, key string) string { return kind + "\x00" + key }

// set puts a record into the view, in the place of the one that has its id.
func (v *View) set(r *Record) {
	v.remove(r.Kind, r.ID)
	tree := v.records[r.Kind]
	if tree == nil {
		tree = new(btree.Map[string, *Record])
		v.records[r.Kind] = tree
	}
	tree.Set(r.ID, r)
	for _, key := range r.Unique {
		v.unique.Set(uniqueKey(r.Kind, key), r)
	}
}

func (v *View) remove(kind, id string) {
	tree := v.records[kind]
	if tree == nil {
		return
	}
	old, ok := tree.Delete(id)
	if !ok {
		return
	}
	for _, key := range old.Unique {
		k := uniqueKey(kind, key)
		if owner, _ := v.unique.Get(k); owner == old {
			v.unique.Delete(k)
		}
	}
}

// apply makes the changes of a batch at its position. It is only for batches that
// are in the log: whether they may be was decided before.
func (v *View) apply(b *batch, position int, now time.Time) {
	for i := range b.Ops {
		c := &b.Ops[i]
		switch c.Op {
		case opPut:
			r := &Record{Kind: c.Kind, ID: c.ID, Version: position, Document: c.Document, Unique: c.Unique, Tags: c.Tags}
			if c.Version > 0 {
				r.Version = c.Version
			}
			v.set(r)
		case opDelete:
			v.remove(c.Kind, c.ID)
		case opHold:
			v.holds[c.Key] = hold{by: c.By, seen: now}
		case opDone:
			if v.holds[c.Key].by == c.By {
				delete(v.holds, c.Key)
			}
		}
	}
	v.position = position
}

// A Tx collects changes that are made together or not at all. It belongs to the
// function that [Store.Update] calls.
type Tx struct {
	view *View
	ops  []change
	size int
}

// View is the state with the changes made so far. It is valid during the call only.
func (tx *Tx) View() *View { return tx.view }

// Put adds a record, or replaces the one of the version that r names; 0 is for a
// new one. Its error is [ErrConflict] where that is not the version,
// [authz.ErrNotFound] where there is no such record, or a [TakenError].
func (tx *Tx) Put(r Record) error {
	if err := checkRecord(&r); err != nil {
		return err
	}
	old, err := tx.view.Get(r.Kind, r.ID)
	switch {
	case err != nil && r.Version > 0:
		return err
	case err == nil && old.Version != r.Version:
		return ErrConflict
	}
	for _, key := range r.Unique {
		if owner, err := tx.view.ByUnique(r.Kind, key); err == nil && owner.ID != r.ID {
			return TakenError{Key: key}
		}
	}
	return tx.add(put(&r))
}

// Delete removes a record of any version, or returns [authz.ErrNotFound].
func (tx *Tx) Delete(kind, id string) error {
	if _, err := tx.view.Get(kind, id); err != nil {
		return err
	}
	return tx.add(change{Op: opDelete, Kind: kind, ID: id})
}

// ErrTooLarge says that the changes of one Tx do not fit into one line of the log.
// The changes up to the one that was refused do.
var ErrTooLarge = fmt.Errorf("these are more changes than fit into one write of the state store (%d KiB); make them in several", maxLine>>10)

// overhead is what a change takes in the log beside its texts, at the most.
const overhead = 160

func (c *change) size() int {
	n := overhead + len(c.Kind) + len(c.ID) + len(c.Document) + len(c.Key) + len(c.By)
	for _, texts := range [][]string{c.Unique, c.Tags} {
		for _, s := range texts {
			n += 6*len(s) + 3 // each byte may be escaped
		}
	}
	return n
}

func (tx *Tx) add(c change) error {
	if tx.size += c.size(); tx.size > maxLine-overhead {
		return ErrTooLarge
	}
	tx.ops = append(tx.ops, c)
	// The position that it will have at the least; a Tx sees its own changes.
	tx.view.apply(&batch{Ops: []change{c}}, tx.view.position, time.Now())
	return nil
}
