package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// The demo credential. It opens nothing but what dev serves, on loopback.
const (
	demoAccessToken = "demo"
	demoSecretToken = "demo-secret"
	demoConsumerID  = "ce67c25e-2168-4a09-81e5-e06187a2384f"
	demoURL         = "http://example.com/"
	demoVault       = "memory"
)

func devCommand(p process) *cobra.Command {
	c := demoConfig()
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in memory, with a demo credential, and print commands to try",
		Long: "dev runs the service without Vault: credentials are kept in memory and forgotten at the end.\n" +
			"It has one consumer and one token pair, and prints commands that use them and make others.",
		Example: "  vault-authz dev",
		Args:    noArgs,
	}
	cmd.Flags().StringVar(&c.Listen.GRPC, "grpc", c.Listen.GRPC, "`ADDRESS` for Envoy")
	cmd.Flags().StringVar(&c.Listen.Probes, "probes", c.Listen.Probes, "`ADDRESS` for probes and metrics")
	cmd.Flags().StringVar(&c.Admin.Address, "admin", c.Admin.Address, "`ADDRESS` for the admin API")
	cmd.Flags().StringVar(&c.AddressesFile, "addresses-file", "", "`FILE` to write the addresses to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return serve(cmd.Context(), &c, &memory{mounts: map[string]*memkv.Engine{}}, p.stderr, func(at addresses) {
			// What is printed is help: that it fails must not end the service.
			_ = printDemo(p.stdout, at)
		})
	}
	return cmd
}

// demoConfig is one vault object, one consumer and one policy, with Kong's
// defaults.
func demoConfig() config.Config {
	c := config.Default()
	c.Log.AllowSample = 1
	c.Log.Format = "console"
	c.GRPC.Reflection = true
	c.Drain = config.Drain{Timeout: time.Second}
	c.Vaults = []config.Vault{{Config: vaultkv.DefaultConfig(), Cache: cache.DefaultConfig(), Sweep: vaultkv.DefaultSweepConfig()}}
	c.Vaults[0].Name, c.Vaults[0].Mount = demoVault, demoVault
	c.State.Vault = demoVault
	c.Consumers = []authz.Consumer{{ID: demoConsumerID, Username: "demo", CustomID: "demo-1", Groups: []string{"demo"}}}
	policy := authz.DefaultPolicy()
	policy.Name, policy.Vault, policy.Default = "default", demoVault, true
	c.Policies = []authz.Policy{policy}
	return c
}

// memory opens engines in memory, one for each mount. The first one holds the
// demo credential.
type memory struct {
	mu     sync.Mutex
	mounts map[string]*memkv.Engine
}

func (m *memory) engine(v *config.Vault, _ *zap.Logger) (vaultkv.Engine, func() error, func(context.Context) error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	engine := m.mounts[v.Mount]
	if engine == nil {
		engine = memkv.New()
		m.mounts[v.Mount] = engine
	}
	if v.Name == demoVault {
		document, err := json.Marshal(map[string]any{
			"access_token": demoAccessToken,
			"secret_token": demoSecretToken,
			"consumer":     map[string]string{"id": demoConsumerID},
		})
		if err != nil {
			return nil, nil, nil, err
		}
		engine.Put(demoAccessToken, document)
	}
	return engine, func() error { return nil }, nil, nil
}

func (m *memory) state(_ vaultkv.Engine, _ string, log *zap.Logger) (state.Engine, func(context.Context) error, error) {
	log.Warn("everything is in memory and forgotten at the end")
	return memkv.New(), nil, nil
}

// printDemo prints commands that work by paste, from any folder.
func printDemo(out io.Writer, at addresses) error {
	self := programName()
	address := ""
	if at.GRPC != defaultAddress {
		address = " --address " + at.GRPC
	}
	admin := ""
	if at.Admin != strings.TrimPrefix(defaultAdminURL, "http://") {
		admin = " --admin http://" + at.Admin
	}
	headers := []authz.Header{{Name: "access-token", Value: demoAccessToken}, {Name: "secret-token", Value: demoSecretToken}}
	body, err := envoy.Question{Method: "GET", URL: demoURL, Headers: headers}.JSON()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `vault-authz is running in memory. It forgets everything when it stops (Ctrl-C).

  Envoy asks at       %[1]s
  admin API           http://%[10]s  (vault objects made there are in memory, too: no server is asked)
  probes and metrics  http://%[2]s/readyz  http://%[2]s/metrics
  consumer            demo (%[3]s)
  access token        %[4]s
  secret token        %[5]s

In another terminal:

  # allowed, with the headers that the upstream would see
  %[6]s check%[7]s -H 'access-token: %[4]s' -H 'secret-token: %[5]s' %[8]s

  # denied: the secret is wrong
  %[6]s check%[7]s -H 'access-token: %[4]s' -H 'secret-token: wrong' %[8]s

  # a token pair for a new consumer, from the shell: made, used, deleted, and denied
  %[6]s consumer create alice%[11]s
  printf alice-secret | %[6]s credential create alice%[11]s --access-token alice-1 --secret-token-file -
  %[6]s check%[7]s -H 'access-token: alice-1' -H 'secret-token: alice-secret' %[8]s
  %[6]s credential delete alice-1%[11]s --yes
  %[6]s check%[7]s -H 'access-token: alice-1' -H 'secret-token: alice-secret' %[8]s
  %[6]s consumer delete alice%[11]s --yes

  # a pair by Kong's admin calls; the secret is shown once
  curl -sS http://%[10]s/consumers -d username=bob
  curl -sS -X POST http://%[10]s/vault-auth/memory/credentials/bob

  # the first request by grpcurl
  grpcurl -plaintext -d '%[9]s' %[1]s envoy.service.auth.v3.Authorization/Check

  # through an Envoy that runs envoy/examples/envoy.yaml
  curl -i -H 'access-token: %[4]s' -H 'secret-token: %[5]s' http://127.0.0.1:10000/

`, at.GRPC, at.Probes, demoConsumerID, demoAccessToken, demoSecretToken, self, address, demoURL, strings.ReplaceAll(string(body), "'", `'\''`), at.Admin, admin)
	return err
}

// programName is how to start this program from any folder.
func programName() string {
	path, err := os.Executable()
	if err != nil {
		return "vault-authz"
	}
	if found, err := exec.LookPath("vault-authz"); err == nil && found == path {
		return "vault-authz"
	}
	return shellWord(path)
}

// shellWord quotes what a shell would not take for one word.
func shellWord(s string) string {
	if isPlainWord(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
