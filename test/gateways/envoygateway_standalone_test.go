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

const envoyGatewayValues = "envoy-gateway/vault-authz-values.yaml"

// One Envoy Gateway for all of it, one part after the other: its ports are fixed.
func TestEnvoyGatewayAsksVaultAuthz(t *testing.T) {
	need(t, "ENVOY_GATEWAY_BIN")
	s := startSite(t, envoyGatewayValues)
	listen := freePort(t)
	g := startEnvoyGateway(t, s, listen, s.envoyGatewayFiles(t, listen))
	s.await(t, g.address, "/orders", http.StatusUnauthorized)
	t.Run("the shipped files", func(t *testing.T) { g.testShipped(t, s) })
	t.Run("a policy that is deleted and made again", func(t *testing.T) { g.replacePolicies(t, s, policies(t)) })
	t.Run("an outage", func(t *testing.T) { g.testOutage(t, s) })
	t.Run("a Backend that cannot be used", func(t *testing.T) { g.testUnknownBackend(t, s) })
	t.Run("a policy of a route", func(t *testing.T) { g.testRoutePolicy(t, s) })
	t.Run("mutual TLS", func(t *testing.T) { g.testMutualTLS(t, s) })
}

func (g *envoyGateway) testShipped(t *testing.T, s *site) {
	t.Helper()
	s.check(t, g.address, rows())
	s.check(t, g.address, []row{
		{name: "two slashes, which Envoy Gateway merges", path: "/orders/", seen: "/orders", header: pair("bob"), status: 403, reason: "acl"},
		{name: "a dot segment, which Envoy Gateway resolves", path: "/catalogue/../orders", seen: "/orders", header: pair("bob"), status: 403, reason: "acl"},
	})
	s.checkGRPC(t, g.address)
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
		if got.Status != http.StatusOK || got.Header.Get("Access-Control-Allow-Origin") == "" || s.upstream.Reached(path) != 0 {
			t.Errorf("status = %d, headers %v; the upstream got %d requests", got.Status, got.Header, s.upstream.Reached(path))
		}
		s.checkReason(t, path, "")
	})
}

// replacePolicies deletes the policies and makes others. Only so a field can be left out: Envoy
// Gateway merges a changed file into what it read before.
func (g *envoyGateway) replacePolicies(t *testing.T, s *site, text string) {
	t.Helper()
	write(t, g.folder, "security-policy.yaml", document(t, policies(t), "kind: ClientTrafficPolicy"))
	s.await(t, g.address, "/orders", http.StatusOK)
	s.await(t, g.address, "/catalogue", http.StatusOK)
	write(t, g.folder, "security-policy.yaml", text)
	s.await(t, g.address, "/catalogue", http.StatusUnauthorized)
}

func (g *envoyGateway) testOutage(t *testing.T, s *site) {
	t.Helper()
	shipped := policies(t)
	for _, test := range []struct {
		name, policies string
		status         int
	}{
		{"the shipped policies", shipped, http.StatusServiceUnavailable},
		{"without statusOnError", strings.ReplaceAll(shipped, "    statusOnError: 503", ""), http.StatusForbidden},
		{"with failOpen", strings.ReplaceAll(shipped, "failOpen: false", "failOpen: true"), http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.replacePolicies(t, s, test.policies)
			s.await(t, g.address, "/orders", http.StatusUnauthorized)
			s.checkOutage(t, g.address, test.status)
		})
	}
}

// A policy that Envoy Gateway cannot carry out denies, unless it says failOpen.
func (g *envoyGateway) testUnknownBackend(t *testing.T, s *site) {
	t.Helper()
	for name, text := range map[string]string{
		"it does not exist":                             strings.ReplaceAll(policies(t), "kind: Backend, name: vault-authz,", "kind: Backend, name: vault-autz,"),
		"it is in a namespace without a ReferenceGrant": partstest.Shipped(t, "envoy-gateway/security-policy.yaml"),
	} {
		t.Run(name, func(t *testing.T) {
			write(t, g.folder, "security-policy.yaml", text)
			s.await(t, g.address, "/orders", http.StatusInternalServerError)
			write(t, g.folder, "security-policy.yaml", strings.ReplaceAll(text, "failOpen: false", "failOpen: true"))
			s.await(t, g.address, "/orders", http.StatusOK)
			g.replacePolicies(t, s, policies(t))
		})
	}
}

// A policy of a route replaces that of the Gateway, unless it says how to merge the two.
func (g *envoyGateway) testRoutePolicy(t *testing.T, s *site) {
	t.Helper()
	shipped := policies(t)
	orders := document(t, shipped, "metadata: {name: orders, namespace: shop}")
	alone, _, _ := strings.Cut(orders, "  extAuth:")
	g.replacePolicies(t, s, strings.Replace(shipped, orders, alone, 1))
	s.await(t, g.address, "/orders", http.StatusOK)
	s.await(t, g.address, "/catalogue", http.StatusUnauthorized)
	g.replacePolicies(t, s, strings.Replace(shipped, orders, alone+"  mergeType: StrategicMerge\n", 1))
	s.await(t, g.address, "/orders", http.StatusUnauthorized)
	g.replacePolicies(t, s, shipped)
	s.await(t, g.address, "/orders", http.StatusUnauthorized)
}

// certificates are what mutual-tls.yaml refers to.
const certificates = `apiVersion: v1
kind: Secret
metadata: {name: gateway-client, namespace: shop}
type: kubernetes.io/tls
data: {tls.crt: %s, tls.key: %s}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: vault-authz-ca, namespace: shop}
data: {ca.crt: %q}
`

func (g *envoyGateway) testMutualTLS(t *testing.T, s *site) {
	t.Helper()
	authority, err := parts.NewAuthority("authority")
	must(t, err)
	files := partstest.NewPEMFiles(t)
	files.Put("ca.pem", authority.PEM)
	files.Issue(authority, "service", "vault-authz.vault-authz.svc.cluster.local")
	client, err := authority.Issue(nil, "gateway.example.com")
	must(t, err)
	s.service.Kill()
	s.config.Entities += fmt.Sprintf("grpc: {cert_file: %s, key_file: %s, client_ca_file: %s, client_names: [gateway.example.com]}\n",
		files.Path("service.pem"), files.Path("service.key"), files.Path("ca.pem"))
	s.start(t)
	s.await(t, g.address, "/orders", http.StatusServiceUnavailable)
	encode := base64.StdEncoding.EncodeToString
	write(t, g.folder, "certificates.yaml", fmt.Sprintf(certificates, encode(client.Certificate), encode(client.Key), authority.PEM))
	write(t, g.folder, "backend.yaml", s.backend(t, "mutual-tls.yaml"))
	s.await(t, g.address, "/orders", http.StatusUnauthorized)
	s.checkOne(t, clients()["HTTP1"], g.address, rows()[0])
}

// await waits until a request without tokens has a status.
func (s *site) await(t *testing.T, address, path string, want int) {
	t.Helper()
	s.awaitWith(t, address, path, nil, want)
}

// awaitWith waits until a request with headers has a status.
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
