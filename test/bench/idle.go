package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/test/parts"
)

// fleetSize is how many replicas share a server in the section idle.
const fleetSize = 10

// idle is what the product costs beside checks, on a real OpenBao: starts, health checks,
// replicas that have nothing to do, and sweeps.
func idle(ctx context.Context, b *bench) error {
	binary := os.Getenv("BAO_BIN")
	if binary == "" {
		return errors.New("BAO_BIN is not set to what make tools made")
	}
	dir, err := os.MkdirTemp(b.dir, "idle-")
	if err != nil {
		return err
	}
	f := &fleet{b: b, dir: dir}
	if f.vault, err = parts.StartOpenBao(ctx, parts.VaultConfig{Binary: binary, Dir: dir}); err != nil {
		return err
	}
	defer f.vault.Kill()
	if err := f.furnish(ctx); err != nil {
		return err
	}
	defer f.proxy.close()
	for _, step := range []func(context.Context) error{f.size, f.starts, f.rest, f.sweeps} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A fleet is replicas on one server, which they reach through a proxy.
type fleet struct {
	b     *bench
	dir   string
	vault *parts.Vault
	token string
	proxy *countingProxy
	made  int
}

const idleState = "vault-authz"

func (f *fleet) furnish(ctx context.Context) error {
	err := errors.Join(f.vault.Mount(ctx, mount, parts.KVv1), f.vault.Mount(ctx, idleState, parts.KVv2))
	if err != nil {
		return err
	}
	if f.token, err = f.vault.ManagerToken(ctx, mount, idleState); err != nil {
		return err
	}
	f.proxy, err = openProxy(ctx, f.vault.Address)
	return err
}

// vaults are so many vault objects of one mount, in YAML.
func (f *fleet) vaults(n int, more string) string {
	var all strings.Builder
	all.WriteString("vaults:\n")
	for i := range n {
		fmt.Fprintf(&all, "  - {name: v%d, address: %q, mount: %s, token: {file: %q}%s}\n", i, f.proxy.Address, mount, filepath.Join(f.dir, "token"), more)
	}
	return all.String() + "policies:\n  - {name: default, default: true, vault: v0}\n"
}

// replica starts a vault-authz.
func (f *fleet) replica(ctx context.Context, entities string) (*parts.Service, error) {
	f.made++
	dir := filepath.Join(f.dir, fmt.Sprint("replica-", f.made))
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(f.dir, "token"), []byte(f.token), 0o600)); err != nil {
		return nil, err
	}
	return parts.StartService(ctx, parts.ServiceConfig{Binary: f.b.product, Dir: dir, Entities: entities})
}

func (f *fleet) size(context.Context) error {
	info, err := os.Stat(f.b.product)
	if err != nil {
		return err
	}
	f.b.add(result{name: "Binary", n: 1, keys: []string{"what", "vault-authz"}, figures: []figure{{float64(info.Size()), "file-B"}}})
	return nil
}

