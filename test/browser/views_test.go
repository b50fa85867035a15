package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// A place is an address on the page and the view that is there.
type place struct{ place, view string }

// viewsOf returns every view of the page, with a consumer and a credential of it.
func viewsOf(c api.Consumer, p pair) []place {
	return []place{
		{"#/overview", "overview"},
		{"#/why", "why"},
		{"#/consumers", "consumers"},
		{"#/consumers?q=" + *c.Username, "consumers"},
		{"#/consumers/" + c.ID, "consumer"},
		{"#/credentials?vault=" + vaultName, "credentials"},
		{"#/credentials/" + vaultName + "/" + p.access, "credential"},
		{"#/policies", "policies"},
		{"#/policies/partners", "policy"},
		{"#/vaults", "vaults"},
		{"#/search?q=" + *c.Username, "search"},
	}
}

func TestDeepLinksOpenAfterSigningIn(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	c := s.consumer(t, "deep")
	for _, v := range viewsOf(c, s.credential(t, c)) {
		p := openTab(t, s)
		p.signIn(s.reader, v.place, v.view)
		if at := eval[string](p, "location.hash"); at != v.place {
			t.Errorf("after signing in the page is at %q, want %q", at, v.place)
		}
	}
}

func TestAPlaceThatIsNoneLeadsBack(t *testing.T) {
	t.Parallel()
	p := openTab(t, sharedSite(t))
	for _, part := range []string{"", "/acls", "/credentials"} {
		p.console.expect(http.StatusNotFound, "/consumers/nobody"+part)
	}
	p.signIn(p.site.reader, "#/nowhere/at/all", "missing")
	p.visit("#/consumers/nobody", "consumer")
	if p.count("alert", "") != 1 {
		t.Error("a consumer that does not exist is not told")
	}
	p.click("link", "Overview")
	p.view("overview")
}

// TestPoliciesAreInTheOrderInWhichTheyDecide compares the page with Envoy: what the first
// matching row says is what happens.
func TestPoliciesAreInTheOrderInWhichTheyDecide(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	p := openTab(t, s)
	p.signIn(s.reader, "#/policies", "policies")
	order := eval[[]string](p, `[...document.querySelectorAll('main tbody tr')].map((row) => row.querySelector('a').innerText)`)
	if got := strings.Join(order, " "); got != "partners default" {
		t.Errorf("the order is %s, want partners before default", got)
	}
	p.click("link", "partners")
	p.view("policy")
	p.see(partnersHost, "/orders", "partners")

	insider, outsider := s.credential(t, s.consumer(t, "insider", "partners")), s.credential(t, s.consumer(t, "outsider"))
	s.awaitStatus(t, http.StatusOK, partnersHost, "/orders/1", insider)
	s.awaitStatus(t, http.StatusForbidden, partnersHost, "/orders/1", outsider)
	s.awaitStatus(t, http.StatusOK, defaultHost, "/orders/1", outsider)
}

func TestSearchFindsByEachName(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	group := "group-of-the-search"
	c := s.consumer(t, "findable", group)
	made := s.credential(t, c)
	p := openTab(t, s)
	p.signIn(s.reader, "", "overview")
	username := *c.Username
	for _, test := range []struct{ by, text, want string }{
		{"username", username, username},
		{"a part of the username, in capitals", strings.ToUpper(username[3:]), username},
		{"custom id", *c.CustomID, username},
		{"group", group, username},
		{"beginning of the id", c.ID[:13], username},
		{"access token", made.access, made.access},
		{"fingerprint", authz.Fingerprint(made.access), made.access},
		{"policy", "partners", "partners"},
		{"vault object", vaultName, vaultName},
	} {
		p.enter("searchbox", "Search", test.text)
		p.press("\r")
		p.view("search")
		p.seeA("link", test.want)
	}
	p.enter("searchbox", "Search", "nobody-is-called-this")
	p.press("\r")
	p.see("Nothing was found")

	p.visit("#/consumers", "consumers")
	p.enter("searchbox", "Find consumers", *c.CustomID)
	p.await(func(ctx ctx) error {
		rows, err := having(ctx, "row", "")
		if err == nil && len(rows) != 2 {
			err = fmt.Errorf("%d rows, want the heading and one consumer", len(rows))
		}
		return err
	})
	p.click("link", username)
	p.view("consumer")
	p.see(group, *c.CustomID)
}
