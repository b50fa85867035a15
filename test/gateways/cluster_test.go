package gateways

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A cluster is an API server of Kubernetes on a machine of its own, with no node and no
// controller. What those do is done by the test: it runs containers, and says where the pods of a
// Service are.
type cluster struct {
	*parts.Kubernetes
	// test is the one at whose end everything stops.
	test *testing.T
}

func startCluster(t *testing.T, namespaces ...string) *cluster {
	t.Helper()
	c := &cluster{partstest.StartKubernetes(t), t}
	for _, namespace := range namespaces {
		c.kubectl(t, "create", "namespace", namespace)
	}
	return c
}

func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t.Context(), "", args...)
	must(t, err)
	return out
}

// read reads an object.
func (c *cluster) read(t *testing.T, namespace, name string, into any) {
	t.Helper()
	must(t, json.Unmarshal([]byte(c.kubectl(t, "get", name, "--namespace", namespace, "--output", "json")), into))
}

// apply creates or changes objects. Unknown fields are errors.
func (c *cluster) apply(t *testing.T, objects string) {
	t.Helper()
	must(t, c.Apply(t.Context(), objects))
}

// helm applies the objects of a chart.
func (c *cluster) helm(t *testing.T, release, chart, namespace string, args ...string) {
	t.Helper()
	out, err := parts.Helm(t.Context(), partstest.Binary(t, "HELM_BIN"), t.TempDir(), nil,
		append([]string{"template", release, chart, "--namespace", namespace, "--kube-version", parts.KubernetesVersion}, args...)...)
	if err != nil {
		t.Fatalf("helm template %s: %v\n%s", chart, err, out)
	}
	must(t, c.Apply(t.Context(), out, "--namespace", namespace))
}

// place says that the pod of a Service has an address, host:port.
func (c *cluster) place(t *testing.T, namespace, service, address string) {
	t.Helper()
	host, _, err := net.SplitHostPort(address)
	must(t, err)
	var s struct{ Spec struct{ Ports []servicePort } }
	c.read(t, namespace, "services/"+service, &s)
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": s.Spec.Ports,
		"metadata":  map[string]any{"name": service, "namespace": namespace, "labels": map[string]string{"kubernetes.io/service-name": service}},
		"endpoints": []any{map[string]any{"addresses": []string{host}}},
	})
	must(t, err)
	c.apply(t, string(raw))
}

type servicePort struct {
	Name        string `json:"name"`
	AppProtocol string `json:"appProtocol,omitempty"`
	Port        int    `json:"port"`
}

// hosts returns what the DNS of the cluster says, in the format of /etc/hosts.
func (c *cluster) hosts(t *testing.T) string {
	t.Helper()
	pairs := c.kubectl(t, "get", "services", "--all-namespaces", "--output", `go-template={{range .items}}{{if ne .spec.clusterIP "None"}}`+
		`{{.spec.clusterIP}} {{.metadata.name}}.{{.metadata.namespace}}{{"\n"}}{{end}}{{end}}`) +
		c.kubectl(t, "get", "endpointslices", "--all-namespaces", "--output", `go-template={{range $slice := .items}}{{range .endpoints}}{{range .addresses}}`+
			`{{.}} {{index $slice.metadata.labels "kubernetes.io/service-name"}}.{{$slice.metadata.namespace}}{{"\n"}}{{end}}{{end}}{{end}}`)
	var all strings.Builder
	for line := range strings.Lines(pairs) {
		address, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		name += ".svc.cluster.local"
		// In a file of hosts a name with a dot at its end is another name.
		all.WriteString(address + " " + name + " " + name + ".\n")
	}
	return all.String()
}

// A template is what a workload says about its pods, as far as the tests heed it.
type template struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		ServiceAccountName           string
		AutomountServiceAccountToken bool
		Containers                   []container
		Volumes                      []volume
	}
}

type container struct {
	Name          string
	Command, Args []string
	Env           []struct {
		Name, Value string
		ValueFrom   struct{ FieldRef struct{ FieldPath string } }
	}
	VolumeMounts []struct{ Name, MountPath string }
}

type volume struct {
	Name      string
	Secret    struct{ SecretName string }
	ConfigMap struct {
		Name  string
		Items []struct{ Key, Path string }
	}
}

