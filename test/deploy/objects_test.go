package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

func TestTheLintOfTheChartRefusesAWrongSettingOfTheConfiguration(t *testing.T) {
	t.Parallel()
	out, err := helm(t, "lint", chart, "--values", example("minimal"), "--set", "config.vaults[0].url=https://vault.example")
	if err == nil || !strings.Contains(out, "'url'") {
		t.Errorf("err = %v, want one that names the setting\n%s", err, out)
	}
}

func TestTheObjectsOfTheChartFitEachOther(t *testing.T) {
	t.Parallel()
	numbers := filepath.Join(t.TempDir(), "values.yaml")
	must(t, os.WriteFile(numbers, []byte(`config: {grpc: {max_request_bytes: 10000000}, consumers: [{id: ce67c25e-2168-4a09-81e5-e06187a2384f, custom_id: 123456789}]}`), 0o600))
	const pod, container = "spec.template.spec.", "spec.template.spec.containers.0."
	type want struct {
		kind, path string
		value      any
	}
	for _, test := range []struct {
		name string
		args []string
		want []want
	}{
		{"a Deployment has two pods, of which one may go", []string{"--values", example("minimal")}, []want{
			{"Deployment", "spec.replicas", 2},
			{"Deployment", "spec.strategy.rollingUpdate.maxUnavailable", 0},
			{"Deployment", "spec.minReadySeconds", 5},
			{"PodDisruptionBudget", "spec.maxUnavailable", 1},
			{"PodDisruptionBudget", "spec.unhealthyPodEvictionPolicy", "AlwaysAllow"},
		}},
		{"a single pod may go, so that its node can be drained", []string{"--values", example("minimal"), "--set", "replicas=1"}, []want{
			{"PodDisruptionBudget", "spec.maxUnavailable", 1},
		}},
		{"autoscaling alone decides how many pods there are", []string{"--values", example("everything")}, []want{
			{"Deployment", "spec.replicas", nil},
			{"HorizontalPodAutoscaler", "spec.scaleTargetRef.name", "va-vault-authz"},
			{"HorizontalPodAutoscaler", "spec.minReplicas", 2},
			{"PodDisruptionBudget", "spec.maxUnavailable", 1},
		}},
		{"pods are spread over nodes and zones, and start also where they cannot be", []string{"--values", example("minimal")}, []want{
			{"Deployment", pod + "topologySpreadConstraints.0.topologyKey", "kubernetes.io/hostname"},
			{"Deployment", pod + "topologySpreadConstraints.1.topologyKey", "topology.kubernetes.io/zone"},
			{"Deployment", pod + "topologySpreadConstraints.0.whenUnsatisfiable", "ScheduleAnyway"},
		}},
		{"the token for Vault's login is where the configuration looks, for Vault only", []string{"--values", example("minimal"), "--set", "kubernetesLogin.audience=https://vault.example"}, []want{
			{"Deployment", container + "volumeMounts.1.mountPath", "/var/run/secrets/kubernetes.io/serviceaccount"},
			{"Deployment", container + "volumeMounts.1.name", "vault-login"},
			{"Deployment", pod + "volumes.1.name", "vault-login"},
			{"Deployment", pod + "volumes.1.projected.sources.0.serviceAccountToken.audience", "https://vault.example"},
			{"Deployment", pod + "volumes.1.projected.sources.0.serviceAccountToken.path", "token"},
			{"Deployment", pod + "volumes.1.projected.sources.0.serviceAccountToken.expirationSeconds", 3600},
			{"Deployment", pod + "volumes.1.projected.sources.1", nil},
		}},
		{"no token is mounted without that login", []string{"--values", example("daemonset")}, []want{
			{"DaemonSet", pod + "volumes.1.name", "secret-0"},
			{"DaemonSet", pod + "volumes.2", nil},
		}},
		{"nobody limits Go's memory but the container", []string{"--values", example("minimal")}, []want{
			{"Deployment", container + "env", nil},
			{"Deployment", container + "resources.limits.memory", "256Mi"},
		}},
		{"metrics and probes are asked in plain text by default", []string{"--values", example("minimal"), "--set", "serviceMonitor.enabled=true"}, []want{
			{"Deployment", container + "livenessProbe.httpGet.scheme", "HTTP"},
			{"Deployment", container + "readinessProbe.httpGet.scheme", "HTTP"},
			{"Service", "spec.ports.1.appProtocol", "http"},
			{"ServiceMonitor", "spec.endpoints.0.scheme", "http"},
		}},
		{"and by TLS if they have a certificate", []string{
			"--values", example("minimal"), "--set", "serviceMonitor.enabled=true,serviceMonitor.tlsConfig.serverName=authz.example.com",
			"--set", "config.probes.cert_file=/run/tls/tls.crt,config.probes.key_file=/run/tls/tls.key",
		}, []want{
			{"Deployment", container + "livenessProbe.httpGet.scheme", "HTTPS"},
			{"Deployment", container + "readinessProbe.httpGet.scheme", "HTTPS"},
			{"Service", "spec.ports.1.appProtocol", "https"},
			{"ServiceMonitor", "spec.endpoints.0.scheme", "https"},
			{"ServiceMonitor", "spec.endpoints.0.tlsConfig.serverName", "authz.example.com"},
		}},
		{"nobody reaches the admin port by default", []string{"--values", example("minimal")}, []want{
			{"Service", "spec.ports.2", nil},
			{"Deployment", container + "ports.2", nil},
			{"Ingress", "spec", nil},
		}},
		{"an Ingress leads to the admin port, by TLS only", []string{"--values", example("everything")}, []want{
			{"Ingress", "spec.rules.0.http.paths.0.backend.service.name", "va-vault-authz"},
			{"Ingress", "spec.rules.0.http.paths.0.backend.service.port.name", "admin"},
			{"Ingress", "spec.tls.0.hosts.0", "admin.example.com"},
			{"Ingress", "spec.tls.0.secretName", "admin-example-com"},
			{"Service", "spec.ports.2.appProtocol", "https"},
		}},
		{"numbers in the configuration stay as they are written", []string{"--values", example("minimal"), "--values", numbers}, []want{
			{"configuration", "grpc.max_request_bytes", 10000000},
			{"configuration", "consumers.0.custom_id", 123456789},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			all := objects(t, test.args...)
			all["configuration"] = parse(t, configuration(all))
			for _, w := range test.want {
				if got := all[w.kind].at(w.path); got != w.value {
					t.Errorf("%s %s = %v, want %v", w.kind, w.path, got, w.value)
				}
			}
		})
	}
}

