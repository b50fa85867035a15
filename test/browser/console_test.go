package browser

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A console remembers what a page should never write there: errors, warnings, exceptions
// and violations of its Content-Security-Policy. The zero value is ready.
type console struct {
	mu    sync.Mutex
	wrong []string
	// answers are the statuses that the browser complains about and the page expects, as
	// "401 /overview".
	answers map[string]bool
}

// expect lets the browser complain about the status of a call.
func (c *console) expect(status int, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = map[string]bool{}
	}
	c.answers[fmt.Sprint(status, " ", path)] = true
}

// note receives the events of the browser.
func (c *console) note(event any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelWarning && e.Entry.Level != log.EntryLevelError || c.expected(e.Entry) {
			return
		}
		c.wrong = append(c.wrong, fmt.Sprintf("%s, %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventExceptionThrown:
		c.wrong = append(c.wrong, "exception: "+e.ExceptionDetails.Text+" "+thrown(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			c.wrong = append(c.wrong, fmt.Sprintf("console.%s: %s", e.Type, told(e.Args)))
		}
	case *audits.EventIssueAdded:
		if e.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			d := e.Issue.Details.ContentSecurityPolicyIssueDetails
			c.wrong = append(c.wrong, fmt.Sprintf("the Content-Security-Policy was broken: %s %s", d.ViolatedDirective, d.BlockedURL))
		}
	}
}

// expected says whether an entry is about an answer that the page expects.
func (c *console) expected(e *log.Entry) bool {
	if e.Source != log.EntrySourceNetwork {
		return false
	}
	at, err := url.Parse(e.URL)
	if err != nil {
		return false
	}
	for answer := range c.answers {
		status, path, _ := strings.Cut(answer, " ")
		if path == at.Path && strings.Contains(e.Text, "the server responded with a status of "+status) {
			return true
		}
	}
	return false
}

func told(args []*runtime.RemoteObject) string {
	var texts []string
	for _, a := range args {
		texts = append(texts, string(a.Value)+a.Description)
	}
	return strings.Join(texts, " ")
}

// found returns what was remembered.
func (c *console) found() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.wrong...)
}

// forget forgets what was remembered.
func (c *console) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = nil
}

// TestWhatThePageDoesWrongIsNoticed shows that the other tests would fail.
func TestWhatThePageDoesWrongIsNoticed(t *testing.T) {
	t.Parallel()
	p := openTab(t, sharedSite(t))
	p.open("")
	p.view("signin")
	for _, test := range []struct{ name, script, want string }{
		{"a console error", `console.error('spilled 1')`, "spilled 1"},
		{"a warning", `console.warn('spilled 2')`, "spilled 2"},
		{"an exception", `void setTimeout(() => { throw new Error('spilled 3') })`, "spilled 3"},
		{"a promise that nobody handles", `void setTimeout(() => Promise.reject(new Error('spilled 4')))`, "spilled 4"},
		{"a frame", `void document.body.append(Object.assign(document.createElement('iframe'), {src: 'http://127.0.0.1:1/'}))`, "frame-src"},
		{"an inline style", `document.body.setAttribute('style', 'color: red')`, "style-src"},
		{"a picture of another origin", `void (new Image().src = 'http://127.0.0.1:1/x.png')`, "img-src"},
		{"a call of another origin", `void fetch('http://127.0.0.1:1/').catch(() => {})`, "connect-src"},
		{"text as markup", `try { document.body.innerHTML = '<b>x</b>' } catch {}`, "require-trusted-types-for"},
		{"an answer that the page does not expect", `void fetch('/ui/nothing')`, "404"},
	} {
		eval[chromedp.Void](p, test.script)
		p.await(func(ctx) error {
			for _, wrong := range p.console.found() {
				if strings.Contains(wrong, test.want) {
					return nil
				}
			}
			return fmt.Errorf("%s: %q has nothing with %q", test.name, p.console.found(), test.want)
		})
		p.console.forget()
	}
}

func thrown(d *runtime.ExceptionDetails) string {
	if d.Exception == nil {
		return ""
	}
	return d.Exception.Description
}