// template returns the pods of a workload.
func (c *cluster) template(t *testing.T, namespace, workload string) template {
	t.Helper()
	var w struct{ Spec struct{ Template template } }
	c.read(t, namespace, workload, &w)
	return w.Spec.Template
}

// checkAdmitted checks that the NetworkPolicy of the chart lets the pods of a workload ask
// vault-authz. No network enforces it here.
func (c *cluster) checkAdmitted(t *testing.T, namespace, workload string) {
	t.Helper()
	var policy struct {
		Spec struct {
			Ingress []struct {
				From []struct {
					NamespaceSelector, PodSelector struct{ MatchLabels map[string]string }
				}
				Ports []struct{ Port any }
			}
		}
	}
	c.read(t, "vault-authz", "networkpolicies/vault-authz", &policy)
	var of struct {
		Metadata struct{ Labels map[string]string }
	}
	c.read(t, "", "namespaces/"+namespace, &of)
	pods := c.template(t, namespace, workload).Metadata.Labels
	for _, rule := range policy.Spec.Ingress {
		for _, peer := range rule.From {
			if rule.Ports[0].Port == "grpc" && selects(peer.NamespaceSelector.MatchLabels, of.Metadata.Labels) && selects(peer.PodSelector.MatchLabels, pods) {
				return
			}
		}
	}
	t.Errorf("the NetworkPolicy does not admit the pods of %s", workload)
}

// selects says whether a selector has labels, and all of them are there.
func selects(selector, labels map[string]string) bool {
	for label, value := range selector {
		if labels[label] != value {
			return false
		}
	}
	return len(selector) > 0
}

// run runs the first container of a workload, as a node would in one pod. program is what its
// image has.
func (c *cluster) run(t *testing.T, namespace, workload, program string) *parts.Process {
	t.Helper()
	pod := c.template(t, namespace, workload)
	main := pod.Spec.Containers[0]
	root := partstest.Root(t, program, c.hosts(t))
	for _, mount := range main.VolumeMounts {
		i := slices.IndexFunc(pod.Spec.Volumes, func(v volume) bool { return v.Name == mount.Name })
		folder := filepath.Join(root, mount.MountPath)
		must(t, os.MkdirAll(folder, 0o700))
		must(t, parts.MountSecret(folder, c.files(t, namespace, pod.Spec.Volumes[i])))
	}
	// What sets it in a container is its runtime.
	env := []string{"HOME=/"}
	var expand []string
	for _, e := range main.Env {
		switch e.ValueFrom.FieldRef.FieldPath {
		case "metadata.name":
			e.Value = main.Name + "-1"
		case "metadata.namespace":
			e.Value = namespace
		}
		env, expand = append(env, e.Name+"="+e.Value), append(expand, "$("+e.Name+")", e.Value)
	}
	if pod.Spec.AutomountServiceAccountToken {
		// A pod has the same in another format.
		account, err := c.Account(t.Context(), namespace, pod.Spec.ServiceAccountName)
		must(t, err)
		raw, err := os.ReadFile(account)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(root, "kubeconfig"), raw, 0o600))
		env = append(env, "KUBECONFIG=/kubeconfig")
	}
	line := slices.Concat([]string{"/program"}, main.Command[min(1, len(main.Command)):], main.Args)
	for i := range line {
		line[i] = strings.NewReplacer(expand...).Replace(line[i])
	}
	p, err := parts.Start(parts.Command{Name: main.Name, Path: line[0], Args: line[1:], Env: env, Dir: "/", Root: root})
	must(t, err)
	partstest.StopWith(c.test, p)
	return p
}

// files returns the files of a volume.
func (c *cluster) files(t *testing.T, namespace string, v volume) map[string][]byte {
	t.Helper()
	if v.Secret.SecretName != "" {
		var secret struct{ Data map[string][]byte }
		c.read(t, namespace, "secrets/"+v.Secret.SecretName, &secret)
		return secret.Data
	}
	if v.ConfigMap.Name == "" {
		return nil
	}
	var config struct{ Data map[string]string }
	c.read(t, namespace, "configmaps/"+v.ConfigMap.Name, &config)
	all := map[string][]byte{}
	for key, content := range config.Data {
		if len(v.ConfigMap.Items) == 0 {
			all[key] = []byte(content)
		}
	}
	for _, item := range v.ConfigMap.Items {
		all[item.Path] = []byte(config.Data[item.Key])
	}
	return all
}
