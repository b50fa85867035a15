package kubernetes

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// helm runs Helm with the API server, and fails the test after an error.
func helm(t *testing.T, k *parts.Kubernetes, args ...string) string {
	t.Helper()
	out, err := parts.Helm(t.Context(), partstest.Binary(t, "HELM_BIN"), t.TempDir(), []string{"KUBECONFIG=" + k.Kubeconfig}, args...)
	if err != nil {
		t.Fatalf("helm %q: %v\n%s", args, err, out)
	}
	return out
}

// A source is a file with objects, and the namespace for those that name none.
type source struct{ name, namespace, objects string }

// sources returns the objects of the chart with each of its examples, each in a namespace of
// its own, and the plain manifests.
func sources(t *testing.T, k *parts.Kubernetes) []source {
	t.Helper()
	files, err := filepath.Glob(deployed("chart/vault-authz/ci/*-values.yaml"))
	must(t, err)
	if len(files) < 3 {
		t.Fatalf("the chart has %d examples, want at least 3", len(files))
	}
	all := []source{
		{"kubernetes/vault-authz.yaml", "vault-authz", partstest.Shipped(t, "kubernetes/vault-authz.yaml")},
		{"kubernetes/sidecar.yaml", "sidecar", partstest.Shipped(t, "kubernetes/sidecar.yaml")},
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "-values.yaml")
		rendered := helm(t, k, "template", "va", deployed("chart/vault-authz"), "--namespace", name, "--kube-version", parts.KubernetesVersion, "--values", file)
		all = append(all, source{"the chart with " + filepath.Base(file), name, rendered})
	}
	return all
}

// restrict creates a namespace that refuses pods below the Pod Security level "restricted".
// A controller would create its service account.
func restrict(t *testing.T, k *parts.Kubernetes, namespace string) {
	t.Helper()
	kubectl(t, k, "create", "namespace", namespace)
	kubectl(t, k, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
	kubectl(t, k, "create", "serviceaccount", "default", "--namespace", namespace)
}

func TestTheAPIServerAcceptsTheChartAndTheManifests(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "HELM_BIN")
	k := partstest.StartKubernetes(t)
	resources, err := parts.ChartResources(t.Context())
	must(t, err)
	must(t, k.Define(t.Context(), resources...))
	for _, s := range sources(t, k) {
		t.Run(s.name, func(t *testing.T) {
			restrict(t, k, s.namespace)
			must(t, k.Apply(t.Context(), s.objects, "--namespace", s.namespace, "--dry-run=server"))
			misspelt := strings.Replace(s.objects, "automountServiceAccountToken", "automountServiceAccountTokn", 1)
			err := k.Apply(t.Context(), misspelt, "--namespace", s.namespace, "--dry-run=server")
			if err == nil || !strings.Contains(err.Error(), "unknown field") {
				t.Errorf("a field that does not exist: err = %v", err)
			}
			must(t, k.Apply(t.Context(), s.objects, "--namespace", s.namespace))
			for _, pod := range pods(t, k, s.namespace) {
				must(t, create(t, k, s.namespace, pod))
				for name, violate := range violations() {
					worse := pod.copy(t)
					violate(worse)
					if err := create(t, k, s.namespace, worse); err == nil || !strings.Contains(err.Error(), `violates PodSecurity "restricted:latest"`) {
						t.Errorf("a pod %s: err = %v", name, err)
					}
				}
			}
		})
	}
}

// violations are what the Pod Security level "restricted" refuses, each as a change to a pod
// that meets it.
func violations() map[string]func(pod) {
	return map[string]func(pod){
		"on the network of the node": func(p pod) { p.spec()["hostNetwork"] = true },
		"with a folder of the node": func(p pod) {
			volumes, _ := p.spec()["volumes"].([]any)
			p.spec()["volumes"] = append(volumes, map[string]any{"name": "node", "hostPath": map[string]any{"path": "/"}})
		},
		"without a seccomp profile":   func(p pod) { delete(p.security(), "seccompProfile") },
		"that may run as root":        func(p pod) { delete(p.security(), "runAsNonRoot") },
		"that may get more rights":    func(p pod) { delete(p.containerSecurity(), "allowPrivilegeEscalation") },
		"that keeps its capabilities": func(p pod) { delete(p.containerSecurity(), "capabilities") },
	}
}

