// Command vault-authz is an Envoy external authorization service whose
// credentials live in HashiCorp Vault or OpenBao.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/vault-authz/vault-authz/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := cli.Run(ctx, cli.Process{
		Args: os.Args[1:], Environ: os.Environ(),
		Stdout: os.Stdout, Stderr: os.Stderr,
	})
	stop()
	os.Exit(code) //nolint:gocritic // stop has run
}
