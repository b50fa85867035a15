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

// A setup configures a testbed.
type setup struct {
	// entities is the configuration of vault-authz. VAULT and TOKENFILE stand for the
	// address and the file.
	entities string
	// listeners are the listeners of Envoy, without Authz.
	listeners []parts.Listener
	// policies are those with a host of their own in Envoy.
	policies []string
	// durable keeps the storage, so that Vault can be restarted.
	durable bool
	// openBao runs OpenBao instead of Vault.
	openBao bool
	// socket makes vault-authz listen on a Unix socket.
	socket bool
	// collector receives the spans of Envoy, empty for none.
	collector string
	// env is added to the environment of vault-authz.
	env []string
	// authzTLS is the TLS between Envoy and vault-authz, nil for plain text.
	authzTLS *parts.EnvoyTLS
}

// A testbed is an Envoy, an upstream, a vault-authz and a Vault, with a proxy between
// vault-authz and Vault.
type testbed struct {
	dir       string
	setup     setup
	tokenFile string
	vault     *parts.Vault
	proxy     *parts.Proxy
	service   *parts.Service
	upstream  *parts.Upstream
	envoy     *parts.Envoy
	// processes are all processes so far, also those that have ended.
	processes []*parts.Process
}

// startTestbed starts everything, or nothing.
func startTestbed(ctx context.Context, dir string, s setup) (*testbed, error) {
	bed := &testbed{dir: dir, setup: s, tokenFile: filepath.Join(dir, "vault-token")}
	if err := errors.Join(bed.startVault(ctx), bed.startRest(ctx)); err != nil {
		bed.close()
		return nil, err
	}
	return bed, nil
}

func (bed *testbed) startVault(ctx context.Context) error {
	vault, err := bed.newVault(ctx)
	if err != nil {
		return err
	}
	return errors.Join(vault.Mount(ctx, mountV1, parts.KVv1), vault.Mount(ctx, mountV2, parts.KVv2))
}

func (bed *testbed) newVault(ctx context.Context) (*parts.Vault, error) {
	var vault *parts.Vault
	var err error
	if bed.setup.openBao {
		// Its log contains the root token, so that one is no secret.
		vault, err = parts.StartOpenBao(ctx, parts.VaultConfig{Binary: suite.bao, Dir: bed.dir})
	} else {
		vault, err = parts.StartVault(ctx, parts.VaultConfig{Binary: suite.vault, Dir: bed.dir, Durable: bed.setup.durable})
	}
	if err != nil {
		return nil, err
	}
	if !bed.setup.openBao {
		suite.secrets.add(vault.RootToken)
	}
	bed.vault, bed.processes = vault, append(bed.processes, vault.Process)
	return vault, nil
}

// startRest starts everything except Vault.
func (bed *testbed) startRest(ctx context.Context) error {
	if bed.vault == nil {
		return errors.New("Vault did not start")
	}
	binary, err := suite.service.Build()
	if err != nil {
		return err
	}
	if err := bed.newReaderToken(ctx); err != nil {
		return err
	}
	if bed.proxy, err = parts.NewProxy(ctx, hostPort(bed.vault.Address)); err != nil {
		return err
	}
	if bed.upstream, err = parts.StartUpstream(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	service := parts.ServiceConfig{
		Binary: binary, Dir: bed.dir, Env: bed.setup.env,
		Entities: strings.NewReplacer("VAULT", "http://"+bed.proxy.Address(), "TOKENFILE", bed.tokenFile).Replace(bed.setup.entities),
	}
	if bed.setup.socket {
		service.GRPC = "unix:" + filepath.Join(bed.dir, "authz.sock")
	}
	if bed.service, err = parts.StartService(ctx, service); err != nil {
		return err
	}
	bed.processes = append(bed.processes, bed.service.Process)
	listeners := slices.Clone(bed.setup.listeners)
	for i := range listeners {
		listeners[i].Authz = bed.service.GRPC
	}
	bed.envoy, err = parts.StartEnvoy(ctx, parts.EnvoyConfig{
		Binary: suite.envoy, Dir: bed.dir,
		Upstream: bed.upstream.Address(), Listeners: listeners, Policies: bed.setup.policies, Collector: bed.setup.collector, AuthzTLS: bed.setup.authzTLS,
	})
	if err != nil {
		return err
	}
	bed.processes = append(bed.processes, bed.envoy.Process)
	return nil
}

// newReaderToken gives vault-authz a new Vault token.
func (bed *testbed) newReaderToken(ctx context.Context) error {
	token, err := bed.vault.ReaderToken(ctx, mountV1, mountV2)
	if err != nil {
		return err
	}
	suite.secrets.add(token)
	return parts.ReplaceFile(bed.tokenFile, []byte(token+"\n"))
}

// readerToken returns the Vault token of vault-authz.
func (bed *testbed) readerToken(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(bed.tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}

// close stops everything, Envoy first.
func (bed *testbed) close() {
	for _, p := range slices.Backward(bed.processes) {
		p.Stop(10 * time.Second)
	}
	if bed.upstream != nil {
		_ = bed.upstream.Close()
	}
	if bed.proxy != nil {
		_ = bed.proxy.Close()
	}
}

// logs returns the output of each program.
func (bed *testbed) logs() map[string]string {
	logs := map[string]string{}
	for i, p := range bed.processes {
		logs[fmt.Sprintf("%s (%d)", p.Name(), i)] = p.Log()
	}
	return logs
}

func printLogs(to io.Writer, logs map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		fmt.Fprintf(to, "---- %s\n%s\n", name, logs[name])
	}
}

func hostPort(address string) string { return strings.TrimPrefix(address, "http://") }
