package gateways

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// beneath is the file with the policies that deny what was not checked.
const beneath = "only-checked.yaml"

// A change of objects, which is made while clients without tokens send requests.
type change struct {
	name string
	make func()
	// status is what a new connection gets after it. 200 stands for no check.
	status int
	// counter of Envoy says that the change is done, if the status stays.
	counter string
}

const modified, updated = "listener_manager.listener_modified", "listener_manager.lds.update_success"

// testChanges: a listener of Envoy has its checks in it, so a new connection has the checks from
// before a change or those from after it, and an open one has one more request with those from
// before. Nothing is unchecked with the policies beneath.
func (i *istio) testChanges(t *testing.T) {
	const file, open = "ingress-gateway.yaml", `[open.example.com, "open.example.com:*"]`
	policy, provider := partstest.Shipped(t, "istio/"+file), partstest.Shipped(t, istiodValues)
	apply := func(pairs ...string) func() { return func() { i.ship(t, file, pairs...) } }
	provide := func(values string) func() { return func() { i.provide(t, values) } }
	changes := []change{
		{"a host becomes open", apply(open, `[open.example.com, "open.example.com:*", api.example.com]`), 200, ""},
		{"a host becomes protected", apply(), 401, ""},
		{"the policy is deleted", func() { i.remove(t, file) }, 200, ""},
		{"the policy is made again", apply(), 401, ""},
		{"a second policy", apply("name: vault-authz, namespace", "name: second, namespace", open, "[second.example.com]"), 401, modified},
		{"the first policy is deleted", func() { i.remove(t, file) }, 401, modified},
		{"the first policy is made again", apply(), 401, modified},
		{"the second policy is deleted", func() { i.kubectl(t, "delete", "authorizationpolicies/second", "--namespace", "istio-ingress") }, 401, modified},
		{"another timeout of the provider", provide(partstest.With(t, provider, "0.5s", "0.6s")), 401, modified},
		{"no provider", provide("meshConfig: {extensionProviders: []}"), 403, ""},
		{"the provider", provide(provider), 401, ""},
		{"a policy with an unknown provider", apply("provider: {name: vault-authz}", "provider: {name: vault-autz}"), 403, ""},
		{"the policy", apply(), 401, ""},
		{"istiod stops", func() { i.istiod.Kill() }, 401, ""},
		{"istiod starts", func() { i.runIstiod(t) }, 401, updated},
	}
	i.makeChanges(t, ingressAddress, changes, http.StatusOK)
	i.ship(t, beneath)
	i.ship(t, "client-headers.yaml")
	i.awaitNoIdentity(t)
	t.Run("with a policy beneath", func(t *testing.T) {
		i.makeChanges(t, ingressAddress, append(changes,
			change{"the policy is replaced by force", func() {
				_, err := i.Kubectl(t.Context(), partstest.With(t, policy, "provider: {name: vault-authz}", "provider: {name: vault-autz}"), "replace", "--force", "--filename", "-")
				must(t, err)
			}, 403, ""},
			change{"the policy is replaced back", func() { i.kubectl(t, "replace", "--force", "--filename", deployed("istio/"+file)) }, 401, ""},
		), http.StatusForbidden)
	})
}

// makeChanges makes changes one after the other. unchecked is the status of a request without a
// check.
func (i *istio) makeChanges(t *testing.T, address string, changes []change, unchecked int) {
	t.Helper()
	before := http.StatusUnauthorized
	for _, c := range changes {
		if c.status == http.StatusOK {
			c.status = unchecked
		}
		t.Run(c.name, func(t *testing.T) {
			first := before
			if before == c.status {
				first = 0
			}
			idle, w := i.idle(t, address, "/orders"), i.watch(t, address, "/orders")
			count := i.counter(t, c.counter)
			start := time.Now()
			c.make()
			for c.counter != "" && i.counter(t, c.counter) == count {
				i.await(t, address, "/orders", c.status)
			}
			i.await(t, address, "/orders", c.status)
			took := time.Since(start)
			for version, client := range idle {
				i.checkOld(t, address, version, client, "/orders", first)
			}
			w.end()
			t.Logf("done after %s; requests without tokens: %s", took.Round(time.Millisecond), w)
			if w.passed() && before != http.StatusOK && c.status != http.StatusOK {
				t.Error("requests without tokens passed")
			}
		})
		before = c.status
	}
}

