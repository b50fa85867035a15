package envoy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const exampleBootstrap = "examples/envoy.yaml"

// bootstrap reads the example as Envoy does: an unknown field is an error.
func bootstrap(t *testing.T) *bootstrapv3.Bootstrap {
	t.Helper()
	data, err := os.ReadFile(exampleBootstrap)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var b bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(asJSON, &b); err != nil {
		t.Fatalf("%s: %v", exampleBootstrap, err)
	}
	if err := b.ValidateAll(); err != nil {
		t.Fatalf("%s: %v", exampleBootstrap, err)
	}
	return &b
}

func TestTheExampleForEnvoyIsClosedAndKeepsHeadersApart(t *testing.T) {
	t.Parallel()
	b := bootstrap(t)
	var hcm hcmv3.HttpConnectionManager
	unpack(t, b.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig(), &hcm)
	if got := hcm.GetHttpFilters()[0].GetName(); got != "envoy.filters.http.ext_authz" {
		t.Fatalf("the first filter is %s", got)
	}
	var filter extauthzv3.ExtAuthz
	unpack(t, hcm.GetHttpFilters()[0].GetTypedConfig(), &filter)
	switch {
	case filter.GetFailureModeAllow():
		t.Error("failure_mode_allow is on")
	case !filter.GetEncodeRawHeaders():
		t.Error("encode_raw_headers is off")
	case filter.GetClearRouteCache():
		t.Error("clear_route_cache is on")
	case filter.GetTransportApiVersion() != corev3.ApiVersion_V3:
		t.Errorf("transport_api_version is %s", filter.GetTransportApiVersion())
	case hcm.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction() != corev3.HttpProtocolOptions_ALLOW:
		t.Error("Kong's names for the tokens do not pass")
	}
}

func TestTheExampleForEnvoyNamesThePolicyOfARouteAsWeReadIt(t *testing.T) {
	t.Parallel()
	var hcm hcmv3.HttpConnectionManager
	unpack(t, bootstrap(t).GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig(), &hcm)
	var perRoute extauthzv3.ExtAuthzPerRoute
	route := hcm.GetRouteConfig().GetVirtualHosts()[0].GetRoutes()[0]
	unpack(t, route.GetTypedPerFilterConfig()["envoy.filters.http.ext_authz"], &perRoute)
	in := httpRequest(nil)
	in.Attributes.ContextExtensions = perRoute.GetCheckSettings().GetContextExtensions()
	if got := read(t, in).PolicyName; got != "orders" {
		t.Errorf("got policy %q, want orders", got)
	}
}

// drainWait is the default of drain.wait, for which a replica that stops goes on
// answering.
const drainWait = 5 * time.Second

func TestTheExampleForEnvoyLeavesAReplicaThatStopsBeforeItStopsAnswering(t *testing.T) {
	t.Parallel()
	var authz *clusterv3.Cluster
	for _, c := range bootstrap(t).GetStaticResources().GetClusters() {
		if c.GetName() == "authz" {
			authz = c
		}
	}
	checks := authz.GetHealthChecks()
	if len(checks) != 1 || checks[0].GetGrpcHealthCheck() == nil {
		t.Fatalf("health checks of the cluster: got %v, want one of gRPC", checks)
	}
	c := checks[0]
	notices := time.Duration(c.GetUnhealthyThreshold().GetValue()) * (c.GetInterval().AsDuration() + c.GetTimeout().AsDuration())
	if merge := authz.GetCommonLbConfig().GetUpdateMergeWindow(); merge != nil {
		notices += merge.AsDuration()
	} else {
		notices += time.Second
	}
	if notices <= 0 || notices >= drainWait {
		t.Errorf("a replica that is not ready is left within %s, want less than %s", notices, drainWait)
	}
	if idle := c.GetNoTrafficInterval().AsDuration(); idle <= 0 || idle > c.GetInterval().AsDuration() {
		t.Errorf("before there is any request it is asked every %s, want no less often than else", idle)
	}
}

func unpack(t *testing.T, from interface{ UnmarshalTo(proto.Message) error }, into proto.Message) {
	t.Helper()
	if err := from.UnmarshalTo(into); err != nil {
		t.Fatal(err)
	}
}

func TestARealEnvoyAcceptsTheExample(t *testing.T) {
	t.Parallel()
	binary := os.Getenv("ENVOY_BIN")
	if binary == "" {
		if os.Getenv("REQUIRE_REAL_PARTS") == "1" {
			t.Fatal("ENVOY_BIN is not set although REQUIRE_REAL_PARTS=1: run `make tools` and set it to the binary")
		}
		t.Skip("ENVOY_BIN is not set: run `make tools` and set it to the binary")
	}
	file, err := filepath.Abs(exampleBootstrap)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "--mode", "validate", "-c", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
}
