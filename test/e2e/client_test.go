package e2e

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A request is what a client sends, without changes.
type request struct {
	// method is GET if empty.
	method string
	// policy selects the route that names this policy. host is used if it is empty.
	policy, host string
	// target is path and query.
	target string
	header []field
	body   string
}

// A field is one header line. Over HTTP/1.1 its name keeps its case.
type field struct{ name, value string }

// An answer is what the client receives. echo is what reached the upstream, nil if
// nothing did.
type answer struct {
	status int
	header http.Header
	body   string
	echo   *parts.Echo
}

// A protocol is a way to send a request.
type protocol struct {
	name   string
	client *http.Client
}

func protocols() []protocol {
	return []protocol{{"HTTP/1.1", client(false)}, {"HTTP/2", client(true)}}
}

// client returns a client for one version of HTTP, without TLS. It keeps no idle
// connections.
func client(http2 bool) *http.Client {
	var p http.Protocols
	p.SetHTTP1(!http2)
	p.SetUnencryptedHTTP2(http2)
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{Protocols: &p, DisableKeepAlives: !http2, DisableCompression: true},
	}
}

// send sends a request to one of Envoy's listeners.
func (bed *testbed) send(t *testing.T, listener string, p protocol, r request) answer {
	t.Helper()
	a, err := bed.try(t.Context(), listener, p, r)
	if err != nil {
		t.Fatalf("%s %s over %s: %v", r.method, r.target, p.name, err)
	}
	return a
}

// get sends a request over HTTP/1.1 to the listener that most tests use.
func (bed *testbed) get(t *testing.T, r request) answer {
	t.Helper()
	return bed.send(t, onHeaders, protocols()[0], r)
}

func (bed *testbed) try(ctx context.Context, listener string, p protocol, r request) (answer, error) {
	sent := parts.Request{Method: r.method, Host: r.host, Target: r.target, Body: r.body}
	if r.policy != "" {
		sent.Host = parts.PolicyHost(r.policy)
	}
	for _, f := range r.header {
		sent.Header = append(sent.Header, parts.Field{Name: f.name, Value: f.value})
	}
	defer p.client.CloseIdleConnections()
	got, err := parts.Send(ctx, p.client, bed.envoy.Address(listener), sent)
	return answer{status: got.Status, header: got.Header, body: got.Body, echo: got.Echo}, err
}

// A pair is an access token with its secret token.
type pair struct{ access, secret string }

// headers presents the pair under its default names.
func (p pair) headers() []field {
	return []field{{"access_token", p.access}, {"secret_token", p.secret}}
}

func (p pair) query() string { return "access_token=" + p.access + "&secret_token=" + p.secret }

// credential writes a record for a new pair into both mounts. changes are fields of
// the record to add, to replace, or, with nil, to omit.
func (bed *testbed) credential(t *testing.T, consumer string, changes map[string]any) pair {
	t.Helper()
	p := pair{access: unique("access"), secret: unique("secret")}
	record := map[string]any{
		"access_token": p.access, "secret_token": p.secret,
		"consumer":   map[string]any{"id": consumer},
		"created_at": 1550538920, "updated_at": 1550538920, "ttl": nil,
	}
	for name, value := range changes {
		if record[name] = value; value == nil {
			delete(record, name)
		}
	}
	bed.put(t, p.access, record)
	return p
}

func (bed *testbed) put(t *testing.T, key string, record map[string]any) {
	t.Helper()
	for mount, kv := range map[string]string{mountV1: parts.KVv1, mountV2: parts.KVv2} {
		if err := bed.vault.Put(t.Context(), mount, kv, key, record); err != nil {
			t.Fatal(err)
		}
	}
}
