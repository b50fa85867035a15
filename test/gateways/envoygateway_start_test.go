package gateways

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const (
	envoyGatewayValues = "envoy-gateway/vault-authz-values.yaml"
	// system is the namespace of Envoy Gateway.
	system = "envoy-gateway-system"
	// The pods of vault-authz and of the application.
	serviceAddress, shopAddress = "10.244.0.10:9191", "10.244.0.11:80"
	// envoys selects the Deployment and the Service that Envoy Gateway makes for the Gateway.
	envoys = "gateway.envoyproxy.io/owning-gateway-name=public"
)

// An envoyGateway is an Envoy Gateway in a cluster with a Gateway and its Envoy.
type envoyGateway struct {
	*cluster
	*site

	control, envoy *parts.Process
	// address is that of the listener of the Gateway.
	address string
}

// deployed returns the path of a file of the folder deploy.
func deployed(name string) string { return filepath.Join("..", "..", "deploy", name) }

// envoyGatewayChart returns the folder of the chart gateway-helm in the version of the program.
func envoyGatewayChart(t *testing.T) string {
	t.Helper()
	build, err := buildinfo.ReadFile(partstest.Binary(t, "ENVOY_GATEWAY_BIN"))
	must(t, err)
	files, err := parts.ModuleFiles(t.Context(), build.Main.Path+"@"+build.Main.Version, "charts/gateway-helm")
	must(t, err)
	return files[0]
}

// startEnvoyGateway installs Envoy Gateway, vault-authz and an application as the tutorial says,
// and waits until the Gateway asks for tokens.
func startEnvoyGateway(t *testing.T) *envoyGateway {
	t.Helper()
	g := &envoyGateway{cluster: startCluster(t, system, "shop", "vault-authz"), site: newSite(t)}
	chart := envoyGatewayChart(t)
	must(t, g.Define(t.Context(), chart+"/charts/crds/crds/gatewayapi-crds.yaml", chart+"/charts/crds/crds/generated"))
	g.helm(t, "eg", chart, system,
		// A release of the chart has these values with an image in them.
		"--values", chart+"/values.tmpl.yaml", "--set", "global.images.envoyGateway.image=images.example.com/envoyproxy/gateway:v1,global.images.envoyGateway.pullPolicy=Always",
		"--values", deployed("envoy-gateway/envoy-gateway-values.yaml"),
		// Its pod and that of its Envoy share one network here.
		"--set", "config.envoyGateway.admin.address.port=19100,config.envoyGateway.telemetry.metrics.prometheus.disable=true")
	g.helm(t, "vault-authz", deployed("chart/vault-authz"), "vault-authz",
		"--values", deployed(envoyGatewayValues), "--set", "image.repository=images.example.com/vault-authz,image.tag=dev")
	g.site.run(t, g.kubectl(t, "get", "configmap", "vault-authz", "--namespace", "vault-authz", "--output", `jsonpath={.data.config\.yaml}`), serviceAddress, shopAddress)
	g.place(t, "vault-authz", "vault-authz", serviceAddress)
	g.kubectl(t, "create", "service", "clusterip", "shop", "--namespace", "shop", "--tcp", "80")
	g.place(t, "shop", "shop", shopAddress)
	<-g.cluster.run(t, system, "jobs/eg-gateway-helm-certgen", partstest.Binary(t, "ENVOY_GATEWAY_BIN")).Exited()
	g.startControlPlane(t)
	g.kubectl(t, "apply", "--validate=strict", "--filename", deployed("envoy-gateway/example.yaml"),
		"--filename", deployed("envoy-gateway/backend.yaml"), "--filename", deployed("envoy-gateway/security-policy.yaml"))
	g.startProxy(t)
	return g
}

// startControlPlane runs Envoy Gateway as its Deployment says, until it is ready.
func (g *envoyGateway) startControlPlane(t *testing.T) {
	t.Helper()
	g.control = g.cluster.run(t, system, "deployments/envoy-gateway", partstest.Binary(t, "ENVOY_GATEWAY_BIN"))
	ctx, cancel := context.WithTimeout(t.Context(), parts.StartLimit)
	defer cancel()
	must(t, parts.Await(ctx, g.control, func(ctx context.Context) error {
		got, err := parts.Send(ctx, clients()["HTTP1"], "127.0.0.1:8081", parts.Request{Target: "/readyz"})
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("status = %d", got.Status)
		}
		return err
	}))
}

// startProxy runs the Envoy that Envoy Gateway made a Deployment for, until it listens.
func (g *envoyGateway) startProxy(t *testing.T) {
	t.Helper()
	var name string
	partstest.Await(t, time.Minute, func(ctx context.Context) error {
		var err error
		name, err = g.Kubectl(ctx, "", "get", "deployments", "--namespace", system, "--selector", envoys, "--output", "name")
		if err == nil && name == "" {
			err = errors.New("there is no Deployment for an Envoy")
		}
		return err
	})
	g.envoy = g.cluster.run(t, system, strings.TrimSpace(name), partstest.Binary(t, "ENVOY_BIN"))
	g.address = "10.244.0.12:" + g.kubectl(t, "get", "services", "--namespace", system, "--selector", envoys, "--output", "jsonpath={.items[*].spec.ports[*].targetPort}")
	ctx, cancel := context.WithTimeout(t.Context(), 2*parts.StartLimit)
	defer cancel()
	must(t, parts.Await(ctx, g.envoy, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", g.address)
		if err == nil {
			err = conn.Close()
		}
		return err
	}))
}

// A condition is what Envoy Gateway says about an object.
type condition struct {
	Type, Status, Reason, Message string
	ObservedGeneration            int
}

// accepted waits until Envoy Gateway has seen a SecurityPolicy as it is, and returns what it says
// about it.
func (g *envoyGateway) accepted(t *testing.T, policy string) condition {
	t.Helper()
	var found condition
	partstest.Await(t, time.Minute, func(ctx context.Context) error {
		raw, err := g.Kubectl(ctx, "", "get", "securitypolicies/"+policy, "--namespace", "shop", "--output", "json")
		var p struct {
			Metadata struct{ Generation int }
			Status   struct {
				Ancestors []struct{ Conditions []condition }
			}
		}
		if err := errors.Join(err, json.Unmarshal([]byte(raw), &p)); err != nil {
			return err
		}
		for _, ancestor := range p.Status.Ancestors {
			for _, c := range ancestor.Conditions {
				if c.Type == "Accepted" && c.ObservedGeneration == p.Metadata.Generation {
					found = c
					return nil
				}
			}
		}
		return fmt.Errorf("the status of %s: %+v", policy, p.Status)
	})
	return found
}
