// Command vaultserver is a real HashiCorp Vault core behind Vault's own HTTP
// handler, small enough to build from the module proxy. The end-to-end suite
// and `make demo VAULT=hashicorp` run it as "vault".
//
// It is a test tool: Vault is under the BUSL, and nothing of it is linked into
// or shipped with vault-authz. It lives in a module of its own so that none of
// Vault's requirements reach the product's go.mod.
//
// On start it initialises and unseals an empty storage and writes the root
// token and the unseal key to -init-file; on a storage that is initialised
// already it unseals with the key found there, unless -sealed is given.
package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	log "github.com/hashicorp/go-hclog"
	jwtauth "github.com/hashicorp/vault-plugin-auth-jwt"
	kubeauth "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/credential/userpass"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
	"github.com/hashicorp/vault/version"
)

type options struct {
	listen, storage, initFile string
	tlsCert, tlsKey           string
	sealed, showVersion       bool
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8200", "address to listen on; port 0 picks a free one")
	flag.StringVar(&o.storage, "storage", "", "folder for the file backend; empty keeps everything in memory")
	flag.StringVar(&o.initFile, "init-file", "", "where the root token, the unseal key and the address are written (JSON)")
	flag.StringVar(&o.tlsCert, "tls-cert", "", "PEM certificate chain; empty serves plain HTTP")
	flag.StringVar(&o.tlsKey, "tls-key", "", "PEM private key of -tls-cert")
	flag.BoolVar(&o.sealed, "sealed", false, "do not unseal an initialised storage")
	flag.BoolVar(&o.showVersion, "version", false, "print the version of Vault and exit")
	flag.Parse()
	if o.showVersion {
		fmt.Println("Vault v" + version.GetVersion().VersionNumber())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "vaultserver:", err)
		os.Exit(1)
	}
}

// keys is what -init-file holds.
type keys struct {
	RootToken string `json:"root_token"`
	UnsealKey string `json:"unseal_key"`
	Address   string `json:"address"`
}

func run(ctx context.Context, o options) error {
	if o.initFile == "" {
		return errors.New("-init-file is required: without it nobody could log in")
	}
	logger := log.New(&log.LoggerOptions{Name: "vault", Level: log.Warn, Output: os.Stderr})
	backend, kind, err := storage(o.storage, logger)
	if err != nil {
		return fmt.Errorf("opening storage: %w", err)
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           backend,
		StorageType:        kind,
		DisableMlock:       true,
		Logger:             logger,
		LogicalBackends:    logicalBackends(),
		CredentialBackends: credentialBackends(),
		AuditBackends:      map[string]audit.Factory{"file": audit.NewFileBackend},
		BuiltinRegistry:    registry{},
		NumRollbackWorkers: 2,
	})
	if err != nil {
		return fmt.Errorf("starting the core: %w", err)
	}
	defer func() { _ = core.Shutdown() }()

	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	if err := open(ctx, core, o, scheme(o)+"://"+ln.Addr().String()); err != nil {
		return err
	}
	return serve(ctx, ln, core, o)
}

func scheme(o options) string {
	if o.tlsCert != "" {
		return "https"
	}
	return "http"
}

func storage(dir string, logger log.Logger) (physical.Backend, string, error) {
	if dir == "" {
		b, err := inmem.NewInmem(nil, logger)
		return b, "inmem", err
	}
	b, err := file.NewFileBackend(map[string]string{"path": dir}, logger)
	return b, "file", err
}

// open initialises an empty storage, unseals, and records how to log in.
func open(ctx context.Context, core *vault.Core, o options, address string) error {
	initialised, err := core.Initialized(ctx)
	if err != nil {
		return fmt.Errorf("reading the seal configuration: %w", err)
	}
	var k keys
	if initialised {
		raw, err := os.ReadFile(o.initFile)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &k); err != nil {
			return fmt.Errorf("reading %q: %w", o.initFile, err)
		}
	} else {
		res, err := core.Initialize(ctx, &vault.InitParams{
			BarrierConfig:  &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
			RecoveryConfig: &vault.SealConfig{},
		})
		if err != nil {
			return fmt.Errorf("initialising: %w", err)
		}
		k.RootToken = res.RootToken
		k.UnsealKey = base64.StdEncoding.EncodeToString(res.SecretShares[0])
	}
	if !initialised || !o.sealed {
		key, err := base64.StdEncoding.DecodeString(k.UnsealKey)
		if err != nil {
			return fmt.Errorf("decoding the unseal key: %w", err)
		}
		if ok, err := core.Unseal(key); err != nil || !ok {
			return fmt.Errorf("unsealing: unsealed=%t: %w", ok, err)
		}
	}
	k.Address = address
	return writeKeys(o.initFile, k)
}

// writeKeys replaces the file in one step: whoever waits for it to appear must
// never read half of it.
func writeKeys(name string, k keys) error {
	raw, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", append(raw, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func serve(ctx context.Context, ln net.Listener, core *vault.Core, o options) error {
	srv := &http.Server{
		Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
			Core: core,
			// The handler needs one, and takes a limit of 0 for none.
			ListenerConfig: &configutil.Listener{
				Address:            ln.Addr().String(),
				MaxRequestDuration: vault.DefaultMaxRequestDuration,
				MaxRequestSize:     vaulthttp.DefaultMaxRequestSize,
			},
		}),
		ReadHeaderTimeout: 10 * time.Second,
		// As Vault's own listener does: the auth method cert looks at it.
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert},
	}
	done := make(chan error, 1)
	go func() {
		if o.tlsCert != "" {
			done <- srv.ServeTLS(ln, o.tlsCert, o.tlsKey)
			return
		}
		done <- srv.Serve(ln)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return srv.Close()
	}
}

func logicalBackends() map[string]logical.Factory {
	return map[string]logical.Factory{"kv": kv.Factory}
}

func credentialBackends() map[string]logical.Factory {
	return map[string]logical.Factory{
		"approle":    approle.Factory,
		"cert":       cert.Factory,
		"jwt":        jwtauth.Factory,
		"kubernetes": kubeauth.Factory,
		"userpass":   userpass.Factory,
	}
}
