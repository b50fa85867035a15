package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// Root is the path of the page. Everything else of it is below.
const Root = "/ui"

//go:embed files
var files embed.FS

// contentType returns the type of a file, "" if it is not served. The types of the machine are
// not asked: a script of another type does not run.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return ""
}

// securityPolicy lets the page load its own files and call its own origin, and nothing else.
// There is no inline script or style, nobody may frame the page, and text never becomes markup
// or code (Trusted Types without a policy).
const securityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

type page struct{ files map[string]file }

type file struct {
	contentType, etag string
	content           []byte
}

// Handler serves the page under [Root].
func Handler() http.Handler {
	p := page{map[string]file{}}
	// Reading what is in the program cannot fail.
	_ = fs.WalkDir(files, "files", func(name string, _ fs.DirEntry, _ error) error {
		if kind := contentType(name); kind != "" {
			content, _ := files.ReadFile(name)
			sum := sha256.Sum256(content)
			p.files[strings.TrimPrefix(name, "files")] = file{kind, `"` + hex.EncodeToString(sum[:16]) + `"`, content}
		}
		return nil
	})
	p.files["/"] = p.files["/index.html"]
	return p
}

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", securityPolicy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// A browser asks each time whether a file has changed, so that it never has files of two
	// versions.
	h.Set("Cache-Control", "no-cache")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "The page can only be read", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, Root)
	if name == "" {
		// Relative, as a proxy may have the page under another path.
		h.Set("Location", strings.TrimPrefix(Root, "/")+"/")
		w.WriteHeader(http.StatusFound)
		return
	}
	f, known := p.files[name]
	if !known {
		http.Error(w, "There is no such file in the page", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.content))
}
