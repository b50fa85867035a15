package authz

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAMemoEncodesOnce(t *testing.T) {
	t.Parallel()
	var m Memo
	if got := m.Bytes(func() []byte { return nil }); got != nil {
		t.Fatalf("got %q of an encoder that could not", got)
	}
	for _, encoded := range []string{"first", "second"} {
		if got := m.Bytes(func() []byte { return []byte(encoded) }); string(got) != "first" {
			t.Errorf("got %q, want what was made first", got)
		}
	}
	var none *Memo
	if got := none.Bytes(func() []byte { return []byte("own") }); string(got) != "own" {
		t.Errorf("without a memo: got %q", got)
	}
}

// An encoder keeps bytes by memo, so two decisions with one memo and different
// lists would give one client the identity headers of another.
func TestEqualMemosMeanEqualLists(t *testing.T) {
	t.Parallel()
	byMemo := map[*Memo]any{}
	agree := func(what string, m *Memo, list any) {
		t.Helper()
		if m == nil {
			return
		}
		if before, known := byMemo[m]; known {
			if diff := cmp.Diff(before, list); diff != "" {
				t.Errorf("%s: one memo, two lists:\n%s", what, diff)
			}
			return
		}
		byMemo[m] = list
	}
	requests := []*Request{
		good(), get("/"), get("/?access_token=foo&secret_token=supersecretvalue"),
		get("/", "access_token", "foo", "secret_token", "supersecretvalue", "x.consumer.id", "1"),
		get("/", "access_token", "foo", "secret_token", "supersecretvalue", "access.token", "1"),
	}
	for bits := range 1 << 7 {
		b := newBench(t, func(p *Policy) {
			p.HideCredentials, p.HideCredentialIdentifier, p.HideGroupsHeader = bits&1 != 0, bits&2 != 0, bits&4 != 0
			p.Shadow = bits&8 != 0
			if bits&16 != 0 {
				p.Anonymous = "visitor"
			}
			if bits&32 != 0 {
				p.Deny = []string{"nobody's"}
			}
			if bits&64 != 0 {
				p.AccessTokenNames = []string{"access_token", "key"}
			}
		})
		for i, id := range []string{aliceID, bobID, visitorID} {
			b.put("supersecretvalue", func(c *Credential) { c.ConsumerID = id })
			for j, r := range requests {
				what := fmt.Sprintf("policy %07b, consumer %d, request %d", bits, i, j)
				d := b.Check(t.Context(), r)
				if d.Consumer != nil {
					agree(what, d.ConsumerMemo, *d.Consumer)
				}
				u := d.Upstream
				agree(what, u.SetMemo, slices.Clone(u.Set))
				agree(what, u.RemoveMemo, slices.Clone(u.Remove))
				agree(what, u.RemoveAlsoMemo, slices.Clone(u.RemoveAlso))
			}
		}
	}
	if len(byMemo) < 10 {
		t.Errorf("only %d memos were seen", len(byMemo))
	}
}
