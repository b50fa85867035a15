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

// The pods of Istio's gateways and of a sidecar. The gateways share a port: one runs at a time.
const ingressPod, gatewayPod, sidecarPod = "10.244.0.12", "10.244.0.13", "10.244.0.14"

// An istio is a cluster with the charts of Istio and of vault-authz, and a real istiod with the
// arguments, the environment and the rights that its chart gives it.
type istio struct {
	*cluster
	*site

	istiod *parts.Process
	// command is how istiod is started.
	command parts.Command
	// gateway is the Envoy of the ingress gateway.
	gateway *parts.Envoy
	// charts is the folder with Istio's charts.
	charts string
}

// istioCharts returns the folder with Istio's charts.
func istioCharts(t *testing.T) string {
	t.Helper()
	found, err := parts.RequiredFiles(t.Context(), istioModule, "istio.io/istio", "manifests/charts")
	must(t, err)
	return found[0]
}

// startIstio follows the tutorial up to the gateway, and runs istiod, vault-authz and an
// application.
func startIstio(t *testing.T) *istio {
	t.Helper()
	i := &istio{cluster: startCluster(t), site: newSite(t), charts: istioCharts(t)}
	must(t, i.Define(t.Context(), gatewayAPI(t)...))
	i.startIstiod(t)
	// Istio's guide for its chart has these names.
	i.helm(t, "install", "istio-ingress", i.charts+"/gateway", "--namespace", "istio-ingress", "--create-namespace")
	i.helm(t, "install", "vault-authz", deployed("chart/vault-authz"), "--namespace", "vault-authz", "--create-namespace",
		"--values", deployed(istioValues), "--set", "image.repository=images.example.com/vault-authz", "--set", "image.tag=dev")
	i.site.run(t, i.kubectl(t, "get", "configmap", "vault-authz", "--namespace", "vault-authz", "--output", `jsonpath={.data.config\.yaml}`), serviceAddress, "0.0.0.0:8000")
	i.apply(t, read(t, "shop.yaml"))
	i.ship(t, "service.yaml")
	i.place(t, "vault-authz", "vault-authz", serviceAddress)
	i.place(t, "vault-authz", "vault-authz-mesh", serviceAddress)
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
	files.Issue(authority, "istiod", "istiod.istio-system.svc")
	bundle := base64.StdEncoding.EncodeToString(authority.PEM)
	i.helm(t, "install", "istio-base", i.charts+"/base", "--namespace", "istio-system", "--create-namespace", "--set", "base.validationCABundle="+bundle)
	i.helm(t, "install", "istiod", i.charts+"/istio-control/istio-discovery", "--namespace", "istio-system",
		"--values", put(t, strings.ReplaceAll(read(t, "istiod-values.yaml"), "$authority", bundle)))
	program := i.template(t, "istio-system", "deployments/istiod").Spec.Containers[0]
	rights, err := i.Account(t.Context(), "istio-system", "istiod")
	must(t, err)
	environment := append(os.Environ(), "POD_NAME=istiod-1", "POD_NAMESPACE=istio-system", "SERVICE_ACCOUNT=istiod", "KUBECONFIG="+rights)
	for _, v := range program.Env {
		if v.Value != "" {
			environment = append(environment, v.Name+"="+v.Value)
		}
	}
	i.command = parts.Command{
		Name: "istiod", Path: partstest.Binary(t, "ISTIOD_BIN"), Dir: t.TempDir(), Env: environment,
		Args: slices.Concat(program.Args, []string{
			"--kubeconfig", rights, "--shutdownDuration", "0s",
			// The port of its Service: nothing forwards from there.
			"--httpsAddr", ":443", "--tlsCertFile", files.Path("istiod.pem"), "--tlsKeyFile", files.Path("istiod.key"), "--caCertFile", files.Path("ca.pem"),
			// Envoy has no agent of Istio that would log it in.
			"--secureGRPCAddr", "",
		}),
	}
	i.runIstiod(t)
}

// runIstiod runs istiod until it is ready, also for a restart.
func (i *istio) runIstiod(t *testing.T) {
	t.Helper()
	var err error
	i.istiod, err = parts.Start(i.command)
	must(t, err)
	partstest.StopWith(i.site.test, i.istiod)
	ctx, cancel := context.WithTimeout(t.Context(), 2*parts.StartLimit)
	defer cancel()
	must(t, parts.Await(ctx, i.istiod, func(ctx context.Context) error {
		got, err := parts.Send(ctx, clients()["HTTP1"], "127.0.0.1:8080", parts.Request{Target: "/ready"})
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("istiod is not ready: %d", got.Status)
		}
		return err
	}))
}

// provide gives istiod values of its chart, as the tutorial does.
func (i *istio) provide(t *testing.T, values string) {
	t.Helper()
	i.helm(t, "upgrade", "istiod", i.charts+"/istio-control/istio-discovery", "--namespace", "istio-system", "--reuse-values", "--values", put(t, values))
}

// ship applies a shipped file as it is, or after replacements, which are given as pairs.
func (i *istio) ship(t *testing.T, name string, pairs ...string) {
	t.Helper()
	i.apply(t, partstest.With(t, partstest.Shipped(t, "istio/"+name), pairs...))
}

// remove deletes the objects of a shipped file.
func (i *istio) remove(t *testing.T, name string) {
	t.Helper()
	i.kubectl(t, "delete", "--filename", deployed("istio/"+name))
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

// createPod creates the pod of a Deployment, as the controllers would, and says that it runs, as
// the kubelet would.
func (i *istio) createPod(t *testing.T, namespace, deployment, ip string) {
	t.Helper()
	i.apply(t, i.pod(t, namespace, deployment))
	i.kubectl(t, "patch", "pod", deployment+"-1", "--namespace", namespace, "--subresource", "status", "--patch",
		fmt.Sprintf(`{"status": {"phase": "Running", "podIP": %q, "podIPs": [{"ip": %q}], "conditions": [{"type": "Ready", "status": "True"}]}}`, ip, ip))
}

// startGateway runs the pod of a gateway.
func (i *istio) startGateway(t *testing.T, deployment, ip string) {
	t.Helper()
	i.createPod(t, "istio-ingress", deployment, ip)
	i.checkAdmitted(t, "istio-ingress", "deployments/"+deployment)
	i.restartGateway(t, deployment, ip, func() {})
}

// restartGateway runs the Envoy of a gateway, and does something else while it starts.
func (i *istio) restartGateway(t *testing.T, deployment, ip string, meanwhile func()) {
	t.Helper()
	i.gateway = proxy{kind: "router", name: deployment + "-1", namespace: "istio-ingress", address: ip, secrets: outsideOfTheMesh(i.site.test)}.startWith(i.site.test, meanwhile)
}

// helm runs Helm against the cluster.
func (i *istio) helm(t *testing.T, args ...string) {
	t.Helper()
	out, err := parts.Helm(t.Context(), partstest.Binary(t, "HELM_BIN"), t.TempDir(), []string{"KUBECONFIG=" + i.Kubeconfig}, args...)
	if err != nil {
		t.Fatalf("helm %q: %v\n%s", args, err, out)
	}
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
