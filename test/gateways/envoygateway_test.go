package gateways

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// One Envoy Gateway for all of it, one part after the other. Each leaves the shipped objects.
func TestEnvoyGatewayAsksVaultAuthz(t *testing.T) {
	t.Parallel()
	need(t, "ENVOY_GATEWAY_BIN")
	// There is no network from here on.
	envoyGatewayChart(t)
	if !partstest.OnItsOwnMachine(t) {
		return
	}
	g := startEnvoyGateway(t)
	for _, part := range []struct {
		name string
		test func(*envoyGateway, *testing.T)
	}{
		{"the shipped files", (*envoyGateway).testShipped},
		{"what Envoy Gateway says about the policies", (*envoyGateway).testStatus},
		{"the pods that the chart lets ask", (*envoyGateway).testNetworkPolicy},
		{"an outage", (*envoyGateway).testOutage},
		{"a Backend that cannot be used", (*envoyGateway).testUnusableBackend},
		{"a policy of a route", (*envoyGateway).testRoutePolicy},
		{"a route that is added later", (*envoyGateway).testLaterRoute},
		{"the Service of the chart without a Backend", (*envoyGateway).testService},
		{"what ClientTrafficPolicies change", (*envoyGateway).testClientTraffic},
		{"a body that the check gets", (*envoyGateway).testBody},
		{"changes", (*envoyGateway).testChanges},
		{"a policy that another route had before", (*envoyGateway).testMovedPolicy},
		{"mutual TLS", (*envoyGateway).testMutualTLS},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(g, t) }) {
			return
		}
	}
}

func (g *envoyGateway) testShipped(t *testing.T) {
	t.Helper()
	g.check(t, g.address, rows())
	g.check(t, g.address, []row{
		{name: "two slashes, which Envoy Gateway merges", path: "/orders/", seen: "/orders", header: pair("bob"), status: 403, reason: "acl"},
		{name: "a dot segment, which Envoy Gateway resolves", path: "/catalogue/../orders", seen: "/orders", header: pair("bob"), status: 403, reason: "acl"},
	})
	g.checkGRPC(t, g.address)
	checkTutorial(t, "envoy-gateway.md", g.address)
	t.Run("an encoded slash is redirected", func(t *testing.T) {
		got, err := send(t, clients()["HTTP1"], g.address, parts.Request{Host: host, Target: "/catalogue%2f..%2forders"}, pair("bob"))
		must(t, err)
		if got.Status != http.StatusTemporaryRedirect || got.Header.Get("Location") != "/orders" {
			t.Errorf("status = %d, Location %q; want 307 and /orders", got.Status, got.Header.Get("Location"))
		}
	})
	t.Run("a preflight is answered without a check", func(t *testing.T) {
		const path = "/orders/preflight"
		got, err := send(t, clients()["HTTP1"], g.address, parts.Request{Method: http.MethodOptions, Host: host, Target: path}, preflight())
		must(t, err)
		if got.Status != http.StatusOK || got.Header.Get("Access-Control-Allow-Origin") == "" || g.upstream.Reached(path) != 0 {
			t.Errorf("status = %d, headers %v; the upstream got %d requests", got.Status, got.Header, g.upstream.Reached(path))
		}
		g.checkReason(t, path, "")
	})
}

func (g *envoyGateway) testStatus(t *testing.T) {
	t.Helper()
	for _, policy := range []string{"vault-authz", "orders"} {
		if got := g.accepted(t, policy); got.Status != "True" {
			t.Errorf("%s: %+v", policy, got)
		}
	}
}

func (g *envoyGateway) testNetworkPolicy(t *testing.T) {
	t.Helper()
	name := g.kubectl(t, "get", "deployments", "--namespace", system, "--selector", envoys, "--output", "name")
	g.checkAdmitted(t, system, strings.TrimSpace(name))
}

// policies are the shipped ones.
func policies(t *testing.T) string {
	t.Helper()
	return partstest.Shipped(t, "envoy-gateway/security-policy.yaml")
}

func (g *envoyGateway) testOutage(t *testing.T) {
	t.Helper()
	shipped := policies(t)
	g.service.Kill()
	for _, test := range []struct {
		name, policies string
		status         int
	}{
		{"the shipped policies", shipped, http.StatusServiceUnavailable},
		{"without statusOnError", strings.ReplaceAll(shipped, "    statusOnError: 503", ""), http.StatusForbidden},
		{"with failOpen", strings.ReplaceAll(shipped, "failOpen: false", "failOpen: true"), http.StatusOK},
		{"the shipped policies again", shipped, http.StatusServiceUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.apply(t, test.policies)
			g.await(t, g.address, "/orders", test.status)
			g.checkDown(t, g.address, test.status, "")
		})
	}
	g.start(t)
	g.checkUp(t, g.address)
}

