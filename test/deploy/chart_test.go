package deploy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const (
	chart = "../../deploy/chart/vault-authz"
	// Without a cluster Helm needs the version of Kubernetes.
	kubernetes = parts.KubernetesVersion
)

// example returns a values file of the chart.
func example(name string) string { return filepath.Join(chart, "ci", name+"-values.yaml") }

// helm runs Helm and returns its output, also after an error.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return parts.Helm(t.Context(), partstest.Binary(t, "HELM_BIN"), t.TempDir(), nil, args...)
}

// render renders the chart as release va in namespace edge.
func render(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", "va", chart, "--namespace", "edge", "--kube-version", kubernetes}, args...)...)
}

// An object is a Kubernetes object.
type object map[string]any

// at returns the value at a path with dots, nil if there is none. A number is an index
// of a list.
func (o object) at(path string) any {
	var v any = map[string]any(o)
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// objects renders the chart and returns the objects by kind, of which there is at most one
// each. The ConfigMap with the dashboard has the kind Dashboard.
func objects(t *testing.T, args ...string) map[string]object {
	t.Helper()
	text, err := render(t, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	found := map[string]object{}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var document map[string]any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		o := object(document)
		kind, _ := o.at("kind").(string)
		if o.at("metadata.name") == "va-vault-authz-dashboard" {
			kind = "Dashboard"
		}
		if kind == "" || found[kind] != nil {
			t.Fatalf("there are two objects of kind %q, or an object has no kind", kind)
		}
		found[kind] = o
	}
}

// parse returns the object in a YAML text.
func parse(t *testing.T, text string) object {
	t.Helper()
	var document map[string]any
	must(t, yaml.Unmarshal([]byte(text), &document))
	return document
}

// configuration returns the configuration in the ConfigMap.
func configuration(all map[string]object) string {
	data, _ := all["ConfigMap"].at("data").(map[string]any)
	text, _ := data["config.yaml"].(string)
	return text
}

func values(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(example("*"))
	must(t, err)
	if len(files) < 3 {
		t.Fatalf("%d values files, want at least 3", len(files))
	}
	for _, gateway := range []string{"istio", "envoy-gateway"} {
		files = append(files, filepath.Join("..", "..", "deploy", gateway, "vault-authz-values.yaml"))
	}
	return files
}

func TestTheChartPassesItsLintWithEveryExample(t *testing.T) {
	t.Parallel()
	for _, file := range values(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if out, err := helm(t, "lint", "--strict", chart, "--values", file); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestTheChartRendersWhatTheValuesAskFor(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"minimal":    {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"},
		"daemonset":  {"ConfigMap", "DaemonSet", "NetworkPolicy", "Service", "ServiceAccount"},
		"tls":        {"Certificate", "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"},
		"everything": {"Certificate", "ConfigMap", "Dashboard", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for kind, o := range objects(t, "--values", example(name)) {
				got = append(got, kind)
				if o.at("metadata.namespace") != "edge" {
					t.Errorf("%s is in namespace %v", kind, o.at("metadata.namespace"))
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestTheChartRefusesValuesThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, says string
		args       []string
	}{
		{"no vault", "vaults", []string{"--set-json", "config.vaults=[]"}},
		{"a value that it does not know", "replicaCount", []string{"--set", "replicaCount=3"}},
		{"a socket in a pod of its own", "config.listen.grpc", []string{"--set", "config.listen.grpc=unix:/run/authz.sock"}},
		{"a drain that it cannot add up", "config.drain.wait", []string{"--set", "config.drain.wait=1m"}},
		{"a file on the read-only root", "addresses_file", []string{"--set", "config.addresses_file=/addresses.json"}},
		{"one pod at the least with autoscaling", "minReplicas", []string{"--set", "autoscaling.enabled=true,autoscaling.minReplicas=1"}},
		{"autoscaling to fewer pods than the least", "maxReplicas", []string{"--set", "autoscaling.enabled=true,autoscaling.minReplicas=3,autoscaling.maxReplicas=2"}},
		{"a disruption budget that lets all pods go", "leave at least one", []string{"--set", "podDisruptionBudget.maxUnavailable=2"}},
		{"one that lets all go that autoscaling may leave", "leave at least one", []string{"--set", "replicas=9,autoscaling.enabled=true,podDisruptionBudget.maxUnavailable=2"}},
		{"autoscaling of a DaemonSet", "DaemonSet", []string{"--set", "autoscaling.enabled=true,kind=DaemonSet"}},
		{"a disruption budget that lets no pod go", "maxUnavailable", []string{"--set", "podDisruptionBudget.maxUnavailable=0"}},
		{"a certificate of nobody", "issuerRef", []string{"--set", "certificate.enabled=true"}},
		{"an admin port that nothing listens on", "config.admin.listen", []string{"--set", "admin.expose=true"}},
		{"an Ingress for an admin port that is not exposed", "admin.expose", []string{"--set", "admin.ingress.enabled=true,admin.ingress.host=a.example.com"}},
		{"an Ingress for a host that the admin API refuses", "config.admin.hosts", []string{"--values", example("everything"), "--set", "admin.ingress.host=other.example.com"}},
		{"probes that the kubelet cannot make", "config.probes.client_ca_file", []string{"--set", "config.probes.client_ca_file=/run/tls/ca.crt"}},
		{"a setting that does not exist", "'url'", []string{"--set", "config.vaults[0].url=https://vault.example"}},
		{"a section that does not exist", "polices", []string{"--set-json", "config.polices=[]"}},
		{"a word that a setting does not know", "'debug', 'info', 'warn', 'error'", []string{"--set", "config.log.level=loud"}},
		{"a duration without a unit", "/config/vaults/0/timeout", []string{"--set", "config.vaults[0].timeout=5"}},
		{"a consumer without an id", "'id'", []string{"--set-json", `config.consumers=[{"username":"alice"}]`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, err := render(t, append([]string{"--values", example("minimal")}, test.args...)...)
			if err == nil || !strings.Contains(out, test.says) {
				t.Errorf("err = %v, want one that names %q: %.500s", err, test.says, out)
			}
		})
	}
}

// The pod meets the Pod Security level "restricted", and more that an authorizer needs.
func TestThePodOfTheChartIsRestricted(t *testing.T) {
	t.Parallel()
	for _, file := range values(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			all := objects(t, "--values", file)
			workload := all["Deployment"]
			if workload == nil {
				workload = all["DaemonSet"]
			}
			for path, want := range map[string]any{
				"automountServiceAccountToken":                          false,
				"hostNetwork":                                           nil,
				"hostPID":                                               nil,
				"securityContext.runAsNonRoot":                          true,
				"securityContext.runAsUser":                             65532,
				"securityContext.seccompProfile.type":                   "RuntimeDefault",
				"containers.0.securityContext.allowPrivilegeEscalation": false,
				"containers.0.securityContext.readOnlyRootFilesystem":   true,
				"containers.0.securityContext.capabilities.drop.0":      "ALL",
				"containers.0.securityContext.capabilities.add":         nil,
				"containers.0.securityContext.privileged":               nil,
				"containers.1":                                          nil,
				"initContainers":                                        nil,
			} {
				if got := workload.at("spec.template.spec." + path); got != want {
					t.Errorf("%s = %v, want %v", path, got, want)
				}
			}
			if all["ServiceAccount"].at("automountServiceAccountToken") != false {
				t.Error("the service account mounts its token into every pod")
			}
			volumes, _ := workload.at("spec.template.spec.volumes").([]any)
			for _, v := range volumes {
				for kind := range v.(map[string]any) {
					if !slices.Contains([]string{"name", "configMap", "secret", "projected"}, kind) {
						t.Errorf("a volume is of kind %s", kind)
					}
				}
			}
		})
	}
}

func TestThePodOfTheChartHasTimeToDrain(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"minimal": 5 + 20 + 5, "everything": 10 + 30 + 5} {
		got := objects(t, "--values", example(name))["Deployment"].at("spec.template.spec.terminationGracePeriodSeconds")
		if got != want {
			t.Errorf("%s: terminationGracePeriodSeconds = %v, want %d", name, got, want)
		}
	}
}

func TestOnlyWhatNeedsARestartReplacesThePods(t *testing.T) {
	t.Parallel()
	sum := func(t *testing.T, example string, args ...string) any {
		t.Helper()
		return objects(t, append([]string{"--values", example}, args...)...)["Deployment"].at("spec.template.metadata.annotations.checksum/config")
	}
	for name, test := range map[string]struct {
		args     []string
		replaced bool
	}{
		"a log level is reloaded":                   {[]string{"--set", "config.log.level=debug"}, false},
		"the level of decisions is reloaded":        {[]string{"--set", "config.log.decisions.level=off"}, false},
		"policies are reloaded":                     {[]string{"--set-json", "config.policies=[]"}, false},
		"consumers are reloaded":                    {[]string{"--set-json", "config.consumers=[]"}, false},
		"a format of the log needs a restart":       {[]string{"--set", "config.log.format=console"}, true},
		"a limit of the server needs a restart":     {[]string{"--set", "config.grpc.max_request_bytes=10000000"}, true},
		"without reload, a log level needs one too": {[]string{"--set", "reload=false", "--set", "config.log.level=debug"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if one, two := sum(t, example("minimal")), sum(t, example("minimal"), test.args...); one == nil || (one != two) != test.replaced {
				t.Errorf("the checksum is %v before and %v after", one, two)
			}
		})
	}
}

func TestTheNetworkPolicyAdmitsOnlyTheNamedPeers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		// peers has the number of peers for each port. Other ports have no rule.
		peers map[string]int
	}{
		{"the pods of the namespace ask, by default", nil, map[string]int{"grpc": 1}},
		{"nobody asks", []string{"--set-json", "networkPolicy.gateways=[]"}, map[string]int{}},
		{"an admin port that is not exposed has no rule", []string{"--set-json", `networkPolicy.admin=[{"podSelector":{}}]`}, map[string]int{"grpc": 1}},
		{"Prometheus reads", []string{"--set-json", `networkPolicy.prometheus=[{"podSelector":{}},{"namespaceSelector":{}}]`}, map[string]int{"grpc": 1, "probes": 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			policy := objects(t, append([]string{"--values", example("minimal")}, test.args...)...)["NetworkPolicy"]
			got := map[string]int{}
			rules, isList := policy.at("spec.ingress").([]any)
			if !isList || policy.at("spec.policyTypes.0") != "Ingress" {
				t.Fatalf("no ingress rules: %v", policy.at("spec"))
			}
			for _, r := range rules {
				rule := object(r.(map[string]any))
				from, _ := rule.at("from").([]any)
				got[fmt.Sprint(rule.at("ports.0.port"))] = len(from)
				if rule.at("ports.1") != nil || len(from) == 0 {
					t.Errorf("a rule has more than one port, or no peers, which admits all: %v", rule)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(test.peers) {
				t.Errorf("got %v, want %v", got, test.peers)
			}
		})
	}
}

func TestTheServiceSpeaksHTTP2ToEachPod(t *testing.T) {
	t.Parallel()
	headless := objects(t, "--values", example("minimal"))["Service"]
	local := objects(t, "--values", example("daemonset"))["Service"]
	for _, test := range []struct {
		name    string
		service object
		path    string
		want    any
	}{
		{"HTTP/2 to the Deployment", headless, "spec.ports.0.appProtocol", "kubernetes.io/h2c"},
		{"every pod of the Deployment is seen", headless, "spec.clusterIP", "None"},
		{"HTTP/2 to the DaemonSet", local, "spec.ports.0.appProtocol", "kubernetes.io/h2c"},
		{"the DaemonSet is asked on the same node", local, "spec.internalTrafficPolicy", "Local"},
		{"which needs an address", local, "spec.clusterIP", nil},
	} {
		if got := test.service.at(test.path); got != test.want {
			t.Errorf("%s: %s = %v, want %v", test.name, test.path, got, test.want)
		}
	}
}

func TestTheServiceRunsOnTheConfigMapOfTheChart(t *testing.T) {
	t.Parallel()
	vault, token := startVault(t)
	all := objects(t, "--values", example("daemonset"))
	s := partstest.StartService(t, parts.ServiceConfig{
		Binary: service.Binary(t),
		Config: with(t, configuration(all), "https://vault.vault.svc:8200", vault, "/run/secrets/vault/token", token),
		// The ports of the pod may be taken on this machine.
		Env: []string{"VAULT_AUTHZ_LISTEN_GRPC=127.0.0.1:0", "VAULT_AUTHZ_LISTEN_PROBES=127.0.0.1:0", "VAULT_AUTHZ_DRAIN_WAIT=0s"},
	})
	pod := "spec.template.spec.containers.0."
	for _, probe := range []string{"livenessProbe", "readinessProbe"} {
		path, _ := all["DaemonSet"].at(pod + probe + ".httpGet.path").(string)
		if got := ask(t, s.Probes, request{path: path}); got.status != 200 {
			t.Errorf("%s %q: status = %d, want 200", probe, path, got.status)
		}
	}
}

func TestTheConfigMapOfEachExampleIsValid(t *testing.T) {
	t.Parallel()
	for _, file := range values(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text := configuration(objects(t, "--values", file))
			config := filepath.Join(t.TempDir(), "config.yaml")
			must(t, os.WriteFile(config, []byte(text), 0o600))
			cmd := exec.CommandContext(t.Context(), service.Binary(t), "config", "validate", "--config", config)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s\n%s", err, out, text)
			}
		})
	}
}

func TestThePlainManifestsEqualTheChart(t *testing.T) {
	t.Parallel()
	want, err := helm(t, "template", "vault-authz", chart, "--namespace", "vault-authz", "--kube-version", kubernetes, "--values", example("minimal"))
	must(t, err)
	// Helm 3 and Helm 4 separate objects by different blank lines.
	blank := regexp.MustCompile(`(?m)^\s*\n`)
	if got := shipped(t, "kubernetes/vault-authz.yaml"); blank.ReplaceAllString(got, "") != blank.ReplaceAllString(want, "") {
		t.Error("deploy/kubernetes/vault-authz.yaml differs from the chart: run `make manifests`")
	}
}
