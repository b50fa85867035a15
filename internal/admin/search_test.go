package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/state"
)

// searchable is a bench with consumers of the file and of the state, in the order of their ids.
func searchable(tb testing.TB) *bench {
	tb.Helper()
	b := newBench(tb, func(_ *Config, d *Dependencies) {
		d.Declared.Consumers = []authz.Consumer{{ID: "33333333-0000-4000-8000-000000000000", Username: "File", CustomID: "crm-3", Groups: []string{"Partners"}}}
	})
	b.must(200, b.json("PUT", "/consumers/11111111-0000-4000-8000-000000000000", `{"username":"Alice","tags":["gold"]}`))
	b.must(200, b.json("PUT", "/consumers/22222222-0000-4000-8000-000000000000", `{"custom_id":"CRM-2"}`))
	b.must(200, b.json("PUT", "/consumers/44444444-0000-4000-8000-000000000000", `{"username":"Zoë=x","custom_id":"crm-4","tags":["gold"]}`))
	b.must(201, b.form("POST", "/consumers/Alice/acls", "group=partners-eu"))
	b.must(201, b.form("POST", "/consumers/Alice/acls", "group=partners-us"))
	return b
}

// found are the first digits of the ids in a list.
func found(a answer) (digits string) {
	for _, item := range a.body["data"].([]any) {
		digits += item.(map[string]any)["id"].(string)[:1]
	}
	return digits
}

func TestConsumersAreFoundByAPartOfWhatTheyAreCalled(t *testing.T) {
	t.Parallel()
	b := searchable(t)
	for _, test := range []struct{ name, query, want string }{
		{"a part of the username, in any case", "search=LIC", "1"},
		{"of one of the file", "search=fil", "3"},
		{"letters beyond ASCII", "search=ZOË", "4"},
		{"the custom id", "search=crm-", "234"},
		{"a group", "search=partners", "13"},
		{"the end of a group", "search=-us", "1"},
		{"the beginning of the id", "search=2222", "2"},
		{"the end of the id", "search=8000-0000", ""},
		{"nothing of what there is", "search=bob", ""},
		{"not the name of a field", "search=username", ""},
		{"not the separator of the keys", "search=custom_id%3D", ""},
		{"a name with such a separator", "search=%3Dx", "4"},
		{"with a tag", "search=a&tags=gold", "1"},
		{"an empty text finds all", "search=", "1234"},
	} {
		if got := found(b.must(200, b.get("/consumers?"+test.query))); got != test.want {
			t.Errorf("%s (%s): found %q, want %q", test.name, test.query, got, test.want)
		}
	}
	b.must(400, b.get("/consumers?search=a&custom_id=crm-3"))
}

func TestThePagesOfASearchAreThoseOfTheSearch(t *testing.T) {
	t.Parallel()
	b := searchable(t)
	got := ""
	for next := "/consumers?search=crm&size=1"; next != ""; {
		a := b.must(200, b.get(next))
		got += found(a)
		next = a.text("next")
	}
	if got != "234" {
		t.Errorf("the pages have %q, want 234", got)
	}
}

// manyConsumers is a Store with very many consumers, each in a group.
type manyConsumers struct {
	*fakeStore
	many *state.View
}

func (s manyConsumers) View() (*state.View, error) { return s.many, nil }

const many = 100_000

func newManyConsumers() manyConsumers {
	var records []state.Record
	for i := range many {
		id, acl := fmt.Sprintf("%08x-0000-4000-8000-000000000000", i*40_000), fmt.Sprintf("%08x-0000-4000-9000-000000000000", i*40_000)
		name, group := fmt.Sprintf("customer-%d", i), fmt.Sprintf("tier-%d", i%7)
		records = append(records,
			state.Record{Kind: state.KindConsumers, ID: id, Version: 1, Unique: []string{"username=" + name}, Document: fmt.Appendf(nil, `{"id":%q,"username":%q,"created_at":1550538643,"updated_at":1550538643}`, id, name)},
			state.Record{Kind: state.KindACLs, ID: acl, Version: 1, Unique: []string{"group=" + id + "/" + group}, Document: fmt.Appendf(nil, `{"id":%q,"group":%q,"consumer":{"id":%q}}`, acl, group, id)})
	}
	return manyConsumers{newFakeStore(), state.NewView(records)}
}

func BenchmarkAnswersWithAHundredThousandConsumers(b *testing.B) {
	store := newManyConsumers()
	api := newBench(b, func(_ *Config, d *Dependencies) { d.Store = store }).api
	for name, path := range map[string]string{
		"overview": "/overview", "nobody": "/consumers?search=nobody", "one": "/consumers?search=customer-99999", "a group": "/consumers?search=tier-3",
		"an id": "/consumers?search=ffff", "all": "/consumers?search=customer",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost:9192"+path, http.NoBody))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
