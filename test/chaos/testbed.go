package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/test/parts"
)

const (
	mount = "kong-auth"
	// vaultHost is the host name of Vault for faults that need one. Only the service of
	// a fault with named can resolve it.
	vaultHost = "vault.chaos.test"
	// ttl is short, so that many credentials expire during a fault. maxStale is the
	// default.
	ttl      = 6 * time.Second
	maxStale = 30 * time.Second
)

// A testbed is a Vault, a front, and a vault-authz.
type testbed struct {
	dir         string
	vaultBinary string
	durable     bool
	vault       *parts.Vault
	front       *front
	service     *parts.Service
	// envoy and upstream are nil unless the requests go through Envoy.
	envoy             *parts.Envoy
	upstream          *parts.Upstream
	authority         *parts.Authority
	tokenFile, caFile string
	hostsFile         string
	probe             pair
	processes         []*parts.Process
	consumers         []string
	serviceBinary     string
	approle           *approle
	// life is the ttl of credentials in the cache.
	life time.Duration
}

// startTestbed starts the programs that a fault needs. After an error none of them runs.
func startTestbed(ctx context.Context, dir string, b binaries, f fault) (*testbed, error) {
	bed := &testbed{
		dir: dir, vaultBinary: b.vault, serviceBinary: b.service, durable: f.durable,
		tokenFile: filepath.Join(dir, "vault-token"), caFile: filepath.Join(dir, "ca.pem"),
		consumers: consumers(), life: ttl, approle: f.approle,
	}
	if f.defaultTTL {
		bed.life = cache.DefaultConfig().TTL
	}
	if f.named {
		bed.hostsFile = filepath.Join(dir, "hosts")
	}
	if err := bed.start(ctx, b, f); err != nil {
		bed.close()
		return nil, err
	}
	return bed, nil
}

// consumers returns the ids of the consumers. Each credential belongs to one of them. An
// answer with another one is as bad as a wrong allow.
func consumers() []string {
	return []string{
		"ce67c25e-2168-4a09-81e5-e06187a2384f",
		"0b0b0b0b-2168-4a09-81e5-e06187a2384f",
		"7151702a-2168-4a09-81e5-e06187a2384f",
	}
}

func (bed *testbed) start(ctx context.Context, binaries binaries, f fault) error {
	if err := bed.startVault(ctx, ""); err != nil {
		return err
	}
	if err := bed.vault.Mount(ctx, mount, parts.KVv1); err != nil {
		return err
	}
	if err := bed.newToken(ctx); err != nil {
		return err
	}
	if bed.approle != nil {
		if err := bed.makeRole(ctx); err != nil {
			return err
		}
	}
	var err error
	if bed.probe, err = bed.write(ctx, bed.consumers[0], nil); err != nil {
		return err
	}
	if f.tls {
		if err := errors.Join(bed.newAuthority(), bed.trustAuthority()); err != nil {
			return err
		}
	}
	if err := bed.startFront(ctx); err != nil {
		return err
	}
	if err := bed.startService(ctx); err != nil || !f.envoy {
		return err
	}
	return bed.startEnvoy(ctx, binaries.envoy)
}

// startVault starts Vault on an address, a free one if listen is empty.
func (bed *testbed) startVault(ctx context.Context, listen string) error {
	vault, err := parts.StartVault(ctx, parts.VaultConfig{Binary: bed.vaultBinary, Dir: bed.dir, Durable: bed.durable, Listen: listen})
	if err != nil {
		return err
	}
	bed.vault, bed.processes = vault, append(bed.processes, vault.Process)
	return nil
}

// restartVault starts Vault again with its storage and address.
func (bed *testbed) restartVault(ctx context.Context) error {
	return bed.startVault(ctx, strings.TrimPrefix(bed.vault.Address, "http://"))
}

func (bed *testbed) startFront(ctx context.Context) error {
	if bed.authority == nil {
		var err error
		bed.front, err = newFront(ctx, bed.vault.Address, nil)
		return err
	}
	certificate, err := bed.certificate()
	if err != nil {
		return err
	}
	bed.front, err = newFront(ctx, bed.vault.Address, certificate)
	return err
}

// newAuthority creates an authority. The service trusts it once trustAuthority has
// written its certificate.
func (bed *testbed) newAuthority() error {
	var err error
	bed.authority, err = parts.NewAuthority("chaos authority")
	return err
}

func (bed *testbed) trustAuthority() error { return parts.ReplaceFile(bed.caFile, bed.authority.PEM) }

// certificate issues a certificate for Vault's name.
func (bed *testbed) certificate() (*tls.Certificate, error) {
	issued, err := bed.authority.Issue(nil, vaultHost)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(issued.Certificate, issued.Key)
	return &certificate, err
}

