package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/vault-authz/vault-authz/test/parts"
)

// ctx is short for the context of a tab.
type ctx = context.Context

// A tab is a tab of the browser, with cookies and storage of its own.
type tab struct {
	*testing.T

	site    *site
	ctx     ctx
	console *console
}

// openTab opens a tab until the end of the test, which fails if the page did something wrong.
func openTab(t *testing.T, s *site) *tab {
	t.Helper()
	parent, err := suite.browser()
	must(t, err)
	p := &tab{T: t, site: s, console: &console{}}
	// This is how a page learns that it has to ask for a token; the second one after many such calls.
	p.console.expect(401, "/overview")
	p.console.expect(429, "/overview")
	tabCtx, closeTab := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.console.note))
	p.ctx = tabCtx
	t.Cleanup(closeTab)
	// The context of the first call is that of the tab, so it has no time limit.
	must(t, chromedp.Do(p.ctx))
	call(p, log.Enable, cdp.Empty{})
	call(p, audits.Enable, cdp.Empty{})
	// As if the tab had the focus, although others are open.
	call(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	p.window(1280, 900)
	t.Cleanup(func() {
		// What the page wrote before this answer has arrived with it.
		_, _ = chromedp.Run(p.ctx, chromedp.Evaluate[int]("1"))
		for _, wrong := range p.console.found() {
			t.Errorf("the page did something wrong: %s", wrong)
		}
	})
	return p
}

// call makes a call of the DevTools protocol.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) R {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, command, params)
	if err != nil {
		p.Fatalf("%s: %v", command.Method, err)
	}
	return r
}

// eval evaluates JavaScript. It waits for promises.
func eval[T any](p *tab, script string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", script, err)
	}
	return v
}

// await fails the test if a condition does not hold within the time limit.
func (p *tab) await(condition func(ctx) error) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := parts.Await(ctx, nil, condition); err != nil {
		p.Fatalf("%v\n---- the page at %s:\n%s", err, eval[string](p, "location.href"), eval[string](p, "document.body.innerText"))
	}
}

// window sets the size of the window in CSS pixels.
func (p *tab) window(width, height int64) {
	p.Helper()
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
}

// scheme selects the colours: light or dark.
func (p *tab) scheme(name string) {
	p.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// allowClipboard answers the browser's question whether the page may use the clipboard.
func (p *tab) allowClipboard() {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted,
			Origin: "http://" + p.site.service.Admin, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
		})
		must(p.T, err)
	}
}

// open loads the page at a place, such as #/overview.
func (p *tab) open(place string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	must(p.T, chromedp.Do(ctx, chromedp.Navigate(p.site.url(place))))
}

// reload loads the page again.
func (p *tab) reload() {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	must(p.T, chromedp.Do(ctx, chromedp.Reload()))
}

// visit goes to a place on the loaded page, and waits for its view.
func (p *tab) visit(place, view string) {
	p.Helper()
	// The page has rendered what follows from the new place when the second timer fires.
	eval[chromedp.Void](p, fmt.Sprintf(`new Promise((done) => {
		const to = new URL(%q, location.href).href;
		if (location.href === to) return done();
		addEventListener('hashchange', () => setTimeout(() => setTimeout(done)), {once: true});
		location.href = to;
	})`, place))
	p.view(view)
}

// view waits until a view has loaded.
func (p *tab) view(name string) {
	p.Helper()
	p.await(func(ctx ctx) error {
		at, err := chromedp.Run(ctx, chromedp.Evaluate[string](
			`(main => main ? main.dataset.view + (main.dataset.loaded === 'true' ? '' : ', loading') : 'none')(document.querySelector('main'))`))
		if err == nil && at != name {
			err = fmt.Errorf("the view is %s, want %s", at, name)
		}
		return err
	})
}

// signIn opens the page at a place and signs in.
func (p *tab) signIn(token, place, view string) {
	p.Helper()
	p.open(place)
	p.view("signin")
	p.fill("Admin token", token)
	p.click("button", "Sign in")
	p.view(view)
}

// see waits until the page shows these texts. Spaces and new lines are the same.
func (p *tab) see(texts ...string) {
	p.Helper()
	p.await(func(ctx ctx) error {
		shown, err := shownText(ctx)
		for _, text := range texts {
			if err == nil && !strings.Contains(shown, text) {
				err = fmt.Errorf("the page does not show %q", text)
			}
		}
		return err
	})
}

// seeA waits for a thing with a role and a name.
func (p *tab) seeA(role, name string) {
	p.Helper()
	p.await(func(ctx ctx) error {
		nodes, err := having(ctx, role, name)
		if err == nil && len(nodes) == 0 {
			err = fmt.Errorf("there is no %s %q", role, name)
		}
		return err
	})
}

// gone waits until the page shows none of these texts.
func (p *tab) gone(texts ...string) {
	p.Helper()
	p.await(func(ctx ctx) error {
		shown, err := shownText(ctx)
		for _, text := range texts {
			if err == nil && strings.Contains(shown, text) {
				err = fmt.Errorf("the page shows %q", text)
			}
		}
		return err
	})
}

