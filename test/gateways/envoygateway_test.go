package gateways

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// fixedPorts are those that Envoy Gateway listens on, whatever its configuration is.
var fixedPorts = []string{"18000", "18002", "19000", "19001", "8081"}

// An envoyGateway is an Envoy Gateway over a folder of resources, with its Envoy.
type envoyGateway struct {
	process *parts.Process
	folder  string
	// address is that of the listener of its Gateway.
	address string
}

// startEnvoyGateway runs Envoy Gateway with resources, the files by name, until its listener
// answers. There can be one at a time on a machine.
func startEnvoyGateway(t *testing.T, s *site, listen string, resources map[string]string) *envoyGateway {
	t.Helper()
	awaitPorts(t)
	home := t.TempDir()
	// Where the library that starts Envoy looks for it before it would download one.
	bin := filepath.Join(home, "data", "envoy-versions", "1.40.0", "bin")
	must(t, errors.Join(os.MkdirAll(bin, 0o700), os.MkdirAll(filepath.Join(home, "resources"), 0o700)))
	must(t, os.Symlink(partstest.Binary(t, "ENVOY_BIN"), filepath.Join(bin, "envoy")))
	binary := partstest.Binary(t, "ENVOY_GATEWAY_BIN")
	out, err := exec.CommandContext(t.Context(), binary, "certgen", "--local", "--config-home", filepath.Join(home, "config")).CombinedOutput()
	if err != nil {
		t.Fatalf("certgen: %v\n%s", err, out)
	}
	g := &envoyGateway{folder: filepath.Join(home, "resources"), address: "127.0.0.1:" + listen}
	resources["envoy-proxy.yaml"] = partstest.With(t, read(t, "envoy-proxy.yaml"), "port: 8000", "port: "+port(t, s.upstream.Address()))
	for name, text := range resources {
		write(t, g.folder, name, text)
	}
	write(t, home, "envoy-gateway.yaml", strings.ReplaceAll(standalone(t), "$home", home))
	g.process, err = parts.Start(parts.Command{Name: "envoy-gateway", Path: binary, Dir: home, Args: []string{"server", "--config-path", filepath.Join(home, "envoy-gateway.yaml")}})
	must(t, err)
	partstest.StopWith(t, g.process)
	ctx, cancel := context.WithTimeout(t.Context(), 2*parts.StartLimit)
	defer cancel()
	if err := parts.Await(ctx, g.process, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", g.address)
		if err == nil {
			err = conn.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return g
}

// standalone returns the configuration of Envoy Gateway, with what the shipped values of its
// chart add.
func standalone(t *testing.T) string {
	t.Helper()
	var values struct {
		Config struct {
			EnvoyGateway map[string]any `yaml:"envoyGateway"`
		} `yaml:"config"`
	}
	must(t, yaml.Unmarshal([]byte(partstest.Shipped(t, "envoy-gateway/envoy-gateway-values.yaml")), &values))
	added, err := yaml.Marshal(values.Config.EnvoyGateway)
	must(t, err)
	return read(t, "envoy-gateway.yaml") + string(added)
}

// awaitPorts waits until no other program has the ports of Envoy Gateway.
func awaitPorts(t *testing.T) {
	t.Helper()
	partstest.Await(t, 3*time.Minute, func(ctx context.Context) error {
		for _, p := range fixedPorts {
			ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+p)
			if err != nil {
				return err
			}
			if err := ln.Close(); err != nil {
				return err
			}
		}
		return nil
	})
}

// envoyGatewayFiles are the shipped files for a site. The Gateway listens on a port.
func (s *site) envoyGatewayFiles(t *testing.T, listen string) map[string]string {
	t.Helper()
	// Without Kubernetes there are no Services.
	example := strings.ReplaceAll(partstest.Shipped(t, "envoy-gateway/example.yaml"), "[{name: shop, port: 80}]", "[{group: gateway.envoyproxy.io, kind: Backend, name: shop}]")
	return map[string]string{
		"example.yaml": partstest.With(t, example,
			"protocol: HTTP, port: 80}", "protocol: HTTP, port: "+listen+"}",
			"gatewayclass-controller}", "gatewayclass-controller, parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: host, namespace: envoy-gateway-system}}",
		),
		"backend.yaml":         s.backend(t, "backend.yaml"),
		"security-policy.yaml": policies(t),
	}
}

// policies returns the shipped policies, with the Backend in their own namespace: without
// Kubernetes, Envoy Gateway 1.9.1 loses the kind of a policy, and no ReferenceGrant fits it.
func policies(t *testing.T) string {
	t.Helper()
	return strings.ReplaceAll(partstest.Shipped(t, "envoy-gateway/security-policy.yaml"), "name: vault-authz, namespace: vault-authz, port", "name: vault-authz, port")
}

// backend returns a shipped file with a Backend that is this site's vault-authz, in the
// namespace of the policies.
func (s *site) backend(t *testing.T, name string) string {
	t.Helper()
	text := partstest.With(t, partstest.Shipped(t, "envoy-gateway/"+name),
		"fqdn: {hostname: vault-authz.vault-authz.svc.cluster.local, port: 9191}", "ip: {address: 127.0.0.1, port: "+port(t, s.service.GRPC)+"}")
	return strings.ReplaceAll(text, "metadata: {name: vault-authz, namespace: vault-authz}", "metadata: {name: vault-authz, namespace: shop}")
}
