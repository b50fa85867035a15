package gateways

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// An istio is a real API server with the charts of Istio and of vault-authz, and a real istiod
// with the arguments, the environment and the rights that its chart gives it.
//
// It has no nodes and no controllers. What would run in pods runs on this machine: vault-authz
// with the ConfigMap of the chart, Envoys, and the upstream.
type istio struct {
	*site

	api    *parts.Kubernetes
	istiod *parts.Process
	// xds is the address at which istiod configures Envoys.
	xds string
	// ingress and gateway are the addresses of the ingress gateway and of the Gateway of
	// the Gateway API.
	ingress, gateway string
	// charts is the folder with Istio's charts.
	charts string
}

// startIstio follows the tutorial up to the gateway, and runs istiod.
func startIstio(t *testing.T) *istio {
	t.Helper()
	need(t, "ISTIOD_BIN")
	i := &istio{
		site: newSite(t), api: partstest.StartKubernetes(t), xds: "127.0.0.1:" + freePort(t),
		ingress: "127.0.0.1:" + freePort(t), gateway: "127.0.0.1:" + freePort(t),
	}
	found, err := parts.RequiredFiles(t.Context(), istioModule, "istio.io/istio", "manifests/charts")
	must(t, err)
	i.charts = found[0]
	must(t, i.api.Define(t.Context(), gatewayAPI(t)...))
	i.startIstiod(t)
	// Istio's guide for its chart has these names. The port of the pod would be 80, too.
	i.helm(t, "install", "istio-ingress", i.charts+"/gateway", "--namespace", "istio-ingress", "--create-namespace",
		"--set-json", fmt.Sprintf(`service.ports=[{"name": "http2", "port": 80, "targetPort": %s}]`, port(t, i.ingress)))
	i.startVaultAuthz(t)
	i.apply(t, "service.yaml")
	i.provide(t, partstest.Shipped(t, istiodValues))
	return i
}

// istioModule is the module that says which Istio the tests have.
const istioModule = "../tools/istio"

// gatewayAPI returns the files with the definitions of the Gateway API, in the version that
// Istio requires.
func gatewayAPI(t *testing.T) []string {
	t.Helper()
	folder, err := parts.RequiredFiles(t.Context(), istioModule, "sigs.k8s.io/gateway-api", "config/crd/standard")
	must(t, err)
	files, err := filepath.Glob(folder[0] + "/gateway.networking.k8s.io_*s.yaml")
	must(t, err)
	if len(files) < 3 {
		t.Fatalf("the Gateway API has %d definitions, want at least 3", len(files))
	}
	return files
}

