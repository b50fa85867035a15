package gateways

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// One cluster for all of it, one part after the other: each part changes what Istio does, and
// changes it back.
func TestIstioAsksVaultAuthz(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOD_BIN")
	// There is no network from here on.
	istioCharts(t)
	gatewayAPI(t)
	if !partstest.OnItsOwnMachine(t) {
		return
	}
	i := startIstio(t)
	i.ship(t, "example.yaml")
	i.ship(t, "ingress-gateway.yaml")
	i.startGateway(t, "istio-ingress", ingressPod)
	i.await(t, ingressAddress, "/orders", http.StatusUnauthorized)
	t.Run("the ingress gateway", i.testIngress)
	t.Run("a preflight", i.testPreflight)
	t.Run("changes", i.testChanges)
	t.Run("a policy beneath", i.testBeneath)
	t.Run("a host that is added later", i.testLaterHost)
	t.Run("the start of a gateway", i.testStart)
	t.Run("an outage", i.testOutage)
	t.Run("a provider that does not exist", i.testUnknownProvider)
	t.Run("slashes that Istio decodes and merges", i.testSlashes)
	t.Run("a JWT", i.testJWT)
	t.Run("a sidecar", i.testSidecar)
	t.Run("the Service of the chart", i.testHeadless)
	t.Run("what the API server refuses", i.testRefused)
	// The others take its port.
	i.gateway.Stop(time.Minute)
	t.Run("a Gateway of the Gateway API", i.testGatewayAPI)
	t.Run("identities of the mesh", i.testMeshOnly)
}

const ingressAddress, gatewayAddress = ingressPod + ":80", gatewayPod + ":80"

func (i *istio) testIngress(t *testing.T) {
	i.check(t, ingressAddress, rows())
	i.check(t, ingressAddress, []row{
		{name: "an encoded slash, which Istio keeps", path: "/orders%2f7", header: pair("alice"), status: 400, reason: "ambiguous_path"},
		{name: "an encoded slash around a policy", path: "/catalogue%2f..%2forders", header: pair("bob"), status: 400, reason: "ambiguous_path"},
		{name: "two slashes, which Istio keeps", path: "/orders/", header: pair("bob"), status: 400, reason: "ambiguous_path"},
		{name: "a dot segment, which Istio removes", path: "/catalogue/../orders", seen: "/orders", header: pair("bob"), status: 403, reason: "acl"},
		{name: "a host that is not protected", host: "open.example.com", path: "/open", status: 200, open: true},
		{name: "a host that is not protected, with a port", host: "open.example.com:8080", path: "/open", status: 200, open: true},
	})
	i.checkGRPC(t, ingressAddress)
	checkTutorial(t, "istio.md", ingressAddress)
}

// preflight is what a browser sends before a request from another site.
func preflight() fields {
	return fields{"Origin", "https://app.example.com", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "access-token"}
}

// Istio's cors filter comes after the check.
func (i *istio) testPreflight(t *testing.T) {
	for path, want := range map[string]int{
		"/orders/1":    http.StatusOK,           // run_on_preflight: false
		"/catalogue/1": http.StatusUnauthorized, // the default
	} {
		got, err := send(t, clients()["HTTP1"], ingressAddress, parts.Request{Method: http.MethodOptions, Host: host, Target: path}, append(preflight(), forged()...))
		must(t, err)
		if origin := got.Header.Get("Access-Control-Allow-Origin"); got.Status != want || (origin != "") != (want == http.StatusOK) {
			t.Errorf("%s: status = %d, allowed origin %q, want %d", path, got.Status, origin, want)
		}
		if got.Echo != nil {
			t.Errorf("%s reached the upstream", path)
		}
	}
}

// The provider, which an upgrade of Istio's chart changes at run time, says what happens
// without vault-authz.
func (i *istio) testOutage(t *testing.T) {
	must(t, i.service.Signal(syscall.SIGSTOP))
	start := time.Now()
	i.await(t, ingressAddress, "/hangs", http.StatusServiceUnavailable)
	t.Logf("vault-authz does not answer: 503 after %s", time.Since(start).Round(time.Millisecond))
	must(t, i.service.Signal(syscall.SIGCONT))
	i.await(t, ingressAddress, "/orders", http.StatusUnauthorized)

	shipped := partstest.Shipped(t, istiodValues)
	i.service.Kill()
	for _, test := range []struct {
		name, values string
		status       int
	}{
		{"the shipped provider", shipped, http.StatusServiceUnavailable},
		{"without statusOnError", partstest.With(t, shipped, "        statusOnError: \"503\"", ""), http.StatusForbidden},
		{"with failOpen", partstest.With(t, shipped, "failOpen: false", "failOpen: true"), http.StatusOK},
		{"the shipped provider again", shipped, http.StatusServiceUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			i.provide(t, test.values)
			i.await(t, ingressAddress, "/orders", test.status)
			t.Logf("the gateway answers %d %s after the start of helm", test.status, time.Since(start).Round(time.Millisecond))
			i.checkDown(t, ingressAddress, test.status, "forged")
		})
	}
	i.start(t)
	i.checkUp(t, ingressAddress)
}