// newToken gives the service a new Vault token.
func (bed *testbed) newToken(ctx context.Context) error {
	token, err := bed.vault.ReaderToken(ctx, mount)
	if err != nil {
		return err
	}
	return parts.ReplaceFile(bed.tokenFile, []byte(token+"\n"))
}

// token returns the Vault token of the service.
func (bed *testbed) token() (string, error) {
	raw, err := os.ReadFile(bed.tokenFile)
	return strings.TrimSpace(string(raw)), err
}

func (bed *testbed) startService(ctx context.Context) error {
	c := parts.ServiceConfig{Binary: bed.serviceBinary, Dir: bed.dir, Entities: bed.entities(), Env: []string{"VAULT_AUTHZ_LOG_ALLOW_SAMPLE=0"}}
	if bed.hostsFile != "" {
		if err := os.WriteFile(bed.hostsFile, []byte("127.0.0.1 "+vaultHost+"\n"), 0o600); err != nil {
			return err
		}
		c.Wrap = withHosts(bed.hostsFile)
		// Go's own resolver reads the file only every 5 seconds.
		c.Env = append(c.Env, "GODEBUG=netdns=cgo")
	}
	var err error
	if bed.service, err = parts.StartService(ctx, c); err != nil {
		return err
	}
	bed.processes = append(bed.processes, bed.service.Process)
	return nil
}

// withHosts returns a command that runs another one in a namespace with its own /etc/hosts,
// so that a host name can be changed without a change to the machine.
func withHosts(file string) []string {
	return []string{
		"unshare", "--user", "--map-root-user", "--mount",
		"sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, file,
	}
}

// moveVaultName changes the address of Vault's name to another one of the same length. It
// writes into the mounted file, which must not be replaced.
func (bed *testbed) moveVaultName(address string) error {
	f, err := os.OpenFile(bed.hostsFile, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(address+" "+vaultHost+"\n"), 0)
	return errors.Join(err, f.Close())
}

// entities returns the configuration of the service: the defaults, except for the ttl.
func (bed *testbed) entities() string {
	scheme, host, trust := "http", "127.0.0.1", ""
	if bed.authority != nil {
		scheme, trust = "https", fmt.Sprintf(", ca_file: %q, server_name: %s", bed.caFile, vaultHost)
	}
	if bed.hostsFile != "" {
		host = vaultHost
	}
	var b strings.Builder
	fmt.Fprintf(&b, `
vaults:
  - {name: main, address: "%s://%s:%s", mount: %s, kv: v1, %s%s, cache: {ttl: %s, max_stale: %s}}
policies:
  - {name: default, default: true, vault: main}
consumers:
`, scheme, host, bed.front.port, mount, bed.credentials(), trust, bed.life, maxStale)
	for i, id := range bed.consumers {
		fmt.Fprintf(&b, "  - {id: %s, username: consumer-%d}\n", id, i)
	}
	return b.String()
}

// write writes a new credential into Vault. more are additional fields.
func (bed *testbed) write(ctx context.Context, consumer string, more map[string]any) (pair, error) {
	p := pair{access: token("access"), secret: token("secret"), consumer: consumer}
	record := p.record()
	maps.Copy(record, more)
	return p, bed.vault.Put(ctx, mount, parts.KVv1, p.access, record)
}

// writeMany writes n credentials.
func (bed *testbed) writeMany(ctx context.Context, n int, more map[string]any) ([]pair, error) {
	pairs := make([]pair, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range pairs {
		g.Go(func() (err error) {
			pairs[i], err = bed.write(ctx, bed.consumers[i%len(bed.consumers)], more)
			return err
		})
	}
	return pairs, g.Wait()
}

// awaitVault waits until Vault itself, without the front, accepts the token of the service.
func (bed *testbed) awaitVault(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	return parts.Await(ctx, bed.vault.Process, func(ctx context.Context) error {
		token, err := bed.token()
		if err != nil {
			return err
		}
		reader := parts.NewVaultAPI(bed.vault.Address, token)
		return reader.Do(ctx, "GET", mount+"/"+bed.probe.access, nil, nil)
	})
}

// goroutines returns the number of goroutines of the service.
func (bed *testbed) goroutines(ctx context.Context) (int, error) {
	n, err := bed.metric(ctx, "go_goroutines")
	return int(n), err
}

// metric returns the sum of all series of a metric.
func (bed *testbed) metric(ctx context.Context, name string) (float64, error) {
	all, err := bed.service.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	sum, found := all.Sum(name)
	if !found {
		return 0, fmt.Errorf("the service has no metric %s", name)
	}
	return sum, nil
}

// close stops everything.
func (bed *testbed) close() {
	var all sync.WaitGroup
	for _, p := range slices.Backward(bed.processes) {
		all.Go(func() { p.Stop(5 * time.Second) })
	}
	all.Wait()
	if bed.upstream != nil {
		_ = bed.upstream.Close()
	}
	if bed.front != nil {
		_ = bed.front.close()
	}
}
