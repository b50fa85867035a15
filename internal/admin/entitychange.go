package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// insert writes a new entity. d has its id if the caller chose one.
func (a *API) insert(c *call, e *entity, d schema.Document) (schema.Document, error) {
	if err := e.check.of(a, d, nil, schema.Violations{}); err != nil {
		return nil, err
	}
	if d.Text("id") == "" {
		d["id"] = newUUID()
	}
	now := time.Now().Unix()
	if d["created_at"] == nil {
		d["created_at"] = now
	}
	d["updated_at"] = now
	if a.isDeclared(e.kind, d.Text("id")) || a.isDeclaredKey(e, d.Text("id")) {
		return nil, idTaken(d.Text("id"))
	}
	if err := a.write(c, e, "create", schema.Stored{}, d, a.deps.Store.Create); err != nil {
		if errors.Is(err, state.ErrConflict) {
			return nil, idTaken(d.Text("id"))
		}
		return nil, err
	}
	return d, nil
}

// update reads an entity, changes it and writes it, and retries if another change came
// in between.
func (a *API) update(c *call, e *entity, find func() (schema.Stored, error), change func(old schema.Document) (schema.Document, error)) (schema.Document, error) {
	var err error
	for range attempts {
		var old schema.Stored
		if old, err = find(); err != nil {
			return nil, err
		}
		if old.Declared {
			return nil, readOnly("update", e.name)
		}
		var d schema.Document
		if d, err = a.replace(c, e, old, change); !errors.Is(err, state.ErrConflict) {
			return d, err
		}
	}
	return nil, err
}

func (a *API) replace(c *call, e *entity, old schema.Stored, change func(old schema.Document) (schema.Document, error)) (schema.Document, error) {
	d, err := change(old.Document)
	if err != nil {
		return nil, err
	}
	v := schema.Violations{}
	if id := d.Text("id"); id != "" && id != old.ID() {
		v.Add("id", "cannot be changed")
	}
	d = schema.Merged(old.Document, d)
	d["id"], d["created_at"], d["updated_at"] = old.ID(), old.Document["created_at"], time.Now().Unix()
	if err := e.check.of(a, d, old.Document, v); err != nil {
		return nil, err
	}
	return d, a.write(c, e, "update", old, d, a.deps.Store.Replace)
}

// write announces a change, makes it, applies it here and records it.
func (a *API) write(c *call, e *entity, action string, old schema.Stored, d schema.Document, do func(context.Context, state.Record, func(*state.View) error) (int, error)) error {
	constraints := e.unique(d)
	if err := a.declaredConflict(e, d.Text("id"), constraints); err != nil {
		return err
	}
	raw, err := d.WithoutNulls().Encode()
	if err != nil {
		return err
	}
	r := state.Record{Kind: e.kind, ID: d.Text("id"), Version: old.Version, Document: raw, Tags: d.List("tags")}
	for _, k := range constraints {
		r.Unique = append(r.Unique, k.key)
	}
	change := state.Change{Kind: e.kind, ID: r.ID}
	var check func(*state.View) error
	if e.beside != nil {
		check = e.beside(a, d, old.Document)
	}
	var before schema.Document
	if old.Document != nil {
		before = e.show(old.Document)
	}
	err = a.apply(c, entry{action: action, entity: e.name, id: r.ID, before: before, after: e.show(d)}, change, func(ctx context.Context) error {
		_, err := do(ctx, r, check)
		return err
	})
	if taken, is := errors.AsType[state.TakenError](err); is {
		for _, k := range constraints {
			if k.key == taken.Key {
				return k.err()
			}
		}
		return constraint{fields: map[string]any{"key": taken.Key}}.err()
	}
	if err == nil {
		a.warn(c, e, old.Document, d)
	}
	return err
}

// warn gives a warning to the caller and to the log.
func (a *API) warn(c *call, e *entity, before, after schema.Document) {
	if e.warn == nil {
		return
	}
	if warning := e.warn(before, after); warning != "" {
		c.warn(warning)
		a.deps.Log.Warn(warning, zap.String("who", c.caller.Name), zap.String("route", c.route.method+" "+c.route.pattern))
	}
}

// declaredConflict keeps names unique across declared and stored entities.
func (a *API) declaredConflict(e *entity, id string, constraints []constraint) error {
	for _, d := range a.declaredOf(e.kind) {
		if d.ID() == id || !e.has(d.Document) {
			continue
		}
		for _, theirs := range e.unique(d.Document) {
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
func (a *API) remove(c *call, e *entity, idOrKey string, find func() (schema.Stored, error)) error {
	old, err := find()
	if errors.Is(err, authz.ErrNotFound) {
		return a.gone(e, idOrKey)
	}
	if err != nil {
		return err
	}
	if old.Declared {
		return readOnly("delete", e.name)
	}
	if e.usedBy != nil {
		policies, err := a.all(a.policies)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(policies, func(p schema.Stored) bool { return e.usedBy(old.Document, p.Document) }) {
			return referencedBy(e.name, "plugins")
		}
	}
	change := state.Change{Kind: e.kind, ID: old.ID()}
	err = a.apply(c, entry{action: "delete", entity: e.name, id: old.ID(), before: e.show(old.Document)}, change, func(ctx context.Context) error {
		err := a.deps.Store.Delete(ctx, e.kind, old.ID())
		if errors.Is(err, authz.ErrNotFound) {
			return nil
		}
		return err
	})
	if err == nil {
		a.warn(c, e, old.Document, nil)
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
		return fmt.Errorf("announcing a change of %s: %w", change.Kind, credential.Unavailable(err))
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
	_, refused := errors.AsType[*api.Problem](err)
	_, taken := errors.AsType[state.TakenError](err)
	return refused || taken || errors.Is(err, state.ErrConflict) || errors.Is(err, state.ErrTooLarge) || errors.Is(err, authz.ErrNotFound)
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// resolve finds what a reference stands for and leaves its id in it.
func (a *API) resolve(d schema.Document, fieldName string, parent *entity) (schema.Stored, error) {
	ref := d.Record(fieldName)
	if ref == nil {
		return schema.Stored{}, nil
	}
	key := map[string]any(ref)
	var s schema.Stored
	var err error
	if id := ref.Text("id"); id != "" {
		s, err = a.findID(parent, id)
	} else {
		s, err = a.findUnique(parent, parent.key+"="+ref.Text(parent.key))
	}
	if errors.Is(err, authz.ErrNotFound) {
		return schema.Stored{}, danglingReference(fieldName, key, parent.name)
	}
	if err != nil {
		return schema.Stored{}, err
	}
	d[fieldName] = schema.Document{"id": s.ID()}
	return s, nil
}