// counter returns a counter of the Envoy of the gateway, 0 for none.
func (i *istio) counter(t *testing.T, name string) int {
	t.Helper()
	if name == "" {
		return 0
	}
	n, err := i.gateway.Counter(t.Context(), name)
	must(t, err)
	return n
}

// awaitNoIdentity waits until a host that is not checked gets no identity from a client.
func (i *istio) awaitNoIdentity(t *testing.T) {
	t.Helper()
	partstest.Await(t, time.Minute, func(ctx context.Context) error {
		r := parts.Request{Host: "open.example.com", Target: "/open"}
		for _, name := range []string{"X-Consumer-Username", "x_consumer_id", "x.consumer.groups", "X-Credential-Identifier", "X-Anonymous-Consumer", "X-Authenticated-Groups"} {
			r.Header = append(r.Header, parts.Field{Name: name, Value: "forged"})
		}
		got, err := parts.Send(ctx, clients()["HTTP1"], ingressAddress, r)
		if err == nil && (got.Echo == nil || slices.Contains(headers(got.Echo), "forged")) {
			err = fmt.Errorf("status = %d, the upstream got %+v", got.Status, got.Echo)
		}
		return err
	})
}

// testBeneath: what the gateway does with the policies beneath, also if the provider lets everybody in.
func (i *istio) testBeneath(t *testing.T) {
	provider := partstest.Shipped(t, istiodValues)
	i.service.Kill()
	i.provide(t, partstest.With(t, provider, "failOpen: false", "failOpen: true"))
	i.await(t, ingressAddress, "/orders", http.StatusForbidden)
	i.remove(t, beneath)
	i.await(t, ingressAddress, "/orders", http.StatusOK)
	i.checkDown(t, ingressAddress, http.StatusOK, "")
	i.ship(t, beneath)
	i.await(t, ingressAddress, "/orders", http.StatusForbidden)
	i.provide(t, provider)
	i.start(t)
	i.checkUp(t, ingressAddress)
	t.Run("the ingress gateway", i.testIngress)
	t.Run("a preflight", i.testPreflight)
	i.remove(t, beneath)
	i.remove(t, "client-headers.yaml")
}

// testLaterHost: a host that is added later is checked from its first request on.
func (i *istio) testLaterHost(t *testing.T) {
	example := partstest.Shipped(t, "istio/example.yaml")
	later := partstest.With(t, document(t, example, "kind: VirtualService"), "name: shop,", "name: later,", "[api.example.com, open.example.com]", "[later.example.com]")
	i.checkLater(t, ingressAddress, func() {
		i.apply(t, partstest.With(t, example, "[api.example.com, open.example.com]\n---", "[api.example.com, open.example.com, later.example.com]\n---")+"\n---\n"+later)
	})
	i.kubectl(t, "delete", "virtualservices/later", "--namespace", "shop")
	i.apply(t, example)
}

// testStart: an Envoy that starts does not listen without the check.
func (i *istio) testStart(t *testing.T) {
	for _, test := range []struct {
		name           string
		before, change func()
	}{
		{
			"the policy is applied before the gateway",
			func() { i.remove(t, "ingress-gateway.yaml"); i.remove(t, "example.yaml") },
			func() { i.ship(t, "ingress-gateway.yaml"); i.ship(t, "example.yaml") },
		},
		{"istiod starts after Envoy", func() { i.istiod.Kill() }, func() { i.runIstiod(t) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			i.gateway.Stop(time.Minute)
			test.before()
			w := i.watch(t, ingressAddress, "/orders")
			i.restartGateway(t, "istio-ingress", ingressPod, test.change)
			i.await(t, ingressAddress, "/orders", http.StatusUnauthorized)
			w.end()
			t.Logf("requests without tokens: %s", w)
			if w.passed() {
				t.Error("requests without tokens passed")
			}
		})
	}
}
