package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The whole way with few calls: a line for every case, and answers that are what they
// should be.
func TestEveryCaseHasAFigure(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the CPU time of another process is only known on Linux")
	}
	out, err := runProgram(t, "-only", "closed,large,memory,burst", "-rounds", "1", "-calls", "50", "-credentials", "1000")
	if err != nil {
		t.Fatal(err)
	}
	for _, inflight := range []string{"2x1", "2x8", "2x32"} {
		for _, server := range []string{"noop", "vault-authz", "vault-authz,wrong-secret", "vault-authz,unknown", "vault-authz,miss"} {
			wantLine(t, out, "Closed/inflight="+inflight+"/server="+server, "authorizer-CPU-ns", "checks/s")
		}
	}
	for _, server := range []string{"noop", "vault-authz"} {
		wantLine(t, out, "Large/body=8MiB/inflight=1x1/server="+server, "authorizer-CPU-ns", "checks/s", "peak-resident-B")
		wantLine(t, out, "Large/body=1MiB/inflight=2x250/server="+server, "authorizer-CPU-ns", "checks/s", "peak-resident-B")
	}
	wantLine(t, out, "Resident/held=1000", "resident-B", "resident-B/credential")
	wantLine(t, out, "HitsAmong/inflight=2x32/credentials=1", "authorizer-CPU-ns", "checks/s")
	wantLine(t, out, "HitsAmong/inflight=2x32/credentials=1000", "authorizer-CPU-ns", "checks/s")
	wantLine(t, out, "FirstRequestsOfOneCredential/vault-takes=500ms", "reads-of-Vault", "all-ns")
	for _, bound := range []string{"1000|s", "none"} {
		wantLine(t, out, "FirstRequestsOfDifferentCredentials/bound="+bound, "reads-of-Vault", "reads-at-once", "all-ns", "authorizer-CPU-ns", "peak-resident-B")
	}
	if !strings.Contains(out, " 1 reads-of-Vault") {
		t.Errorf("not one read of Vault in\n%s", out)
	}
}

func TestTheOpenLoopHasAFigureForEveryWay(t *testing.T) {
	t.Parallel()
	needEnvoy(t)
	out, err := runProgram(t, "-only", "open", "-rounds", "1", "-rates", "50,100", "-span", "400ms")
	if err != nil {
		t.Fatal(err)
	}
	latency := []string{"p50-ns", "p99-ns", "generator-p99-ns"}
	for _, rate := range []string{"50", "100"} {
		for _, server := range []string{"noop", "vault-authz", "vault-authz,denied"} {
			wantLine(t, out, "Open/via=envoy/rate="+rate+"/server="+server, append(latency, "envoy-CPU-ns", "authorizer-CPU-ns")...)
			wantLine(t, out, "Open/via=straight/rate="+rate+"/server="+server, append(latency, "authorizer-CPU-ns")...)
		}
		for _, server := range []string{"no-authorizer", "api_key_auth"} {
			wantLine(t, out, "Open/via=envoy/rate="+rate+"/server="+server, append(latency, "envoy-CPU-ns")...)
		}
	}
}

func TestATrialIsMeasuredBesideTheProductAsItIs(t *testing.T) {
	t.Parallel()
	needEnvoy(t)
	out, err := runProgram(t, "-try", "GOGC=400", "-try", "grpc.NumStreamWorkers(2), grpc.MaxConcurrentStreams(9)", "-rounds", "1", "-rates", "50", "-span", "200ms")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{"as-it-is", "as-it-is,again", "GOGC=400", "grpc.NumStreamWorkers(2),grpc.MaxConcurrentStreams(9)"} {
		wantLine(t, out, "Open/via=envoy/rate=50/server="+server, "p50-ns", "p99-ns", "generator-p99-ns", "envoy-CPU-ns", "authorizer-CPU-ns")
	}
}

