package parts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Request is what a client sends, without changes.
type Request struct {
	// Method is GET if empty.
	Method string
	// Host is the Host header, the address of the connection if empty.
	Host string
	// Target is the path with the query.
	Target string
	Header []Field
	Body   string
}

// A Field is one header line. Over HTTP/1.1 its name keeps its case.
type Field struct{ Name, Value string }

// A Response is what the client receives.
type Response struct {
	Status int
	Header http.Header
	Body   string
	// Echo is what reached the [Upstream], nil if nothing did.
	Echo *Echo
}

// Send sends a request to host:port.
func Send(ctx context.Context, client *http.Client, address string, r Request) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodGet), "http://"+address, strings.NewReader(r.Body))
	if err != nil {
		return Response{}, err
	}
	// net/http sends Opaque as it stands.
	path, query, _ := strings.Cut(r.Target, "?")
	req.URL = &url.URL{Scheme: "http", Host: req.URL.Host, Opaque: path, RawQuery: query}
	if r.Body == "" {
		req.Body, req.ContentLength = nil, 0
	}
	req.Host = r.Host
	for _, f := range r.Header {
		// Add would rewrite the name.
		req.Header[f.Name] = append(req.Header[f.Name], f.Value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return Response{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return Response{}, err
	}
	out := Response{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
	var e Echo
	if resp.StatusCode == http.StatusOK && json.Unmarshal(body, &e) == nil && e.Method != "" {
		out.Echo = &e
	}
	return out, nil
}