// The name of a provider that does not exist denies: Istio does not leave the check out.
func (i *istio) testUnknownProvider(t *testing.T) {
	i.ship(t, "ingress-gateway.yaml", "provider: {name: vault-authz}", "provider: {name: vault-autz}")
	i.await(t, ingressAddress, "/orders", http.StatusForbidden)
	i.check(t, ingressAddress, []row{{name: "a good pair", path: "/orders", header: pair("alice"), status: 403}})
	if !strings.Contains(i.istiod.Log(), "vault-autz") {
		t.Error("istiod does not log the name of the provider")
	}
	i.ship(t, "ingress-gateway.yaml")
	i.await(t, ingressAddress, "/orders", http.StatusUnauthorized)
}

func (i *istio) testSlashes(t *testing.T) {
	shipped := partstest.Shipped(t, istiodValues)
	i.provide(t, partstest.With(t, shipped, "meshConfig:\n", "meshConfig:\n  pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}\n"))
	i.awaitWith(t, ingressAddress, "/orders%2f7", pair("alice"), http.StatusOK)
	i.check(t, ingressAddress, []row{
		{name: "an encoded slash", path: "/orders%2f7", seen: "/orders/7", header: pair("alice"), status: 200, consumer: "alice", reason: "authenticated"},
		{name: "an encoded slash around a policy", path: "/catalogue%2f..%2forders", seen: "/orders", header: pair("bob"), status: 403, reason: "acl"},
		{name: "two slashes", path: "/orders/", seen: "/orders", header: pair("bob"), status: 403, reason: "acl"},
	})
	i.provide(t, partstest.With(t, shipped, "meshConfig:\n", "meshConfig:\n  pathNormalization: {normalization: DEFAULT}\n"))
	i.awaitWith(t, ingressAddress, "/orders%2f7", pair("alice"), http.StatusBadRequest)
}

func (i *istio) testGatewayAPI(t *testing.T) {
	i.ship(t, "gateway-api.yaml")
	// istiod makes them for the Gateway.
	partstest.Await(t, time.Minute, func(ctx context.Context) error {
		_, err := i.Kubectl(ctx, "", "get", "deployment/public-istio", "service/public-istio", "serviceaccount/public-istio", "--namespace", "istio-ingress")
		return err
	})
	i.startGateway(t, "public-istio", gatewayPod)
	defer func() { i.gateway.Stop(time.Minute) }()
	i.await(t, gatewayAddress, "/orders", http.StatusUnauthorized)
	i.check(t, gatewayAddress, rows())
	i.checkGRPC(t, gatewayAddress)
	i.kubectl(t, "wait", "--for=condition=Accepted", "gateway.gateway.networking.k8s.io/public", "--namespace", "istio-ingress", "--timeout=60s")
	accepted := i.kubectl(t, "get", "httproute", "orders", "--namespace", "shop", "--output", `jsonpath={.status.parents[0].conditions[?(@.type=="Accepted")].status}`)
	if accepted != "True" {
		t.Errorf("the HTTPRoute is accepted: %q, want True", accepted)
	}
	policy := document(t, partstest.Shipped(t, "istio/gateway-api.yaml"), "kind: AuthorizationPolicy")
	changes := []change{
		{"the policy is deleted", func() {
			i.kubectl(t, "delete", "authorizationpolicies/vault-authz-public", "--namespace", "istio-ingress")
		}, 200, ""},
		{"the policy is made again", func() { i.apply(t, policy) }, 401, ""},
	}
	i.makeChanges(t, gatewayAddress, changes, http.StatusOK)
	modifications := i.counter(t, modified)
	i.ship(t, beneath)
	partstest.Await(t, time.Minute, func(context.Context) error {
		if i.counter(t, modified) == modifications {
			return errors.New("the listener is not modified")
		}
		return nil
	})
	t.Run("with a policy beneath", func(t *testing.T) { i.makeChanges(t, gatewayAddress, changes, http.StatusForbidden) })
	i.check(t, gatewayAddress, rows()[:1])
	i.remove(t, beneath)
}

// checkDown checks what a gateway does while vault-authz is down. If it lets requests through,
// they have what the gateway leaves of a forged identity.
func (s *site) checkDown(t *testing.T, address string, status int, identity string) {
	t.Helper()
	got := s.ask(t, address, "/orders/meanwhile")
	if got.Status != status {
		t.Errorf("meanwhile: status = %d, want %d; body %.300s", got.Status, status, got.Body)
	}
	switch open := status == http.StatusOK; {
	case !open && got.Echo != nil:
		t.Errorf("meanwhile the upstream got %+v", got.Echo)
	case open && (got.Echo == nil || consumer(got.Echo) != identity):
		t.Errorf("meanwhile the upstream got %+v, want the consumer %q", got.Echo, identity)
	}
}

// checkUp waits until vault-authz is asked again.
func (s *site) checkUp(t *testing.T, address string) {
	t.Helper()
	partstest.Await(t, time.Minute, func(context.Context) error {
		if got := s.ask(t, address, "/orders/after"); got.Status != http.StatusOK || got.Echo == nil || consumer(got.Echo) != "alice" {
			return fmt.Errorf("status = %d, the upstream got %+v", got.Status, got.Echo)
		}
		return nil
	})
}

// ask sends a good pair and a forged identity.
func (*site) ask(t *testing.T, address, path string) parts.Response {
	t.Helper()
	got, err := send(t, clients()["HTTP1"], address, parts.Request{Host: host, Target: path}, append(pair("alice"), "x-consumer-username", "forged"))
	must(t, err)
	return got
}
