package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
)

// theirs is where the libraries are. What is said of our files is not said of them.
const theirs = "thirdparty/"

// ask sends a request to the page.
func ask(tb testing.TB, method, target string, headers ...string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w
}

// onDisk returns the files of the page that have a type, by their names below files.
func onDisk(tb testing.TB) map[string]string {
	tb.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS("files"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || contentType(name) == "" {
			return err
		}
		content, err := os.ReadFile(path.Join("files", name))
		found[name] = string(content)
		return err
	})
	if err != nil || len(found) < 20 {
		tb.Fatalf("found %d files: %v", len(found), err)
	}
	return found
}

// ours are the files that were written for the page.
func ours(tb testing.TB) map[string]string {
	tb.Helper()
	found := onDisk(tb)
	maps.DeleteFunc(found, func(name, _ string) bool { return strings.HasPrefix(name, theirs) })
	return found
}

func TestWhatIsServedIsWhatIsInTheRepository(t *testing.T) {
	t.Parallel()
	for name, content := range onDisk(t) {
		w := ask(t, "GET", "/ui/"+name)
		if w.Code != http.StatusOK || w.Body.String() != content {
			t.Errorf("%s: got %d and %d bytes, want %d bytes", name, w.Code, w.Body.Len(), len(content))
		}
	}
	if got, want := ask(t, "GET", "/ui/").Body.String(), onDisk(t)["index.html"]; got != want {
		t.Errorf("/ui/ is not index.html")
	}
}

func TestPathsOfThePage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, target string
		status               int
		header, value        string
	}{
		{"the root without a slash leads to it, wherever a proxy has it", "GET", "/ui", 302, "Location", "ui/"},
		{"the root", "GET", "/ui/", 200, "Content-Type", "text/html; charset=utf-8"},
		{"only its head", "HEAD", "/ui/", 200, "Content-Type", "text/html; charset=utf-8"},
		{"a script", "GET", "/ui/app.js", 200, "Content-Type", "text/javascript; charset=utf-8"},
		{"a module of a library", "GET", "/ui/thirdparty/preact.mjs", 200, "Content-Type", "text/javascript; charset=utf-8"},
		{"a style sheet", "GET", "/ui/page.css", 200, "Content-Type", "text/css; charset=utf-8"},
		{"a picture", "GET", "/ui/icon.svg", 200, "Content-Type", "image/svg+xml"},
		{"a licence", "GET", "/ui/thirdparty/htm.LICENSE.txt", 200, "Content-Type", "text/plain; charset=utf-8"},
		{"no such file", "GET", "/ui/none.js", 404, "Content-Type", "text/plain; charset=utf-8"},
		{"folders have no list", "GET", "/ui/views/", 404, "", ""},
		{"nor without a slash", "GET", "/ui/views", 404, "", ""},
		{"what is of no known type", "GET", "/ui/thirdparty/README.md", 404, "", ""},
		{"the way out", "GET", "/ui/../doc.go", 404, "", ""},
		{"the way out, escaped", "GET", "/ui/%2e%2e/doc.go", 404, "", ""},
		{"a second slash", "GET", "/ui//index.html", 404, "", ""},
		{"it takes nothing", "POST", "/ui/", 405, "Allow", "GET, HEAD"},
		{"nor asks what may be sent", "OPTIONS", "/ui/app.js", 405, "Allow", "GET, HEAD"},
	} {
		w := ask(t, tt.method, tt.target)
		if w.Code != tt.status || w.Header().Get(tt.header) != tt.value {
			t.Errorf("%s: got %d with %s %q, want %d with %q", tt.name, w.Code, tt.header, w.Header().Get(tt.header), tt.status, tt.value)
		}
		if tt.method == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("%s: got a body", tt.name)
		}
	}
}

func TestEveryAnswerHasTheHeadersThatProtectThePage(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/ui", "/ui/", "/ui/app.js", "/ui/page.css", "/ui/icon.svg", "/ui/none"} {
		h := ask(t, "GET", target).Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
			"X-Frame-Options":              "DENY",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-cache",
			"Set-Cookie":                   "",
			"Access-Control-Allow-Origin":  "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: got %s %q, want %q", target, name, got, want)
			}
		}
	}
}

func TestABrowserHasAnotherVersionOfAFileAtOnce(t *testing.T) {
	t.Parallel()
	tags := map[string]string{}
	for name := range onDisk(t) {
		tag := ask(t, "GET", "/ui/"+name).Header().Get("ETag")
		if before, taken := tags[tag]; taken || tag == "" {
			t.Errorf("%s has the tag %s, as has %q", name, tag, before)
		}
		tags[tag] = name
		if w := ask(t, "GET", "/ui/"+name, "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("%s, the same version: got %d, want 304", name, w.Code)
		}
		if w := ask(t, "GET", "/ui/"+name, "If-None-Match", `"of another version"`); w.Code != http.StatusOK {
			t.Errorf("%s, another version: got %d, want 200", name, w.Code)
		}
	}
}

