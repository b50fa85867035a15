package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

func TestADenialIsExplainedWithoutAnyStore(t *testing.T) {
	t.Parallel()
	since := time.Unix(1_550_538_000, 0)
	odd := "a/b c\x01\xff"
	asked := ""
	b := newBench(t, func(_ *Config, d *Dependencies) {
		d.Replica = "one"
		d.Denials = func(id string) authz.Found {
			asked = id
			if id == "gone" {
				return authz.Found{Since: since}
			}
			return authz.Found{Since: since, Total: 2, Denials: []authz.Denial{{Reason: "expired", SentID: odd}}}
		}
	})
	b.store.err = authz.ErrUnavailable
	a := b.must(200, b.get("/denials/a%2Fb%20c%01%FF"))
	if asked != odd {
		t.Errorf("asked for %q, want %q", asked, odd)
	}
	var got api.Denials
	if err := json.Unmarshal([]byte(a.raw), &got); err != nil {
		t.Fatal(err)
	}
	want := api.Denials{Replica: "one", Since: since.Unix(), Total: 2, Data: []authz.Denial{{Reason: "expired", SentID: strings.ToValidUTF8(odd, "\uFFFD")}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(a.raw, "\x01") || strings.Contains(a.raw, "\xff") {
		t.Errorf("the answer has bytes of the client as they are: %q", a.raw)
	}

	a = b.must(404, b.get("/denials/gone"))
	for _, says := range []string{`\"one\"`, "2019-02-19T01:00:00Z", "ask the others", "decision log"} {
		if !strings.Contains(a.raw, says) {
			t.Errorf("the answer does not say %s: %s", says, a.raw)
		}
	}
	if strings.Contains(a.raw, "gone") {
		t.Errorf("the answer repeats the id: %s", a.raw)
	}
}
