package deploy

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// The limits of docs/how-to/rate-limit.md, in requests a minute.
const goldLimit, silverLimit, defaultLimit = 200, 100, 50

// limitRecipe is docs/how-to/rate-limit.md.
type limitRecipe struct{ perConsumer, byTier, global, cluster, limits string }

func readLimitRecipe(t *testing.T) limitRecipe {
	t.Helper()
	b := blocks(t, "rate-limit.md", "yaml", 5)
	return limitRecipe{perConsumer: b[0], byTier: b[1], global: b[2], cluster: b[3], limits: b[4]}
}

const (
	limitFilter  = "                  - name: envoy.filters.http.local_ratelimit\n"
	routerFilter = "                  - name: envoy.filters.http.router\n"
)

// productionFilter returns the rate limit filter of production.yaml with the comments before
// the next one, and what is before and after it.
func productionFilter(t *testing.T) (before, filter, after string) {
	t.Helper()
	before, rest, found := strings.Cut(shipped(t, "envoy/production.yaml"), limitFilter)
	filter, after, ends := strings.Cut(rest, routerFilter)
	if !found || !ends {
		t.Fatal("production.yaml has no rate limit filter before the router")
	}
	return before, limitFilter + filter, routerFilter + after
}

// limitedBy returns production.yaml with another rate limit filter.
func limitedBy(t *testing.T, filter string) string {
	t.Helper()
	before, _, after := productionFilter(t)
	return before + indented(filter, 18) + after
}

func indented(text string, by int) string {
	blanks := strings.Repeat(" ", by)
	return blanks + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+blanks) + "\n"
}

// A member is a consumer with a pair.
type member struct{ id, name, groups string }

var (
	carol = member{"5d0e0b5c-3d3a-4f9e-9a53-1f6c1f1a2c03", "carol", "[bronze]"} // a tier that the recipe does not name
	dora  = member{"5d0e0b5c-3d3a-4f9e-9a53-1f6c1f1a2c04", "dora", "[beta, silver, gold]"}
	erin  = member{"5d0e0b5c-3d3a-4f9e-9a53-1f6c1f1a2c05", "erin", "[silver]"}
	frank = member{"5d0e0b5c-3d3a-4f9e-9a53-1f6c1f1a2c06", "frank", "[gold]"}
)

func (m member) pair() map[string]string {
	return map[string]string{"access-token": "access-of-" + m.name, "secret-token": "secret-of-" + m.name}
}

// startLimited starts all but Envoy, with more consumers: alice and frank are gold, bob has no
// group.
func startLimited(t *testing.T) *production {
	t.Helper()
	consumers, pairs := "    username: bob\n", [][3]string{}
	for _, m := range []member{carol, dora, erin, frank} {
		consumers += "  - id: " + m.id + "\n    username: " + m.name + "\n    groups: " + m.groups + "\n"
		pairs = append(pairs, [3]string{m.id, "access-of-" + m.name, "secret-of-" + m.name})
	}
	return startProductionService(t, with(t, shipped(t, "envoy/vault-authz.yaml"), "    username: bob\n", consumers), pairs...)
}

// remaining sends a request that must be allowed, and returns how many more its bucket has.
func remaining(t *testing.T, address string, header map[string]string) string {
	t.Helper()
	got := ask(t, address, request{path: "/", header: header})
	if got.status != http.StatusOK {
		t.Fatalf("status = %d, want 200; body %.200s", got.status, got.body)
	}
	return got.header.Get("X-Ratelimit-Remaining")
}

// useUp sends requests until one is refused, which must be after limit requests. Buckets are
// refilled during the test.
func useUp(t *testing.T, address string, limit int, header map[string]string) {
	t.Helper()
	sent, got := 0, answer{status: http.StatusOK}
	for ; got.status == http.StatusOK && sent <= 3*limit; sent++ {
		got = ask(t, address, request{path: "/", header: header})
	}
	if got.status != http.StatusTooManyRequests || sent <= limit {
		t.Fatalf("request %d: status = %d, want 429 after %d", sent, got.status, limit)
	}
}

func TestTheRecipeForLimitsIsThatOfTheProductionEnvoy(t *testing.T) {
	t.Parallel()
	var page, file []map[string]any
	_, filter, _ := productionFilter(t)
	must(t, yaml.Unmarshal([]byte(readLimitRecipe(t).perConsumer), &page))
	must(t, yaml.Unmarshal([]byte(filter), &file))
	if !reflect.DeepEqual(page, file) {
		t.Errorf("docs/how-to/rate-limit.md has\n%v\nand production.yaml\n%v", page, file)
	}
}

func TestTheProductionEnvoyLimitsEachConsumerOnItsOwn(t *testing.T) {
	t.Parallel()
	s := startProduction(t)
	useUp(t, s.address, defaultLimit, alice())
	if got := remaining(t, s.address, bob()); got != "49" {
		t.Errorf("another consumer has %s requests left, want 49", got)
	}
}

