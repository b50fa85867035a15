package browser

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/api"
)

// TestMarkupInDataStaysText stores what a stored cross-site scripting would, everywhere where
// the service takes a text.
func TestMarkupInDataStaysText(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	n := rand.Text()[:6]
	picture := `<img src=x` + n + ` onerror="window.hacked=1">`
	script := `"><script>window.hacked=2</script>` + n
	address := `javascript:window.hacked=3//` + n
	tag := `<svg onload=window.hacked=9>` + n
	c, err := s.operator.Consumers.Create(t.Context(), api.Consumer{Username: &picture, CustomID: &script, Tags: []string{tag, "'-alert(1)-'" + n}})
	must(t, err)
	for _, group := range []string{`<svg onload=window.hacked=4>` + n, address} {
		_, err := s.operator.AddToGroup(t.Context(), c.ID, api.ACL{Group: group})
		must(t, err)
	}
	made := s.credential(t, c)
	other, err := s.operator.Consumers.Create(t.Context(), api.Consumer{Username: &address})
	must(t, err)
	s.awaitStatus(t, http.StatusOK, defaultHost, "/"+n, made)
	path := "/<img/src=y/onerror=window.hacked=5>" + n
	denial, err := s.send(t.Context(), defaultHost, path, pair{"no-such-token", "x"})
	must(t, err)

	p := openTab(t, s)
	pictures := func() int {
		return eval[int](p, `[...document.querySelectorAll('img, script, iframe, object, embed, base')].filter((e) => !['icon.svg', 'app.js'].includes(e.getAttribute('src'))).length`)
	}
	check := func(where string) {
		t.Helper()
		if hacked := eval[bool](p, `'hacked' in window`); hacked {
			t.Fatalf("%s: text became code", where)
		}
		if pictures() > 0 {
			t.Errorf("%s: text became an element", where)
		}
		if bad := eval[[]string](p, `[...document.querySelectorAll('[href], [src], [action]')].flatMap((e) => [e.href, e.src, e.action]).filter((u) => typeof u === 'string' && /^(javascript|data|vbscript):/i.test(u))`); len(bad) > 0 {
			t.Errorf("%s: text became addresses: %q", where, bad)
		}
	}
	p.signIn(s.writer, "#/consumers?q="+n, "consumers")
	p.see(picture, script, tag, address)
	check("consumers")
	p.visit("#/consumers/"+c.ID, "consumer")
	p.see(picture, script, "<svg onload=window.hacked=4>"+n, address)
	check("consumer")
	if title := eval[string](p, "document.title"); !strings.Contains(title, picture) {
		t.Errorf("the title is %q", title)
	}
	p.click("button", "Delete consumer")
	p.see("Delete " + picture + "?")
	check("the question before it is deleted")
	p.click("button", "Cancel")
	p.visit("#/consumers/"+other.ID, "consumer")
	check("a consumer that is called as an address")
	p.visit("#/credentials/"+vaultName+"/"+made.access, "credential")
	p.see(picture)
	check("credential")

	p.enter("searchbox", "Search", picture)
	p.press("\r")
	p.see("Search for “" + picture + "”")
	check("search")
	p.enter("searchbox", "Search", `<iframe srcdoc="<script>parent.hacked=6</script>">`)
	p.press("\r")
	p.see("<iframe srcdoc=")
	check("a search for markup")

	if denial.Status == http.StatusUnauthorized {
		p.visit("#/overview", "overview")
		p.see("window.hacked=5")
		check("the latest denials")
		p.visit("#/why?id="+requestID(t, denial), "why")
		p.see("window.hacked=5")
		check("a denial")
	} else {
		t.Errorf("the gateway answers %s with %d, want a denial with 401", path, denial.Status)
	}
	p.fill("A request id, or a curl command", `curl 'http://x.example/<img src=x onerror=window.hacked=7>' -H '<script>window.hacked=8</script>: 1'`)
	p.click("button", "Explain")
	p.view("why")
	check("a command")
}
