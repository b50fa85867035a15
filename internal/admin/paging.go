package admin

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
)

const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

// A window is the part of a list that a call asks for.
type window struct {
	size int
	// after is the id that the last page ended with.
	after string
}

// window reads size and offset. isPosition reports whether the list can have given out
// an offset.
func (c *call) window(isPosition func(string) bool) (window, error) {
	q := c.r.URL.Query()
	w := window{size: defaultPageSize}
	if s := q.Get("size"); q.Has("size") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return w, invalidSize.problem("size must be a number", nil)
		}
		if n < 1 || n > maxPageSize {
			return w, invalidSize.problem(fmt.Sprintf("size must be an integer between 1 and %d", maxPageSize), nil)
		}
		w.size = n
	}
	if s := q.Get("offset"); s != "" {
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || !isPosition(string(raw)) {
			return w, invalidOffset.problem(fmt.Sprintf("'%s' is not a valid offset: bad encoding", s), nil)
		}
		w.after = string(raw)
	}
	return w, nil
}

// list is the answer of a collection. The next page begins after last; without a next
// page last is "".
func (c *call) list(data any, last string) reply {
	body := map[string]any{"data": data, "next": nil}
	if last != "" {
		offset := base64.RawURLEncoding.EncodeToString([]byte(last))
		next := url.Values{}
		for name, values := range c.r.URL.Query() {
			switch name {
			case "size", "tags", "search", "fingerprint":
				next[name] = values
			}
		}
		rest := ""
		if len(next) > 0 {
			rest = "&" + next.Encode()
		}
		body["offset"] = offset
		body["next"] = c.r.URL.EscapedPath() + "?offset=" + offset + rest
	}
	return ok(body)
}

// A collection collects the elements of one page.
type collection struct {
	window
	data []schema.Document
	// last is the position of the last element of data; full says that there are more.
	last string
	full bool
}

func collect(w window) *collection { return &collection{window: w, data: []schema.Document{}} }

// add adds an element, unless the page is full. It reports whether it did.
func (p *collection) add(d schema.Document, position string) bool {
	if p.full = len(p.data) == p.size; !p.full {
		p.data, p.last = append(p.data, d), position
	}
	return !p.full
}

func (p *collection) answer(c *call) reply {
	if !p.full {
		p.last = ""
	}
	return c.list(p.data, p.last)
}

// entities reads which page of entities a call asks for, and which tags they have.
func (c *call) entities() (p *collection, tagged func([]string) bool, err error) {
	w, err := c.window(authz.IsUUID)
	if err == nil {
		tagged, err = c.tagFilter()
	}
	return collect(w), tagged, err
}

// page answers with one page of the entities that keep accepts, in the order of their ids.
// It reads only the entities of that page.
func (c *call) page(a *API, e *entity, keep filter) (reply, error) {
	p, tagged, err := c.entities()
	if err != nil {
		return reply{}, err
	}
	err = a.each(e, p.after, func(h head) bool { return tagged(h.Tags()) && keep(h) }, func(s schema.Stored) bool { return p.add(e.show(s.Document), s.ID()) })
	return p.answer(c), err
}

// pageOf is page for a short list.
func (c *call) pageOf(all []schema.Document) (reply, error) {
	p, tagged, err := c.entities()
	if err != nil {
		return reply{}, err
	}
	for _, d := range all {
		if id := d.Text("id"); id > p.after && tagged(d.List("tags")) && !p.add(d, id) {
			break
		}
	}
	return p.answer(c), nil
}

func (e *entity) showAll(all []schema.Stored) []schema.Document {
	items := make([]schema.Document, len(all))
	for i, s := range all {
		items[i] = e.show(s.Document)
	}
	return items
}

// tagFilter reads tags: a,b means both, a/b either.
func (c *call) tagFilter() (func([]string) bool, error) {
	q := c.r.URL.Query()
	if !q.Has("tags") {
		return func([]string) bool { return true }, nil
	}
	filter := q.Get("tags")
	either, separator := strings.Contains(filter, "/"), ","
	if either {
		separator = "/"
	}
	wanted := strings.Split(filter, separator)
	if slices.ContainsFunc(wanted, func(tag string) bool { return tag == "" || api.CheckTag(tag) != "" }) {
		return nil, invalidOptions.problem("invalid option (tags: invalid filter syntax)", map[string]any{"tags": "invalid filter syntax"})
	}
	return func(tags []string) bool {
		has := func(tag string) bool { return slices.Contains(tags, tag) }
		if either {
			return slices.ContainsFunc(wanted, has)
		}
		return !slices.ContainsFunc(wanted, func(tag string) bool { return !has(tag) })
	}, nil
}