// wantLine wants one line of results with this name and these units, each with a figure
// above 0.
func wantLine(t *testing.T, out, name string, units ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Benchmark"+name {
			continue
		}
		got = append(got, line)
		var found []string
		for i := 2; i+1 < len(fields); i += 2 {
			if strings.HasSuffix(fields[i+1], "-ratio") {
				continue
			}
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil && v > 0 {
				found = append(found, fields[i+1])
			}
		}
		if diff := cmp.Diff(units, found); diff != "" {
			t.Errorf("units of %s with a figure (-want +got):\n%s", name, diff)
		}
	}
	if len(got) != 1 {
		t.Errorf("%d lines of %s, want 1, in\n%s", len(got), name, out)
	}
}

// needEnvoy returns the binary of a real Envoy.
func needEnvoy(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("ENVOY_BIN")
	if binary == "" && os.Getenv("REQUIRE_REAL_PARTS") == "1" {
		t.Fatal("ENVOY_BIN is not set although REQUIRE_REAL_PARTS=1: run `make tools` and set it to the binary")
	}
	if binary == "" {
		t.Skip("ENVOY_BIN is not set: `make tools` gets an Envoy")
	}
	return binary
}

func TestCPUTimeIsThatOfTheProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the CPU time of another process is only known on Linux")
	}
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const spin = 50 * time.Millisecond
	for start := time.Now(); time.Since(start) < spin; {
		_ = strings.Repeat("x", 1000)
	}
	after, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used <= 0 || used > time.Duration(runtime.NumCPU())*time.Minute {
		t.Errorf("CPU time of %s of work: %s", spin, used)
	}
	ended := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	if used, err := cpuTime(ended.Process.Pid); err == nil {
		t.Errorf("a process that has ended has a CPU time: %s", used)
	}
}

