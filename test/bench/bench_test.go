package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The whole way with few calls: a figure for every case, and answers that are
// what they should be.
func TestEveryCaseHasAFigure(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the CPU time of another process is only known on Linux")
	}
	out, err := runProgram(t, "-only", "calls,memory,burst,cores", "-rounds", "2", "-calls", "50", "-credentials", "1000")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Measured on ", "| (a) server CPU per check, 2 × 1 in flight | noop |", "|  | hit |", "|  | hit over a Unix socket |", "|  | wrong secret |",
		"|  | unknown, remembered |", "|  | miss: one read of Vault |", "2 × 8 in flight", "2 × 32 in flight", "take all of one core",
		"process that read 1000 credentials | all of it", "hits of 1000 credentials",
		"reads of Vault, all requests allowed | 1 |", "hit, GOMAXPROCS=2",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestEveryWayThroughEnvoyHasAFigure(t *testing.T) {
	t.Parallel()
	needEnvoy(t)
	out, err := runProgram(t, "-only", "gateway", "-rounds", "1", "-rate", "50", "-span", "400ms")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"p99 | Envoy alone | p50 ", "|  | Envoy + noop |", "|  | Envoy + vault-authz |", "|  | Envoy's api_key_auth |",
		"the authorizer's process | Envoy + noop |", "how late the generator was",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
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

func TestSampleMedianAndRatioAreRoundByRound(t *testing.T) {
	t.Parallel()
	// The machine was three times as slow in the second round.
	stub, ours := sample{100, 300, 100}, sample{50, 150, 51}
	if got := ours.over(stub).median(); got != 0.5 {
		t.Errorf("median ratio: got %g, want 0.5", got)
	}
	if got := (sample{4, 1, 3, 2}).median(); got != 2.5 {
		t.Errorf("median of an even number of rounds: got %g, want 2.5", got)
	}
	if got, want := ours.over(stub).spread("%.2f"), "0.50 … 0.51"; got != want {
		t.Errorf("spread: got %q, want %q", got, want)
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

func TestReportReplacesTheOneBefore(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "doc.md")
	doc := "# Title\n" + firstMark + "old\n" + lastMark + "after\n"
	if err := os.WriteFile(name, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, report := range []string{"first\n", "second\n"} {
		if err := insert(name, report); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if want := "# Title\n" + firstMark + "\n" + report + "\n" + lastMark + "after\n"; err != nil || string(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if err := os.WriteFile(name, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := insert(name, "x"); err == nil {
		t.Error("a document without marks was changed")
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
	target := []string{"-target", gateway.Listener.Addr().String(), "-host", "api.test", "-path", "/orders?page=2", "-access-token", "a", "-rate", "100", "-span", "200ms"}
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
	config, err := gatewayConfig([]*way{
		{Name: "alone", Port: 10000},
		{Name: "noop", Port: 10001, Authz: &server{GRPC: "127.0.0.1:9191"}},
		{Name: "key", Port: 10002, Key: accessToken},
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

func TestBenchmarkOutputIsCollectedRoundByRound(t *testing.T) {
	t.Parallel()
	const head = "goos: linux\npkg: x\nBenchmarkFirst\n"
	var found []*benchmark
	for _, out := range []string{
		head + "BenchmarkCheck/hit/policies=1-2         \t     100\t       712.5 ns/op\t       8 B/op\t       1 allocs/op\nBenchmarkMemory-2  1  435.0 B/entry  9 ns/op\nPASS\n",
		head + "BenchmarkCheck/hit/policies=1-2         \t     100\t       700 ns/op\t       0 B/op\t       0 allocs/op\nBenchmarkMemory-2  1  437.0 B/entry  9 ns/op\nPASS\n",
	} {
		var err error
		if found, err = collect(found, "authz", out); err != nil {
			t.Fatal(err)
		}
	}
	want := []*benchmark{
		{"authz", "Check/hit/policies=1", map[string]sample{"ns/op": {712.5, 700}, "B/op": {8, 0}, "allocs/op": {1, 0}}},
		{"authz", "Memory", map[string]sample{"B/entry": {435, 437}, "ns/op": {9, 9}}},
	}
	if diff := cmp.Diff(want, found, cmp.AllowUnexported(benchmark{})); diff != "" {
		t.Errorf("benchmarks (-want +got):\n%s", diff)
	}
}

func TestCommandLineMistakesAreToldWithWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"unknown section", "there are calls, own", []string{"-only", "calls,nothing"}},
		{"no rounds", "at least one", []string{"-rounds", "0"}},
		{"an argument", "only flags", []string{"calls"}},
		{"a URL as target", "not host:port", []string{"-target", "http://127.0.0.1:1"}},
		{"no secret file", "-secret-token-file", []string{"-target", "127.0.0.1:1", "-secret-token-file", "/nowhere"}},
		{"settings that do not compile", "undefined: grpc.Nonsense", []string{"-try", "grpc.Nonsense(1)"}},
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
	for name, atLeast := range map[string]int{"doc.go": 4, "../../docs/explanation/performance.md": 3} {
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

func TestDocumentHasAPlaceForTheFigures(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/explanation/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := insert(name, "figures\n"); err != nil {
		t.Error(err)
	}
}

func TestWholeHitIsTheSumOfItsParts(t *testing.T) {
	t.Parallel()
	part := func(pkg, name string, ns, allocs sample) *benchmark {
		return &benchmark{pkg, name, map[string]sample{"ns/op": ns, "allocs/op": allocs}}
	}
	parts := []*benchmark{
		part("authz", "Check/hit/policies=1", sample{500, 600}, sample{0, 0}),
		part("authz", "Check/hit/policies=1000", sample{9000, 9000}, sample{9, 9}),
		part("authz", "Observe/hit", sample{50, 50}, sample{0, 1}),
		part("cache", "ParallelHit", sample{100, 110}, sample{0, 0}),
		part("envoy", "ReadAndRespond/allow/header_map", sample{700, 800}, sample{0, 0}),
	}
	got := wholeHit(parts)
	if diff := cmp.Diff(map[string]sample{"ns/op": {1350, 1560}, "allocs/op": {0, 1}}, got.values); diff != "" {
		t.Errorf("sum (-want +got):\n%s", diff)
	}
	if wholeHit(parts[1:]) != nil {
		t.Error("a sum without one of its parts")
	}
}

func TestScaleComparesWithinAGroup(t *testing.T) {
	t.Parallel()
	of := func(name string, ns ...float64) *benchmark {
		return &benchmark{"cache", name, map[string]sample{"ns/op": ns}}
	}
	rows, err := scale([]*benchmark{
		of("Hit/entries=1", 90), of("Hit/entries=1000", 100),
		of("Scale/all/entries=1000", 100, 300), of("Scale/all/entries=1000000", 200, 600),
		of("Scale/few/entries=1000", 50, 50), of("Scale/few/entries=1000000", 60, 60),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r.name, " ", r.ratio, " ", r.reached))
	}
	want := []string{"1000 held 1.00 false", "1000 held 1.00 false", "1000000 held 2.00 false", "1000 held 1.00 false", "1000000 held 1.20 true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if _, err := scale([]*benchmark{of("Hit/entries=1000", 100)}); err == nil {
		t.Error("a comparison without a million")
	}
}