// A policy that Envoy Gateway cannot carry out denies, unless it says failOpen.
func (g *envoyGateway) testUnusableBackend(t *testing.T) {
	t.Helper()
	shipped := policies(t)
	grant := document(t, partstest.Shipped(t, "envoy-gateway/backend.yaml"), "kind: ReferenceGrant")
	for _, test := range []struct{ name, policies, grant, says string }{
		{"it does not exist", strings.ReplaceAll(shipped, "kind: Backend, name: vault-authz,", "kind: Backend, name: vault-autz,"), grant, "backend vault-authz/vault-autz not found"},
		{"no ReferenceGrant names it", shipped, strings.Replace(grant, "kind: Backend, name: vault-authz", "kind: Backend, name: another", 1), "not permitted by any ReferenceGrant"},
		{"no ReferenceGrant is for this namespace", shipped, strings.Replace(grant, "namespace: shop}]", "namespace: market}]", 1), "not permitted by any ReferenceGrant"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.apply(t, test.grant+"\n---\n"+test.policies)
			g.await(t, g.address, "/orders", http.StatusInternalServerError)
			if got := g.accepted(t, "orders"); got.Status != "False" || !strings.Contains(got.Message, test.says) {
				t.Errorf("%+v", got)
			}
			g.apply(t, strings.ReplaceAll(test.policies, "failOpen: false", "failOpen: true"))
			g.await(t, g.address, "/orders", http.StatusOK)
			g.apply(t, grant+"\n---\n"+shipped)
			g.await(t, g.address, "/orders", http.StatusUnauthorized)
		})
	}
}

// A policy of a route replaces that of the Gateway, unless it says how to merge the two.
func (g *envoyGateway) testRoutePolicy(t *testing.T) {
	t.Helper()
	shipped := policies(t)
	orders := document(t, shipped, "metadata: {name: orders, namespace: shop}")
	alone, _, _ := strings.Cut(orders, "  extAuth:")
	g.apply(t, alone)
	g.await(t, g.address, "/orders", http.StatusOK)
	g.await(t, g.address, "/catalogue", http.StatusUnauthorized)
	g.apply(t, alone+"  mergeType: StrategicMerge\n")
	g.await(t, g.address, "/orders", http.StatusUnauthorized)
	g.apply(t, shipped)
	g.awaitWith(t, g.address, "/orders", pair("bob"), http.StatusForbidden)
}

// testLaterRoute: there is no moment in which it is not checked.
func (g *envoyGateway) testLaterRoute(t *testing.T) {
	t.Helper()
	later := strings.NewReplacer("name: orders", "name: later", "value: /orders", "value: /later").
		Replace(document(t, partstest.Shipped(t, "envoy-gateway/example.yaml"), "metadata: {name: orders, namespace: shop}"))
	g.checkLater(t, g.address, func() { g.apply(t, partstest.With(t, later, "api.example.com", "later.example.com")) })
	g.kubectl(t, "delete", "httproutes/later", "--namespace", "shop")
}

func (g *envoyGateway) testService(t *testing.T) {
	t.Helper()
	g.apply(t, strings.NewReplacer("name: shop,", "name: services,", "group: gateway.envoyproxy.io, kind: Backend, name", `group: "", kind: Service, name`).
		Replace(document(t, partstest.Shipped(t, "envoy-gateway/backend.yaml"), "kind: ReferenceGrant")))
	g.kubectl(t, "delete", "backends/vault-authz", "--namespace", "vault-authz")
	g.await(t, g.address, "/orders", http.StatusInternalServerError)
	g.apply(t, strings.ReplaceAll(policies(t), "group: gateway.envoyproxy.io, kind: Backend, name", "name"))
	g.await(t, g.address, "/orders", http.StatusUnauthorized)
	g.checkOne(t, clients()["HTTP1"], g.address, rows()[0])
	g.apply(t, partstest.Shipped(t, "envoy-gateway/backend.yaml"))
	g.apply(t, policies(t))
	g.accepted(t, "orders")
	g.kubectl(t, "delete", "referencegrants/services", "--namespace", "vault-authz")
}

