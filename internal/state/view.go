package state

import (
	"errors"
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
	// revision is the number of the newest change of entities in it, see [Store].
	revision int
	records  map[string]*tree
	// unique has, for each kind, the record that has a key.
	unique map[string]*tree
	leases map[string]lease
	bridge *bridge

	// cloning guards the trees against two copies at a time; reading needs no
	// guard.
	cloning *sync.Mutex
}

// A tree has records by the keys of their ids, or by their unique keys.
type tree = btree.Map[string, packed]

// A lease is the right to change one credential.
type lease struct {
	by string
	// seen is when this replica read it, by its own clock.
	seen time.Time
}

func newView() *View {
	return &View{
		records: map[string]*tree{}, unique: map[string]*tree{}, leases: map[string]lease{}, cloning: &sync.Mutex{},
	}
}

// NewView returns a view of records without a log, at position 0.
func NewView(records []Record) *View {
	v := newView()
	for i := range records {
		v.set(&records[i])
	}
	return v
}

// clone returns a copy that may be changed. Both share the nodes of the trees until one of
// them changes those.
func (v *View) clone() *View {
	v.cloning.Lock()
	defer v.cloning.Unlock()
	return &View{
		position: v.position, changed: v.changed, revision: v.revision, records: copies(v.records), unique: copies(v.unique), leases: maps.Clone(v.leases),
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

// Changed is the position of the last change of a record. Later positions are about
// credentials only.
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
	v.AfterKept(kind, id, func(Head) bool { return true }, each)
}

// A Head is what can be known of a record at little cost: its document is not unpacked.
type Head struct{ p packed }

// ID returns the id of the record.
func (h Head) ID() string { return idText(h.p.key()) }

// Unique returns its unique keys.
func (h Head) Unique() []string { return h.p.unique() }

// Tags returns its tags.
func (h Head) Tags() []string { return h.p.tags() }

// AfterKept is After for the records that keep accepts. Records that keep refuses cost little.
func (v *View) AfterKept(kind, id string, keep func(Head) bool, each func(*Record) bool) {
	t := v.records[kind]
	if t == nil {
		return
	}
	first := "" // a text other than an id is compared as text
	if authz.IsUUID(id) {
		first = idKey(id)
	}
	begun := id == ""
	t.Ascend(first, func(key string, p packed) bool {
		if begun = begun || idText(key) > id; !begun || !keep(Head{p}) {
			return true
		}
		return each(p.record(kind))
	})
}

// WithPrefix calls each with the unique keys of a kind that begin with prefix, in their
// order, until it returns false. record returns the record that has the key.
func (v *View) WithPrefix(kind, prefix string, each func(key string, record func() *Record) bool) {
	if t := v.unique[kind]; t != nil {
		t.Ascend(prefix, func(key string, p packed) bool {
			return strings.HasPrefix(key, prefix) && each(key, func() *Record { return p.record(kind) })
		})
	}
}

// set puts a record into the view, and replaces the one with its id.
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

// apply makes the changes of a batch, which gets the position. It checks nothing: the
// writer of the batch has done so.
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
		case opLease:
			v.leases[c.Key] = lease{by: c.By, seen: now}
		case opRelease:
			if v.leases[c.Key].by == c.By {
				delete(v.leases, c.Key)
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

// Put adds a record whose version is 0, or replaces the one of the version that r names.
// Its error is [ErrConflict] if the record has another version, [authz.ErrNotFound] if
// there is no such record, or a [TakenError].
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

// ErrTooLarge says that a record is too large, or that the changes of one Tx do not fit into
// one line of the log. Those before the refused one do.
var ErrTooLarge = errors.New("too large for the state store")

var errManyChanges = fmt.Errorf("%w: these are more changes than fit into one write (%d KiB); make them in several calls", ErrTooLarge, maxLine>>10)

// overhead is what a line takes beside its changes.
const overhead = 128

func (tx *Tx) add(c change) error {
	raw, err := encode(c)
	if err != nil {
		return err
	}
	if tx.size += len(raw) + 1; tx.size > maxLine-overhead {
		return errManyChanges
	}
	tx.ops = append(tx.ops, c)
	// A Tx sees its own changes. The final position is this one or a later one.
	tx.view.apply(&batch{Ops: []change{c}}, tx.view.position, time.Now())
	return nil
}

// interned returns a shared copy of the name of a kind, to save memory in each record.
func interned(kind string) string {
	for _, known := range []string{KindConsumers, KindACLs, KindVaults, KindPolicies} {
		if kind == known {
			return known
		}
	}
	return kind
}
