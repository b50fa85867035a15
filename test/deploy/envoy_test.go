package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/internal/config"
)

// examples returns the Envoy configurations in deploy/envoy, by name.
func examples(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "deploy", "envoy", "*.yaml"))
	must(t, err)
	found := map[string]string{}
	for _, file := range files {
		name := filepath.Base(file)
		if text := shipped(t, "envoy/"+name); strings.Contains(text, "static_resources:") {
			found[name] = text
		}
	}
	if len(found) < 3 {
		t.Fatalf("%d examples in %q, want at least 3", len(found), files)
	}
	return found
}

func TestATestBootsEachExampleOfEnvoy(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(t, err)
		tests.Write(raw)
	}
	for name := range examples(t) {
		if !strings.Contains(tests.String(), `"envoy/`+name+`"`) {
			t.Errorf("no test boots deploy/envoy/%s: add one to test/deploy", name)
		}
	}
}

// extAuthz is the part of Envoy's ext_authz filter that the security depends on.
type extAuthz struct {
	Type                string         `yaml:"@type"`
	TransportAPIVersion string         `yaml:"transport_api_version"`
	FailureModeAllow    bool           `yaml:"failure_mode_allow"`
	EncodeRawHeaders    bool           `yaml:"encode_raw_headers"`
	ClearRouteCache     bool           `yaml:"clear_route_cache"`
	StatusOnError       map[string]any `yaml:"status_on_error"`
}

// filters returns all ext_authz filters below a node.
func filters(t *testing.T, n *yaml.Node) []extAuthz {
	t.Helper()
	var found []extAuthz
	if n.Kind == yaml.MappingNode {
		var f extAuthz
		if n.Decode(&f) == nil && strings.HasSuffix(f.Type, ".ext_authz.v3.ExtAuthz") {
			found = append(found, f)
		}
	}
	for _, child := range n.Content {
		found = append(found, filters(t, child)...)
	}
	return found
}

func TestEachExampleOfEnvoyFailsClosedAndKeepsHeadersApart(t *testing.T) {
	t.Parallel()
	for name, text := range examples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var root yaml.Node
			must(t, yaml.Unmarshal([]byte(text), &root))
			all := filters(t, &root)
			if len(all) != 1 {
				t.Fatalf("%d ext_authz filters, want 1", len(all))
			}
			switch f := all[0]; {
			case f.FailureModeAllow:
				t.Error("failure_mode_allow is true")
			case f.ClearRouteCache:
				t.Error("clear_route_cache is true")
			case !f.EncodeRawHeaders:
				t.Error("encode_raw_headers is false")
			case f.TransportAPIVersion != "V3":
				t.Errorf("transport_api_version is %q, want V3", f.TransportAPIVersion)
			case f.StatusOnError["code"] != "ServiceUnavailable":
				t.Errorf("status_on_error is %v, want ServiceUnavailable", f.StatusOnError)
			}
			if strings.Contains(text, "headers_with_underscores_action: REJECT_REQUEST\n") || strings.Contains(text, "headers_with_underscores_action: DROP_HEADER\n") {
				t.Error("Envoy does not pass on Kong's names of the tokens, which have underscores")
			}
		})
	}
}

// healthCheck is a health check of a cluster.
type healthCheck struct {
	Timeout            time.Duration  `yaml:"timeout"`
	Interval           time.Duration  `yaml:"interval"`
	NoTrafficInterval  time.Duration  `yaml:"no_traffic_interval"`
	UnhealthyThreshold int            `yaml:"unhealthy_threshold"`
	GRPC               map[string]any `yaml:"grpc_health_check"`
}

func TestTheReplicasEnvoyLeavesAReplicaBeforeItStopsAnswering(t *testing.T) {
	t.Parallel()
	// A replica that stops still answers for this long.
	drainWait := config.Default().Drain.Wait
	var envoy struct {
		Static struct {
			Clusters []struct {
				Name         string        `yaml:"name"`
				HealthChecks []healthCheck `yaml:"health_checks"`
				Common       struct {
					UpdateMergeWindow *time.Duration `yaml:"update_merge_window"`
				} `yaml:"common_lb_config"`
			} `yaml:"clusters"`
		} `yaml:"static_resources"`
	}
	must(t, yaml.Unmarshal([]byte(shipped(t, "envoy/replicas.yaml")), &envoy))
	for _, cluster := range envoy.Static.Clusters {
		if cluster.Name != "authz" {
			continue
		}
		if len(cluster.HealthChecks) != 1 || cluster.HealthChecks[0].GRPC == nil {
			t.Fatalf("health checks: %+v, want one over gRPC", cluster.HealthChecks)
		}
		c := cluster.HealthChecks[0]
		merge := time.Second
		if cluster.Common.UpdateMergeWindow != nil {
			merge = *cluster.Common.UpdateMergeWindow
		}
		if notices := time.Duration(c.UnhealthyThreshold)*(c.Interval+c.Timeout) + merge; notices <= 0 || notices >= drainWait {
			t.Errorf("Envoy leaves a replica that is not ready within %s, want less than %s", notices, drainWait)
		}
		if idle := c.NoTrafficInterval; idle <= 0 || idle > c.Interval {
			t.Errorf("before the first request Envoy asks every %s, want at most every %s", idle, c.Interval)
		}
		return
	}
	t.Fatal("there is no cluster authz")
}
