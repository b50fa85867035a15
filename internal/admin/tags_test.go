package admin

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
)

func TestTagsAreListedWithTheirEntities(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.json("POST", "/consumers/alice/acls", `{"group":"staff","tags":["team"]}`))
	b.must(201, b.json("POST", "/plugins", `{"name":"vault-auth","config":{"vault":"kong-auth"},"tags":["edge"]}`))
	b.must(201, b.json("POST", "/plugins", `{"name":"acl","config":{"allow":["staff"]},"tags":["edge","team"]}`))
	for path, want := range map[string][]string{
		"/tags":      {"acls team", "consumers gold", "consumers team", "consumers team", "plugins edge", "plugins edge", "plugins team"},
		"/tags/team": {"acls team", "consumers team", "consumers team", "plugins team"},
		"/tags/gold": {"consumers gold"},
		"/tags/none": nil,
	} {
		for _, size := range []int{1, 2, 3, 100} {
			var got []string
			for next := fmt.Sprintf("%s?size=%d", path, size); next != ""; {
				a := b.must(200, b.get(next))
				data := a.body["data"].([]any)
				if len(data) > size || len(data) == 0 && len(got) > 0 {
					t.Fatalf("GET %s: a page of %d", next, len(data))
				}
				for _, item := range data {
					of := item.(map[string]any)
					got = append(got, fmt.Sprintf("%s %s", of["entity_name"], of["tag"]))
				}
				next = a.text("next")
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("GET %s by %d: got %q, want %q", path, size, got, want)
			}
		}
	}
}

func TestAnOffsetOfTagsIsOneThatWasGivenOut(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "0/x/y", "0/" + someID + "/", "-1/" + someID + "/a", "00/" + someID + "/a", "x"} {
		if isTagPosition(s) {
			t.Errorf("%q is taken for an offset", s)
		}
	}
	if p := (tagPosition{2, someID, "gold"}).String(); !isTagPosition(p) || !authz.IsUUID(readTagPosition(p).id) {
		t.Errorf("%q is no offset", p)
	}
}