func TestThePageIsSmall(t *testing.T) {
	t.Parallel()
	const most = 150 << 10
	total := 0
	for name, content := range onDisk(t) {
		if path.Ext(name) == ".txt" {
			continue // a browser does not load the licences
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write([]byte(content))
		_ = w.Close()
		total += packed.Len()
	}
	t.Logf("%d bytes, compressed", total)
	if total > most {
		t.Errorf("the files have %d bytes when compressed, more than %d", total, most)
	}
}

func TestTheLibrariesAreThoseOfTheirPackages(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("files/" + theirs + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	noted := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*\\| `([0-9a-f]{64})` \\|$").FindAllStringSubmatch(string(readme), -1) {
		noted[row[1]] = row[2]
	}
	found := map[string]string{}
	for name, content := range onDisk(t) {
		if file, isTheirs := strings.CutPrefix(name, theirs); isTheirs {
			sum := sha256.Sum256([]byte(content))
			found[file] = hex.EncodeToString(sum[:])
		}
	}
	if !maps.Equal(noted, found) {
		t.Errorf("the README notes %v, the files are %v", noted, found)
	}
}

// A browser refuses these anyway, by the policy. It is seen here which file has one.
func TestNoInlineScriptOrStyle(t *testing.T) {
	t.Parallel()
	index := ours(t)["index.html"]
	for _, script := range regexp.MustCompile(`(?s)<script(.*?)>(.*?)</script>`).FindAllStringSubmatch(index, -1) {
		if !strings.Contains(script[1], ` src="`) || script[2] != "" {
			t.Errorf("index.html has the inline script %q", script[0])
		}
	}
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|javascript:|\son[a-z]+=["']`)
	for name, content := range ours(t) {
		if found := inline.FindString(content); found != "" {
			t.Errorf("%s has %q", name, found)
		}
	}
}

func TestTextNeverBecomesMarkupOrCode(t *testing.T) {
	t.Parallel()
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|createContextualFragment|srcdoc|document\.write|DOMParser|\beval\(|new Function|\bimport\(|setTimeout\(['"` + "`" + `]`)
	for name, content := range ours(t) {
		if found := never.FindString(content); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
}

func TestTheTokenIsKeptNowhere(t *testing.T) {
	t.Parallel()
	never := regexp.MustCompile(`localStorage|sessionStorage|indexedDB|\.cookie\b|cookieStore|serviceWorker|BroadcastChannel|postMessage|window\.name|history\.pushState|\bconsole\.|sendBeacon|WebSocket|EventSource`)
	for name, content := range ours(t) {
		if found := never.FindString(content); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
}

func TestNothingComesFromAnotherOrigin(t *testing.T) {
	t.Parallel()
	harmless := []string{
		"http://www.w3.org/2000/svg", // the name of a vocabulary
		"https://api.example.com/",   // an example to read
	}
	for name, content := range ours(t) {
		for _, url := range regexp.MustCompile(`(?i)(?:https?:|["'(])//[a-z0-9][^\s'"]*`).FindAllString(content, -1) {
			if !slices.ContainsFunc(harmless, func(prefix string) bool { return strings.HasPrefix(url, prefix) }) {
				t.Errorf("%s has %s", name, url)
			}
		}
	}
}

// A link that is put together from data could lead to a script, or to another page.
func TestLinksAreMadeByTheRouter(t *testing.T) {
	t.Parallel()
	attribute := regexp.MustCompile(`(?:href|src|action|xlink:href)=(\$\{[^(}]*|"[^"]*")`)
	for name, content := range ours(t) {
		for _, a := range attribute.FindAllStringSubmatch(content, -1) {
			if value := a[1]; value != "${link" && !strings.HasPrefix(value, `"`) || strings.Contains(value, ":") {
				t.Errorf("%s: a link is %s and not made by link()", name, a[0])
			}
		}
	}
}

func TestEveryModuleIsThereAndLoadedAtOnce(t *testing.T) {
	t.Parallel()
	all := onDisk(t)
	var modules, preloaded []string
	for name, content := range all {
		if ext := path.Ext(name); ext != ".js" && ext != ".mjs" {
			continue
		}
		modules = append(modules, name)
		if strings.HasPrefix(name, theirs) {
			continue
		}
		for _, i := range regexp.MustCompile(`(?m)^(?:import|export) .*from '([^']+)'`).FindAllStringSubmatch(content, -1) {
			if imported := path.Join(path.Dir(name), i[1]); all[imported] == "" || !strings.HasPrefix(i[1], ".") {
				t.Errorf("%s imports %s, which there is not", name, i[1])
			}
		}
	}
	for _, l := range regexp.MustCompile(`<(?:link rel="modulepreload" href|script type="module" src)="([^"]+)"`).FindAllStringSubmatch(all["index.html"], -1) {
		preloaded = append(preloaded, l[1])
	}
	slices.Sort(modules)
	slices.Sort(preloaded)
	if !slices.Equal(modules, preloaded) {
		t.Errorf("index.html loads %v, want every module at once: %v", preloaded, modules)
	}
}

func TestThePageKnowsEveryReason(t *testing.T) {
	t.Parallel()
	script := ours(t)["reasons.js"]
	advised := map[string]bool{}
	for _, a := range regexp.MustCompile(`(?m)^  (\w+): ['"]`).FindAllStringSubmatch(script, -1) {
		advised[a[1]] = true
	}
	list := regexp.MustCompile(`allowing = \[([^\]]*)\]`).FindStringSubmatch(script)
	if list == nil {
		t.Fatal("there is no list of the reasons to allow")
	}
	for _, reason := range authz.Reasons() {
		allows := reason.Status() == 0
		if advised[reason.String()] == allows {
			t.Errorf("advice for %s: got %t, want %t", reason, advised[reason.String()], !allows)
		}
		if got := strings.Contains(list[1], "'"+reason.String()+"'"); got != allows {
			t.Errorf("%s among the reasons to allow: got %t, want %t", reason, got, allows)
		}
		delete(advised, reason.String())
	}
	if len(advised) > 0 {
		t.Errorf("there is advice for reasons that there are not: %v", slices.Collect(maps.Keys(advised)))
	}
}