func (g *envoyGateway) testClientTraffic(t *testing.T) {
	t.Helper()
	shipped := document(t, policies(t), "kind: ClientTrafficPolicy")
	g.apply(t, shipped+"\n  path: {escapedSlashesAction: RejectRequest}\n")
	g.await(t, g.address, "/catalogue%2forders", http.StatusBadRequest)
	g.kubectl(t, "delete", "clienttrafficpolicies/headers", "--namespace", "shop")
	g.awaitWith(t, g.address, "/orders", pair("alice"), http.StatusBadRequest)
	g.awaitWith(t, g.address, "/orders", fields{"access-token", "alice", "secret-token", secretOf("alice")}, http.StatusOK)
	g.apply(t, shipped)
	g.awaitWith(t, g.address, "/orders", pair("alice"), http.StatusOK)
}

// testBody: the check gets a whole body or none.
func (g *envoyGateway) testBody(t *testing.T) {
	t.Helper()
	shipped := document(t, policies(t), "metadata: {name: orders, namespace: shop}")
	g.apply(t, shipped+"\n    bodyToExtAuth: {maxRequestBytes: 16}\n")
	post := func(body string) int {
		got, err := send(t, clients()["HTTP1"], g.address, parts.Request{Method: http.MethodPost, Host: host, Target: "/orders", Body: body}, pair("alice"))
		must(t, err)
		return got.Status
	}
	partstest.Await(t, time.Minute, func(context.Context) error {
		if got := post("more than sixteen bytes"); got != http.StatusRequestEntityTooLarge {
			return fmt.Errorf("a large body: status = %d, want 413", got)
		}
		return nil
	})
	if got := post("sixteen or fewer"); got != http.StatusOK {
		t.Errorf("a small body: status = %d, want 200", got)
	}
	g.apply(t, shipped)
	partstest.Await(t, time.Minute, func(context.Context) error {
		if got := post("more than sixteen bytes"); got != http.StatusOK {
			return fmt.Errorf("a large body without bodyToExtAuth: status = %d, want 200", got)
		}
		return nil
	})
}

// certificates are what mutual-tls.yaml refers to.
const certificates = `apiVersion: v1
kind: Secret
metadata: {name: gateway-client, namespace: vault-authz}
type: kubernetes.io/tls
data: {tls.crt: %s, tls.key: %s}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: vault-authz-ca, namespace: vault-authz}
data: {ca.crt: %q}
`

func (g *envoyGateway) testMutualTLS(t *testing.T) {
	t.Helper()
	authority, err := parts.NewAuthority("authority")
	must(t, err)
	files := partstest.NewPEMFiles(t)
	files.Put("ca.pem", authority.PEM)
	files.Issue(authority, "service", "vault-authz.vault-authz.svc.cluster.local")
	client, err := authority.Issue(nil, "gateway.example.com")
	must(t, err)
	g.service.Kill()
	g.config.Config += fmt.Sprintf("grpc: {cert_file: %s, key_file: %s, client_ca_file: %s, client_names: [gateway.example.com]}\n",
		files.Path("service.pem"), files.Path("service.key"), files.Path("ca.pem"))
	g.start(t)
	g.await(t, g.address, "/orders", http.StatusServiceUnavailable)
	encode := base64.StdEncoding.EncodeToString
	g.apply(t, fmt.Sprintf(certificates, encode(client.Certificate), encode(client.Key), authority.PEM))
	g.apply(t, partstest.Shipped(t, "envoy-gateway/mutual-tls.yaml"))
	g.await(t, g.address, "/orders", http.StatusUnauthorized)
	g.checkOne(t, clients()["HTTP1"], g.address, rows()[0])
}

// await waits until a request without tokens has a status.
func (s *site) await(t *testing.T, address, path string, want int) {
	t.Helper()
	s.awaitWith(t, address, path, nil, want)
}

// awaitWith waits until a request has a status.
func (*site) awaitWith(t *testing.T, address, path string, header fields, want int) {
	t.Helper()
	client := clients()["HTTP1"]
	partstest.Await(t, time.Minute, func(context.Context) error {
		got, err := send(t, client, address, parts.Request{Host: host, Target: path}, header)
		if err == nil && got.Status != want {
			err = fmt.Errorf("%s: status = %d, want %d", path, got.Status, want)
		}
		return err
	})
}
