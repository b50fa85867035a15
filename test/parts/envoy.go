package parts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Envoy is a running Envoy.
type Envoy struct {
	*Process
	admin     string
	listeners map[string]string
	http      *http.Client
}

// StartEnvoy starts an Envoy and waits until its listeners are open.
func StartEnvoy(ctx context.Context, c EnvoyConfig) (*Envoy, error) {
	bootstrap, err := c.bootstrap()
	if err != nil {
		return nil, err
	}
	if c.AuthzTLS != nil {
		if err := c.AuthzTLS.write(); err != nil {
			return nil, err
		}
	}
	return RunEnvoy(ctx, c.Binary, c.Dir, bootstrap, len(c.Listeners))
}

// RunEnvoy starts an Envoy with a bootstrap, whose admin interface it moves to a free
// loopback port, and waits until at least the given number of listeners is open.
func RunEnvoy(ctx context.Context, binary, dir string, bootstrap []byte, listeners int) (*Envoy, error) {
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(file("envoy.yaml"), bootstrap, 0o600); err != nil {
		return nil, err
	}
	p, err := Start(Command{Name: "envoy", Path: binary, Dir: dir, Args: []string{
		"--config-path", file("envoy.yaml"),
		// Envoy merges it into the file.
		"--config-yaml", "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}",
		// Several may run on one machine.
		"--use-dynamic-base-id", "--base-id-path", file("envoy.base-id"),
		"--admin-address-path", file("envoy.admin"),
		"--concurrency", "1", "--log-level", "warning",
		// Tests read the access log at once. The default is 10 s.
		"--file-flush-interval-msec", "50",
		// As Istio's agent does: a connection from before a change of a listener is closed with the
		// answer to its next request, or after this time.
		"--drain-time-s", "45", "--drain-strategy", "immediate",
	}})
	if err != nil {
		return nil, err
	}
	e := &Envoy{Process: p, http: &http.Client{Timeout: 5 * time.Second}}
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	err = Await(ctx, p, func(ctx context.Context) error {
		admin, err := os.ReadFile(file("envoy.admin"))
		if err != nil {
			return err
		}
		e.admin = strings.TrimSpace(string(admin))
		if _, err := e.get(ctx, "/ready"); err != nil {
			return err
		}
		return e.readListeners(ctx, listeners)
	})
	if err != nil {
		p.Kill()
		return nil, p.failed(err)
	}
	return e, nil
}

// Address returns the host:port of a listener.
func (e *Envoy) Address(listener string) string { return e.listeners[listener] }

// Counter returns a counter, such as http.<listener>.ext_authz.denied. A counter that
// Envoy has not created yet is 0.
func (e *Envoy) Counter(ctx context.Context, name string) (int, error) {
	text, err := e.get(ctx, "/stats?filter=^"+strings.ReplaceAll(name, ".", `\.`)+"$")
	if err != nil {
		return 0, err
	}
	_, value, ok := strings.Cut(strings.TrimSpace(string(text)), ": ")
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, fmt.Errorf("counter %q: %w", name, err)
	}
	return n, nil
}

func (e *Envoy) readListeners(ctx context.Context, want int) error {
	raw, err := e.get(ctx, "/listeners?format=json")
	if err != nil {
		return err
	}
	var answer struct {
		Statuses []struct {
			Name  string `json:"name"`
			Local struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("reading the listeners: %w", err)
	}
	e.listeners = map[string]string{}
	for _, s := range answer.Statuses {
		if s.Local.Socket.Port != 0 {
			e.listeners[s.Name] = fmt.Sprintf("%s:%d", s.Local.Socket.Address, s.Local.Socket.Port)
		}
	}
	if len(e.listeners) < want {
		return fmt.Errorf("%d of %d listeners are open", len(e.listeners), want)
	}
	return nil
}

// get asks the admin interface.
func (e *Envoy) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.admin+path, nil)
	if err != nil {
		return nil, err
	}
	return fetch(e.http, req)
}

// A StatusError is an answer with a status that is no success.
type StatusError struct {
	Status int
	text   string
}

func (e *StatusError) Error() string { return e.text }

// fetch returns the body of a successful answer.
func fetch(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, &StatusError{resp.StatusCode, fmt.Sprintf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, strings.TrimSpace(string(body)))}
	}
	return body, nil
}

func sortedKeys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
