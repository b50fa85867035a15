package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// segment escapes one segment of a path. A "+" would be read as a space, dots as
// a way out.
func segment(s string) string {
	escaped := strings.ReplaceAll(url.PathEscape(s), "+", "%2B")
	if strings.Trim(escaped, ".") == "" {
		escaped = strings.ReplaceAll(escaped, ".", "%2E")
	}
	return "/" + escaped
}

var errElsewhere = errors.New("the admin API names a next page that is elsewhere")

// listAll returns all elements of a list that a filter accepts.
func listAll[T any](ctx context.Context, c *Client, path string, filter url.Values) ([]T, error) {
	all := []T{}
	err := eachPage(ctx, c, path, filter, func(page []T) bool {
		all = append(all, page...)
		return true
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// eachPage reads a list page by page until yield returns false.
func eachPage[T any](ctx context.Context, c *Client, path string, filter url.Values, yield func([]T) bool) error {
	query := url.Values{"size": {"1000"}}
	maps.Copy(query, filter)
	for next := path + "?" + query.Encode(); next != ""; {
		var page struct {
			Data []T     `json:"data"`
			Next *string `json:"next"`
		}
		if err := c.do(ctx, http.MethodGet, next, nil, &page); err != nil {
			return err
		}
		if !yield(page.Data) || page.Next == nil {
			break
		}
		if next = *page.Next; !strings.HasPrefix(next, path) {
			return errElsewhere
		}
	}
	return nil
}

func send[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var out T
	err := c.do(ctx, method, path, body, &out)
	return out, err
}

func enveloped(ctx context.Context, c *Client, method, path string, body any) (Credential, error) {
	out, err := send[struct {
		Data Credential `json:"data"`
	}](ctx, c, method, path, body)
	return out.Data, err
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

func (c *Client) do(ctx context.Context, method, path string, body, out any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return errors.New("making the request: the id or name cannot be part of a URL")
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		// The URL in it may have an access token.
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("calling the admin API at %s: %w", c.base, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of the admin API: %w", err)
	}
	if resp.StatusCode >= 300 {
		return problemOf(resp.StatusCode, raw)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return errors.New("the answer of the admin API is not what it should be; is the URL that of vault-authz?")
	}
	return nil
}

func problemOf(status int, raw []byte) error {
	p := &Problem{}
	if json.Unmarshal(raw, p) != nil || p.Message == "" {
		p = &Problem{Message: http.StatusText(status), Foreign: true}
		if bytes.Contains(raw, []byte("HTTP request to an HTTPS server")) {
			p.Message = "the server speaks TLS at this address; the URL of the admin API must begin with https://"
		}
	}
	p.Status = status
	return p
}
