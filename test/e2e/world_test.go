package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// The mounts of the KV engine, one for each of its versions.
const (
	mountV1 = "kong-auth"
	mountV2 = "kong-auth-v2"
)

// A setup says what a world is made of.
type setup struct {
	// entities is the configuration of vault-authz with VAULT and TOKENFILE in
	// place of the address and the file.
	entities string
	// listeners are Envoy's; Authz is filled in.
	listeners []parts.Listener
	// policies get a host of their own in Envoy.
	policies []string
	// durable lets Vault be started again.
	durable bool
	// openBao takes OpenBao for Vault.
	openBao bool
	// socket has vault-authz listen on a Unix socket.
	socket bool
	// authzTLS is the TLS that Envoy asks vault-authz with, nil for none.
	authzTLS *parts.EnvoyTLS
}

// A world is everything from the client's end of Envoy to the upstream and to
// Vault. The connection to Vault goes through a proxy.
type world struct {
	dir       string
	setup     setup
	tokenFile string
	vault     *parts.Vault
	proxy     *parts.Proxy
	service   *parts.Service
	upstream  *parts.Upstream
	envoy     *parts.Envoy
	// processes are all that ever ran here.
	processes []*parts.Process
}

// startWorld starts everything, or nothing.
func startWorld(ctx context.Context, dir string, s setup) (*world, error) {
	w := &world{dir: dir, setup: s, tokenFile: filepath.Join(dir, "vault-token")}
	if err := errors.Join(w.startVault(ctx), w.startRest(ctx)); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) startVault(ctx context.Context) error {
	vault, err := w.newVault(ctx)
	if err != nil {
		return err
	}
	return errors.Join(vault.Mount(ctx, mountV1, parts.KVv1), vault.Mount(ctx, mountV2, parts.KVv2))
}

func (w *world) newVault(ctx context.Context) (*parts.Vault, error) {
	var vault *parts.Vault
	var err error
	if w.setup.openBao {
		// Its log contains the root token, so that one is no secret.
		vault, err = parts.StartOpenBao(ctx, parts.VaultConfig{Binary: suite.bao, Dir: w.dir})
	} else {
		vault, err = parts.StartVault(ctx, parts.VaultConfig{Binary: suite.vault, Dir: w.dir, Durable: w.setup.durable})
	}
	if err != nil {
		return nil, err
	}
	if !w.setup.openBao {
		suite.secrets.add(vault.RootToken)
	}
	w.vault, w.processes = vault, append(w.processes, vault.Process)
	return vault, nil
}

// startRest starts what stands before Vault.
func (w *world) startRest(ctx context.Context) error {
	if w.vault == nil {
		return errors.New("there is no Vault to start the rest on")
	}
	binary, err := suite.service.Build()
	if err != nil {
		return err
	}
	if err := w.newReaderToken(ctx); err != nil {
		return err
	}
	if w.proxy, err = parts.NewProxy(ctx, hostPort(w.vault.Address)); err != nil {
		return err
	}
	if w.upstream, err = parts.StartUpstream(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	service := parts.ServiceConfig{
		Binary: binary, Dir: w.dir,
		Entities: strings.NewReplacer("VAULT", "http://"+w.proxy.Address(), "TOKENFILE", w.tokenFile).Replace(w.setup.entities),
	}
	if w.setup.socket {
		service.GRPC = "unix:" + filepath.Join(w.dir, "authz.sock")
	}
	if w.service, err = parts.StartService(ctx, service); err != nil {
		return err
	}
	w.processes = append(w.processes, w.service.Process)
	listeners := slices.Clone(w.setup.listeners)
	for i := range listeners {
		listeners[i].Authz = w.service.GRPC
	}
	w.envoy, err = parts.StartEnvoy(ctx, parts.EnvoyConfig{
		Binary: suite.envoy, Dir: w.dir,
		Upstream: w.upstream.Address(), Listeners: listeners, Policies: w.setup.policies, AuthzTLS: w.setup.authzTLS,
	})
	if err != nil {
		return err
	}
	w.processes = append(w.processes, w.envoy.Process)
	return nil
}

// newReaderToken gives vault-authz a new token to read Vault with, in the way
// that agents do it: the file is replaced in one step.
func (w *world) newReaderToken(ctx context.Context) error {
	token, err := w.vault.ReaderToken(ctx, mountV1, mountV2)
	if err != nil {
		return err
	}
	suite.secrets.add(token)
	return parts.ReplaceFile(w.tokenFile, []byte(token+"\n"))
}

// readerToken returns the token that vault-authz reads Vault with.
func (w *world) readerToken(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(w.tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

// close ends everything, from the client's end on.
func (w *world) close() {
	for _, p := range slices.Backward(w.processes) {
		p.Stop(10 * time.Second)
	}
	if w.upstream != nil {
		_ = w.upstream.Close()
	}
	if w.proxy != nil {
		_ = w.proxy.Close()
	}
}

// logs returns what each program has written.
func (w *world) logs() map[string]string {
	logs := map[string]string{}
	for i, p := range w.processes {
		logs[fmt.Sprintf("%s (%d)", p.Name(), i)] = p.Log()
	}
	return logs
}

func (w *world) printLogs(to io.Writer) {
	logs := w.logs()
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		fmt.Fprintf(to, "---- %s\n%s\n", name, logs[name])
	}
}

func hostPort(address string) string { return strings.TrimPrefix(address, "http://") }
