package admin

import (
	"encoding/base64"
	"fmt"
	"net/http"
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
			return w, &api.Problem{Status: http.StatusBadRequest, Code: codeSize, Name: "invalid size", Message: "size must be a number"}
		}
		if n < 1 || n > maxPageSize {
			return w, &api.Problem{Status: http.StatusBadRequest, Code: codeSize, Name: "invalid size", Message: fmt.Sprintf("size must be an integer between 1 and %d", maxPageSize)}
		}
		w.size = n
	}
	if s := q.Get("offset"); s != "" {
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || !isPosition(string(raw)) {
			return w, &api.Problem{Status: http.StatusBadRequest, Code: codeOffset, Name: "invalid offset", Message: fmt.Sprintf("'%s' is not a valid offset: bad encoding", s)}
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

// page answers with one page of the entities that keep accepts, in the order of their ids.
// It reads only the entities of that page.
func (c *call) page(a *API, e *entity, keep filter) (reply, error) {
	w, err := c.window(authz.IsUUID)
	if err != nil {
		return reply{}, err
	}
	tagged, err := c.tagFilter()
	if err != nil {
		return reply{}, err
	}
	data, last, more := []schema.Document{}, "", false
	err = a.each(e, w.after, func(h head) bool { return tagged(h.Tags()) && keep(h) }, func(s schema.Stored) bool {
		if more = len(data) == w.size; !more {
			data, last = append(data, e.show(s.Document)), s.ID()
		}
		return !more
	})
	if err != nil {
		return reply{}, err
	}
	if !more {
		last = ""
	}
	return c.list(data, last), nil
}

// pageOf is page for a short list.
func (c *call) pageOf(all []schema.Document) (reply, error) {
	w, err := c.window(authz.IsUUID)
	if err != nil {
		return reply{}, err
	}
	keep, err := c.tagFilter()
	if err != nil {
		return reply{}, err
	}
	data, last := []schema.Document{}, ""
	for _, d := range all {
		if id := d.Text("id"); id <= w.after || !keep(d.List("tags")) {
			continue
		}
		if len(data) == w.size {
			return c.list(data, last), nil
		}
		data, last = append(data, d), d.Text("id")
	}
	return c.list(data, ""), nil
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
	either := strings.Contains(filter, "/")
	separator := ","
	if either {
		separator = "/"
	}
	wanted := strings.Split(filter, separator)
	for _, tag := range wanted {
		if tag == "" || api.CheckTag(tag) != "" {
			return nil, &api.Problem{
				Status: http.StatusBadRequest, Code: codeOptions, Name: "invalid options",
				Message: "invalid option (tags: invalid filter syntax)", Fields: map[string]any{"tags": "invalid filter syntax"},
			}
		}
	}
	return func(tags []string) bool {
		has := func(tag string) bool { return slices.Contains(tags, tag) }
		if either {
			return slices.ContainsFunc(wanted, has)
		}
		return !slices.ContainsFunc(wanted, func(tag string) bool { return !has(tag) })
	}, nil
}
