package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/internal/app"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/heap"
)

func serveCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: "serve answers Envoy until it is told to stop (SIGTERM, SIGINT), then drains.\n" +
			"It goes by the configuration file, also when that changes, and reads it at once at SIGHUP.\n" + variablesHelp(),
		Example: "  vault-authz serve --config /etc/vault-authz/config.yaml\n" +
			"  VAULT_AUTHZ_LOG_LEVEL=debug vault-authz serve -c vault-authz.yaml",
		Args: noArgs,
	}
	path := configFlag(cmd)
	level := cmd.Flags().String("log-level", "", "debug, info, warn or error; beats file and environment")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var flags []config.Flag
		if *level != "" {
			flags = append(flags, config.Flag{Name: "--log-level", Setting: "log.level", Value: *level})
		}
		ctx, stop := context.WithCancel(cmd.Context())
		defer stop()
		heap.Tend(ctx, p.Environ, p.Stderr)
		return app.Serve(ctx, &config.Origin{Path: *path, Environ: p.Environ, Flags: flags}, p.Stdout)
	}
	return cmd
}
