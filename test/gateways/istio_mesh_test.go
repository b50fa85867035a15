package gateways

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// Istio wants a good JWT, and vault-authz a good pair.
func (i *istio) testJWT(t *testing.T) {
	const file = "request-authentication.yaml"
	login := newIssuer(t)
	with := func(token string) fields { return fields{"authorization", "Bearer " + token} }
	good, other := login.token(t, host), login.token(t, "other.example.com")
	i.ship(t, file)
	// Nobody has this address.
	i.awaitWith(t, ingressAddress, "/orders", append(with(good), pair("alice")...), http.StatusUnauthorized)
	i.ship(t, file, "jwksUri: https://login.example.com/jwks.json", "jwks: '"+login.keys()+"'")
	i.awaitWith(t, ingressAddress, "/orders", append(with(good), pair("alice")...), http.StatusOK)
	i.check(t, ingressAddress, []row{
		{name: "no JWT", path: "/orders", header: pair("alice"), status: 200, consumer: "alice", reason: "authenticated"},
		{name: "a good JWT and a good pair", path: "/orders", header: append(with(good), pair("alice")...), status: 200, consumer: "alice", reason: "authenticated"},
		{name: "a good JWT alone", path: "/orders", header: with(good), status: 401, reason: "missing_token"},
		{name: "a JWT for others and a good pair", path: "/orders", header: append(with(other), pair("alice")...), status: 403, reason: "authenticated"},
		{name: "a JWT that nobody signed and a good pair", path: "/orders", header: append(with(good+"x"), pair("alice")...), status: 401, reason: "authenticated"},
	})
	i.remove(t, file)
}

// sidecar is the one of the application.
func sidecar(t *testing.T) proxy {
	t.Helper()
	return proxy{kind: "sidecar", name: "orders-1", namespace: "shop", labels: "{app: orders}", address: sidecarPod, secrets: outsideOfTheMesh(t)}
}

// sidecarAddress is where it listens in place of the application.
const sidecarAddress = sidecarPod + ":8001"

func (i *istio) testSidecar(t *testing.T) {
	p := sidecar(t)
	i.apply(t, p.inbound("8001", "HTTP", "8000"))
	i.ship(t, "sidecar.yaml")
	p.start(t)
	i.await(t, sidecarAddress, "/orders", http.StatusUnauthorized)
	i.check(t, sidecarAddress, rows())
	// A Sidecar resource that does not list vault-authz hides it.
	i.apply(t, partstest.With(t, p.inbound("8001", "HTTP", "8000"), "vault-authz/*", "./*"))
	i.await(t, sidecarAddress, "/orders", http.StatusServiceUnavailable)
	i.apply(t, p.inbound("8001", "HTTP", "8000"))
	i.await(t, sidecarAddress, "/orders", http.StatusUnauthorized)
}

// The Service of the chart is headless: enough for a gateway, and not for a sidecar.
func (i *istio) testHeadless(t *testing.T) {
	shipped := partstest.Shipped(t, istiodValues)
	sidecar(t).start(t)
	i.await(t, sidecarAddress, "/orders", http.StatusUnauthorized)
	i.provide(t, partstest.With(t, shipped, "vault-authz-mesh.", "vault-authz."))
	i.await(t, sidecarAddress, "/orders", http.StatusServiceUnavailable)
	i.checkOne(t, clients()["HTTP1"], ingressAddress, rows()[0])
	i.provide(t, shipped)
	i.await(t, sidecarAddress, "/orders", http.StatusUnauthorized)
}

