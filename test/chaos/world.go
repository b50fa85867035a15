package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/test/parts"
)

const (
	mount = "kong-auth"
	// vaultHost is Vault's name, for what depends on one. Only the service of
	// a fault about names can resolve it.
	vaultHost = "vault.chaos.test"
	// ttl is how long a credential is fresh: short, so that many become due
	// while Vault is away. maxStale is the default.
	ttl      = 6 * time.Second
	maxStale = 30 * time.Second
)

// A world is a Vault, the front before it, and the service that asks there.
type world struct {
	dir         string
	vaultBinary string
	durable     bool
	vault       *parts.Vault
	front       *front
	service     *parts.Service
	// envoy and upstream are nil unless the fault is watched through them.
	envoy             *parts.Envoy
	upstream          *parts.Upstream
	authority         *parts.Authority
	tokenFile, caFile string
	hostsFile         string
	probe             pair
	processes         []*parts.Process
	http              *http.Client
	consumers         []string
	serviceBinary     string
	approle           *approle
	// life is how long a credential is fresh.
	life time.Duration
}

// startWorld starts everything that a fault needs, or nothing.
func startWorld(ctx context.Context, dir string, b binaries, f fault) (*world, error) {
	w := &world{
		dir: dir, vaultBinary: b.vault, serviceBinary: b.service, durable: f.durable,
		tokenFile: filepath.Join(dir, "vault-token"), caFile: filepath.Join(dir, "ca.pem"),
		http: &http.Client{Timeout: 5 * time.Second}, consumers: consumers(), life: ttl, approle: f.approle,
	}
	if f.lifelong {
		w.life = cache.DefaultConfig().TTL
	}
	if f.named {
		w.hostsFile = filepath.Join(dir, "hosts")
	}
	if err := w.start(ctx, b, f); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// consumers are their ids. Each credential belongs to one, and an answer that
// names another is as bad as a wrong allow.
func consumers() []string {
	return []string{
		"ce67c25e-2168-4a09-81e5-e06187a2384f",
		"0b0b0b0b-2168-4a09-81e5-e06187a2384f",
		"7151702a-2168-4a09-81e5-e06187a2384f",
	}
}

func (w *world) start(ctx context.Context, binaries binaries, f fault) error {
	if err := w.startVault(ctx, ""); err != nil {
		return err
	}
	if err := w.vault.Mount(ctx, mount, parts.KVv1); err != nil {
		return err
	}
	if err := w.newToken(ctx); err != nil {
		return err
	}
	if w.approle != nil {
		if err := w.makeRole(ctx); err != nil {
			return err
		}
	}
	var err error
	if w.probe, err = w.write(ctx, w.consumers[0], nil); err != nil {
		return err
	}
	if f.tls {
		if err := errors.Join(w.newAuthority(), w.trustAuthority()); err != nil {
			return err
		}
	}
	if err := w.startFront(ctx); err != nil {
		return err
	}
	if err := w.startService(ctx); err != nil || !f.envoy {
		return err
	}
	return w.startEnvoy(ctx, binaries.envoy)
}

// startVault starts Vault, on an address where it was before or a free one.
func (w *world) startVault(ctx context.Context, listen string) error {
	vault, err := parts.StartVault(ctx, parts.VaultConfig{Binary: w.vaultBinary, Dir: w.dir, Durable: w.durable, Listen: listen})
	if err != nil {
		return err
	}
	w.vault, w.processes = vault, append(w.processes, vault.Process)
	return nil
}

// restartVault starts Vault again on its storage and address.
func (w *world) restartVault(ctx context.Context) error {
	return w.startVault(ctx, strings.TrimPrefix(w.vault.Address, "http://"))
}

func (w *world) startFront(ctx context.Context) error {
	if w.authority == nil {
		var err error
		w.front, err = newFront(ctx, w.vault.Address, nil)
		return err
	}
	certificate, err := w.certificate()
	if err != nil {
		return err
	}
	w.front, err = newFront(ctx, w.vault.Address, certificate)
	return err
}

// newAuthority creates an authority. The service trusts it once trustAuthority has
// written its certificate.
func (w *world) newAuthority() error {
	var err error
	w.authority, err = parts.NewAuthority("chaos authority")
	return err
}

func (w *world) trustAuthority() error { return parts.ReplaceFile(w.caFile, w.authority.PEM) }

// certificate issues a certificate for Vault's name.
func (w *world) certificate() (*tls.Certificate, error) {
	issued, err := w.authority.Issue(nil, vaultHost)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(issued.Certificate, issued.Key)
	return &certificate, err
}

// newToken gives the service a new token to ask Vault with, in the way that
// agents do it.
func (w *world) newToken(ctx context.Context) error {
	token, err := w.vault.ReaderToken(ctx, mount)
	if err != nil {
		return err
	}
	return parts.ReplaceFile(w.tokenFile, []byte(token+"\n"))
}

// token returns the token that the service asks Vault with.
func (w *world) token() (string, error) {
	raw, err := os.ReadFile(w.tokenFile)
	return strings.TrimSpace(string(raw)), err
}

func (w *world) startService(ctx context.Context) error {
	c := parts.ServiceConfig{Binary: w.serviceBinary, Dir: w.dir, Entities: w.entities(), Env: []string{"VAULT_AUTHZ_LOG_ALLOW_SAMPLE=0"}}
	if w.hostsFile != "" {
		if err := os.WriteFile(w.hostsFile, []byte("127.0.0.1 "+vaultHost+"\n"), 0o600); err != nil {
			return err
		}
		c.Wrap = withHosts(w.hostsFile)
		// Go's own resolver looks at the file every 5 seconds only.
		c.Env = append(c.Env, "GODEBUG=netdns=cgo")
	}
	var err error
	if w.service, err = parts.StartService(ctx, c); err != nil {
		return err
	}
	w.processes = append(w.processes, w.service.Process)
	return nil
}

// withHosts runs a command with its own /etc/hosts, in a namespace of its own,
// so that a name can be moved without touching the machine.
func withHosts(file string) []string {
	return []string{
		"unshare", "--user", "--map-root-user", "--mount",
		"sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, file,
	}
}

// moveName has the name of Vault lead to another address of the same length.
// The file stays the same one: it is what is mounted.
func (w *world) moveName(address string) error {
	f, err := os.OpenFile(w.hostsFile, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(address+" "+vaultHost+"\n"), 0)
	return errors.Join(err, f.Close())
}

// entities is the configuration of the service: the defaults, but for ttl.
func (w *world) entities() string {
	scheme, host, trust := "http", "127.0.0.1", ""
	if w.authority != nil {
		scheme, trust = "https", fmt.Sprintf(", ca_file: %q, server_name: %s", w.caFile, vaultHost)
	}
	if w.hostsFile != "" {
		host = vaultHost
	}
	var b strings.Builder
	fmt.Fprintf(&b, `
vaults:
  - {name: main, address: "%s://%s:%s", mount: %s, kv: v1, %s%s, cache: {ttl: %s, max_stale: %s}}
policies:
  - {name: default, default: true, vault: main}
consumers:
`, scheme, host, w.front.port, mount, w.credentials(), trust, w.life, maxStale)
	for i, id := range w.consumers {
		fmt.Fprintf(&b, "  - {id: %s, username: consumer-%d}\n", id, i)
	}
	return b.String()
}

// write writes a credential into Vault. more is added to the record.
func (w *world) write(ctx context.Context, consumer string, more map[string]any) (pair, error) {
	p := pair{access: token("access"), secret: token("secret"), consumer: consumer}
	record := p.record()
	maps.Copy(record, more)
	return p, w.vault.Put(ctx, mount, parts.KVv1, p.access, record)
}

// writeMany writes so many credentials.
func (w *world) writeMany(ctx context.Context, n int, more map[string]any) ([]pair, error) {
	pairs := make([]pair, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range pairs {
		g.Go(func() (err error) {
			pairs[i], err = w.write(ctx, w.consumers[i%len(w.consumers)], more)
			return err
		})
	}
	return pairs, g.Wait()
}

// answers waits until Vault answers with the token of the service, asked
// directly and not through the front.
func (w *world) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	return parts.Await(ctx, w.vault.Process, func(ctx context.Context) error {
		token, err := w.token()
		if err != nil {
			return err
		}
		reader := parts.NewVaultAPI(w.vault.Address, token)
		return reader.Do(ctx, "GET", mount+"/"+w.probe.access, nil, nil)
	})
}

// goroutines asks the service how many it has.
func (w *world) goroutines(ctx context.Context) (int, error) {
	n, err := w.metric(ctx, "go_goroutines")
	return int(n), err
}

// metric returns the sum of a metric of the service.
func (w *world) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.service.Probes+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if family, _, _ := strings.Cut(series, "{"); family != name {
			continue
		}
		if strings.Contains(series, "{") {
			value = lines.Text()[strings.LastIndex(lines.Text(), " ")+1:]
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("the service has no metric %s", name)
	}
	return sum, nil
}

// close ends everything.
func (w *world) close() {
	var all sync.WaitGroup
	for _, p := range slices.Backward(w.processes) {
		all.Go(func() { p.Stop(5 * time.Second) })
	}
	all.Wait()
	if w.upstream != nil {
		_ = w.upstream.Close()
	}
	if w.front != nil {
		_ = w.front.close()
	}
}