// starts are the time from a start to being ready, in steps of 20 ms, and its CPU time; and
// the same of a health check.
func (f *fleet) starts(ctx context.Context) error {
	var many strings.Builder
	many.WriteString("consumers:\n")
	for i := range f.b.consumers {
		fmt.Fprintf(&many, "  - {id: %s, username: user-%06d, groups: [group-%d]}\n", consumerOf(i), i, i%50)
	}
	for _, with := range []struct{ name, entities string }{
		{"1-vault-object", f.vaults(1, "")},
		{"10-vault-objects", f.vaults(10, "")},
		{strconv.Itoa(f.b.consumers) + "-consumers", f.vaults(1, "") + many.String()},
	} {
		for range f.b.rounds {
			if err := f.start(ctx, with.name, with.entities); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fleet) start(ctx context.Context, name, entities string) error {
	began := time.Now()
	s, err := f.replica(ctx, entities)
	if err != nil {
		return err
	}
	defer s.Kill()
	took := time.Since(began)
	cpu, err := cpuTime(s.PID())
	if err != nil {
		return err
	}
	f.b.add(result{name: "Start", n: 1, keys: []string{"with", name}, figures: []figure{duration(took, "ready-ns"), duration(cpu, "CPU-ns")}})
	config := filepath.Join(f.dir, fmt.Sprint("replica-", f.made), "vault-authz.yaml")
	// The health service learns a little later than /readyz that all is ready.
	return parts.Await(ctx, s.Process, func(ctx context.Context) error { return f.healthcheck(ctx, name, config, s.GRPC) })
}

// healthcheck asks once, as the probe of a container does.
func (f *fleet) healthcheck(ctx context.Context, name, config, address string) error {
	check := exec.CommandContext(ctx, f.b.product, "healthcheck", "--config", config)
	check.Env = append(os.Environ(), "VAULT_AUTHZ_LISTEN_GRPC="+address)
	began := time.Now()
	out, err := check.CombinedOutput()
	if err != nil {
		return fmt.Errorf("healthcheck: %w\n%s", err, out)
	}
	f.b.add(result{name: "Healthcheck", n: 1, keys: []string{"with", name}, figures: []figure{
		duration(time.Since(began), "all-ns"), duration(check.ProcessState.UserTime()+check.ProcessState.SystemTime(), "CPU-ns"),
	}})
	return nil
}

// rest is a fleet without requests: what it takes of the machine, and what it asks of the
// server.
func (f *fleet) rest(ctx context.Context) error {
	var replicas []*parts.Service
	defer func() {
		for _, s := range replicas {
			s.Kill()
		}
	}()
	for range fleetSize {
		s, err := f.replica(ctx, f.vaults(1, "")+"state: {vault: v0}\nadmin: {listen: \"127.0.0.1:0\"}\n")
		if err != nil {
			return err
		}
		replicas = append(replicas, s)
	}
	if err := pause(ctx, 5*time.Second); err != nil { // Until the last one has settled.
		return err
	}
	pids := []int{f.vault.PID()}
	for _, s := range replicas {
		pids = append(pids, s.PID())
	}
	before, err := cpuTimes(pids)
	if err != nil {
		return err
	}
	f.proxy.reset()
	began := time.Now()
	if err := pause(ctx, 15*f.b.span); err != nil {
		return err
	}
	span := time.Since(began)
	after, err := cpuTimes(pids)
	if err != nil {
		return err
	}
	share := func(i int) float64 { return 100 * (after[i] - before[i]).Seconds() / span.Seconds() }
	var ours float64
	for i := range replicas {
		ours += share(i + 1)
	}
	asked := f.proxy.counts()
	var all float64
	for _, what := range slices.Sorted(maps.Keys(asked)) {
		rate := float64(asked[what]) / span.Seconds()
		all += rate
		f.b.add(result{name: "IdleRequests", n: asked[what], keys: []string{"replicas", strconv.Itoa(fleetSize), "what", what}, figures: []figure{{rate, "requests/s"}}})
	}
	f.b.add(result{name: "Idle", n: 1, keys: []string{"replicas", strconv.Itoa(fleetSize)}, figures: []figure{
		{ours / fleetSize, "%-of-a-core/replica"}, {share(0), "%-of-a-core/server"}, {all, "requests/s"},
	}})
	return nil
}

// sweeps are lists of the whole mount while one credential is in the cache.
func (f *fleet) sweeps(ctx context.Context) error {
	var writes errgroup.Group
	writes.SetLimit(16)
	for i := range f.b.credentials {
		key := fmt.Sprintf("%s%024d", manyPrefix, i)
		writes.Go(func() error {
			return f.vault.Put(ctx, mount, parts.KVv1, key, parts.Record(key, secretToken, consumerID))
		})
	}
	if err := writes.Wait(); err != nil {
		return err
	}
	s, err := f.replica(ctx, f.vaults(1, ", cache: {sweep: 1s}")+"consumers:\n  - {id: "+consumerID+", username: alice}\n")
	if err != nil {
		return err
	}
	defer s.Kill()
	if err := load(ctx, s.GRPC, level{1, 1}, 1, among(1)); err != nil {
		return err
	}
	pids := []int{f.vault.PID(), s.PID()}
	for range f.b.rounds + 1 {
		before, err := cpuTimes(pids)
		if err != nil {
			return err
		}
		f.proxy.reset()
		err = parts.Await(ctx, s.Process, func(context.Context) error {
			if f.proxy.counts()["list"] < 1 {
				return errors.New("there was no sweep yet")
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := pause(ctx, time.Second/2); err != nil { // Until the list has been read.
			return err
		}
		after, err := cpuTimes(pids)
		if err != nil {
			return err
		}
		f.b.add(result{name: "Sweep", n: 1, keys: []string{"keys", strconv.Itoa(f.b.credentials)}, figures: []figure{
			duration(after[1]-before[1], "authorizer-CPU-ns"), duration(after[0]-before[0], "server-CPU-ns"),
		}})
	}
	return nil
}

func cpuTimes(pids []int) ([]time.Duration, error) {
	all := make([]time.Duration, len(pids))
	for i, pid := range pids {
		var err error
		if all[i], err = cpuTime(pid); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A countingProxy leads to a server and counts the requests that go through. It is safe for
// concurrent use.
type countingProxy struct {
	// Address is its URL.
	Address string
	server  *http.Server
	mu      sync.Mutex
	passed  map[string]int
}

func openProxy(ctx context.Context, to string) (*countingProxy, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	ln, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	p := &countingProxy{Address: "http://" + ln.Addr().String(), passed: map[string]int{}}
	forward := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
	}
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forward.ServeHTTP(w, r)
		p.count(r)
	})}
	go func() { _ = p.server.Serve(ln) }()
	return p, nil
}

func (p *countingProxy) close() { _ = p.server.Close() }

func (p *countingProxy) count(r *http.Request) {
	what := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v1/")
	if r.URL.Query().Get("list") == "true" {
		what = "list"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed[what]++
}

func (p *countingProxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.passed)
}

func (p *countingProxy) counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.passed)
}
