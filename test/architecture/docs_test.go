package architecture

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/vault-authz/vault-authz/authz"
)

const root = "../.."

var (
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]*)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *#*$`)
	target  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	scheme  = regexp.MustCompile(`^[a-z]+:`)
	// A page that some file names in its text, such as an error or a comment.
	mention = regexp.MustCompile(`docs/[A-Za-z0-9/_-]+\.md(#[a-z0-9-]+)?`)
)

// A page is one Markdown file.
type page struct {
	// name is its path in the repository, with slashes.
	name string
	// links are the targets of its links, without code.
	links []string
	// anchors are the headings, as the web shows them.
	anchors []string
}

func read(t *testing.T, name string) page {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return parse(name, string(raw))
}

func parse(name, text string) page {
	text = fence.ReplaceAllString(text, "")
	p := page{name: name}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		p.anchors = append(p.anchors, p.anchor(h[1]))
	}
	for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
		p.links = append(p.links, l[1])
	}
	return p
}

// anchor returns the anchor of a heading: lower case, dashes for blanks, no punctuation,
// and a number if an earlier heading is the same.
func (p page) anchor(heading string) string {
	heading = target.ReplaceAllString(heading, "$1")
	slug := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, heading)
	for i, plain := 1, slug; slices.Contains(p.anchors, slug); i++ {
		slug = plain + "-" + string(rune('0'+i))
	}
	return slug
}

