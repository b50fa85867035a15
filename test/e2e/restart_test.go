package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestARollingRestartBehindHealthChecksRefusesNoRequest restarts two replicas one after the
// other behind an Envoy with health checks, as in deploy/envoy/replicas.yaml. The intervals
// and the drain are a fifth of those there and of the default.
func TestARollingRestartBehindHealthChecksRefusesNoRequest(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	dir := t.TempDir()
	bed := &testbed{dir: dir, tokenFile: filepath.Join(dir, "vault-token")}
	bed.endWith(t)
	must(t, bed.startVault(t.Context()))
	must(t, bed.newReaderToken(t.Context()))
	binary, err := suite.service.Build()
	must(t, err)
	start := func(name, address string) *parts.Service {
		t.Helper()
		own := filepath.Join(dir, name)
		must(t, os.MkdirAll(own, 0o700))
		s, err := parts.StartService(t.Context(), parts.ServiceConfig{
			Binary: binary, Dir: own, GRPC: address, Env: []string{"VAULT_AUTHZ_DRAIN_WAIT=1s"},
			Entities: strings.NewReplacer("VAULT", bed.vault.Address, "TOKENFILE", bed.tokenFile).Replace(`
vaults: [{name: v1, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}}]
` + consumers + `
policies: [{name: default, default: true, vault: v1}]
`),
		})
		must(t, err)
		bed.processes = append(bed.processes, s.Process)
		return s
	}
	replicas := []*parts.Service{start("1", ""), start("2", "")}
	bed.upstream, err = parts.StartUpstream(t.Context(), "127.0.0.1:0")
	must(t, err)
	bed.envoy, err = parts.StartEnvoy(t.Context(), parts.EnvoyConfig{
		Binary: suite.envoy, Dir: dir, Upstream: bed.upstream.Address(), HealthChecks: 200 * time.Millisecond,
		Listeners: []parts.Listener{{Name: onClosed, Authz: replicas[0].GRPC + "," + replicas[1].GRPC, Timeout: time.Second}},
	})
	must(t, err)
	bed.processes = append(bed.processes, bed.envoy.Process)

	ask := func(ctx context.Context) error {
		a, err := bed.try(ctx, onClosed, protocols()[0], request{target: "/"})
		if err == nil && a.status != http.StatusUnauthorized {
			err = fmt.Errorf("status = %d, want 401; body %q", a.status, a.body)
		}
		return err
	}
	partstest.Await(t, 30*time.Second, ask)
	ctx, done := context.WithCancel(t.Context())
	defer done()
	var asking sync.WaitGroup
	var asked atomic.Int64
	asking.Go(func() {
		for ctx.Err() == nil {
			if err := ask(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			asked.Add(1)
			time.Sleep(10 * time.Millisecond)
		}
	})
	for i, r := range replicas {
		r.Stop(10 * time.Second)
		// Without health checks the requests to this replica fail from now on.
		time.Sleep(time.Second)
		start(fmt.Sprint(i+1), r.GRPC)
		// The other replica must not stop before Envoy has found the new one healthy.
		time.Sleep(time.Second)
	}
	done()
	asking.Wait()
	t.Logf("%d requests during two restarts", asked.Load())
	if asked.Load() < 50 {
		t.Errorf("%d requests during two restarts, want at least 50", asked.Load())
	}
}
