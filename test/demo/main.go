// Command demo runs Envoy, Vault, vault-authz and an upstream that echoes on
// loopback, and prints curl lines to paste. `make demo` gets the parts and runs
// it. Ctrl-C ends all of it and leaves nothing behind.
package main

import (
	"context"
	"errors"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run shows the demo until ctx ends.
func run(ctx context.Context, out io.Writer) (err error) {
	b, err := findBinaries()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "vault-authz-demo-")
	if err != nil {
		return err
	}
	d := &demo{dir: dir}
	defer func() {
		d.close()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	fmt.Fprintln(out, "Starting Envoy, Vault, vault-authz and an upstream …")
	if err := d.start(ctx, b); err != nil {
		if ctx.Err() != nil {
			// Ctrl-C while starting is no failure.
			return nil
		}
		return err
	}
	d.explain(out)
	return d.wait(ctx)
}

// binaries are the programs that are not built here.
type binaries struct{ envoy, vault string }

func findBinaries() (binaries, error) {
	b := binaries{os.Getenv("ENVOY_BIN"), os.Getenv("VAULT_BIN")}
	var errs []error
	for name, path := range map[string]string{"ENVOY_BIN": b.envoy, "VAULT_BIN": b.vault} {
		if _, err := os.Stat(path); err != nil {
			errs = append(errs, fmt.Errorf("%s=%q names no program: run `make demo`, which gets it and sets this", name, path))
		}
	}
	return b, errors.Join(errs...)
}

// The ports that the parts have in their own documentation; free ones take
// their place where these are taken.
const (
	envoyPort    = 10000
	servicePort  = 9191
	probesPort   = 9193
	vaultPort    = 8200
	upstreamPort = 8000
)

// listener is the name of Envoy's one listener.
const listener = "demo"

// demo is what runs.
type demo struct {
	dir       string
	vault     *parts.Vault
	upstream  *parts.Upstream
	service   *parts.Service
	envoy     *parts.Envoy
	processes []*parts.Process
}

func (d *demo) start(ctx context.Context, b binaries) error {
	for _, step := range []func(context.Context, binaries) error{d.startVault, d.startUpstream, d.startService, d.startEnvoy} {
		if err := step(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startVault(ctx context.Context, b binaries) error {
	address, err := parts.Address(ctx, vaultPort)
	if err != nil {
		return err
	}
	d.vault, err = parts.StartVault(ctx, parts.VaultConfig{Binary: b.vault, Dir: d.dir, Listen: address})
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

func (d *demo) startUpstream(ctx context.Context, _ binaries) error {
	address, err := parts.Address(ctx, upstreamPort)
	if err != nil {
		return err
	}
	d.upstream, err = parts.StartUpstream(ctx, address)
	return err
}

func (d *demo) startService(ctx context.Context, _ binaries) error {
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

func (d *demo) startEnvoy(ctx context.Context, b binaries) error {
	address, err := parts.Address(ctx, envoyPort)
	if err != nil {
		return err
	}
	port, err := parts.Port(address)
	if err != nil {
		return err
	}
	d.envoy, err = parts.StartEnvoy(ctx, parts.EnvoyConfig{
		Binary: b.envoy, Dir: d.dir, Upstream: d.upstream.Address(),
		Listeners: []parts.Listener{{Name: listener, Port: port, Authz: d.service.GRPC, Timeout: time.Second}},
	})
	if err != nil {
		return err
	}
	d.processes = append(d.processes, d.envoy.Process)
	return nil
}

// wait returns when ctx ends, or with an error when one of the parts does.
func (d *demo) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.vault.Exited():
		return fmt.Errorf("vault has ended:\n%s", d.vault.Log())
	case <-d.service.Exited():
		return fmt.Errorf("vault-authz has ended:\n%s", d.service.Log())
	case <-d.envoy.Exited():
		return fmt.Errorf("envoy has ended:\n%s", d.envoy.Log())
	}
}

// close ends everything, from the client's end on.
func (d *demo) close() {
	for i := len(d.processes) - 1; i >= 0; i-- {
		d.processes[i].Stop(5 * time.Second)
	}
	if d.upstream != nil {
		_ = d.upstream.Close()
	}
}

func (d *demo) file(name string) string { return filepath.Join(d.dir, name) }
