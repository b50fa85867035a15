package vaultkv_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
)

var errGone = errors.New("the store is gone")

// A mortal passes on so many writes, and then fails everything: to the process
// that uses it the store is gone, to the store the process is.
type mortal struct {
	vaultkv.Versioned

	mu   sync.Mutex
	left int
	// lands: the last write happens, though its answer is lost.
	lands bool
	gone  bool
}

func (m *mortal) alive() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return errGone
	}
	return nil
}

func (m *mortal) revive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone, m.left = false, 1<<30
}

func (m *mortal) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	if err := m.alive(); err != nil {
		return nil, 0, false, err
	}
	return m.Versioned.ReadVersion(ctx, path)
}

func (m *mortal) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	m.mu.Lock()
	if m.gone {
		m.mu.Unlock()
		return 0, false, errGone
	}
	m.left--
	last := m.left < 0
	m.gone = last
	m.mu.Unlock()
	if last && !m.lands {
		return 0, false, errGone
	}
	version, ok, err := m.Versioned.WriteVersion(ctx, path, document, cas)
	if last {
		return 0, false, errGone
	}
	return version, ok, err
}

func (m *mortal) ListUnder(ctx context.Context, folder string) ([]string, error) {
	if err := m.alive(); err != nil {
		return nil, err
	}
	return m.Versioned.ListUnder(ctx, folder)
}

// A corner keeps a whole store under one folder of another.
type corner struct {
	vaultkv.Versioned
	folder string
}

func (c corner) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	return c.Versioned.ReadVersion(ctx, c.folder+"/"+path)
}

func (c corner) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	return c.Versioned.WriteVersion(ctx, c.folder+"/"+path, document, cas)
}

func (c corner) ListUnder(ctx context.Context, folder string) ([]string, error) {
	return c.Versioned.ListUnder(ctx, c.folder+"/"+folder)
}

// An intruder does something of its own before somebody's operation.
type intruder struct {
	vaultkv.Versioned
	before func(op, path string)
}

func (i intruder) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	i.before("read", path)
	return i.Versioned.ReadVersion(ctx, path)
}

func (i intruder) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	i.before("write", path)
	return i.Versioned.WriteVersion(ctx, path, document, cas)
}

func newRecords(t *testing.T, kv vaultkv.Versioned, edit func(*vaultkv.RecordsConfig)) *vaultkv.Records {
	t.Helper()
	c := vaultkv.DefaultRecordsConfig()
	if edit != nil {
		edit(&c)
	}
	r, err := vaultkv.NewRecords(kv, c)
	if err != nil {
		t.Fatalf("NewRecords: %v", err)
	}
	return r
}

// id returns the nth UUID.
func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

func consumer(n, version int, unique ...string) authz.Record {
	return authz.Record{
		Kind: authz.KindConsumers, ID: id(n), Version: version,
		Document: fmt.Appendf(nil, `{"n":%d,"keys":%d}`, n, len(unique)), Unique: unique,
	}
}

// problems says in which ways the entries of consumers in kv contradict what the
// store promises at any moment, whoever is in the middle of what.
func problems(ctx context.Context, kv vaultkv.Versioned) []string {
	ctx = context.WithoutCancel(ctx)
	type entry struct {
		ID, Key string
		Deleted bool
		Unique  []string
	}
	all := func(folder string) map[string]entry {
		names, _ := kv.ListUnder(ctx, folder)
		entries := map[string]entry{}
		for _, name := range names {
			raw, _, found, _ := kv.ReadVersion(ctx, folder+"/"+name)
			var e entry
			if found && json.Unmarshal(raw, &e) == nil {
				entries[name] = e
			}
		}
		return entries
	}
	// Claims first by their keys: a record must find its own.
	claims := map[string]string{}
	for _, c := range all("unique/consumers") {
		if c.ID != "" {
			claims[c.Key] = c.ID
		}
	}
	var wrong []string
	owners := map[string]string{}
	for id, r := range all("records/consumers") {
		for _, key := range r.Unique {
			if other := owners[key]; other != "" {
				wrong = append(wrong, fmt.Sprintf("%s and %s both have %s", other, id, key))
			}
			owners[key] = id
			if claims[key] != id {
				wrong = append(wrong, fmt.Sprintf("%s has %s, whose claim names %q", id, key, claims[key]))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func wantSound(t *testing.T, kv vaultkv.Versioned) {
	t.Helper()
	if wrong := problems(t.Context(), kv); len(wrong) > 0 {
		t.Fatalf("the store is not sound: %q", wrong)
	}
}
