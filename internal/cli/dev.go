package cli

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/app"
	"github.com/vault-authz/vault-authz/internal/server"
)

// demoURL is what the commands that dev prints ask about.
const demoURL = "http://example.com/"

func devCommand(p Process) *cobra.Command {
	c := app.DevConfig()
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
		for _, name := range []string{"grpc", "probes", "admin"} {
			if err := server.ValidateAddress(cmd.Flag(name).Value.String()); err != nil {
				return exitError{exitUsage, fmt.Errorf("--%s: %w", name, err)}
			}
		}
		return app.Dev(cmd.Context(), &c, p.Stderr, func(at app.Addresses) {
			// A failure to print help must not end the service.
			_ = printDemo(p.Stdout, at)
		})
	}
	return cmd
}

// printDemo prints commands to paste, which work from any folder.
func printDemo(out io.Writer, at app.Addresses) error {
	self := programName()
	address := ""
	if at.GRPC != defaultAddress {
		address = " --address " + at.GRPC
	}
	admin := ""
	if at.Admin != strings.TrimPrefix(defaultAdminURL, "http://") {
		admin = " --admin http://" + at.Admin
	}
	headers := []authz.Header{{Name: "access-token", Value: app.DemoAccessToken}, {Name: "secret-token", Value: app.DemoSecretToken}}
	body, err := envoy.Question{Method: "GET", URL: demoURL, Headers: headers}.JSON()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `vault-authz is running in memory. It forgets everything when it stops (Ctrl-C).

  Envoy asks at       %[1]s
  admin API           http://%[10]s  (vault objects made there are in memory, too: no server is asked)
  page                http://%[10]s/ui/
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

  # through an Envoy that runs deploy/envoy/minimal.yaml
  curl -i -H 'access-token: %[4]s' -H 'secret-token: %[5]s' http://127.0.0.1:10000/

`, at.GRPC, at.Probes, app.DemoConsumerID, app.DemoAccessToken, app.DemoSecretToken, self, address, demoURL, strings.ReplaceAll(string(body), "'", `'\''`), at.Admin, admin)
	return err
}

// programName returns a shell word that starts this program from any folder.
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

// shellWord quotes s unless a shell reads it as one plain word.
func shellWord(s string) string {
	if isPlainWord(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
