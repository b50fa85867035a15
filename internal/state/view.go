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
	// changed is the position of the last change of a record.
	changed int
	// news is the number of the newest thing that was told about entities with it.
	news    int
	records map[string]*tree
	// unique has, for each kind, the record that has a key.
	unique map[string]*tree
	holds  map[string]hold
	bridge *bridge

	// cloning guards the trees against two copies at a time; reading needs no
	// guard.
	cloning *sync.Mutex
}

// A tree has records by the keys of their ids, or by their unique keys.
type tree = btree.Map[string, packed]

// A hold is the right to change one credential.
type hold struct {
	by string
	// seen is when this replica learned of it, by its own clock.
	seen time.Time
}

func newView() *View {
	return &View{
		records: map[string]*tree{}, unique: map[string]*tree{}, holds: map[string]hold{}, cloning: &sync.Mutex{},
	}
}

// NewView returns a view of records that are in no log, at position 0.
func NewView(records []Record) *View {
	v := newView()
	for i := range records {
		v.set(&records[i])
	}
	return v
}

// clone returns a copy to be changed. The nodes of the trees are shared until then.
func (v *View) clone() *View {
	v.cloning.Lock()
	defer v.cloning.Unlock()
	return &View{
		position: v.position, changed: v.changed, news: v.news, records: copies(v.records), unique: copies(v.unique), holds: maps.Clone(v.holds),
		bridge: v.bridge.clone(), cloning: &sync.Mutex{},
	}
}

func copies(trees map[string]*tree) map[string]*tree {
	all := make(map[string]*tree, len(trees))
	for kind, t := range trees {
		all[kind] = t.Copy()
	}
	return all
}

// Position is that of the last change in the view.
func (v *View) Position() int { return v.position }

// Changed is the position of the last change of a record. Beyond it there is only word
// of credentials.
func (v *View) Changed() int { return v.changed }

// Get returns a record, or [authz.ErrNotFound].
func (v *View) Get(kind, id string) (*Record, error) {
	return find(v.records[kind], kind, idKey(id))
}

// Has says whether there is a record.
func (v *View) Has(kind, id string) bool {
	t := v.records[kind]
	if t == nil {
		return false
	}
	_, has := t.Get(idKey(id))
	return has
}

func find(t *tree, kind, key string) (*Record, error) {
	if t != nil {
		if p, ok := t.Get(key); ok {
			return p.record(kind), nil
		}
	}
	return nil, authz.ErrNotFound
}

// ByUnique returns the record that has a unique key, or [authz.ErrNotFound].
func (v *View) ByUnique(kind, key string) (*Record, error) {
	return find(v.unique[kind], kind, key)
}

// Len returns the number of records of a kind.
func (v *View) Len(kind string) int {
	if t := v.records[kind]; t != nil {
		return t.Len()
	}
	return 0
}

// After calls each with the records of a kind in the order of their ids, from the
// first one that comes after id, until it returns false.
func (v *View) After(kind, id string, each func(*Record) bool) {
	v.AfterTagged(kind, id, func([]string) bool { return true }, each)
}

// AfterTagged is After for the records whose tags keep accepts, which costs little for
// those that are not.
func (v *View) AfterTagged(kind, id string, keep func(tags []string) bool, each func(*Record) bool) {
	t := v.records[kind]
	if t == nil {
		return
	}
	first := "" // what is no id is compared as the text that it is
	if authz.IsUUID(id) {
		first = idKey(id)
	}
	begun := id == ""
	t.Ascend(first, func(key string, p packed) bool {
		if begun = begun || idText(key) > id; !begun || !keep(p.tags()) {
			return true
		}
		return each(p.record(kind))
	})
}

// WithPrefix calls each with the unique keys of a kind that begin with prefix, in
// their order, and what returns the record that has each, until it returns false.
func (v *View) WithPrefix(kind, prefix string, each func(key string, record func() *Record) bool) {
	if t := v.unique[kind]; t != nil {
		t.Ascend(prefix, func(key string, p packed) bool {
			return strings.HasPrefix(key, prefix) && each(key, func() *Record { return p.record(kind) })
		})
	}
}

// set puts a record into the view, in the place of the one that has its id.
func (v *View) set(r *Record) {
	v.remove(r.Kind, r.ID)
	p := packRecord(r)
	treeOf(v.records, r.Kind).Set(p.key(), p)
	for _, key := range p.unique() {
		treeOf(v.unique, r.Kind).Set(key, p)
	}
}

func treeOf(trees map[string]*tree, kind string) *tree {
	t := trees[kind]
	if t == nil {
		t = new(tree)
		trees[kind] = t
	}
	return t
}

func (v *View) remove(kind, id string) {
	t := v.records[kind]
	if t == nil {
		return
	}
	old, ok := t.Delete(idKey(id))
	if !ok {
		return
	}
	for _, key := range old.unique() {
		if owner, _ := v.unique[kind].Get(key); owner == old {
			v.unique[kind].Delete(key)
		}
	}
}

// apply makes the changes of a batch at its position. It is only for batches that
// are in the log: whether they may be was decided before.
func (v *View) apply(b *batch, position int, now time.Time) {
	for i := range b.Ops {
		c := &b.Ops[i]
		v.bridged(c, position)
		switch c.Op {
		case opPut:
			r := &Record{Kind: interned(c.Kind), ID: c.ID, Version: position, Document: c.Document, Unique: c.Unique, Tags: c.Tags}
			if c.Version > 0 {
				r.Version = c.Version
			}
			v.set(r)
			v.changed = position
		case opDelete:
			v.remove(c.Kind, c.ID)
			v.changed = position
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

// overhead is what a line takes beside its changes.
const overhead = 128

func (tx *Tx) add(c change) error {
	raw, err := encode(c)
	if err != nil {
		return err
	}
	if tx.size += len(raw) + 1; tx.size > maxLine-overhead {
		return ErrTooLarge
	}
	tx.ops = append(tx.ops, c)
	// The position that it will have at the least; a Tx sees its own changes.
	tx.view.apply(&batch{Ops: []change{c}}, tx.view.position, time.Now())
	return nil
}

// interned spares each record a copy of the name of its kind.
func interned(kind string) string {
	for _, known := range []string{KindConsumers, KindACLs, KindVaults, KindPolicies} {
		if kind == known {
			return known
		}
	}
	return kind
}
