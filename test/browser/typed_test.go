package browser

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestACommandGetsIntoNoAddress types and pastes commands with a secret wherever the page takes
// a text that it puts into an address.
func TestACommandGetsIntoNoAddress(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	const curl = `curl -H 'secret-token: ` + secret + `' https://a.example/x`
	const taken, refused = "needs the role write", "This is neither a request id nor a curl command."
	p := openTab(t, sharedSite(t))
	p.signIn(p.site.reader, "", "overview")
	eval[chromedp.Void](p, `performance.setResourceTimingBufferSize(10000); window.places = []; addEventListener('hashchange', (e) => window.places.push(e.newURL));`)
	spilled := func(what string) {
		t.Helper()
		for _, place := range eval[[]string](p, `[document.title, location.href, ...window.places, ...performance.getEntriesByType('resource').map((e) => e.name)]`) {
			if strings.Contains(place, secret) {
				t.Fatalf("%s: the secret is in %s", what, place)
			}
		}
	}
	for _, c := range []struct{ name, text, want string }{
		{"curl", curl, taken},
		{"a prompt", "$ " + curl, taken},
		{"a prompt of root", "# " + curl, taken},
		{"a prompt with names", "alice@laptop:~$ " + curl, taken},
		{"a prompt of zsh", "% " + curl, taken},
		{"a decorated prompt", "❯ " + curl, taken},
		{"a prompt of PowerShell", `PS C:\> curl.exe -H 'secret-token: ` + secret + `' https://a.example/x`, taken},
		{"a path", "/usr/bin/" + curl, taken},
		{"time", "time " + curl, taken},
		{"a variable", "TOKEN=" + secret + " " + curl, taken},
		{"a comment above", "# as the client does\n" + curl, taken},
		{"backticks", "`" + curl + "`", taken},
		{"wget", "wget --header='secret-token: " + secret + "' https://a.example/x", refused},
		{"HTTPie", "http GET https://a.example/x secret-token:" + secret, refused},
		{"several lines", "access-token: a\nsecret-token: " + secret, refused},
		{"a long text", strings.Repeat("x", 300) + secret, refused},
	} {
		p.visit("#/overview", "overview")
		p.why(c.text)
		p.see(c.want)
		spilled("Why?, " + c.name)

		p.visit("#/overview", "overview")
		inSearch := map[string]string{taken: taken, refused: "This looks like a command"}[c.want]
		eval[chromedp.Void](p, fmt.Sprintf(`{
			const clipboardData = new DataTransfer();
			clipboardData.setData('text', %q);
			document.querySelector('[role=search] input').dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true}));
		}`, c.text))
		p.see(inSearch)
		spilled("pasted into the search, " + c.name)
		if strings.Contains(c.text, "\n") {
			continue
		}
		p.visit("#/overview", "overview")
		p.enter("searchbox", "Search", c.text)
		p.press("\r")
		p.see(inSearch)
		spilled("typed into the search, " + c.name)
	}

	p.visit("#/consumers", "consumers")
	p.enter("searchbox", "Find consumers", curl)
	p.see("This looks like a command")
	spilled("the filter of consumers")

	p.visit("#/search?q="+url.QueryEscape("wget -H "+secret), "search")
	p.see("This looks like a command")
	p.visit("#/overview", "overview")
	for _, called := range eval[[]string](p, `performance.getEntriesByType('resource').map((e) => e.name)`) {
		if strings.Contains(called, secret) {
			t.Errorf("an address with a command: the secret is in the call %s", called)
		}
	}
}
