package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A machinery starts the programs that are measured and ends them all. It is
// safe for concurrent use.
type machinery struct {
	dir string
	// store is where the credentials of the product are.
	store *kv
	// product is the binary of vault-authz, and envoy that of Envoy, empty for
	// none.
	product, envoy string

	mu      sync.Mutex
	started []*server
}

// A server is a running program with its gRPC address.
type server struct {
	*parts.Process
	GRPC, Probes string
	output       *tail
	stopped      bool
}

func newMachinery(ctx context.Context, envoy string) (*machinery, error) {
	dir, err := os.MkdirTemp("", "vault-authz-bench-")
	if err != nil {
		return nil, err
	}
	m := &machinery{dir: dir, envoy: envoy}
	if m.store, err = startKV(ctx); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *machinery) close() {
	for _, s := range m.running() {
		m.stop(s)
	}
	if m.store != nil {
		m.store.close()
	}
	_ = os.RemoveAll(m.dir)
}

func (m *machinery) running() []*server {
	m.mu.Lock()
	defer m.mu.Unlock()
	var running []*server
	for _, s := range m.started {
		if !s.stopped {
			running = append(running, s)
		}
	}
	return running
}

func (m *machinery) stop(s *server) {
	s.Stop(time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.stopped = true
}

// build builds vault-authz as it is shipped. overlay is a file for go build
// -overlay, empty for none.
func (m *machinery) build(ctx context.Context, name, overlay string) (string, error) {
	binary := filepath.Join(m.dir, name)
	args := []string{"build", "-trimpath", "-tags=grpcnotrace", "-buildvcs=false", "-ldflags=-s -w", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, module+"cmd/vault-authz")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building vault-authz: %w\n%s", err, out)
	}
	return binary, nil
}

// A product is how a vault-authz differs from one as it is shipped.
type product struct {
	// binary is [machinery.product] if empty.
	binary string
	// listen is where Envoy asks, a free port on loopback if empty.
	listen string
	// vault are further settings of the vault object, as lines of YAML.
	vault string
	// env is added to the environment.
	env []string
}

// startProduct starts a vault-authz with the shipped defaults but for p.
func (m *machinery) startProduct(ctx context.Context, p product) (*server, error) {
	if p.binary == "" {
		p.binary = m.product
	}
	if p.listen == "" {
		p.listen = "127.0.0.1:0"
	}
	dir, err := os.MkdirTemp(m.dir, "product-")
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	config := fmt.Sprintf(`listen: {grpc: %q, probes: "127.0.0.1:0"}
addresses_file: %q
log: {format: json}
drain: {wait: 0s, timeout: 1s}
vaults:
  - name: bench
    address: %q
    mount: %s
    token: {file: %q}
    %s
consumers:
  - {id: %s, username: alice, custom_id: c-1, groups: [gold, eu]}
policies:
  - {name: default, default: true, vault: bench}
`, p.listen, file("addresses.json"), m.store.Address, mount, file("token"), p.vault, consumerID)
	for name, content := range map[string]string{"vault-authz.yaml": config, "token": vaultToken} {
		if err := os.WriteFile(file(name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	s, err := m.start(ctx, parts.Command{
		Name: "vault-authz", Path: p.binary, Dir: dir, Args: []string{"serve", "--config", file("vault-authz.yaml")},
		Env: append(os.Environ(), p.env...),
	}, file("addresses.json"))
	if err != nil {
		return nil, err
	}
	return s, m.await(ctx, s, func(ctx context.Context) error {
		_, err := s.get(ctx, "/readyz")
		return err
	})
}

// startNoop starts the stub.
func (m *machinery) startNoop(ctx context.Context, env ...string) (*server, error) {
	dir, err := os.MkdirTemp(m.dir, "noop-")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addresses := filepath.Join(dir, "addresses.json")
	return m.start(ctx, parts.Command{
		Name: "noop", Path: self, Dir: dir, Args: []string{"-" + stubFlag, addresses}, Env: append(os.Environ(), env...),
	}, addresses)
}

// start starts a program and waits for the file in which it says where it
// listens, unless that is empty.
func (m *machinery) start(ctx context.Context, c parts.Command, addresses string) (*server, error) {
	s := &server{output: &tail{}}
	c.Output = s.output
	var err error
	if s.Process, err = parts.Start(c); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.started = append(m.started, s)
	m.mu.Unlock()
	if addresses == "" {
		return s, nil
	}
	return s, m.await(ctx, s, func(context.Context) error {
		raw, err := os.ReadFile(addresses)
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, s)
	})
}

// await waits for a condition, and tells what the program wrote if it does not
// come true.
func (m *machinery) await(ctx context.Context, s *server, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	if err := parts.Await(ctx, s.Process, condition); err != nil {
		return fmt.Errorf("starting %s: %w\n%s", s.Name(), err, s.output)
	}
	return nil
}

// get asks the probes listener.
func (s *server) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Probes+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, strings.TrimSpace(string(body)))
	}
	return string(body), err
}

// A tail keeps the last of what a program wrote, and reads all of it: a log
// that nobody reads would be dropped, which costs less than writing it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

// tailBytes is enough for what a program says before it gives up.
const tailBytes = 8 << 10

// Write implements [io.Writer].
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
