package gateways

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// An istio is Istio's xDS server over a folder of resources.
type istio struct {
	server  *parts.Process
	address string
	// folder has the resources, one file for each shipped one.
	folder string
}

// startIstio runs Istio's xDS server. values are those of the chart istiod, and resources the
// files by name.
func startIstio(t *testing.T, values string, resources map[string]string) *istio {
	t.Helper()
	i := &istio{folder: t.TempDir()}
	for name, text := range resources {
		write(t, i.folder, name, text)
	}
	mesh := t.TempDir()
	write(t, mesh, "mesh.yaml", meshConfig(t, values))
	var err error
	i.server, err = parts.Start(parts.Command{
		Name: "istioxds", Path: partstest.Binary(t, "ISTIOXDS_BIN"), Dir: i.folder,
		Args: []string{"-listen", "127.0.0.1:0", "-mesh", mesh + "/mesh.yaml", "-resources", i.folder},
		// Filters that only Istio's own build of Envoy has.
		Env: append(os.Environ(), "PILOT_ENABLE_ALPN_FILTER=false", "PILOT_ENABLE_METADATA_EXCHANGE=false"),
	})
	must(t, err)
	partstest.StopWith(t, i.server)
	ctx, cancel := context.WithTimeout(t.Context(), parts.StartLimit)
	defer cancel()
	must(t, parts.Await(ctx, i.server, func(context.Context) error {
		_, after, found := strings.Cut(i.server.Log(), "xDS on ")
		address, _, ended := strings.Cut(after, "\n")
		if !found || !ended {
			return errors.New("the xDS server does not listen yet")
		}
		i.address = address
		return nil
	}))
	return i
}

// meshConfig returns the mesh configuration in values of the chart istiod.
func meshConfig(t *testing.T, values string) string {
	t.Helper()
	var in struct {
		MeshConfig map[string]any `yaml:"meshConfig"`
	}
	must(t, yaml.Unmarshal([]byte(values), &in))
	out, err := yaml.Marshal(in.MeshConfig)
	must(t, err)
	// Where sidecars would listen for redirected traffic. Several run on one machine.
	return fmt.Sprintf("%sproxyListenPort: %s\nproxyInboundListenPort: %s\n", out, freePort(t), freePort(t))
}

// replace replaces a file, or deletes it if the text is empty, and lets Istio read all again.
func (i *istio) replace(t *testing.T, name, text string) {
	t.Helper()
	if text == "" {
		must(t, os.Remove(i.folder+"/"+name))
	} else {
		write(t, i.folder, name, text)
	}
	before := strings.Count(i.server.Log(), "applied ")
	must(t, i.server.Signal(syscall.SIGHUP))
	partstest.Await(t, time.Minute, func(context.Context) error {
		if log := i.server.Log(); strings.Count(log, "applied ") == before {
			return errors.New("the change is not applied yet")
		}
		return nil
	})
}

// A proxy is the identity with which an Envoy asks Istio for its configuration.
type proxy struct {
	kind, name, namespace string
	labels                string
	// address is that of its pod, 127.0.0.1 if empty.
	address string
	// secrets is the address of its server of certificates.
	secrets string
}

func ingress(t *testing.T) proxy {
	t.Helper()
	return proxy{kind: "router", name: "ingress-1", namespace: "istio-ingress", labels: "{istio: ingress}", secrets: outsideOfTheMesh(t)}
}

// startEnvoy starts an Envoy that Istio configures, and waits for its listeners.
func (i *istio) startEnvoy(t *testing.T, p proxy) *parts.Envoy {
	t.Helper()
	text := strings.NewReplacer(
		"port_value: 15010", "port_value: "+port(t, i.address), "port_value: 15012", "port_value: "+port(t, p.secrets),
		"$kind", p.kind, "$namespace", p.namespace, "$name", p.name, "$labels", p.labels, "$address", cmp.Or(p.address, "127.0.0.1"),
	).Replace(read(t, "istio-envoy.yaml"))
	e, err := parts.RunEnvoy(t.Context(), partstest.Binary(t, "ENVOY_BIN"), t.TempDir(), []byte(text), 1)
	must(t, err)
	partstest.StopWith(t, e.Process)
	return e
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	must(t, err)
	return string(raw)
}

// istioFiles are shipped files of deploy/istio for a site, and what Kubernetes would know. The
// gateway listens on a port.
func (s *site) istioFiles(t *testing.T, listen string, shipped ...string) map[string]string {
	t.Helper()
	files := map[string]string{
		// The API server would give it an address.
		"service.yaml": partstest.With(t, partstest.Shipped(t, "istio/service.yaml"), "spec:", "spec:\n  clusterIP: 10.96.0.9"),
		"objects.yaml": strings.NewReplacer("port: 9191", "port: "+port(t, s.service.GRPC), "ort: 8088", "ort: "+listen,
			"ort: 8000", "ort: "+port(t, s.upstream.Address())).Replace(read(t, "istio-objects.yaml")),
	}
	for _, name := range shipped {
		files[name] = partstest.Shipped(t, "istio/"+name)
	}
	if text, has := files["example.yaml"]; has {
		files["example.yaml"] = partstest.With(t, text, "number: 80, name", "number: "+listen+", name")
	}
	return files
}

// startIngress runs the ingress gateway of the example for a site, with shipped files, and
// returns its address.
func startIngress(t *testing.T, s *site, values string, shipped ...string) (*istio, string) {
	t.Helper()
	listen := freePort(t)
	i := startIstio(t, values, s.istioFiles(t, listen, append(shipped, "example.yaml")...))
	i.startEnvoy(t, ingress(t))
	return i, "127.0.0.1:" + listen
}

const istioValues, istiodValues = "istio/vault-authz-values.yaml", "istio/istiod-values.yaml"
