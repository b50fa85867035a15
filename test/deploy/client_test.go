package deploy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A request is what a client sends. method is GET if empty.
type request struct {
	method, path, body string
	header             map[string]string
}

// An answer is what the client receives. echo is what reached the upstream, empty
// if nothing did.
type answer struct {
	status int
	header http.Header
	body   string
	echo   parts.Echo
}

// ask sends a request to host:port.
func ask(t *testing.T, address string, r request) answer {
	t.Helper()
	a, err := try(t, address, r)
	must(t, err)
	return a
}

func try(t *testing.T, address string, r request) (answer, error) {
	t.Helper()
	sent := parts.Request{Method: r.method, Target: r.path, Body: r.body}
	for name, value := range r.header {
		sent.Header = append(sent.Header, parts.Field{Name: name, Value: value})
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := parts.Send(t.Context(), client, address, sent)
	a := answer{status: got.Status, header: got.Header, body: got.Body}
	if got.Echo != nil {
		a.echo = *got.Echo
	}
	return a, err
}

// consumer returns the user name that reached the upstream.
func (a answer) consumer() string {
	return strings.Join(a.echo.Headers["x-consumer-username"], ", ")
}
