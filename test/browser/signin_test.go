package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// kept is everything that a page can leave behind, and its address.
const kept = `(async () => JSON.stringify([location.href, document.cookie, {...localStorage}, {...sessionStorage}, history.state, name,
	(await indexedDB.databases()).length, (await caches.keys()).length]))()`

func TestTheSignInPageLoads(t *testing.T) {
	t.Parallel()
	p := openTab(t, sharedSite(t))
	p.open("")
	p.view("signin")
	if at := p.focused(); at != "input Admin token" {
		t.Errorf("the focus is on %q, want the field for the token", at)
	}
	if title := eval[string](p, "document.title"); !strings.Contains(title, "Sign in") {
		t.Errorf("the title is %q", title)
	}
}

func TestAWrongTokenIsRefusedAndNotKept(t *testing.T) {
	t.Parallel()
	p := openTab(t, sharedSite(t))
	p.open("")
	p.view("signin")
	before := eval[string](p, kept)
	p.fill("Admin token", "a-wrong-token")
	p.click("button", "Sign in")
	p.on("alert", "", `function() { return /token|authenticate/.test(this.innerText) ? '' : 'says nothing about the token'; }`)
	p.view("signin")
	if after := eval[string](p, kept); after != before {
		t.Errorf("the page kept something: %s, before %s", after, before)
	}
	p.fill("Admin token", p.site.writer)
	p.click("button", "Sign in")
	p.view("overview")
}

func TestAReloadForgetsTheToken(t *testing.T) {
	t.Parallel()
	p := openTab(t, sharedSite(t))
	p.open("")
	p.view("signin")
	before := eval[string](p, kept)
	p.fill("Admin token", p.site.writer)
	p.click("button", "Sign in")
	p.view("overview")
	if after := eval[string](p, kept); strings.Contains(after, p.site.writer) || strings.ReplaceAll(after, "#/overview", "") != before {
		t.Errorf("the page kept something: %s, before %s", after, before)
	}
	if text := eval[string](p, "document.documentElement.outerHTML + [...document.querySelectorAll('input')].map((i) => i.value)"); strings.Contains(text, p.site.writer) {
		t.Error("the token is in the page")
	}
	p.reload()
	p.view("signin")

	p.fill("Admin token", p.site.writer)
	p.click("button", "Sign in")
	p.view("overview")
	p.click("button", "Sign out")
	p.view("signin")
}

// TestTheTokenIsForgottenByTheBackButton shows that a browser that keeps pages does not keep the
// token with them.
func TestTheTokenIsForgottenByTheBackButton(t *testing.T) {
	t.Parallel()
	p := openTab(t, sharedSite(t))
	p.signIn(p.site.writer, "", "overview")
	p.open("icon.svg")
	eval[chromedp.Void](p, "history.back()")
	p.view("signin")
}

// TestAPageThatTheBrowserKeptIsLoadedAgain is about what the page showed when it was left.
func TestAPageThatTheBrowserKeptIsLoadedAgain(t *testing.T) {
	t.Parallel()
	p := openTab(t, sharedSite(t))
	p.signIn(p.site.writer, "", "overview")
	eval[chromedp.Void](p, "void dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
	p.view("signin")
}

// TestATokenThatIsRefusedIsAskedForAgain also while the API says 429 in place of 401, after
// failures of others.
func TestATokenThatIsRefusedIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{401: "The token is not taken any more.", 429: "Too many failures"} {
		p := openTab(t, sharedSite(t))
		p.signIn(p.site.writer, "", "overview")
		message := map[int]string{401: "Unauthorized", 429: "Too many failures to authenticate"}[status]
		eval[chromedp.Void](p, fmt.Sprintf(`{ const real = fetch; window.fetch = async () => {
			window.fetch = real;
			return new Response(JSON.stringify({message: %q}), {status: %d});
		}; }`, message, status))
		p.click("button", "Refresh")
		p.view("signin")
		p.see(want)
		p.fill("Admin token", p.site.writer)
		p.click("button", "Sign in")
		p.view("overview")
	}
}

// TestAReaderSeesNoButtonThatChangesAnything goes through all views with both roles.
func TestAReaderSeesNoButtonThatChangesAnything(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	c := s.consumer(t, "reader", "partners")
	made := s.credential(t, c)
	harmless := []string{
		"Clear", "Explain", "Find", "Menu", "Next", "Previous", "Refresh", "Show all", "Sign out", "Test connection of " + vaultName, "Try again",
	}
	buttons := func(token string) (all []string) {
		p := openTab(t, s)
		p.signIn(token, "", "overview")
		for _, v := range viewsOf(c, made) {
			p.visit(v.place, v.view)
			for _, name := range p.names("button") {
				if !slices.Contains(harmless, name) {
					all = append(all, v.view+": "+name)
				}
			}
		}
		return all
	}
	if found := buttons(s.reader); len(found) > 0 {
		t.Errorf("a reader sees %q", found)
	}
	for _, want := range []string{"consumers: New consumer", "consumer: Delete consumer", "credential: Disable", "credentials: New credential"} {
		if found := buttons(s.writer); !slices.Contains(found, want) {
			t.Errorf("a writer does not see %q, but %q", want, found)
		}
	}
}
