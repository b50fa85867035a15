package admin

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// An entity says what is special about one kind of record; everything else is
// the same for all of them.
type entity struct {
	// kind is that of the records, name what messages and paths call it.
	kind, name string
	// key is the field that stands for the id in paths, if any.
	key    string
	fields []api.Field
	// owns says whether a record of the kind is one of these, nil for all.
	owns func(schema.Document) bool
	// unique lists what no two records of the kind may share.
	unique func(schema.Document) []constraint
	// check completes a new or changed document and reports what the schema
	// cannot see. old is nil for a new one.
	check checker
	// beside returns a check of the entity against the stored others, nil if there is
	// nothing to check.
	beside func(a *API, d, old schema.Document) func(*state.View) error
	// warn returns a warning for the caller who makes a change, "" for none. before is
	// nil for a creation, after for a deletion. It may be nil.
	warn func(before, after schema.Document) string
	// stay are the fields that a replacement leaves as they are if it does not have them.
	stay []string
	// usedBy says whether a policy refers to an entity, which is then not deleted. It may be
	// nil.
	usedBy func(d, policy schema.Document) bool
}

// A checker adds to v what is wrong with a document. Its error is that of a store, or a refusal.
type checker func(a *API, d, old schema.Document, v schema.Violations) error

// of returns what is wrong with a document, with what v says already.
func (check checker) of(a *API, d, old schema.Document, v schema.Violations) error {
	if err := check(a, d, old, v); err != nil {
		return err
	}
	return v.Err()
}

func (e *entity) has(d schema.Document) bool { return e.owns == nil || e.owns(d) }

func (e *entity) show(d schema.Document) schema.Document { return schema.Shown(e.fields, d) }

// attempts bounds how often a change is retried after another one of the same record.
const attempts = 5

// find returns an entity by its id, or by its key if the text is not a UUID.
func (a *API) find(e *entity, idOrKey string) (schema.Stored, error) {
	if authz.IsUUID(idOrKey) {
		return a.findID(e, idOrKey)
	}
	if e.key == "" {
		return schema.Stored{}, authz.ErrNotFound
	}
	return a.findUnique(e, e.key+"="+idOrKey)
}

func (a *API) findID(e *entity, id string) (schema.Stored, error) {
	for _, d := range a.declaredOf(e.kind) {
		if d.ID() == id && e.has(d.Document) {
			return d, nil
		}
	}
	view, err := a.deps.Store.View()
	if err != nil {
		return schema.Stored{}, err
	}
	r, err := view.Get(e.kind, id)
	if err != nil {
		return schema.Stored{}, err
	}
	return e.open(r)
}

func (a *API) findUnique(e *entity, key string) (schema.Stored, error) {
	for _, d := range a.declaredOf(e.kind) {
		if e.has(d.Document) && slices.ContainsFunc(e.unique(d.Document), func(c constraint) bool { return c.key == key }) {
			return d, nil
		}
	}
	view, err := a.deps.Store.View()
	if err != nil {
		return schema.Stored{}, err
	}
	r, err := view.ByUnique(e.kind, key)
	if err != nil {
		return schema.Stored{}, err
	}
	return e.open(r)
}

func (e *entity) open(r *state.Record) (schema.Stored, error) {
	d, err := schema.Decode(r.Document)
	if err != nil {
		return schema.Stored{}, fmt.Errorf("%s %q: %w", e.kind, r.ID, err)
	}
	if !e.has(d) {
		return schema.Stored{}, authz.ErrNotFound
	}
	return schema.Stored{Document: d, Version: r.Version}, nil
}

// all returns every entity, declared ones too, by id.
func (a *API) all(e *entity) ([]schema.Stored, error) {
	var all []schema.Stored
	err := a.each(e, "", everything, func(s schema.Stored) bool {
		all = append(all, s)
		return true
	})
	return all, err
}

// each calls do with the entities in the order of their ids, declared ones too, from
// the first one after an id, until it returns false. Those that keep refuses are left out,
// records before they are read.
func (a *API) each(e *entity, after string, keep filter, do func(schema.Stored) bool) error {
	view, err := a.deps.Store.View()
	if err != nil {
		return err
	}
	return a.eachIn(view, e, after, keep, do)
}

func (a *API) eachIn(view *state.View, e *entity, after string, keep filter, do func(schema.Stored) bool) (err error) {
	declared := slices.DeleteFunc(slices.Clone(a.declaredOf(e.kind)), func(s schema.Stored) bool { return !e.has(s.Document) || s.ID() <= after })
	slices.SortFunc(declared, func(x, y schema.Stored) int { return cmp.Compare(x.ID(), y.ID()) })
	doNext := func() (goOn bool) {
		next := declared[0]
		declared = declared[1:]
		return !keep(declaredHead{e, next}) || do(next)
	}
	goOn := true
	view.AfterKept(e.kind, after, func(h state.Head) bool { return keep(h) }, func(r *state.Record) bool {
		for goOn && len(declared) > 0 && declared[0].ID() <= r.ID {
			same := declared[0].ID() == r.ID
			if goOn = doNext(); same {
				return goOn
			}
		}
		if !goOn {
			return false
		}
		var s schema.Stored
		if s, err = e.open(r); errors.Is(err, authz.ErrNotFound) {
			err = nil
			return true
		}
		goOn = err == nil && do(s)
		return goOn
	})
	for goOn && err == nil && len(declared) > 0 {
		goOn = doNext()
	}
	return err
}

func (a *API) isDeclared(kind, id string) bool {
	return slices.ContainsFunc(a.declaredOf(kind), func(d schema.Stored) bool { return d.ID() == id })
}

// isDeclaredKey reports whether a declared entity has an id for its key: a reference to it
// would find the entity of that id.
func (a *API) isDeclaredKey(e *entity, id string) bool {
	return e.key != "" && slices.ContainsFunc(a.declaredOf(e.kind), func(d schema.Stored) bool { return d.Text(e.key) == id })
}
