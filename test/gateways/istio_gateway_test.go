package gateways

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

func TestIstiosIngressGatewayAsksVaultAuthz(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	s := startSite(t, istioValues)
	_, address := startIngress(t, s, partstest.Shipped(t, istiodValues), "ingress-gateway.yaml")
	s.check(t, address, rows())
	s.check(t, address, []row{
		{name: "an encoded slash, which Istio keeps", path: "/orders%2f7", header: pair("alice"), status: 400, reason: "ambiguous_path"},
		{name: "an encoded slash around a policy", path: "/catalogue%2f..%2forders", header: pair("bob"), status: 400, reason: "ambiguous_path"},
		{name: "two slashes, which Istio keeps", path: "/orders/", header: pair("bob"), status: 400, reason: "ambiguous_path"},
		{name: "a dot segment, which Istio removes", path: "/catalogue/../orders", seen: "/orders", header: pair("bob"), status: 403, reason: "acl"},
		{name: "a host that is not protected", host: "open.example.com", path: "/open", status: 200, open: true},
	})
	s.checkGRPC(t, address)
	checkTutorial(t, "istio.md", address)
}

// preflight is what a browser sends before a request from another site.
func preflight() fields {
	return fields{"Origin", "https://app.example.com", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "access-token"}
}

// Istio's cors filter comes after the check.
func TestIstioAnswersAPreflightThatThePolicyLetsThrough(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	s := startSite(t, istioValues)
	_, address := startIngress(t, s, partstest.Shipped(t, istiodValues), "ingress-gateway.yaml")
	for path, want := range map[string]int{
		"/orders/1":    http.StatusOK,           // run_on_preflight: false
		"/catalogue/1": http.StatusUnauthorized, // the default
	} {
		got, err := send(t, clients()["HTTP1"], address, parts.Request{Method: http.MethodOptions, Host: host, Target: path}, append(preflight(), forged()...))
		must(t, err)
		if origin := got.Header.Get("Access-Control-Allow-Origin"); got.Status != want || (origin != "") != (want == http.StatusOK) {
			t.Errorf("%s: status = %d, allowed origin %q, want %d", path, got.Status, origin, want)
		}
		if n := s.upstream.Reached(path); n != 0 {
			t.Errorf("%s reached the upstream %d times", path, n)
		}
	}
}

func TestIstioDecidesByItsProviderWhatHappensWithoutVaultAuthz(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	shipped := partstest.Shipped(t, istiodValues)
	for _, test := range []struct {
		name, values string
		status       int
	}{
		{"the shipped provider", shipped, http.StatusServiceUnavailable},
		{"without statusOnError", partstest.With(t, shipped, "        statusOnError: \"503\"", ""), http.StatusForbidden},
		{"with failOpen", partstest.With(t, shipped, "failOpen: false", "failOpen: true"), http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startSite(t, istioValues)
			_, address := startIngress(t, s, test.values, "ingress-gateway.yaml")
			s.checkOutage(t, address, test.status)
		})
	}
}

// The name of a provider that does not exist denies: Istio does not leave the check out.
func TestIstioDeniesIfItDoesNotKnowTheProvider(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	s := startSite(t, istioValues)
	_, address := startIngress(t, s, partstest.With(t, partstest.Shipped(t, istiodValues), "name: vault-authz", "name: vault-autz"), "ingress-gateway.yaml")
	s.check(t, address, []row{{name: "a good pair", path: "/orders", header: pair("alice"), status: 403}})
}

func TestAChangedAuthorizationPolicyReachesARunningGateway(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	s := startSite(t, istioValues)
	i, address := startIngress(t, s, partstest.Shipped(t, istiodValues), "ingress-gateway.yaml")
	s.await(t, address, "/orders", http.StatusUnauthorized)
	shipped := partstest.Shipped(t, "istio/ingress-gateway.yaml")
	i.replace(t, "ingress-gateway.yaml", partstest.With(t, shipped, `[open.example.com, "open.example.com:*"]`, `[open.example.com, "open.example.com:*", api.example.com]`))
	s.await(t, address, "/orders", http.StatusOK)
	i.replace(t, "ingress-gateway.yaml", shipped)
	s.await(t, address, "/orders", http.StatusUnauthorized)
	i.replace(t, "ingress-gateway.yaml", "")
	s.await(t, address, "/orders", http.StatusOK)
}

func TestAGatewayOfTheGatewayAPIAsksVaultAuthz(t *testing.T) {
	t.Parallel()
	need(t, "ISTIOXDS_BIN")
	s := startSite(t, istioValues)
	listen := freePort(t)
	i := startIstio(t, partstest.Shipped(t, istiodValues), s.istioFiles(t, listen, "gateway-api.yaml"))
	p := ingress(t)
	p.labels = "{gateway.networking.k8s.io/gateway-name: public}"
	i.startEnvoy(t, p)
	s.check(t, "127.0.0.1:"+listen, rows())
}

// checkOutage stops vault-authz, wants the status, and starts it again. If the gateway lets
// requests through, then also those with a forged identity.
func (s *site) checkOutage(t *testing.T, address string, status int) {
	t.Helper()
	ask := func(path string) parts.Response {
		got, err := send(t, clients()["HTTP1"], address, parts.Request{Host: host, Target: path}, append(pair("alice"), "x-consumer-username", "forged"))
		must(t, err)
		return got
	}
	if got := ask("/orders/before"); got.Status != http.StatusOK {
		t.Fatalf("before: status = %d, want 200; body %.300s", got.Status, got.Body)
	}
	s.service.Kill()
	got := ask("/orders/meanwhile")
	if got.Status != status {
		t.Errorf("meanwhile: status = %d, want %d; body %.300s", got.Status, status, got.Body)
	}
	switch open := status == http.StatusOK; {
	case !open && got.Echo != nil:
		t.Errorf("meanwhile the upstream got %+v", got.Echo)
	case open && (got.Echo == nil || consumer(got.Echo) != "forged"):
		t.Errorf("meanwhile the upstream got %+v, want what the client sent", got.Echo)
	}
	s.start(t)
	partstest.Await(t, time.Minute, func(context.Context) error {
		if got := ask("/orders/after"); got.Status != http.StatusOK || got.Echo == nil || consumer(got.Echo) != "alice" {
			return fmt.Errorf("status = %d, the upstream got %+v", got.Status, got.Echo)
		}
		return nil
	})
}
