package browser

import (
	"errors"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestEverythingCanBeDoneByKeyboard signs in, finds a consumer and makes a group for it without
// a mouse.
func TestEverythingCanBeDoneByKeyboard(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	c := s.consumer(t, "keyboard")
	p := openTab(t, s)
	p.open("")
	p.view("signin")
	p.insert(s.writer)
	p.press(kb.Enter)
	p.view("overview")

	p.press(kb.Tab)
	if at := p.focused(); at != "a Skip to content" {
		t.Errorf("the first stop is %q, want the link to the content", at)
	}
	p.press(kb.Enter)
	if at := eval[string](p, "document.activeElement.id"); at != "main" {
		t.Errorf("the link leads to %q, want main", at)
	}

	p.press("/")
	if at := p.focused(); at != "input Search" {
		t.Errorf("/ leads to %q, want the search", at)
	}
	p.insert(*c.Username)
	p.press(kb.Enter)
	p.view("search")
	p.seeA("link", *c.Username)
	p.tabTo("a " + *c.Username)
	p.press(kb.Enter)
	p.view("consumer")

	p.tabTo("button Add to a group")
	p.press(kb.Enter)
	p.see("takes effect")
	p.insert("by-keyboard")
	p.press(kb.Escape)
	p.await(func(ctx ctx) error {
		open, err := chromedp.Run(ctx, chromedp.Evaluate[int]("document.querySelectorAll('dialog').length"))
		if err == nil && open > 0 {
			err = errors.New("the dialog is there after Escape")
		}
		return err
	})
	if at := p.focused(); at != "button Add to a group" {
		t.Errorf("Escape leads to %q, want the button that opened the dialog", at)
	}
	p.press(kb.Enter)
	p.see("takes effect")
	for range 12 {
		p.press(kb.Tab)
		if inside := eval[bool](p, `document.activeElement === document.body || document.querySelector('dialog').contains(document.activeElement)`); !inside {
			t.Errorf("Tab leaves the dialog, to %q", p.focused())
		}
	}
	p.fill("Group", "by-keyboar")
	p.press("d")
	p.press(kb.Enter)
	p.seeA("button", "Take "+*c.Username+" out of by-keyboard")
}

// tabTo presses Tab until something has the focus. Every stop must be visible as such.
func (p *tab) tabTo(want string) {
	p.Helper()
	var stops []string
	for range 60 {
		p.press(kb.Tab)
		at := p.focused()
		stops = append(stops, at)
		if !strings.HasPrefix(at, "body") && !eval[bool](p, `(() => {
			const look = (e) => { const c = getComputedStyle(e); return [c.outlineStyle, c.outlineWidth, c.boxShadow, c.borderColor, c.backgroundColor].join(); };
			const e = document.activeElement, focused = look(e);
			e.blur();
			const blurred = look(e);
			e.focus({focusVisible: true});
			return focused !== blurred;
		})()`) {
			p.Errorf("nothing shows that %q has the focus", at)
		}
		if at == want {
			return
		}
	}
	p.Fatalf("Tab does not lead to %q, only to %q", want, stops)
}
