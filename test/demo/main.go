// Command demo runs Envoy, OpenBao or HashiCorp Vault, vault-authz and an
// upstream that echoes on loopback, and prints curl lines to paste. `make demo`
// fetches the programs and runs it. Ctrl-C stops them and removes their files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

func main() {
	vault := flag.String("vault", "openbao", "the server that stores the credentials: openbao or hashicorp")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *vault, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run runs the demo until ctx ends.
func run(ctx context.Context, vault string, out io.Writer) (err error) {
	kind, err := kindOf(vault)
	if err != nil {
		return err
	}
	envoy, envoyErr := program("ENVOY_BIN")
	server, serverErr := program(kind.variable)
	if err := errors.Join(envoyErr, serverErr); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "vault-authz-demo-")
	if err != nil {
		return err
	}
	d := &demo{dir: dir, kind: kind, envoyBinary: envoy, vaultBinary: server}
	defer func() {
		d.close()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	fmt.Fprintf(out, "Starting Envoy, %s, vault-authz and an upstream …\n", kind.title)
	if err := d.start(ctx); err != nil {
		if ctx.Err() != nil {
			// Ctrl-C while starting is not a failure.
			return nil
		}
		return err
	}
	d.explain(out)
	return d.wait(ctx)
}

// A vaultKind is a server that stores the credentials.
type vaultKind struct {
	title string
	// variable is the environment variable that names its program.
	variable string
	start    func(context.Context, parts.VaultConfig) (*parts.Vault, error)
}

func kindOf(name string) (vaultKind, error) {
	switch name {
	case "openbao":
		return vaultKind{"OpenBao", "BAO_BIN", parts.StartOpenBao}, nil
	case "hashicorp":
		return vaultKind{"HashiCorp Vault", "VAULT_BIN", parts.StartVault}, nil
	}
	return vaultKind{}, fmt.Errorf("%q is not a server that the demo knows: use VAULT=openbao or VAULT=hashicorp", name)
}

// program returns the path of a program that is not built here.
func program(variable string) (string, error) {
	path := os.Getenv(variable)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s=%q does not name a program: run `make demo`, which fetches it and sets the variable", variable, path)
	}
	return path, nil
}

// The ports that the programs have in their own documentation. A port that is
// taken is replaced by a free one.
const (
	envoyPort    = 10000
	servicePort  = 9191
	probesPort   = 9193
	vaultPort    = 8200
	upstreamPort = 8000
)

// listener is the name of Envoy's only listener.
const listener = "demo"

// A demo is the programs that run.
type demo struct {
	dir                      string
	kind                     vaultKind
	envoyBinary, vaultBinary string

	vault     *parts.Vault
	upstream  *parts.Upstream
	service   *parts.Service
	envoy     *parts.Envoy
	processes []*parts.Process
}

func (d *demo) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.startVault, d.startUpstream, d.startService, d.startEnvoy} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startVault(ctx context.Context) error {
	address, err := parts.Address(ctx, vaultPort)
	if err != nil {
		return err
	}
	d.vault, err = d.kind.start(ctx, parts.VaultConfig{Binary: d.vaultBinary, Dir: d.dir, Listen: address})
	if err != nil {
		return err
	}
	d.processes = append(d.processes, d.vault.Process)
	if err := d.vault.Mount(ctx, mount, parts.KVv1); err != nil {
		return err
	}
	if err := d.vault.Put(ctx, mount, parts.KVv1, access, record()); err != nil {
		return err
	}
	reader, err := d.vault.ReaderToken(ctx, mount)
	return errors.Join(err,
		os.WriteFile(d.file(readerTokenFile), []byte(reader), 0o600),
		os.WriteFile(d.file(rootTokenFile), []byte(d.vault.RootToken), 0o600))
}

func (d *demo) startUpstream(ctx context.Context) error {
	address, err := parts.Address(ctx, upstreamPort)
	if err != nil {
		return err
	}
	d.upstream, err = parts.StartUpstream(ctx, address)
	return err
}

func (d *demo) startService(ctx context.Context) error {
	grpc, err := parts.Address(ctx, servicePort)
	if err != nil {
		return err
	}
	probes, err := parts.Address(ctx, probesPort)
	if err != nil {
		return err
	}
	binary, err := parts.BuildService(ctx, d.dir, false)
	if err != nil {
		return err
	}
	d.service, err = parts.StartService(ctx, parts.ServiceConfig{
		Binary: binary, Dir: d.dir, GRPC: grpc, Probes: probes,
		Entities: entities(d.vault.Address, d.file(readerTokenFile)),
	})
	if err != nil {
		return err
	}
	d.processes = append(d.processes, d.service.Process)
	return nil
}

func (d *demo) startEnvoy(ctx context.Context) error {
	address, err := parts.Address(ctx, envoyPort)
	if err != nil {
		return err
	}
	port, err := parts.Port(address)
	if err != nil {
		return err
	}
	d.envoy, err = parts.StartEnvoy(ctx, parts.EnvoyConfig{
		Binary: d.envoyBinary, Dir: d.dir, Upstream: d.upstream.Address(),
		Listeners: []parts.Listener{{Name: listener, Port: port, Authz: d.service.GRPC, Timeout: time.Second}},
	})
	if err != nil {
		return err
	}
	d.processes = append(d.processes, d.envoy.Process)
	return nil
}

// wait returns nil when ctx ends, and an error when one of the programs ends
// before.
func (d *demo) wait(ctx context.Context) error {
	ended := func(p *parts.Process) error { return fmt.Errorf("%s has ended:\n%s", p.Name(), p.Log()) }
	select {
	case <-ctx.Done():
		return nil
	case <-d.vault.Exited():
		return ended(d.vault.Process)
	case <-d.service.Exited():
		return ended(d.service.Process)
	case <-d.envoy.Exited():
		return ended(d.envoy.Process)
	}
}

// close stops everything, Envoy first.
func (d *demo) close() {
	for i := len(d.processes) - 1; i >= 0; i-- {
		d.processes[i].Stop(5 * time.Second)
	}
	if d.upstream != nil {
		_ = d.upstream.Close()
	}
}

func (d *demo) file(name string) string { return filepath.Join(d.dir, name) }
