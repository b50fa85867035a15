package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
)

func TestCredentialsAreFoundByTheFingerprintOfTheirAccessToken(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	for _, token := range []string{"foo", "bar", "baz"} {
		b.must(201, b.form("POST", credentials+"/alice", "access_token="+token))
	}
	list := func(query string) (tokens []string) {
		for _, item := range b.must(200, b.get(credentials+"?"+query)).body["data"].([]any) {
			tokens = append(tokens, item.(map[string]any)["access_token"].(string))
		}
		return tokens
	}
	fingerprint := authz.Fingerprint("bar")
	for query, want := range map[string][]string{
		"fingerprint=" + fingerprint:                  {"bar"},
		"fingerprint=" + strings.ToUpper(fingerprint): {"bar"},
		"fingerprint=00000000":                        nil,
	} {
		if diff := cmp.Diff(want, list(query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	for _, bad := range []string{"", fingerprint[:7], fingerprint + "0", "zzzzzzzz", "bar"} {
		if a := b.must(400, b.get(credentials+"?fingerprint="+bad)); strings.Contains(a.raw, "next") {
			t.Errorf("%q: %s", bad, a.raw)
		}
	}
	// Only the one that fits is read.
	for _, kv := range b.kv {
		kv.mu.Lock()
		kv.documents["foo"], kv.documents["baz"] = []byte("not JSON"), []byte("not JSON")
		kv.mu.Unlock()
	}
	if got := list("fingerprint=" + fingerprint); !slices.Equal(got, []string{"bar"}) {
		t.Errorf("got %q", got)
	}
}

// colliding are two access tokens with one fingerprint.
func colliding() (one, other string) {
	seen := map[string]string{}
	for i := 0; ; i++ {
		token := fmt.Sprintf("t%d", i)
		fingerprint := authz.Fingerprint(token)
		if seen[fingerprint] != "" {
			return seen[fingerprint], token
		}
		seen[fingerprint] = token
	}
}

func TestOfTwoCredentialsWithOneFingerprintBothAreFound(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	one, other := colliding()
	for _, token := range []string{one, other} {
		b.must(201, b.form("POST", credentials+"/alice", "access_token="+token))
	}
	var got []string
	for next := credentials + "?size=1&fingerprint=" + authz.Fingerprint(one); next != ""; {
		a := b.must(200, b.get(next))
		for _, item := range a.body["data"].([]any) {
			got = append(got, item.(map[string]any)["access_token"].(string))
		}
		next = a.text("next")
	}
	if want := slices.Sorted(slices.Values([]string{one, other})); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