// startIstiod installs Istio's charts and runs istiod as its Deployment says.
func (i *istio) startIstiod(t *testing.T) {
	t.Helper()
	authority, err := parts.NewAuthority("istiod")
	must(t, err)
	files := partstest.NewPEMFiles(t)
	files.Put("ca.pem", authority.PEM)
	files.Issue(authority, "istiod", "127.0.0.1")
	webhooks, health := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	bundle := base64.StdEncoding.EncodeToString(authority.PEM)
	values := put(t, strings.NewReplacer("$webhooks", webhooks, "$authority", bundle, "$gateway", port(t, i.gateway),
		"$outbound", freePort(t), "$inbound", freePort(t)).Replace(read(t, "istiod-values.yaml")))
	i.helm(t, "install", "istio-base", i.charts+"/base", "--namespace", "istio-system", "--create-namespace",
		"--set", "base.validationURL=https://"+webhooks+"/validate", "--set", "base.validationCABundle="+bundle)
	i.helm(t, "install", "istiod", i.charts+"/istio-control/istio-discovery", "--namespace", "istio-system", "--values", values)
	program := i.template(t, "istio-system", "istiod").Spec.Containers[0]
	rights, err := i.api.Account(t.Context(), "istio-system", "istiod")
	must(t, err)
	environment := append(os.Environ(), "POD_NAME=istiod-1", "POD_NAMESPACE=istio-system", "SERVICE_ACCOUNT=istiod")
	for _, v := range program.Env {
		if v.ValueFrom == nil {
			environment = append(environment, v.Name+"="+v.Value)
		}
	}
	i.istiod, err = parts.Start(parts.Command{
		Name: "istiod", Path: partstest.Binary(t, "ISTIOD_BIN"), Dir: t.TempDir(), Env: append(environment, "KUBECONFIG="+rights),
		Args: slices.Concat(program.Args, []string{
			"--kubeconfig", rights, "--grpcAddr", i.xds, "--secureGRPCAddr", "", "--httpsAddr", webhooks, "--httpAddr", health,
			"--monitoringAddr", "127.0.0.1:0", "--ctrlz_port", "0", "--shutdownDuration", "0s",
			"--caCertFile", files.Path("ca.pem"), "--tlsCertFile", files.Path("istiod.pem"), "--tlsKeyFile", files.Path("istiod.key"),
		}),
	})
	must(t, err)
	partstest.StopWith(t, i.istiod)
	ctx, cancel := context.WithTimeout(t.Context(), 2*parts.StartLimit)
	defer cancel()
	if err := parts.Await(ctx, i.istiod, func(ctx context.Context) error {
		got, err := parts.Send(ctx, http.DefaultClient, health, parts.Request{Target: "/ready"})
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("istiod is not ready: %d", got.Status)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// startVaultAuthz installs the chart as the tutorial does, runs vault-authz with its
// ConfigMap, and an application.
func (i *istio) startVaultAuthz(t *testing.T) {
	t.Helper()
	i.helm(t, "install", "vault-authz", "../../deploy/chart/vault-authz", "--namespace", "vault-authz", "--create-namespace",
		"--values", "../../deploy/"+istioValues, "--set", "image.repository=images.example.com/vault-authz", "--set", "image.tag=dev")
	text := i.kubectl(t, "get", "configmap", "vault-authz", "--namespace", "vault-authz", "--output", `jsonpath={.data.config\.yaml}`)
	address := "127.0.0.1:" + freePort(t)
	i.run(t, text, address, "127.0.0.1:0")
	pod := i.template(t, "vault-authz", "vault-authz")
	i.endpoint(t, endpoint{namespace: "vault-authz", labels: pod.Metadata.Labels, port: "grpc", address: address})
	must(t, i.api.Apply(t.Context(), read(t, "shop.yaml")))
	i.endpoint(t, endpoint{namespace: "shop", labels: map[string]string{"app": "orders"}, port: "http", address: i.upstream.Address()})
}

// An endpoint is a program of this machine behind Services.
type endpoint struct {
	namespace string
	// labels are those of its pod, by which Services select it, and port is the name of
	// the port of the Service.
	labels        map[string]string
	port, address string
	// account is the service account of a pod with a sidecar, empty without one.
	account string
}

// endpoint puts a program behind the Services that select its labels. A controller would make
// EndpointSlices from running pods, but the API server refuses loopback addresses in them.
// Istio's own resource for programs outside of Kubernetes may have one.
func (i *istio) endpoint(t *testing.T, e endpoint) {
	t.Helper()
	host, _, _ := strings.Cut(e.address, ":")
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
		"metadata": map[string]any{"name": "endpoint", "namespace": e.namespace},
		"spec": map[string]any{
			"address": host, "labels": e.labels, "serviceAccount": e.account,
			"ports": map[string]json.Number{e.port: json.Number(port(t, e.address))},
		},
	})
	must(t, err)
	must(t, i.api.Apply(t.Context(), string(raw)))
}

// provide gives istiod values of its chart, as the tutorial does.
func (i *istio) provide(t *testing.T, values string) {
	t.Helper()
	i.helm(t, "upgrade", "istiod", i.charts+"/istio-control/istio-discovery", "--namespace", "istio-system", "--reuse-values", "--values", put(t, values))
}

// apply applies a shipped file as it is, or after replacements, which are given as pairs.
// Unknown fields are errors.
func (i *istio) apply(t *testing.T, name string, pairs ...string) {
	t.Helper()
	must(t, i.api.Apply(t.Context(), partstest.With(t, partstest.Shipped(t, "istio/"+name), pairs...)))
}

// remove deletes the objects of a shipped file.
func (i *istio) remove(t *testing.T, name string) {
	t.Helper()
	i.kubectl(t, "delete", "--filename", "../../deploy/istio/"+name)
}

// A podTemplate is that of the pods of a Deployment.
type podTemplate struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Containers []struct {
			Args []string `json:"args"`
			Env  []struct {
				Name      string `json:"name"`
				Value     string `json:"value"`
				ValueFrom any    `json:"valueFrom"`
			} `json:"env"`
		} `json:"containers"`
	} `json:"spec"`
}

func (i *istio) template(t *testing.T, namespace, deployment string) podTemplate {
	t.Helper()
	var found podTemplate
	must(t, json.Unmarshal([]byte(i.kubectl(t, "get", "deployment", deployment, "--namespace", namespace, "--output", "jsonpath={.spec.template}")), &found))
	return found
}