// pages returns the documents.
func pages(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
	for _, folder := range []string{"docs", "deploy", "envoy"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(name, ".md") {
				name, err = filepath.Rel(root, name)
				names = append(names, filepath.ToSlash(name))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// resolve returns the file and the anchor that a link on a page leads to.
func (p page) resolve(link string) (name, anchor string, err error) {
	name, anchor, _ = strings.Cut(link, "#")
	if name == "" {
		return p.name, anchor, nil
	}
	name = filepath.ToSlash(filepath.Join(filepath.Dir(p.name), name))
	if strings.HasPrefix(name, "..") {
		return "", "", errors.New("it leads out of the repository")
	}
	_, err = os.Stat(filepath.Join(root, name))
	return name, anchor, err
}

func TestLinksOfTheDocumentsResolve(t *testing.T) {
	t.Parallel()
	followed := 0
	for _, name := range pages(t) {
		p := read(t, name)
		for _, link := range p.links {
			if scheme.MatchString(link) {
				continue
			}
			followed++
			to, anchor, err := p.resolve(link)
			switch {
			case err != nil:
				t.Errorf("%s: the link %q: %v", name, link, err)
			case anchor == "":
			case !strings.HasSuffix(to, ".md"):
				t.Errorf("%s: the link %q has an anchor, and %s has no headings", name, link, to)
			case !slices.Contains(read(t, to).anchors, anchor):
				t.Errorf("%s: the link %q: %s has no such heading; it has %q", name, link, to, read(t, to).anchors)
			}
		}
	}
	if followed < 100 {
		t.Errorf("%d links, want at least 100", followed)
	}
}

// A block of rows is shown as a table only if its second line is dashes. A row has as many
// cells as the first one: what is too much is not shown.
func TestTablesOfTheDocumentsAreTables(t *testing.T) {
	t.Parallel()
	dashes := regexp.MustCompile(`^\|( *:?-+:? *\|)+$`)
	cells := func(row string) int { return strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") }
	tables := 0
	for _, name := range pages(t) {
		raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(fence.ReplaceAllString(string(raw), "")+"\n", "\n")
		for i := 0; i < len(lines); i++ {
			if !strings.HasPrefix(lines[i], "|") {
				continue
			}
			tables++
			head := lines[i]
			if !dashes.MatchString(lines[i+1]) {
				t.Errorf("%s: these rows are not shown as a table, because they have no head: %s", name, head)
			}
			for ; strings.HasPrefix(lines[i], "|"); i++ {
				if cells(lines[i]) != cells(head) {
					t.Errorf("%s: %d cells under a head of %d: %s", name, cells(lines[i])-1, cells(head)-1, lines[i])
				}
			}
		}
	}
	if tables < 50 {
		t.Errorf("%d tables, want at least 50", tables)
	}
}

// The page that everybody reads first stays short.
func TestReadmeIsOnePage(t *testing.T) {
	t.Parallel()
	const most = 150
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(raw), "\n"); lines > most {
		t.Errorf("README.md has %d lines, want at most %d: move text into docs/", lines, most)
	}
}

// Each page is found from the table of contents.
func TestTableOfContentsHasEveryPage(t *testing.T) {
	t.Parallel()
	contents := read(t, "docs/README.md")
	for _, name := range pages(t) {
		if !strings.HasPrefix(name, "docs/") || name == contents.name {
			continue
		}
		if !slices.Contains(contents.links, strings.TrimPrefix(name, "docs/")) {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// A metric has a line of its own in the reference, and what has one is a metric.
func TestReferenceHasEveryMetric(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, "docs/reference/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(vault_authz_[a-z_]+)` ").FindAllStringSubmatch(string(raw), -1) {
		documented[row[1]] = true
	}
	// It is a field of an answer of the admin API.
	counted := map[string]bool{"vault_authz_version": true}
	quoted := regexp.MustCompile(`"(vault_authz_[a-z_]+)"`)
	for _, folder := range []string{"authz", "cache", "envoy", "vaultkv", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			code, err := os.ReadFile(name)
			for _, metric := range quoted.FindAllStringSubmatch(string(code), -1) {
				if !counted[metric[1]] && !documented[metric[1]] {
					t.Errorf("%s: the metric %s has no line in docs/reference/metrics.md", name, metric[1])
				}
				counted[metric[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for metric := range documented {
		if !counted[metric] {
			t.Errorf("docs/reference/metrics.md has the metric %s, which nothing counts", metric)
		}
	}
}

// A reason has a row with its answer, and a denial the message that clients see.
func TestReferenceHasEveryReason(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, "docs/reference/reasons.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range authz.Reasons() {
		answer := "allow"
		if r.Status() != 0 {
			answer = strconv.Itoa(r.Status())
		}
		row := regexp.MustCompile("(?m)^\\| [a-z_`, ]*`" + r.String() + "`[a-z_`, ]* \\| " + answer + `( \*)? \|`)
		if !row.Match(raw) {
			t.Errorf("docs/reference/reasons.md has no row for the reason %s with the answer %s", r, answer)
		}
		if message := "`" + r.Message() + "`"; r.Message() != "" && !strings.Contains(string(raw), message) {
			t.Errorf("docs/reference/reasons.md has no message %s", message)
		}
	}
}

// Errors, help, comments and examples name pages in their text.
func TestPagesThatOtherFilesNameExist(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", ".tools", "bin", "dist"}, entry.Name()):
			return fs.SkipDir
		case !slices.Contains([]string{".go", ".mk", ".yaml", ".yml", ".hcl", ".sh", ".py", ".txt", ".tpl", ".md", ""}, filepath.Ext(name)) || !entry.Type().IsRegular():
			return nil
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, page := range mention.FindAllString(string(raw), -1) {
			found++
			page, anchor, _ := strings.Cut(page, "#")
			if _, err := os.Stat(filepath.Join(root, page)); err != nil {
				t.Errorf("%s names %s: there is no such page", name, page)
			} else if anchor != "" && !slices.Contains(read(t, page).anchors, anchor) {
				t.Errorf("%s names %s#%s: there is no such heading", name, page, anchor)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 10 {
		t.Errorf("%d named pages, want at least 10", found)
	}
}

func TestAnchorsEqualThoseOfTheWeb(t *testing.T) {
	t.Parallel()
	got := parse("a.md", "# One: two, three?\n## `on_error`\n## What [it](b.md) does\n## Again\n## Again\n```\n# not a heading\n```\n").anchors
	want := []string{"one-two-three", "on_error", "what-it-does", "again", "again-1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
