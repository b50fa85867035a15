package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

const form = "application/x-www-form-urlencoded"

// TestTokensInABody shows that tokens in a body count only if its type is known and
// the body is complete and valid.
func TestTokensInABody(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	long := strings.Repeat("x", bodyLimit)
	tests := []struct {
		name, policy string
		make         func(t *testing.T, p pair) (contentType, body string)
		extra        []field
		// status is the status on the listeners that pass on partial bodies.
		status int
	}{
		{name: "urlencoded", policy: "body", make: func(_ *testing.T, p pair) (string, string) { return form, "a=1&" + p.query() }, status: 200},
		{name: "JSON", policy: "body", make: func(_ *testing.T, p pair) (string, string) {
			return "application/json; charset=utf-8", fmt.Sprintf(`{"n":{"secret_token":"no"},"access_token":%q,"secret_token":%q}`, p.access, p.secret)
		}, status: 200},
		{name: "multipart", policy: "body", make: multipartBody, status: 200},
		{name: "not asked for", policy: "default", make: func(_ *testing.T, p pair) (string, string) { return form, p.query() }, status: 401},
		{name: "another type", policy: "body", make: func(_ *testing.T, p pair) (string, string) { return "text/plain", p.query() }, status: 401},
		{name: "JSON with a name twice", policy: "body", make: func(_ *testing.T, p pair) (string, string) {
			return "application/json", fmt.Sprintf(`{"access_token":%q,"secret_token":"x","secret_token":%q}`, p.access, p.secret)
		}, status: 401},
		{name: "compressed", policy: "body", make: func(_ *testing.T, p pair) (string, string) { return form, p.query() }, extra: []field{{"Content-Encoding", "gzip"}}, status: 401},
		{name: "too long to be seen whole", policy: "body", make: func(_ *testing.T, p pair) (string, string) {
			return form, p.query() + "&pad=" + long
		}, status: 401},
		{name: "too long, with the tokens in headers", policy: "default", make: func(*testing.T, pair) (string, string) { return form, "pad=" + long }, status: 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, listener := range []string{onBody, onBodyBytes} {
				for _, p := range protocols() {
					tokens := bed.credential(t, aliceID, nil)
					contentType, body := test.make(t, tokens)
					r := request{method: "POST", policy: test.policy, target: "/body", body: body, header: append([]field{{"Content-Type", contentType}}, test.extra...)}
					if !strings.Contains(body, tokens.secret) {
						r.header = append(r.header, tokens.headers()...)
					}
					a := bed.send(t, listener, p, r)
					if a.status != test.status {
						t.Errorf("listener %s, %s: status = %d, want %d; body %s", listener, p.name, a.status, test.status, a.body)
					}
					if a.echo != nil && a.echo.Body != body {
						t.Errorf("listener %s, %s: the upstream got the body %q, want it untouched: %q", listener, p.name, a.echo.Body, body)
					}
				}
			}
		})
	}
}

func multipartBody(t *testing.T, p pair) (contentType, body string) {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, f := range []field{{"note", "hello"}, {"access_token", p.access}, {"secret_token", p.secret}} {
		if err := w.WriteField(f.name, f.value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), out.String()
}

func TestABodyThatEnvoyDoesNotBufferIsRefusedByEnvoy(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	p := bed.credential(t, aliceID, nil)
	r := request{method: "POST", policy: "body", target: "/whole", header: p.headers(), body: strings.Repeat("x", bodyLimit+1)}
	if a := bed.send(t, onWholeBody, protocols()[0], r); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("status = %d, want 413", a.status)
	}
}

// TestABodyThatJustFillsTheBufferIsNotTakenForWhole covers the case in which Envoy
// reports an incomplete body as complete: its buffer is exactly full when it asks,
// and the rest of the body arrives later. A truncated form is still a valid form.
func TestABodyThatJustFillsTheBufferIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	const rest = "&access_token=another"
	type framing struct{ listener, name string }
	for _, f := range []framing{{onBody, "content-length"}, {onBody, "chunked"}, {onBodyBytes, "content-length"}, {onBodyBytes, "chunked"}} {
		t.Run(f.listener+" "+f.name, func(t *testing.T) {
			t.Parallel()
			p := bed.credential(t, aliceID, nil)
			start := p.query() + "&pad="
			start += strings.Repeat("x", bodyLimit-len(start))
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", bed.envoy.Address(f.listener))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			// If the request were allowed, the upstream would wait for the rest.
			must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			length := fmt.Sprintf("content-length: %d\r\n\r\n", bodyLimit+len(rest))
			if f.name == "chunked" {
				length = fmt.Sprintf("transfer-encoding: chunked\r\n\r\n%x\r\n", bodyLimit)
			}
			_, err = fmt.Fprintf(conn, "POST /full HTTP/1.1\r\nhost: %s\r\ncontent-type: %s\r\nconnection: close\r\n%s%s",
				parts.PolicyHost("body"), form, length, start)
			must(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("no answer, as if the request were allowed: %v", err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("status = %d, want 401; body %s, %v", resp.StatusCode, body, err)
			}
		})
	}
}
