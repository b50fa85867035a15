package state_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// tagged is a view of consumers with the unique keys and tags that the texts have after
// their number: a word with = is a key.
func tagged(texts ...string) *state.View {
	var records []state.Record
	for i, text := range texts {
		r := state.Record{Kind: state.KindConsumers, ID: id(i), Document: []byte(`{}`)}
		for word := range strings.FieldsSeq(text) {
			if strings.Contains(word, "=") {
				r.Unique = append(r.Unique, word)
			} else {
				r.Tags = append(r.Tags, word)
			}
		}
		records = append(records, r)
	}
	return state.NewView(records)
}

func TestViewListsUniqueKeysByTheirPrefix(t *testing.T) {
	t.Parallel()
	v := tagged("name=b other=x", "name=a", "name=ab", "nam=z")
	for _, test := range []struct {
		prefix string
		most   int
		want   string
	}{
		{"name=", 9, "name=a name=ab name=b"},
		{"name=a", 9, "name=a name=ab"},
		{"name=", 2, "name=a name=ab"},
		{"", 9, "nam=z name=a name=ab name=b other=x"},
		{"x", 9, ""},
	} {
		var got []string
		v.WithPrefix(state.KindConsumers, test.prefix, func(key string, record func() *state.Record) bool {
			if !slices.Contains(record().Unique, key) {
				t.Errorf("%s: the record is %+v", key, record())
			}
			got = append(got, key)
			return len(got) < test.most
		})
		if strings.Join(got, " ") != test.want {
			t.Errorf("from %q on, at most %d: got %q, want %q", test.prefix, test.most, got, test.want)
		}
		v.WithPrefix(state.KindVaults, test.prefix, func(key string, _ func() *state.Record) bool {
			t.Errorf("a key of another kind: %q", key)
			return false
		})
	}
}

func TestViewListsRecordsByTheirTags(t *testing.T) {
	t.Parallel()
	v := tagged("x", "", "x y", "y", "x")
	list := func(after string, most int) (got []string) {
		v.AfterKept(state.KindConsumers, after, func(h state.Head) bool { return slices.Contains(h.Tags(), "x") }, func(r *state.Record) bool {
			got = append(got, r.ID)
			return len(got) < most
		})
		return got
	}
	if got, want := list("", 9), []string{id(0), id(2), id(4)}; !slices.Equal(got, want) {
		t.Errorf("all: got %q, want %q", got, want)
	}
	if got, want := list(id(0), 1), []string{id(2)}; !slices.Equal(got, want) {
		t.Errorf("one after the first: got %q, want %q", got, want)
	}
	v.After(state.KindVaults, "", func(r *state.Record) bool {
		t.Errorf("a record of another kind: %+v", r)
		return false
	})
}

func TestViewHasAndCountsItsRecords(t *testing.T) {
	t.Parallel()
	v := tagged("", "")
	if !v.Has(state.KindConsumers, id(1)) || v.Has(state.KindConsumers, id(2)) || v.Has(state.KindVaults, id(1)) {
		t.Error("Has is wrong")
	}
	if v.Len(state.KindConsumers) != 2 || v.Len(state.KindVaults) != 0 {
		t.Errorf("%d consumers and %d vaults, want 2 and 0", v.Len(state.KindConsumers), v.Len(state.KindVaults))
	}
}

// A lease does not change a record.
func TestViewDistinguishesChangesOfRecordsFromThoseOfCredentials(t *testing.T) {
	t.Parallel()
	n := open(t, memkv.New())
	position := create(t, n, consumer(0))
	if err := n.LeaseCredential(t.Context(), "token", nothing); err != nil {
		t.Fatal(err)
	}
	v := view(t, n)
	if v.Changed() != position || v.Position() <= position {
		t.Errorf("changed at %d, position %d; want %d and a later one", v.Changed(), v.Position(), position)
	}
	deleted, err := n.Update(t.Context(), func(tx *state.Tx) error { return tx.Delete(state.KindConsumers, id(0)) })
	if v := view(t, n); err != nil || v.Changed() != deleted {
		t.Errorf("changed at %d after a deletion at %d, %v", v.Changed(), deleted, err)
	}
}
