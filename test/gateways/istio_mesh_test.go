package gateways

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

func TestIstioWantsAGoodJWTAndVaultAuthzAGoodPair(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	s := startSite(t, istioValues)
	login := newIssuer(t)
	listen := freePort(t)
	files := s.istioFiles(t, listen, "example.yaml", "ingress-gateway.yaml", "request-authentication.yaml")
	files["request-authentication.yaml"] = partstest.With(t, files["request-authentication.yaml"],
		"jwksUri: https://login.example.com/jwks.json", "jwks: '"+login.keys()+"'")
	startIstio(t, partstest.Shipped(t, istiodValues), files).startEnvoy(t, ingress(t))
	with := func(token string) fields { return fields{"authorization", "Bearer " + token} }
	good, other := login.token(t, host), login.token(t, "other.example.com")
	s.check(t, "127.0.0.1:"+listen, []row{
		{name: "no JWT", path: "/orders", header: pair("alice"), status: 200, consumer: "alice", reason: "authenticated"},
		{name: "a good JWT and a good pair", path: "/orders", header: append(with(good), pair("alice")...), status: 200, consumer: "alice", reason: "authenticated"},
		{name: "a good JWT alone", path: "/orders", header: with(good), status: 401, reason: "missing_token"},
		{name: "a JWT for others and a good pair", path: "/orders", header: append(with(other), pair("alice")...), status: 403, reason: "authenticated"},
		{name: "a JWT that nobody signed and a good pair", path: "/orders", header: append(with(good+"x"), pair("alice")...), status: 401, reason: "authenticated"},
	})
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
		"$address", cmp.Or(p.address, "127.0.0.1"), "$program", program).Replace(inbound)
}

func TestASidecarOfIstioAsksVaultAuthz(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	s := startSite(t, istioValues)
	listen := freePort(t)
	p := proxy{kind: "sidecar", name: "orders-1", namespace: "shop", labels: "{app: orders}", secrets: outsideOfTheMesh(t)}
	files := s.istioFiles(t, "8088", "sidecar.yaml")
	files["inbound.yaml"] = p.inbound(listen, "HTTP", port(t, s.upstream.Address()))
	startIstio(t, partstest.Shipped(t, istiodValues), files).startEnvoy(t, p)
	s.check(t, "127.0.0.1:"+listen, rows())
}

// pod is a pod with a sidecar, by which Istio knows that its clients need mutual TLS.
const pod = `apiVersion: v1
kind: Pod
metadata:
  name: vault-authz-1
  namespace: vault-authz
  labels: {app.kubernetes.io/name: vault-authz, app.kubernetes.io/instance: vault-authz, security.istio.io/tlsMode: istio}
spec: {serviceAccountName: vault-authz, containers: [{name: vault-authz}]}
status: {phase: Running, podIP: 127.0.0.2, podIPs: [{ip: 127.0.0.2}], conditions: [{type: Ready, status: "True"}]}
`

// mesh-only.yaml lets only the listed identities reach vault-authz, through its sidecar.
func TestOnlyTheListedIdentitiesOfTheMeshReachVaultAuthz(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	s := startSite(t, istioValues)
	mesh, err := parts.NewAuthority("mesh")
	must(t, err)
	listen, asked := freePort(t), freePort(t)
	authz := proxy{
		kind: "sidecar", name: "vault-authz-1", namespace: "vault-authz", labels: "{app.kubernetes.io/name: vault-authz, app.kubernetes.io/instance: vault-authz}",
		address: "127.0.0.2", secrets: startSecrets(t, mesh, "spiffe://cluster.local/ns/vault-authz/sa/vault-authz"),
	}
	files := s.istioFiles(t, listen, "example.yaml", "ingress-gateway.yaml", "mesh-only.yaml")
	files["mesh-only.yaml"] = partstest.With(t, files["mesh-only.yaml"], `ports: ["9191"]`, `ports: ["`+asked+`"]`)
	files["pod.yaml"] = pod
	files["inbound.yaml"] = authz.inbound(asked, "GRPC", port(t, s.service.GRPC))
	files["objects.yaml"] = partstest.With(t, files["objects.yaml"],
		"port: "+port(t, s.service.GRPC)+", protocol: TCP}]\nendpoints: [{addresses: [127.0.0.1]",
		"port: "+asked+", protocol: TCP}]\nendpoints: [{targetRef: {kind: Pod, name: vault-authz-1, namespace: vault-authz}, addresses: [127.0.0.2]")
	i := startIstio(t, partstest.Shipped(t, istiodValues), files)
	i.startEnvoy(t, authz)
	other, err := parts.NewAuthority("other")
	must(t, err)
	refused := row{path: "/orders", header: pair("alice"), status: 503}
	for _, test := range []struct {
		name      string
		authority *parts.Authority
		account   string
		row       row
	}{
		{"the account of the gateway", mesh, "ingress", row{path: "/orders", header: pair("alice"), status: 200, consumer: "alice", reason: "authenticated"}},
		{"another account", mesh, "default", refused},
		{"the account of the gateway, of another mesh", other, "ingress", refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			gateway := ingress(t)
			gateway.secrets = startSecrets(t, test.authority, "spiffe://cluster.local/ns/istio-ingress/sa/"+test.account)
			e := i.startEnvoy(t, gateway)
			s.checkOne(t, clients()["HTTP1"], "127.0.0.1:"+listen, test.row)
			// The next one takes the port.
			e.Stop(time.Minute)
		})
	}
}
