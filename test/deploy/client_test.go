package deploy

import (
	"encoding/json"
	"errors"
	"io"
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

// An answer is what it gets. echo is what reached the upstream, empty if nothing
// did.
type answer struct {
	status int
	header http.Header
	body   string
	echo   parts.Echo
}

// ask sends a request as it stands to host:port.
func ask(t *testing.T, address string, r request) answer {
	t.Helper()
	a, err := try(t, address, r)
	must(t, err)
	return a
}

func try(t *testing.T, address string, r request) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, "http://"+address, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	path, query, _ := strings.Cut(r.path, "?")
	req.URL.Opaque, req.URL.RawQuery = path, query
	for name, value := range r.header {
		req.Header[name] = []string{value}
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if resp.StatusCode == http.StatusOK {
		// What is no echo came from elsewhere.
		_ = json.Unmarshal(body, &a.echo)
	}
	return a, nil
}

// consumer returns whom the upstream was told about.
func (a answer) consumer() string {
	return strings.Join(a.echo.Headers["x-consumer-username"], ", ")
}
