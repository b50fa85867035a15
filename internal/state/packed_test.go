package state

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const anID = "64063284-e3b5-48e7-9bca-802251c32138"

func TestPackedRecordIsTheRecordAgain(t *testing.T) {
	t.Parallel()
	for _, r := range []Record{
		{Kind: KindConsumers, ID: anID, Version: 7, Document: []byte(`{}`)},
		{Kind: KindACLs, ID: strings.Repeat("f", 8) + anID[8:], Version: 1 << 40, Unique: []string{"group=" + anID + "/gold", ""}, Tags: []string{"a", "\x00ü"}, Document: []byte(`{"consumer":{"id":"` + anID + `"},"group":"gold"}`)},
		{Kind: KindPolicies, ID: "no id", Tags: []string{"t"}, Document: bytes.Repeat([]byte(`{"hosts":["a.example.com"]}`), 5000)},
	} {
		p := packRecord(&r)
		if diff := cmp.Diff(&r, p.record(r.Kind)); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
		if diff := cmp.Diff(r.Tags, p.tags()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestPieceOfACheckpointIsReadUpToItsLimit(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]bool{0: true, maxPiece: true, maxPiece + 1: false} {
		packed, err := pack(bytes.Repeat([]byte("x"), size))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := unpack(packed); (err == nil) != want || want && len(text) != size {
			t.Errorf("of %d bytes %d were read, %v; want success: %t", size, len(text), err, want)
		}
	}
}

func TestViewListsFromAnyTextOnInTheOrderOfIDs(t *testing.T) {
	t.Parallel()
	var records []Record
	var ids []string
	for i := range 200 {
		id := fmt.Sprintf("%02x063284-e3b5-48e7-9bca-802251c32138", i)
		ids = append(ids, id)
		records = append(records, Record{Kind: KindConsumers, ID: id, Document: []byte(`{}`)})
	}
	v := NewView(records)
	for _, after := range []string{"", "0", "00", ids[0], ids[7], ids[7][:8], ids[7] + "x", "80", "8\x00", "a0", strings.ToUpper(ids[171]), "g", "-", "\xff", ids[199], "not an id at all"} {
		var got, want []string
		v.After(KindConsumers, after, func(r *Record) bool {
			got = append(got, r.ID)
			return true
		})
		for _, id := range ids {
			if id > after {
				want = append(want, id)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %q: want (-), got (+):\n%s", after, diff)
		}
	}
}
