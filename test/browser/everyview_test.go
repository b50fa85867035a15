package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// pictures is where the pictures of the documentation are.
const pictures = "../../docs/images/ui"

// A look is a size of the window and colours.
type look struct {
	name, scheme  string
	width, height int64
}

func looks() []look {
	return []look{
		{"light", "light", 1280, 800},
		{"dark", "dark", 1280, 800},
		{"phone", "light", 360, 740},
	}
}

// isPictured says whether the documentation shows a view in this look.
func (l look) isPictured(name string) bool {
	return l.name != "phone" && name != "question" && name != "why-empty" || l.name == "phone" && name == "overview"
}

// TestEveryViewIsAccessibleAndFits looks at each view in light and dark and on a phone, with axe.
// With UPDATE_SCREENSHOTS=1 it also takes the pictures of the documentation.
func TestEveryViewIsAccessibleAndFits(t *testing.T) {
	axe, err := os.ReadFile(partstest.Binary(t, "AXE_JS"))
	must(t, err)
	s := ownSite(t, onOpenBao())
	scene := s.play(t)
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			p := openTab(t, s)
			p.window(l.width, l.height)
			p.scheme(l.scheme)
			look := func(name string) {
				t.Helper()
				for _, barrier := range p.barriers(string(axe)) {
					t.Errorf("%s: %s", name, barrier)
				}
				if wide := eval[int64](p, "document.documentElement.scrollWidth"); wide > l.width {
					t.Errorf("%s is %d pixels wide, want at most %d", name, wide, l.width)
				}
				if l.isPictured(name) {
					p.takePicture(name + "-" + l.name)
				}
			}
			p.open("")
			p.view("signin")
			eval[chromedp.Void](p, "document.querySelector('main').append(document.createElement('input'))")
			if len(p.barriers(string(axe))) == 0 {
				t.Error("a field without a name is not noticed")
			}
			eval[chromedp.Void](p, "document.querySelector('main > input').remove()")
			look("sign-in")
			p.fill("Admin token", s.writer)
			p.click("button", "Sign in")
			p.view("overview")
			p.see("wrong secret")
			look("overview")
			for _, v := range viewsOf(scene.consumer, scene.pair)[1:] {
				if strings.HasPrefix(v.place, "#/consumers?") {
					continue
				}
				p.visit(v.place, v.view)
				switch v.view {
				case "vaults":
					p.click("button", "Test connection of "+vaultName)
					p.see("Credentials can be read.")
				case "why":
					look("why-empty")
					p.why(scene.denied)
					p.see("Denied with 403")
				}
				look(v.view)
			}
			p.visit("#/consumers/"+scene.consumer.ID, "consumer")
			p.click("button", "Delete consumer")
			p.see("Delete " + *scene.consumer.Username + "?")
			look("question")
			p.click("button", "Cancel")
			p.click("button", "New credential")
			p.see("New credential of")
			p.click("button", "Create")
			p.see("this once")
			look("secret")
		})
	}
}

// barriers returns what axe finds to be a serious or critical barrier for people.
func (p *tab) barriers(axe string) (found []string) {
	p.Helper()
	eval[chromedp.Void](p, "if (typeof axe === 'undefined') { "+axe+" }")
	// A colour that still changes is that of no state.
	eval[chromedp.Void](p, "Promise.allSettled(document.getAnimations().map((a) => a.finished)).then(() => undefined)")
	raw := eval[string](p, `axe.run(document, {resultTypes: ['violations']}).then(({violations}) => JSON.stringify(violations.map(
		({id, impact, help, nodes}) => ({id, impact, help, nodes: nodes.map(({html, failureSummary}) => html + ' ' + failureSummary)}))))`)
	var violations []struct {
		ID, Impact, Help string
		Nodes            []string
	}
	must(p.T, json.Unmarshal([]byte(raw), &violations))
	for _, v := range violations {
		told := fmt.Sprintf("%s, %s: %s\n%s", v.Impact, v.ID, v.Help, strings.Join(v.Nodes, "\n"))
		if v.Impact == "serious" || v.Impact == "critical" {
			found = append(found, told)
		} else {
			p.Log(told)
		}
	}
	return found
}

// takePicture keeps a picture of the window for the documentation, if that is asked for.
func (p *tab) takePicture(name string) {
	p.Helper()
	if os.Getenv("UPDATE_SCREENSHOTS") != "1" {
		return
	}
	// Away from what changes its colours under the mouse.
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	must(p.T, chromedp.Do(ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 1, 1)))
	quality := int64(80)
	shot := call(p, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: &quality})
	must(p.T, os.MkdirAll(pictures, 0o755))
	must(p.T, os.WriteFile(filepath.Join(pictures, name+".webp"), shot.Data, 0o644))
}
