package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// insert writes a new entity. d has its id if the caller chose one.
func (a *API) insert(c *call, e *entity, d document) (document, error) {
	v := violations{}
	if err := e.check(a, d, nil, v); err != nil {
		return nil, err
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if d.text("id") == "" {
		d["id"] = newUUID()
	}
	now := time.Now().Unix()
	if d["created_at"] == nil {
		d["created_at"] = now
	}
	d["updated_at"] = now
	if a.isDeclared(e.kind, d.text("id")) || a.isDeclaredKey(e, d.text("id")) {
		return nil, idTaken(d.text("id"))
	}
	if err := a.write(c, e, "create", stored{}, d, a.deps.Store.Create); err != nil {
		if errors.Is(err, state.ErrConflict) {
			return nil, idTaken(d.text("id"))
		}
		return nil, err
	}
	return d, nil
}

// update reads an entity, changes it and writes it, and retries if another change came
// in between.
func (a *API) update(c *call, e *entity, find func() (stored, error), change func(old document) (document, error)) (document, error) {
	var err error
	for range attempts {
		var old stored
		if old, err = find(); err != nil {
			return nil, err
		}
		if old.declared {
			return nil, readOnly("update", e.name)
		}
		var d document
		if d, err = a.replace(c, e, old, change); !errors.Is(err, state.ErrConflict) {
			return d, err
		}
	}
	return nil, err
}

func (a *API) replace(c *call, e *entity, old stored, change func(old document) (document, error)) (document, error) {
	d, err := change(old.document)
	if err != nil {
		return nil, err
	}
	v := violations{}
	if id := d.text("id"); id != "" && id != old.id() {
		v.add("id", "cannot be changed")
	}
	d = merged(old.document, d)
	d["id"], d["created_at"], d["updated_at"] = old.id(), old.document["created_at"], time.Now().Unix()
	if err := e.check(a, d, old.document, v); err != nil {
		return nil, err
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	return d, a.write(c, e, "update", old, d, a.deps.Store.Replace)
}

// write announces a change, makes it, applies it here and records it.
func (a *API) write(c *call, e *entity, action string, old stored, d document, do func(context.Context, state.Record, func(*state.View) error) (int, error)) error {
	constraints := e.unique(d)
	if err := a.declaredConflict(e, d.text("id"), constraints); err != nil {
		return err
	}
	raw, err := d.withoutNulls().encode()
	if err != nil {
		return err
	}
	r := state.Record{Kind: e.kind, ID: d.text("id"), Version: old.version, Document: raw, Tags: d.list("tags")}
	for _, k := range constraints {
		r.Unique = append(r.Unique, k.key)
	}
	change := state.Change{Kind: e.kind, ID: r.ID}
	var check func(*state.View) error
	if e.beside != nil {
		check = e.beside(a, d, old.document)
	}
	var before document
	if old.document != nil {
		before = e.show(old.document)
	}
	err = a.apply(c, entry{action: action, entity: e.name, id: r.ID, before: before, after: e.show(d)}, change, func(ctx context.Context) error {
		_, err := do(ctx, r, check)
		return err
	})
	var taken state.TakenError
	if errors.As(err, &taken) {
		for _, k := range constraints {
			if k.key == taken.Key {
				return k.err()
			}
		}
		return constraint{fields: map[string]any{"key": taken.Key}}.err()
	}
	if err == nil {
		a.warn(c, e, old.document, d)
	}
	return err
}

// warn gives a warning to the caller and to the log.
func (a *API) warn(c *call, e *entity, before, after document) {
	if e.warn == nil {
		return
	}
	if warning := e.warn(before, after); warning != "" {
		c.warn(warning)
		a.deps.Log.Warn(warning, zap.String("who", c.caller.name), zap.String("route", c.route.method+" "+c.route.pattern))
	}
}

// declaredConflict keeps names unique across declared and stored entities.
func (a *API) declaredConflict(e *entity, id string, constraints []constraint) error {
	for _, d := range a.declaredOf(e.kind) {
		if d.id() == id || !e.has(d.document) {
			continue
		}
		for _, theirs := range e.unique(d.document) {
			for _, ours := range constraints {
				if ours.key == theirs.key {
					return ours.err()
				}
			}
		}
	}
	return nil
}

// remove deletes an entity that the path names. One that is not there is no
// error, as in Kong.
func (a *API) remove(c *call, e *entity, idOrKey string, find func() (stored, error)) error {
	old, err := find()
	if errors.Is(err, authz.ErrNotFound) {
		return a.gone(e, idOrKey)
	}
	if err != nil {
		return err
	}
	if old.declared {
		return readOnly("delete", e.name)
	}
	if e.inUse != nil {
		if err := e.inUse(a, old.document); err != nil {
			return err
		}
	}
	change := state.Change{Kind: e.kind, ID: old.id()}
	err = a.apply(c, entry{action: "delete", entity: e.name, id: old.id(), before: e.show(old.document)}, change, func(ctx context.Context) error {
		err := a.deps.Store.Delete(ctx, e.kind, old.id())
		if errors.Is(err, authz.ErrNotFound) {
			return nil
		}
		return err
	})
	if err == nil {
		a.warn(c, e, old.document, nil)
	}
	return err
}

// gone drops a deleted entity from this replica: another replica may have deleted it a
// moment ago, or an earlier call whose outcome was unknown.
func (a *API) gone(e *entity, idOrKey string) error {
	var changes []state.Change
	if authz.IsUUID(idOrKey) {
		changes = []state.Change{{Kind: e.kind, ID: idOrKey}}
	}
	return notHere(a.deps.Announce.Applied(changes...))
}

// notHere is the error of a change that is written and may not be in effect here yet.
func notHere(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", authz.ErrUnavailable, err.Error())
}

// apply makes a change between its announcement and its effect here. What may
// have been written counts as written: it takes effect, and the audit log says
// that the outcome is unknown.
func (a *API) apply(c *call, line entry, change state.Change, do func(context.Context) error) error {
	trail, err := a.intend(c, line)
	if err != nil {
		return err
	}
	tried := false
	err = a.deps.Announce.Announce(c.ctx, func(ctx context.Context) error {
		tried = true
		return do(ctx)
	}, change)
	if !tried {
		trail.end(outcomeNotMade)
		return fmt.Errorf("announcing a change of %s: %w", change.Kind, unavailable(err))
	}
	applied := notHere(a.deps.Announce.Applied(change))
	switch {
	case err == nil:
		trail.end(outcomeDone)
		return applied
	case isRefusal(err):
		trail.end(outcomeNotMade)
	default:
		trail.end(outcomeUnknown)
	}
	return err
}

// isRefusal reports whether an error proves that nothing was written.
func isRefusal(err error) bool {
	var taken state.TakenError
	var refused *api.Problem
	return errors.As(err, &refused) || errors.As(err, &taken) || errors.Is(err, state.ErrConflict) || errors.Is(err, state.ErrTooLarge) || errors.Is(err, authz.ErrNotFound)
}

// unavailable makes an error of a store wrap [authz.ErrUnavailable].
func unavailable(err error) error {
	if err == nil || errors.Is(err, authz.ErrUnavailable) {
		return cmp.Or(err, authz.ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", authz.ErrUnavailable, err)
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// resolve finds what a reference stands for and leaves its id in it.
func (a *API) resolve(d document, fieldName string, parent *entity) (stored, error) {
	ref := d.record(fieldName)
	if ref == nil {
		return stored{}, nil
	}
	key := map[string]any(ref)
	var s stored
	var err error
	if id := ref.text("id"); id != "" {
		s, err = a.findID(parent, id)
	} else {
		s, err = a.findUnique(parent, parent.key+"="+ref.text(parent.key))
	}
	if errors.Is(err, authz.ErrNotFound) {
		return stored{}, danglingReference(fieldName, key, parent.name)
	}
	if err != nil {
		return stored{}, err
	}
	d[fieldName] = document{"id": s.id()}
	return s, nil
}
