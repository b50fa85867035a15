package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// service is the base URL of `vault-authz dev`.
var service string

func TestMain(m *testing.M) {
	flag.Parse()
	// For each of more than two hundred operations.
	if !isSet("rapid.checks") {
		_ = flag.Set("rapid.checks", "20")
	}
	// The same calls in each run. Another seed (-rapid.seed) gives other calls.
	if !isSet("rapid.seed") {
		_ = flag.Set("rapid.seed", "1")
	}
	_ = flag.Set("rapid.nofailfile", "true") // the seed is in the output
	code, err := withService(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// withService builds vault-authz, starts `vault-authz dev`, and runs the tests.
func withService(run func() int) (int, error) {
	dir, err := os.MkdirTemp("", "vault-authz-openapi-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	binary := filepath.Join(dir, "vault-authz")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, "./cmd/vault-authz")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building vault-authz: %w\n%s", err, out)
	}
	addresses := filepath.Join(dir, "addresses.json")
	dev := exec.CommandContext(ctx, binary, "dev", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--probes", "127.0.0.1:0", "--addresses-file", addresses)
	if err := dev.Start(); err != nil {
		return 1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- dev.Wait() }()
	if service, err = awaitAdmin(addresses, ended); err != nil {
		return 1, err
	}
	code := run()
	cancel()
	<-ended
	return code, nil
}

func awaitAdmin(addresses string, ended <-chan error) (string, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		select {
		case err := <-ended:
			return "", fmt.Errorf("vault-authz dev ended: %w", err)
		case <-limit:
			return "", errors.New("vault-authz dev did not write its addresses")
		case <-tick.C:
		}
		var at struct{ Admin string }
		raw, err := os.ReadFile(addresses)
		if err == nil && json.Unmarshal(raw, &at) == nil && at.Admin != "" {
			return "http://" + at.Admin, nil
		}
	}
}

// document fetches the OpenAPI document.
func document(t *testing.T) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, service+"/openapi.yaml", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /openapi.yaml: %s, %v", resp.Status, err)
	}
	return raw
}
