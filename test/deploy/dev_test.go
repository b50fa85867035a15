package deploy

import (
	"net"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// startEnvoy runs a bootstrap with one listener.
func startEnvoy(t *testing.T, bootstrap string) *parts.Envoy {
	t.Helper()
	e, err := parts.RunEnvoy(t.Context(), partstest.Binary(t, "ENVOY_BIN"), t.TempDir(), []byte(bootstrap), 1)
	must(t, err)
	partstest.StopWith(t, e.Process)
	return e
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	must(t, err)
	return p
}

// startWithDev runs an example of Envoy before an upstream, with `vault-authz
// dev` as the authorizer.
func startWithDev(t *testing.T, example string) (*parts.Envoy, *parts.Upstream) {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN")
	upstream := partstest.StartUpstream(t, "127.0.0.1:0")
	return startEnvoy(t, with(t, shipped(t, example),
		"port_value: 10000", "port_value: 0",
		"port_value: 9191", "port_value: "+port(t, partstest.StartDev(t, service.Binary(t)).GRPC),
		"port_value: 8000", "port_value: "+port(t, upstream.Address()),
	)), upstream
}

func TestTheMinimalAndTheReplicasEnvoyAllowOnlyTheDemoPair(t *testing.T) {
	t.Parallel()
	demo := map[string]string{"access-token": "demo", "secret-token": "demo-secret", "X-Consumer-Username": "admin"}
	wrong := map[string]string{"access-token": "demo", "secret-token": "wrong"}
	type row struct {
		name, path string
		header     map[string]string
		status     int
		consumer   string
	}
	rows := []row{
		{"no tokens", "/", nil, 401, ""},
		{"a wrong secret", "/", wrong, 401, ""},
		{"the pair of the demo", "/", demo, 200, "demo"},
	}
	for example, more := range map[string][]row{
		"envoy/minimal.yaml": nil,
		"envoy/replicas.yaml": {
			{"a route whose policy does not exist", "/orders/7", demo, 403, ""},
			{"the same route with a dot segment", "/anything/../orders/7", demo, 403, ""},
			{"an encoded slash", "/anything%2f..%2forders", demo, 400, ""},
		},
	} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			e, upstream := startWithDev(t, example)
			for _, test := range append(rows, more...) {
				t.Run(test.name, func(t *testing.T) {
					before := upstream.Reached(test.path)
					got := ask(t, e.Address("ingress"), request{path: test.path, header: test.header})
					if got.status != test.status || got.consumer() != test.consumer {
						t.Errorf("status = %d, consumer %q; want %d and %q; body %s", got.status, got.consumer(), test.status, test.consumer, got.body)
					}
					if reached := upstream.Reached(test.path) - before; (reached > 0) != (test.status == 200) {
						t.Errorf("status %d, and the upstream got %d requests", got.status, reached)
					}
				})
			}
		})
	}
}
