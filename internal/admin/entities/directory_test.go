package entities_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/entities/entitiestest"
	"github.com/vault-authz/vault-authz/internal/state"
)

func group(n int, consumer, name string) state.Record {
	r := rec(state.KindACLs, entitiestest.ID(n), 1, `{"id":"%s","group":"`+name+`","consumer":{"id":"`+consumer+`"}}`)
	r.Unique = []string{entities.ACLKey(consumer, name)}
	return r
}

func user(n int, name string) state.Record {
	r := rec(state.KindConsumers, entitiestest.ID(n), 1, `{"id":"%s","username":"`+name+`","custom_id":"c-`+name+`","tags":["t"]}`)
	r.Unique = []string{"username=" + name, "custom_id=c-" + name}
	return r
}

func TestStoredConsumerHasItsGroups(t *testing.T) {
	t.Parallel()
	d := entities.Consumers(entities.Declared{}, state.NewView([]state.Record{
		user(1, "alice"), user(2, "bob"), group(11, entitiestest.ID(1), "b"), group(12, entitiestest.ID(1), "a"), group(13, entitiestest.ID(2), "z"), group(14, entitiestest.ID(9), "left over"),
	}))
	want := authz.Consumer{ID: entitiestest.ID(1), Username: "alice", CustomID: "c-alice", Groups: []string{"a", "b"}, Tags: []string{"t"}}
	for name, find := range map[string]func() (authz.Consumer, error){
		"by id":       func() (authz.Consumer, error) { return d.ByID(entitiestest.ID(1)) },
		"by username": func() (authz.Consumer, error) { return d.ByUsername("alice") },
	} {
		got, err := find()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, want (-), got (+):\n%s", name, err, diff)
		}
	}
	if _, err := d.ByID(entitiestest.ID(9)); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("a consumer of whom only a group is left: %v, want not found", err)
	}
}

func TestStoredConsumerThatDoesNotFitIsNotUsed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		records []state.Record
		want    string
	}{
		{"a record that cannot be read", []state.Record{{Kind: state.KindConsumers, ID: entitiestest.ID(1), Document: []byte("x")}}, "not a JSON object"},
		{"a record of another consumer", []state.Record{{Kind: state.KindConsumers, ID: entitiestest.ID(1), Document: []byte(`{"id":"` + entitiestest.ID(2) + `","username":"a"}`)}}, "of another consumer"},
		{"the name of a declared one", []state.Record{user(1, "dora")}, "username is taken"},
		{"a group that cannot be in a header", []state.Record{user(1, "alice"), group(2, entitiestest.ID(1), "a,b")}, "comma"},
	} {
		_, err := entities.Consumers(entitiestest.Declared(), state.NewView(tt.records)).ByID(entitiestest.ID(1))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}
