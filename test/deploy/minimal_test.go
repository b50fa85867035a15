package deploy

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
)

// startDev starts `vault-authz dev` and returns where Envoy asks it.
func startDev(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "addresses.json")
	const free = "127.0.0.1:0"
	p, err := parts.Start(parts.Command{
		Name: "vault-authz dev", Path: binary(t),
		Args: []string{"dev", "--grpc", free, "--probes", free, "--admin", free, "--addresses-file", file},
	})
	must(t, err)
	running(t, p)
	var at struct{ GRPC string }
	await(t, func(context.Context) error {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, &at)
	})
	return at.GRPC
}

func startUpstream(t *testing.T) *parts.Upstream {
	t.Helper()
	u, err := parts.StartUpstream(t.Context(), "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = u.Close() })
	return u
}

// startEnvoy runs a bootstrap with one listener.
func startEnvoy(t *testing.T, bootstrap string) *parts.Envoy {
	t.Helper()
	e, err := parts.RunEnvoy(t.Context(), part(t, "ENVOY_BIN"), t.TempDir(), []byte(bootstrap), 1)
	must(t, err)
	running(t, e.Process)
	return e
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	must(t, err)
	return p
}

func TestTheMinimalEnvoyLetsTheDemoPairThroughAndNothingElse(t *testing.T) {
	t.Parallel()
	part(t, "ENVOY_BIN")
	upstream := startUpstream(t)
	e := startEnvoy(t, with(t, shipped(t, "envoy/minimal.yaml"),
		"port_value: 10000", "port_value: 0",
		"port_value: 9191", "port_value: "+port(t, startDev(t)),
		"port_value: 8000", "port_value: "+port(t, upstream.Address()),
	))
	for _, test := range []struct {
		name     string
		header   map[string]string
		status   int
		consumer string
	}{
		{"no tokens", nil, 401, ""},
		{"a wrong secret", map[string]string{"access-token": "demo", "secret-token": "wrong"}, 401, ""},
		{"the pair of the demo", map[string]string{"access-token": "demo", "secret-token": "demo-secret", "X-Consumer-Username": "admin"}, 200, "demo"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ask(t, e.Address("ingress"), request{path: "/", header: test.header})
			if got.status != test.status || got.consumer() != test.consumer {
				t.Errorf("status = %d, consumer %q; want %d and %q; body %s", got.status, got.consumer(), test.status, test.consumer, got.body)
			}
		})
	}
}