// The machine may be three times as slow in one round: that meets all contenders.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	b := &bench{options: options{rounds: 3}, results: &out}
	contenders := []contender{{name: "stub"}, {name: "ours"}}
	slow, order := []float64{1, 3, 1}, ""
	calls := 0
	err := b.alternate(contenders, func(c *contender) ([]result, error) {
		order += c.name + " "
		cost := map[string]float64{"stub": 100, "ours": 50}[c.name] * slow[calls/2]
		calls++
		return []result{{name: "Some", n: 1, keys: []string{"server", c.name}, figures: []figure{{cost, "CPU-ns"}}}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "BenchmarkSome/server=stub 1 100 CPU-ns 1 CPU-ratio\nBenchmarkSome/server=ours 1 50 CPU-ns 0.5 CPU-ratio\n" +
		"BenchmarkSome/server=stub 1 300 CPU-ns 1 CPU-ratio\nBenchmarkSome/server=ours 1 150 CPU-ns 0.5 CPU-ratio\n" +
		"BenchmarkSome/server=stub 1 100 CPU-ns 1 CPU-ratio\nBenchmarkSome/server=ours 1 50 CPU-ns 0.5 CPU-ratio\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if want := "stub ours ours stub stub ours "; order != want {
		t.Errorf("order of measuring: got %q, want %q", order, want)
	}
}

func TestOptionsGoToTheEndOfNewServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, source, want string }{
		{
			"options over several lines", "package p\nvar s = grpc.NewServer(\n\tgrpc.A(1),\n\tgrpc.B(f(2)),\n)\n",
			"package p\nvar s = grpc.NewServer(\n\tgrpc.A(1),\n\tgrpc.B(f(2)),\ngrpc.C(3),\n)\n",
		},
		{"one option", "package p\nvar s = grpc.NewServer(grpc.A(1))\n", "package p\nvar s = grpc.NewServer(grpc.A(1),\ngrpc.C(3))\n"},
		{
			"options after those of others", "package p\nvar s = grpc.NewServer(append(others, grpc.A(1))...)\n",
			"package p\nvar s = grpc.NewServer(append(others, grpc.A(1),\ngrpc.C(3))...)\n",
		},
		{"no call", "package p\nvar s = other.NewServer(a)\n", ""},
		{"options in a slice", "package p\nvar s = grpc.NewServer(options...)\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := withOptions([]byte(c.source), "grpc.C(3)")
			if string(got) != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestSettingsAreToldApart(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string][2]bool{
		"GOGC=400":                 {true, false},
		"GODEBUG=gctrace=1":        {true, false},
		"grpc.NumStreamWorkers(8)": {false, false},
		"grpc.Creds(insecure.NewCredentials(a=b))": {false, false},
		program:               {false, true},
		filepath.Dir(program): {false, false},
	} {
		if got := [2]bool{isVariable(setting), isProgram(setting)}; got != want {
			t.Errorf("%q: variable, program: got %t, want %t", setting, got, want)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var kept tail
	for range 100 {
		if _, err := kept.Write([]byte(strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kept.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if got := kept.String(); len(got) != tailBytes || !strings.HasSuffix(got, "the end") {
		t.Errorf("kept %d bytes ending in %q, want %d ending in %q", len(got), got[len(got)-10:], tailBytes, "the end")
	}
}

func TestLoadOnAGatewayElsewhere(t *testing.T) {
	t.Parallel()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "api.test" || r.RequestURI != "/orders?page=2" || r.Header.Get("Access-Token") != "a" || r.Header.Get("Secret-Token") != "s" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer gateway.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := []string{"-target", gateway.Listener.Addr().String(), "-host", "api.test", "-path", "/orders?page=2", "-access-token", "a", "-rates", "100", "-span", "200ms"}
	var out strings.Builder
	if err := run(t.Context(), append(target, "-secret-token-file", secret), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"20 answered with 200, 0 not", "p50", "p99.9", "slowest"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	err := run(t.Context(), target, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "20 requests failed") || !strings.Contains(err.Error(), "got 401, want 200") {
		t.Errorf("without the secret: got %v", err)
	}
}

// Envoy's own check of what the bench starts it with.
func TestGatewayConfigIsOneThatEnvoyTakes(t *testing.T) {
	t.Parallel()
	binary := needEnvoy(t)
	config, err := gatewayConfig([]contender{
		{name: "alone", listener: "127.0.0.1:10000"},
		{name: "noop", listener: "127.0.0.1:10001", server: &server{GRPC: "127.0.0.1:9191"}},
		{name: "key", listener: "127.0.0.1:10002", key: accessToken},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), binary, "--mode", "validate", "--config-path", file, "--use-dynamic-base-id").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCommandLineMistakesAreToldWithWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"unknown section", "there are open, closed", []string{"-only", "closed,nothing"}},
		{"no rounds", "at least one", []string{"-rounds", "0"}},
		{"an argument", "only flags", []string{"closed"}},
		{"a rate that is none", "not a rate above 0", []string{"-rates", "500,fast"}},
		{"no rate", "not a rate above 0", []string{"-rates", "0"}},
		{"a URL as target", "not host:port", []string{"-target", "http://127.0.0.1:1"}},
		{"no secret file", "-secret-token-file", []string{"-target", "127.0.0.1:1", "-secret-token-file", "/nowhere"}},
		{"settings that do not compile", "undefined: grpc.Nonsense", []string{"-only", "closed", "-try", "grpc.Nonsense(1)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), c.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: got %v, want %q in it", c.args, err, c.want)
			}
		})
	}
}

// What people are told to type, they can type.
func TestDocumentedCommandsAreUnderstood(t *testing.T) {
	t.Parallel()
	const command = "go run ./test/bench "
	for name, atLeast := range map[string]int{
		"doc.go": 4, "../../docs/explanation/performance.md": 3, "../../docs/explanation/decisions/grpc.md": 3, "../../docs/how-to/size.md": 1,
	} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// A backslash at the end continues a line in the shell.
		text := strings.ReplaceAll(string(raw), "\\\n", " ")
		found := 0
		for line := range strings.SplitSeq(text, "\n") {
			_, args, ok := strings.Cut(line, command)
			if !ok {
				continue
			}
			found++
			args, _, _ = strings.Cut(args, "#")
			args, _, _ = strings.Cut(args, "`")
			args, _, _ = strings.Cut(args, ">")
			var words []string
			for _, word := range strings.Fields(args) {
				words = append(words, strings.Trim(word, "'"))
			}
			if _, err := parse(words, io.Discard); err != nil {
				t.Errorf("%s: %q: %v", name, line, err)
			}
		}
		if found < atLeast {
			t.Errorf("%s: %d commands found, want at least %d", name, found, atLeast)
		}
	}
}
