package cli

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts run this very program.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"vault-authz": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(Run(ctx, Process{Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}))
		},
	})
}

// The scripts are the specification of the command line.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// address FILE waits for a service to say where it listens, and
			// puts the addresses into GRPC, PROBES and ADMIN.
			"address": func(ts *testscript.TestScript, _ bool, args []string) {
				at, err := awaitAddresses(context.Background(), ts.MkAbs(args[0]))
				ts.Check(err)
				ts.Setenv("GRPC", at.GRPC)
				ts.Setenv("PROBES", at.Probes)
				ts.Setenv("ADMIN", at.Admin)
			},
		},
	})
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"serve"}, {"dev"}, {"check"}, {"config"}, {"healthcheck"}, {"import"}, {"import", "kong"}} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), Process{Args: append(args, "--help"), Stdout: &out, Stderr: &errs})
		if code != exitOK || !bytes.Contains(out.Bytes(), []byte("Examples:")) {
			t.Errorf("%v --help: exit %d, output:\n%s%s", args, code, &out, &errs)
		}
	}
}