// pod returns the pod of a Deployment, as the controllers would create it.
func (i *istio) pod(t *testing.T, namespace, deployment string) string {
	t.Helper()
	var pod map[string]any
	must(t, json.Unmarshal([]byte(i.kubectl(t, "get", "deployment", deployment, "--namespace", namespace, "--output", "jsonpath={.spec.template}")), &pod))
	pod["apiVersion"], pod["kind"] = "v1", "Pod"
	metadata, _ := pod["metadata"].(map[string]any)
	metadata["name"], metadata["namespace"] = deployment+"-1", namespace
	object, err := json.Marshal(pod)
	must(t, err)
	return string(object)
}

// startPod creates the pod of a gateway, says that it runs, as the kubelet would, and runs an
// Envoy in its place.
func (i *istio) startPod(t *testing.T, deployment, ip string) *parts.Envoy {
	t.Helper()
	const namespace = "istio-ingress"
	must(t, i.api.Apply(t.Context(), i.pod(t, namespace, deployment)))
	name := deployment + "-1"
	i.kubectl(t, "patch", "pod", name, "--namespace", namespace, "--subresource", "status", "--patch",
		fmt.Sprintf(`{"status": {"phase": "Running", "podIP": %q, "podIPs": [{"ip": %q}], "conditions": [{"type": "Ready", "status": "True"}]}}`, ip, ip))
	i.checkAdmitted(t, namespace, name)
	return proxy{kind: "router", name: name, namespace: namespace, address: ip, secrets: outsideOfTheMesh(t)}.start(t, i.xds)
}

// checkAdmitted checks that the NetworkPolicy of the chart lets a pod ask vault-authz. No network
// enforces it here.
func (i *istio) checkAdmitted(t *testing.T, namespace, pod string) {
	t.Helper()
	type selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	}
	var policy struct {
		Ingress []struct {
			From []struct {
				NamespaceSelector selector `json:"namespaceSelector"`
				PodSelector       selector `json:"podSelector"`
			} `json:"from"`
			Ports []struct {
				Port any `json:"port"`
			} `json:"ports"`
		} `json:"ingress"`
	}
	must(t, json.Unmarshal([]byte(i.kubectl(t, "get", "networkpolicy", "vault-authz", "--namespace", "vault-authz", "--output", "jsonpath={.spec}")), &policy))
	selects := func(s selector, kind, name string) bool {
		labels := []string{}
		for key, value := range s.MatchLabels {
			labels = append(labels, key+"="+value)
		}
		found := i.kubectl(t, "get", kind, "--namespace", namespace, "--selector", strings.Join(labels, ","), "--output", "name")
		return slices.Contains(strings.Fields(found), kind+"/"+name)
	}
	for _, rule := range policy.Ingress {
		for _, peer := range rule.From {
			if fmt.Sprint(rule.Ports[0].Port) == "grpc" && selects(peer.NamespaceSelector, "namespace", namespace) && selects(peer.PodSelector, "pod", pod) {
				return
			}
		}
	}
	t.Errorf("the NetworkPolicy does not admit the pod %s", pod)
}

func (i *istio) helm(t *testing.T, args ...string) {
	t.Helper()
	out, err := parts.Helm(t.Context(), partstest.Binary(t, "HELM_BIN"), t.TempDir(), []string{"KUBECONFIG=" + i.api.Kubeconfig}, args...)
	if err != nil {
		t.Fatalf("helm %q: %v\n%s", args, err, out)
	}
}

func (i *istio) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := i.api.Kubectl(t.Context(), "", args...)
	must(t, err)
	return out
}

// put writes a text into a file of its own and returns the path.
func put(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// read returns a file of the tests.
func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	must(t, err)
	return string(raw)
}

// istioObjects are the shipped files with objects, by name.
func istioObjects(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../deploy/istio/*.yaml")
	must(t, err)
	objects := map[string]string{}
	for _, file := range files {
		if name := filepath.Base(file); !strings.HasSuffix(name, "-values.yaml") {
			objects[name] = partstest.Shipped(t, "istio/"+name)
		}
	}
	if len(objects) < 7 {
		t.Fatalf("%d files with objects, want at least 7", len(objects))
	}
	return objects
}

const istioValues, istiodValues = "istio/vault-authz-values.yaml", "istio/istiod-values.yaml"