func shownText(ctx ctx) (string, error) {
	return chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText.replace(/\s+/g, ' ')`))
}

// top is the open dialog, or else the whole page.
const top = `document.querySelector('dialog[open]') ?? document.documentElement`

// having returns the things with a role, and with a name if it is not empty.
func having(ctx ctx, role, name string) ([]*accessibility.Node, error) {
	root, err := chromedp.Run(ctx, chromedp.Evaluate[*runtime.RemoteObject](top))
	if err != nil {
		return nil, err
	}
	found, err := chromedp.Call(ctx, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{ObjectID: root.ObjectID, Role: role, AccessibleName: name})
	var nodes []*accessibility.Node
	for _, n := range found.Nodes {
		if !n.Ignored {
			nodes = append(nodes, n)
		}
	}
	return nodes, err
}

// names returns the names of the things with a role.
func (p *tab) names(role string) []string {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	nodes, err := having(ctx, role, "")
	must(p.T, err)
	var names []string
	for _, n := range nodes {
		var name string
		if n.Name != nil && json.Unmarshal(n.Name.Value, &name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// object returns the only thing with a role and a name.
func object(ctx ctx, role, name string) (runtime.RemoteObjectID, error) {
	nodes, err := having(ctx, role, name)
	if err != nil {
		return "", err
	}
	if len(nodes) != 1 {
		return "", fmt.Errorf("%d things are a %s %q, want one", len(nodes), role, name)
	}
	resolved, err := chromedp.Call(ctx, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: nodes[0].BackendDOMNodeID})
	if err != nil {
		return "", err
	}
	return resolved.Object.ObjectID, nil
}

// on calls a function on a thing as soon as the thing is there. The function returns "" once it
// has done its work, or what it waits for.
func (p *tab) on(role, name, function string, args ...any) {
	p.Helper()
	p.await(func(ctx ctx) error {
		id, err := object(ctx, role, name)
		if err != nil {
			return err
		}
		waits, err := chromedp.Run(ctx, chromedp.CallFunctionOn[string](function, func(params *runtime.CallFunctionOnParams) { params.ObjectID = id }, args...))
		if err == nil && waits != "" {
			err = fmt.Errorf("the %s %q %s", role, name, waits)
		}
		return err
	})
}

// click clicks on a thing with the mouse, once nothing covers it.
func (p *tab) click(role, name string) {
	p.Helper()
	var x, y float64
	p.await(func(ctx ctx) error {
		id, err := object(ctx, role, name)
		if err != nil {
			return err
		}
		at, err := chromedp.Run(ctx, chromedp.CallFunctionOn[[]float64](`function() {
			this.scrollIntoView({block: 'center', behavior: 'instant'});
			const r = this.getClientRects()[0];
			if (this.disabled || !r) return [];
			const x = r.x + r.width / 2, y = r.y + r.height / 2, hit = document.elementFromPoint(x, y);
			return this.contains(hit) || hit?.contains(this) && hit.tagName === 'LABEL' ? [x, y] : [];
		}`, func(params *runtime.CallFunctionOnParams) { params.ObjectID = id }))
		if err != nil {
			return err
		}
		if len(at) != 2 {
			return fmt.Errorf("the %s %q cannot be clicked", role, name)
		}
		x, y = at[0], at[1]
		return nil
	})
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	must(p.T, chromedp.Do(ctx, chromedp.MouseClickXY(x, y)))
}

// fill types a text into a field, in place of what is there.
func (p *tab) fill(name, text string) {
	p.Helper()
	p.enter("textbox", name, text)
}

// enter is fill for any role.
func (p *tab) enter(role, name, text string) {
	p.Helper()
	p.on(role, name, `function() { this.focus(); this.select(); return document.activeElement === this ? '' : 'has no focus'; }`)
	p.insert(text)
	p.on(role, name, `function(text) { return this.value === text ? '' : 'has another text'; }`, text)
}

// insert types a text where the focus is.
func (p *tab) insert(text string) {
	p.Helper()
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

// press presses keys, one after the other.
func (p *tab) press(keys string) {
	p.Helper()
	for _, key := range keys {
		events := kb.Encode(key)
		down, up := *events[0], *events[len(events)-1]
		// The text is part of the first event, so that a page that handles the key gets no text.
		if len(events) == 3 {
			down.Text, down.UnmodifiedText = events[1].Text, events[1].UnmodifiedText
		}
		call(p, input.DispatchKeyEvent, down)
		call(p, input.DispatchKeyEvent, up)
	}
}

// choose chooses from a list.
func (p *tab) choose(name, option string) {
	p.Helper()
	p.on("combobox", name, `function(option) {
		const found = [...this.options].find((o) => o.text === option);
		if (!found) return 'has no ' + option;
		this.value = found.value;
		for (const event of ['input', 'change']) this.dispatchEvent(new Event(event, {bubbles: true}));
		return '';
	}`, option)
}

// value returns the text of a field.
func (p *tab) value(name string) (text string) {
	p.Helper()
	p.await(func(ctx ctx) error {
		id, err := object(ctx, "textbox", name)
		if err != nil {
			return err
		}
		text, err = chromedp.Run(ctx, chromedp.CallFunctionOn[string](`function() { return this.value; }`, func(params *runtime.CallFunctionOnParams) { params.ObjectID = id }))
		if err == nil && text == "" {
			err = errors.New("the field is empty")
		}
		return err
	})
	return text
}

// focused describes what has the focus: "tag name".
func (p *tab) focused() string {
	p.Helper()
	return eval[string](p, `(e => e.tagName.toLowerCase() + ' ' + (e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.id || '').trim().split('\n')[0].trim())(document.activeElement)`)
}

// count returns how many things have a role and a name, now.
func (p *tab) count(role, name string) int {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	nodes, err := having(ctx, role, name)
	must(p.T, err)
	return len(nodes)
}