// mesh-only.yaml lets only the listed identities reach vault-authz, through its sidecar.
func (i *istio) testMeshOnly(t *testing.T) {
	mesh, err := parts.NewAuthority("mesh")
	must(t, err)
	// The sidecar takes the address of vault-authz, which is behind it now.
	i.service.Kill()
	i.config.Env = append(i.config.Env, "VAULT_AUTHZ_LISTEN_GRPC=127.0.0.1:9191")
	i.start(t)
	ip, _, _ := strings.Cut(serviceAddress, ":")
	i.kubectl(t, "label", "namespace", "vault-authz", "istio-injection=enabled")
	i.createPod(t, "vault-authz", "vault-authz", ip)
	i.kubectl(t, "delete", "endpointslice", "vault-authz-mesh", "--namespace", "vault-authz")
	i.place(t, "vault-authz", "vault-authz-mesh", serviceAddress)
	authz := proxy{
		kind: "sidecar", name: "vault-authz-1", namespace: "vault-authz", labels: "{app.kubernetes.io/name: vault-authz, app.kubernetes.io/instance: vault-authz}",
		address: ip, secrets: startSecrets(t, mesh, "spiffe://cluster.local/ns/vault-authz/sa/vault-authz"),
	}
	i.apply(t, authz.inbound("9191", "GRPC", "9191"))
	i.ship(t, "mesh-only.yaml")
	authz.start(t)
	other, err := parts.NewAuthority("other")
	must(t, err)
	refused := row{path: "/orders", header: pair("alice"), status: 503}
	for _, test := range []struct {
		name      string
		authority *parts.Authority
		account   string
		row       row
	}{
		{"the account of the gateway", mesh, "istio-ingress", row{path: "/orders", header: pair("alice"), status: 200, consumer: "alice", reason: "authenticated"}},
		{"another account", mesh, "default", refused},
		{"the account of the gateway, of another mesh", other, "istio-ingress", refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			gateway := proxy{
				kind: "router", name: "istio-ingress-1", namespace: "istio-ingress", address: ingressPod,
				secrets: startSecrets(t, test.authority, "spiffe://cluster.local/ns/istio-ingress/sa/"+test.account),
			}
			e := gateway.start(t)
			i.checkOne(t, clients()["HTTP1"], ingressAddress, test.row)
			// The next one takes the port.
			e.Stop(time.Minute)
		})
	}
}

// The API server knows each field of the shipped files, and istiod, which it asks, what makes sense.
func (i *istio) testRefused(t *testing.T) {
	for name, text := range istioObjects(t) {
		must(t, i.Apply(t.Context(), text, "--dry-run=server"))
		err := i.Apply(t.Context(), strings.Replace(text, "\nspec:\n", "\nspec:\n  misspelt: {}\n", 1), "--dry-run=server")
		if err == nil || !strings.Contains(err.Error(), "unknown field") {
			t.Errorf("%s with a field that does not exist: err = %v", name, err)
		}
	}
	policy := partstest.Shipped(t, "istio/ingress-gateway.yaml")
	for name, text := range map[string]string{
		"without rules":       strings.Split(policy, "  rules:")[0],
		"without a provider":  partstest.With(t, policy, "  provider: {name: vault-authz}\n", ""),
		"of an HTTPRoute":     partstest.With(t, policy, "selector: {matchLabels: {istio: ingress}}", "targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]"),
		"with an unknown key": strings.ReplaceAll(partstest.Shipped(t, "istio/"+beneath), "experimental.", "later."),
	} {
		err := i.Apply(t.Context(), text, "--dry-run=server")
		if err == nil || !strings.Contains(err.Error(), "validation.istio.io") {
			t.Errorf("a policy %s: err = %v", name, err)
		}
	}
	// A pod with a sidecar has an init container that redirects its traffic.
	i.kubectl(t, "label", "namespace", "vault-authz", "istio-injection=enabled", "pod-security.kubernetes.io/enforce=baseline")
	err := i.Apply(t.Context(), i.pod(t, "vault-authz", "vault-authz"), "--dry-run=server")
	if err == nil || !strings.Contains(err.Error(), `violates PodSecurity "baseline:latest"`) || !strings.Contains(err.Error(), "istio-init") {
		t.Errorf("a sidecar at the Pod Security level baseline: err = %v", err)
	}
	i.kubectl(t, "label", "namespace", "vault-authz", "pod-security.kubernetes.io/enforce-")
	must(t, i.Apply(t.Context(), i.pod(t, "vault-authz", "vault-authz"), "--dry-run=server"))
	i.kubectl(t, "label", "namespace", "vault-authz", "istio-injection-")
}