// A pod is a pod in JSON.
type pod map[string]any

func (p pod) spec() map[string]any     { return p["spec"].(map[string]any) }
func (p pod) security() map[string]any { return p.spec()["securityContext"].(map[string]any) }

func (p pod) containerSecurity() map[string]any {
	return p.spec()["containers"].([]any)[0].(map[string]any)["securityContext"].(map[string]any)
}

func (p pod) copy(t *testing.T) pod {
	t.Helper()
	raw, err := json.Marshal(p)
	must(t, err)
	var out pod
	must(t, json.Unmarshal(raw, &out))
	return out
}

// pods returns the pod of each workload of a namespace, as its controller would create it.
func pods(t *testing.T, k *parts.Kubernetes, namespace string) []pod {
	t.Helper()
	var list struct {
		Items []struct {
			Spec struct {
				Template struct {
					Metadata map[string]any `json:"metadata"`
					Spec     map[string]any `json:"spec"`
				} `json:"template"`
			} `json:"spec"`
		} `json:"items"`
	}
	must(t, json.Unmarshal([]byte(kubectl(t, k, "get", "deployments,daemonsets", "--namespace", namespace, "--output", "json")), &list))
	if len(list.Items) == 0 {
		t.Fatal("there is no workload")
	}
	var all []pod
	for _, w := range list.Items {
		w.Spec.Template.Metadata["generateName"] = "pod-"
		all = append(all, pod{"apiVersion": "v1", "kind": "Pod", "metadata": w.Spec.Template.Metadata, "spec": w.Spec.Template.Spec})
	}
	return all
}

// create creates a pod.
func create(t *testing.T, k *parts.Kubernetes, namespace string, p pod) error {
	t.Helper()
	raw, err := json.Marshal(p)
	must(t, err)
	_, err = k.Kubectl(t.Context(), string(raw), "create", "--validate=strict", "--namespace", namespace, "--filename", "-")
	return err
}

// TestHelmInstallsChangesAndRemovesTheChart: what Helm removes is what the API server has.
func TestHelmInstallsChangesAndRemovesTheChart(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "HELM_BIN")
	k := partstest.StartKubernetes(t)
	resources, err := parts.ChartResources(t.Context())
	must(t, err)
	must(t, k.Define(t.Context(), resources...))
	release := []string{"va", deployed("chart/vault-authz"), "--namespace", "edge", "--values", deployed("chart/vault-authz/ci/everything-values.yaml")}
	helm(t, k, append([]string{"install", "--create-namespace"}, release...)...)
	const label = "app.kubernetes.io/instance=va"
	has := func(kinds string) string {
		t.Helper()
		return kubectl(t, k, "get", kinds, "--namespace", "edge", "--selector", label, "--output", "name")
	}
	const kinds = "certificates,configmaps,deployments,horizontalpodautoscalers,networkpolicies,poddisruptionbudgets,prometheusrules,services,serviceaccounts,servicemonitors"
	for kind := range strings.SplitSeq(kinds, ",") {
		if has(kind) == "" {
			t.Errorf("after the installation there are no %s", kind)
		}
	}
	helm(t, k, append([]string{"upgrade", "--set", "config.log.level=debug", "--set", "prometheusRule.enabled=false"}, release...)...)
	if got := kubectl(t, k, "get", "configmap", "va-vault-authz", "--namespace", "edge", "--output", `jsonpath={.data.config\.yaml}`); !strings.Contains(got, "level: debug") {
		t.Errorf("after the upgrade the configuration is\n%s", got)
	}
	if got := has("prometheusrules"); got != "" {
		t.Errorf("after the upgrade there still is %s", got)
	}
	helm(t, k, "uninstall", "va", "--namespace", "edge")
	if got := has(kinds); got != "" {
		t.Errorf("after the removal there still is\n%s", got)
	}
}