func TestEverySelectorOfTheChartSelectsItsPods(t *testing.T) {
	t.Parallel()
	all := objects(t, "--values", example("everything"))
	labels, _ := all["Deployment"].at("spec.template.metadata.labels").(map[string]any)
	ofService, _ := all["Service"].at("metadata.labels").(map[string]any)
	for kind, path := range map[string]string{
		"Deployment": "spec.selector.matchLabels", "PodDisruptionBudget": "spec.selector.matchLabels", "Service": "spec.selector",
		"NetworkPolicy": "spec.podSelector.matchLabels", "ServiceMonitor": "spec.selector.matchLabels",
	} {
		selected, of := all[kind].at(path), labels
		if kind == "ServiceMonitor" {
			of = ofService
		}
		names, _ := selected.(map[string]any)
		for name, value := range names {
			if of[name] != value {
				t.Errorf("%s: %s is %v, want %v", kind, name, of[name], value)
			}
		}
		if names["app.kubernetes.io/instance"] != "va" || names["app.kubernetes.io/name"] != "vault-authz" {
			t.Errorf("%s selects %v, also those of other releases or programs", kind, names)
		}
	}
	spread, _ := all["Deployment"].at("spec.template.spec.topologySpreadConstraints").([]any)
	for i, s := range spread {
		if got, want := object(s.(map[string]any)).at("labelSelector.matchLabels"), all["Deployment"].at("spec.selector.matchLabels"); !reflect.DeepEqual(got, want) {
			t.Errorf("topologySpreadConstraints %d spreads %v, want %v", i, got, want)
		}
	}
}

// The gateways of the example are served with the certificate that the chart asks for, by
// the name of the Service, and nobody else is.
func TestTheChartServesItsGatewaysByMutualTLS(t *testing.T) {
	t.Parallel()
	vault, token := startVault(t)
	all := objects(t, "--values", example("tls"))
	var names []string
	for _, name := range all["Certificate"].at("spec.dnsNames").([]any) {
		names = append(names, fmt.Sprint(name))
	}
	for _, path := range []string{"spec.template.spec.volumes.1.secret.secretName", "spec.template.spec.containers.0.volumeMounts.1.mountPath"} {
		want := map[bool]any{true: all["Certificate"].at("spec.secretName"), false: "/run/tls"}[strings.HasSuffix(path, "secretName")]
		if got := all["Deployment"].at(path); got != want {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
	const inNamespace = "va-vault-authz.edge.svc"
	if !slices.Contains(names, inNamespace) {
		t.Fatalf("the certificate is for %q, want %s among them", names, inNamespace)
	}
	authority, err := parts.NewAuthority("gateways")
	must(t, err)
	issued, err := authority.Issue(nil, names...)
	must(t, err)
	mounted := t.TempDir()
	must(t, parts.MountSecret(mounted, map[string][]byte{"tls.crt": issued.Certificate, "tls.key": issued.Key, "ca.crt": authority.PEM}))
	clients := partstest.NewPEMFiles(t)
	clients.Put("ca.pem", authority.PEM)
	clients.Issue(authority, "gateway", "spiffe://cluster.local/ns/istio-ingress/sa/gateway")
	clients.Issue(authority, "other", "spiffe://cluster.local/ns/shop/sa/orders")
	s := partstest.StartService(t, parts.ServiceConfig{
		Binary: service.Binary(t),
		Config: strings.ReplaceAll(with(t, configuration(all), "https://vault.vault.svc:8200", vault, "/run/secrets/vault/token", token), "/run/tls", mounted),
		Env:    []string{"VAULT_AUTHZ_LISTEN_GRPC=127.0.0.1:0", "VAULT_AUTHZ_LISTEN_PROBES=127.0.0.1:0", "VAULT_AUTHZ_DRAIN_WAIT=0s"},
	})
	for _, test := range []struct {
		name string
		args []string
		exit int
	}{
		{"the gateway", []string{"--cert-file", clients.Path("gateway.pem"), "--key-file", clients.Path("gateway.key")}, 0},
		{"another pod of the mesh", []string{"--cert-file", clients.Path("other.pem"), "--key-file", clients.Path("other.key")}, 2},
		{"a client without a certificate", nil, 2},
	} {
		args := append([]string{
			"check", "--address", s.GRPC, "--ca-file", clients.Path("ca.pem"), "--server-name", inNamespace,
			"-H", "access-token: " + aliceAccess, "-H", "secret-token: " + aliceSecret,
		}, test.args...)
		cmd := exec.CommandContext(t.Context(), service.Binary(t), append(args, "http://api.example.com/")...)
		out, _ := cmd.CombinedOutput()
		if exit := cmd.ProcessState.ExitCode(); exit != test.exit {
			t.Errorf("%s: exit code %d, want %d\n%s", test.name, exit, test.exit, out)
		}
	}
}
