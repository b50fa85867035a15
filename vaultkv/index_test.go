package vaultkv_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/vault-authz/vault-authz/vaultkv"
)

func baoIndex(cluster string, at int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"cluster":%q,"value":"%d"}`, cluster, at))
}

func TestIndexThatIsKeptCoversBothWrites(t *testing.T) {
	t.Parallel()
	low, high, other := baoIndex("one", 9), baoIndex("one", 10), baoIndex("two", 1)
	type write = vaultkv.IndexedWrite
	tests := []struct {
		name   string
		writes []write // in the order of their answers
		want   string
	}{
		{"one after the other", []write{{low, 0, 1}, {high, 2, 3}}, high},
		{"one after the other, of a cluster that was set back", []write{{high, 0, 1}, {low, 2, 3}}, low},
		{"one after the other, of another cluster", []write{{high, 0, 1}, {other, 2, 3}}, other},
		{"one after the other, not readable", []write{{"a", 0, 1}, {"b", 2, 3}}, "b"},
		{"overlapping", []write{{high, 1, 2}, {low, 0, 3}}, high},
		{"overlapping, the first to begin went further", []write{{low, 1, 2}, {high, 0, 3}}, high},
		{"overlapping, not readable", []write{{"b", 1, 2}, {"a", 0, 3}}, "b"},
		{"overlapping by turns", []write{{low, 0, 2}, {high, 1, 4}, {low, 3, 5}}, high},
		{"an answer that was long in coming", []write{{high, 2, 3}, {low, 0, 1}}, high},
		{"an answer without one", []write{{low, 0, 1}, {"", 2, 3}}, low},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := vaultkv.KeptIndex(tt.writes); got != tt.want {
				t.Errorf("kept %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzIndexOfAServer(f *testing.F) {
	f.Add(baoIndex("one", 1), baoIndex("one", 2))
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, a, b string) {
		ab, known := vaultkv.CompareIndexes(a, b)
		ba, also := vaultkv.CompareIndexes(b, a)
		if known != also || ab != -ba {
			t.Errorf("compared one way %d, %t, and the other %d, %t", ab, known, ba, also)
		}
		if same, known := vaultkv.CompareIndexes(a, a); known && same != 0 {
			t.Errorf("an index is %d compared with itself", same)
		}
	})
}