func TestTheRecipeForTiersLimitsEachConsumerByItsTier(t *testing.T) {
	t.Parallel()
	s := startLimited(t)
	address := s.startEnvoy(t, limitedBy(t, readLimitRecipe(t).byTier)).Address("ingress")
	for _, test := range []struct {
		name   string
		header map[string]string
		want   string
	}{
		{"gold", frank.pair(), "199"},
		{"silver", erin.pair(), "99"},
		{"gold before silver, whatever the order of its groups", dora.pair(), "199"},
		{"a group that is no tier", carol.pair(), "49"},
	} {
		if got := remaining(t, address, test.header); got != test.want {
			t.Errorf("%s: %s requests left, want %s", test.name, got, test.want)
		}
	}
	t.Run("headers of the client change neither consumer nor tier", func(t *testing.T) {
		for range 10 {
			remaining(t, address, carol.pair())
		}
		for _, header := range []map[string]string{
			{"X-Consumer-Groups": "gold", "x_consumer_groups": "gold"},
			{"X-Consumer-ID": frank.id, "x_consumer_id": frank.id, "X-Consumer-Username": "frank"},
			{"x-tier": "gold", "tier": "gold", "x-envoy-ratelimited": "false", "envoy.filters.http.ext_authz": `{"groups":["gold"]}`},
		} {
			for name, value := range carol.pair() {
				header[name] = value
			}
			// 39 or a few more, as the bucket is refilled.
			if got, err := strconv.Atoi(remaining(t, address, header)); err != nil || got > defaultLimit-5 {
				t.Errorf("with %v: %d requests left, %v; want those of carol, about %d", header, got, err, defaultLimit-11)
			}
		}
	})
	t.Run("denied requests take nothing", func(t *testing.T) {
		for range defaultLimit + 10 {
			if got := ask(t, address, request{path: "/", header: plus(bob(), "secret_token", "wrong")}); got.status != http.StatusUnauthorized {
				t.Fatalf("status = %d, want 401", got.status)
			}
		}
		if got := remaining(t, address, bob()); got != "49" {
			t.Errorf("%s requests left, want 49", got)
		}
	})
	t.Run("who is over the limit is refused, and nobody else", func(t *testing.T) {
		useUp(t, address, goldLimit, alice())
		useUp(t, address, silverLimit-1, erin.pair())
		for who, header := range map[string]map[string]string{"another gold one": frank.pair(), "a default one": carol.pair()} {
			if got := ask(t, address, request{path: "/", header: header}); got.status != http.StatusOK {
				t.Errorf("%s: status = %d, want 200", who, got.status)
			}
		}
	})
	t.Run("a gRPC client gets RESOURCE_EXHAUSTED", func(t *testing.T) {
		got, calls := codes.OK, 0
		for ; got == codes.OK && calls <= 3*defaultLimit; calls++ {
			got = callGRPC(t, address, bob())
		}
		if got != codes.ResourceExhausted || calls < defaultLimit-1 {
			t.Errorf("call %d: %s, want ResourceExhausted after %d", calls, got, defaultLimit-2)
		}
	})
}

func TestAGatewayThatOnlyMatchesHeadersCanMatchTheGroups(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/how-to/rate-limit.md")
	must(t, err)
	const regex = "(.*, )?gold(, .*)?"
	if !strings.Contains(string(page), "`"+regex+"`") {
		t.Fatalf("docs/how-to/rate-limit.md does not have %s", regex)
	}
	s := startLimited(t)
	before, rest, _ := strings.Cut(readLimitRecipe(t).byTier, "          - extension:\n")
	_, after, found := strings.Cut(rest, "          - metadata:\n")
	if !found {
		t.Fatal("the recipe by tier has no expression before the consumer")
	}
	match := `          - header_value_match: {descriptor_key: tier, descriptor_value: gold, headers: [{name: x-consumer-groups, string_match: {safe_regex: {regex: "` + regex + `"}}}]}` + "\n"
	address := s.startEnvoy(t, limitedBy(t, before+match+"          - metadata:\n"+after)).Address("ingress")
	for _, m := range []member{frank, dora} {
		if got := remaining(t, address, m.pair()); got != "199" {
			t.Errorf("%s: %s requests left, want 199", m.groups, got)
		}
	}
	for _, header := range []map[string]string{carol.pair(), bob()} {
		if got := remaining(t, address, plus(header, "X-Consumer-Groups", "gold", "X_Consumer_Groups", "gold")); got == "199" || got == "198" {
			t.Errorf("a consumer that is not gold, with the header of one: %s requests left", got)
		}
	}
}

// callGRPC makes a gRPC call and returns its status.
func callGRPC(t *testing.T, address string, header map[string]string) codes.Code {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = healthpb.NewHealthClient(conn).Check(metadata.NewOutgoingContext(ctx, metadata.New(header)), &healthpb.HealthCheckRequest{})
	return status.Code(err)
}

