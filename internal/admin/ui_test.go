package admin

import (
	"strings"
	"testing"
)

func TestThePageNeedsNoTokenAndShowsNoData(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	for path, want := range map[string]int{"/ui": 302, "/ui/": 200, "/ui/app.js": 200, "/ui/none": 404, "/ui/consumers": 404} {
		if got := b.get(path).status; got != want {
			t.Errorf("GET %s: got %d, want %d", path, got, want)
		}
	}
}

// What is not exactly the path of the page is a call, and no spelling gets a call around the
// authentication.
func TestOtherSpellingsOfThePageAreCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	for _, path := range []string{"/%75i/", "/ui%2F", "//ui/", "/./ui/", "/consumers/../ui/", "/default/ui/", "/UI/", "/uix", "/ui;/"} {
		if got := b.get(path).status; got != 401 {
			t.Errorf("GET %s without a token: got %d, want 401", path, got)
		}
	}
	for _, path := range []string{"/ui/../consumers", "/ui/%2e%2e/consumers", "/ui/..%2fconsumers", "/ui//consumers"} {
		if got := b.get(path).status; got != 404 {
			t.Errorf("GET %s: got %d, want 404 by the page", path, got)
		}
	}
}

func TestThePageChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if a := b.do(method, "/ui/", "", ""); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %d with Allow %q, want 405", method, a.status, a.header.Get("Allow"))
		}
	}
}

// Otherwise a page of that name could have itself replaced by ours, and read along what is typed.
func TestThePageIsNotServedUnderAForeignName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.headers["Host"] = "evil.example.com"
	a := b.get("/ui/")
	if a.status != 421 || strings.Contains(a.header.Get("Content-Type"), "html") {
		t.Errorf("got %d with %s, want 421", a.status, a.header.Get("Content-Type"))
	}
	if got := b.log.FilterMessage("admin call refused").Len(); got != 1 {
		t.Errorf("got %d lines in the log, want 1", got)
	}
}

func TestThePageCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	off := func(c *Config, _ *Dependencies) { c.UI = false }
	if got := newBench(t, authenticating, off).get("/ui/").status; got != 401 {
		t.Errorf("without a token: got %d, want 401 as for every path", got)
	}
	if got := newBench(t, off).get("/ui/").status; got != 404 {
		t.Errorf("got %d, want 404", got)
	}
}
