package gateways

import (
	"cmp"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A proxy is the identity with which an Envoy asks istiod for its configuration.
type proxy struct {
	kind, name, namespace string
	// labels are empty if istiod knows them from the pod.
	labels string
	// address is that of its pod.
	address string
	// secrets is the address of its server of certificates.
	secrets string
}

// start starts an Envoy that istiod configures, and waits for its listeners.
func (p proxy) start(t *testing.T) *parts.Envoy {
	t.Helper()
	return p.startWith(t, func() {})
}

// startWith does so too, and does something else while the Envoy starts.
func (p proxy) startWith(t *testing.T, meanwhile func()) *parts.Envoy {
	t.Helper()
	text := strings.NewReplacer(
		"port_value: 15012", "port_value: "+port(t, p.secrets),
		"$kind", p.kind, "$namespace", p.namespace, "$name", p.name, "$labels", cmp.Or(p.labels, "{}"), "$address", p.address,
	).Replace(read(t, "istio-envoy.yaml"))
	binary, dir, done := partstest.Binary(t, "ENVOY_BIN"), t.TempDir(), make(chan struct{})
	var e *parts.Envoy
	var err error
	go func() {
		defer close(done)
		e, err = parts.RunEnvoy(t.Context(), binary, dir, []byte(text), 1)
	}()
	meanwhile()
	<-done
	must(t, err)
	partstest.StopWith(t, e.Process)
	return e
}

// inbound makes a sidecar listen on a port of its own and forward to a program, because a test
// does not redirect the traffic of a pod.
const inbound = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: inbound, namespace: $namespace}
spec:
  workloadSelector: {labels: $labels}
  ingress:
    - port: {number: $listen, protocol: $protocol, name: main}
      bind: $address
      captureMode: NONE
      defaultEndpoint: 127.0.0.1:$program
  egress: [{hosts: ["vault-authz/*"]}]
`

func (p proxy) inbound(listen, protocol, program string) string {
	return strings.NewReplacer("$namespace", p.namespace, "$labels", p.labels, "$listen", listen, "$protocol", protocol,
		"$address", p.address, "$program", program).Replace(inbound)
}