// startRateLimitService starts Envoy's rate limit service with the limits of the recipe, by the
// day: a minute could end during the test. It returns the process and its socket.
func startRateLimitService(t *testing.T) (p *parts.Process, socket string) {
	t.Helper()
	limits := t.TempDir()
	must(t, os.WriteFile(filepath.Join(limits, "consumers.yaml"), []byte(strings.ReplaceAll(readLimitRecipe(t).limits, "unit: minute", "unit: day")), 0o600))
	socket = filepath.Join(socketDir(t), "ratelimit.sock")
	p, err := parts.Start(parts.Command{Name: "ratelimit", Path: os.Getenv("RATELIMIT_BIN"), Args: []string{"-socket", socket, "-limits", limits}})
	must(t, err)
	partstest.StopWith(t, p)
	partstest.Await(t, 20*time.Second, func(context.Context) error {
		_, err := os.Stat(socket)
		return err
	})
	return p, socket
}

// globallyLimited returns production.yaml with the global filter, and the cluster of its service
// on a Unix socket.
func globallyLimited(t *testing.T, socket string) string {
	t.Helper()
	recipe := readLimitRecipe(t)
	cluster := with(t, recipe.cluster, "type: STRICT_DNS", "type: STATIC", "socket_address: {address: ratelimit.example.com, port_value: 8081}", "pipe: {path: "+socket+"}")
	return with(t, limitedBy(t, recipe.global), "\n  clusters:\n", "\n  clusters:\n"+indented(cluster, 4))
}

func TestTheRecipeForAllEnvoysSharesOneLimit(t *testing.T) {
	t.Parallel()
	if os.Getenv("RATELIMIT_BIN") == "" {
		t.Skip("RATELIMIT_BIN is not set: `make ratelimit` builds Envoy's rate limit service and runs this test")
	}
	s := startLimited(t)
	limiter, socket := startRateLimitService(t)
	bootstrap := globallyLimited(t, socket)
	one, other := s.startEnvoy(t, bootstrap).Address("ingress"), s.startEnvoy(t, bootstrap).Address("ingress")
	// The first request opens the connection, which may take longer than the filter waits.
	partstest.Await(t, 20*time.Second, func(context.Context) error {
		for _, address := range []string{one, other} {
			if got := ask(t, address, request{path: "/", header: dora.pair()}); got.header.Get("X-Ratelimit-Remaining") == "" {
				return errors.New("no limit yet")
			}
		}
		return nil
	})
	for i, address := range []string{one, other, one, other} {
		if got, want := remaining(t, address, frank.pair()), strconv.Itoa(goldLimit-1-i); got != want {
			t.Errorf("gold, request %d: %s left, want %s", i, got, want)
		}
		header := plus(carol.pair(), "X-Consumer-Groups", "gold", "X-Consumer-ID", frank.id)
		if got, want := remaining(t, address, header), strconv.Itoa(defaultLimit-1-i); got != want {
			t.Errorf("no tier, with the headers of another one, request %d: %s left, want %s", i, got, want)
		}
		if got := ask(t, address, request{path: "/", header: plus(bob(), "secret_token", "wrong")}); got.status != http.StatusUnauthorized {
			t.Errorf("a wrong secret: status = %d, want 401", got.status)
		}
	}
	if got := remaining(t, one, bob()); got != "49" {
		t.Errorf("after denied requests: %s left, want 49", got)
	}
	useUp(t, one, defaultLimit-1, bob())
	for _, address := range []string{one, other} {
		if got := ask(t, address, request{path: "/", header: bob()}); got.status != http.StatusTooManyRequests {
			t.Errorf("over the limit: status = %d, want 429", got.status)
		}
		if got := callGRPC(t, address, bob()); got != codes.ResourceExhausted {
			t.Errorf("over the limit, gRPC: %s, want ResourceExhausted", got)
		}
		if got := ask(t, address, request{path: "/", header: alice()}); got.status != http.StatusOK {
			t.Errorf("another consumer: status = %d, want 200", got.status)
		}
	}
	strict := s.startEnvoy(t, with(t, bootstrap, "failure_mode_deny: false", "failure_mode_deny: true")).Address("ingress")
	limiter.Kill()
	if got := ask(t, strict, request{path: "/", header: alice()}); got.status != http.StatusInternalServerError {
		t.Errorf("without the rate limit service and with failure_mode_deny: status = %d, want 500", got.status)
	}
	if got := ask(t, one, request{path: "/", header: bob()}); got.status != http.StatusOK {
		t.Errorf("without the rate limit service: status = %d, want 200", got.status)
	}
	if got := ask(t, one, request{path: "/"}); got.status != http.StatusUnauthorized {
		t.Errorf("without the rate limit service and without tokens: status = %d, want 401", got.status)
	}
}
