package state_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

func TestInvalidRecordIsRefused(t *testing.T) {
	t.Parallel()
	sized := func(size int) func(*state.Record) {
		return func(r *state.Record) {
			r.Document = fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", size-len(`{"x":""}`)))
		}
	}
	for _, test := range []struct {
		name   string
		change func(*state.Record)
		want   string
	}{
		{"as it should be", func(*state.Record) {}, ""},
		{"the largest document", sized(state.MaxDocument), ""},
		{"a document that is too large", sized(state.MaxDocument + 1), "divide it"},
		{"no document", func(r *state.Record) { r.Document = nil }, "not a JSON object"},
		{"a document that is a list", func(r *state.Record) { r.Document = []byte(`[]`) }, "not a JSON object"},
		{"a document that does not end", func(r *state.Record) { r.Document = []byte(`{`) }, "not a JSON object"},
		{"no kind", func(r *state.Record) { r.Kind = "" }, "not a kind"},
		{"a kind in upper case", func(r *state.Record) { r.Kind = "Consumers" }, "not a kind"},
		{"an id that is not a UUID", func(r *state.Record) { r.ID = "1" }, "UUID"},
		{"a unique key that is empty", func(r *state.Record) { r.Unique = []string{"a", ""} }, "is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := consumer(1)
			test.change(&r)
			_, err := open(t, memkv.New()).Update(t.Context(), func(tx *state.Tx) error { return tx.Put(r) })
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Put = %v, want an error with %q, or none", err, test.want)
			}
		})
	}
}

// If an entry of the log is not found, that must not look as if a consumer were not found.
func TestErrorOfTheServerIsAlwaysUnavailable(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{authz.ErrNotFound, authz.ErrMalformed, authz.ErrUnavailable, errServer} {
		kv := memkv.New()
		n := open(t, kv)
		view(t, n)
		kv.Fail(fmt.Errorf("reading: %w", failure))
		err := n.Refresh(t.Context())
		if !errors.Is(err, authz.ErrUnavailable) || errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed) {
			t.Errorf("for %v Refresh = %v, want that it is unavailable and nothing else", failure, err)
		}
	}
}
