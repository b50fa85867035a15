package vaultkv

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/hashicorp/vault/api"
)

// A getter sends reads of entries: the same requests as those of the official client, but
// each of them costs less, because the client says once for each token what the header is.
// It is safe for concurrent use. Make one with newGetter.
type getter struct {
	client *api.Client
	conn   *connection
	// header is that of every read. It never changes; another token brings another one.
	header atomic.Pointer[http.Header]
}

func newGetter(client *api.Client, conn *connection) *getter {
	g := &getter{client: client, conn: conn}
	g.useToken(client.Token())
	return g
}

// useToken makes all later requests carry a token, also those of the official client. It
// must not be called concurrently.
func (g *getter) useToken(token string) {
	g.client.SetToken(token)
	header := g.client.Headers()
	if token != "" {
		header.Set(api.AuthHeaderName, token)
	}
	g.header.Store(&header)
}

// get reads a path, which needs no cleaning. The body of the answer is in memory, in that of
// into if it is not nil.
func (g *getter) get(ctx context.Context, path string, into *buffer) (*api.Response, error) {
	r := http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/v1/" + path}, Header: *g.header.Load(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	resp, err := g.conn.send(&request{Request: r.WithContext(ctx), into: into}) //nolint:bodyclose,contextcheck // the body is in memory, and the request has the context
	if err != nil {
		return nil, err
	}
	return &api.Response{Response: resp}, nil
}
