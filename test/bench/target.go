package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/test/bench/openloop"
)

// A target is a gateway that somebody else runs.
type target struct {
	address, host, path string
	access, secretFile  string
	status              int
	connections         int
}

// flags defines what is said of a target. The secret is not taken from the
// command line, which other users of the machine may read.
func (t *target) flags(flags *flag.FlagSet) {
	flags.StringVar(&t.address, "target", "", "put open-loop load on this gateway (host:port, HTTP/1.1) at the rate for -span, instead of measuring here")
	flags.StringVar(&t.host, "host", "", "with -target: the Host header; that of the target if empty")
	flags.StringVar(&t.path, "path", "/", "with -target: path and query")
	flags.StringVar(&t.access, "access-token", "", "with -target: sent in the header of this name")
	flags.IntVar(&t.status, "status", 200, "with -target: the status that answers must have")
	flags.IntVar(&t.connections, "connections", openConnections, "with -target: connections, and so requests under way")
	flags.StringVar(&t.secretFile, "secret-token-file", "", "with -target: the file whose content is sent in the header secret-token")
}

// load puts open-loop load on the target and writes what came of it.
func (t *target) load(ctx context.Context, rate float64, span time.Duration, out io.Writer) error {
	if strings.Contains(t.address, "://") {
		return fmt.Errorf("-target: %q is not host:port", t.address)
	}
	if t.host == "" {
		t.host = t.address
	}
	secret := ""
	if t.secretFile != "" {
		raw, err := os.ReadFile(t.secretFile)
		if err != nil {
			return fmt.Errorf("-secret-token-file: %w", err)
		}
		secret = strings.TrimSpace(string(raw))
	}
	client := openloop.HTTP{
		Address: t.address, Host: t.host, Path: t.path, Header: browser(t.access, secret), Status: t.status, Timeout: 10 * time.Second,
	}
	c := openloop.Config{Rate: rate, Duration: span, Connections: t.connections}
	result, err := openloop.Run(ctx, c, client.Connect())
	if err != nil {
		return err
	}
	answered := len(result.Latencies)
	fmt.Fprintf(out, "%.0f requests a second for %s over %d connections: %d answered with %d, %d not\n", rate, span, t.connections, answered, t.status, result.Failed)
	for _, p := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"slowest", 1}} {
		fmt.Fprintf(out, "%-8s %s\n", p.name, result.Percentile(p.share).Round(time.Microsecond))
	}
	fmt.Fprintf(out, "The generator itself was %s late at p99; latencies count from when a request was due.\n", result.Lag.Round(time.Microsecond))
	if result.Failed > 0 {
		return fmt.Errorf("%d requests failed, one of them with: %w", result.Failed, result.Err)
	}
	if answered == 0 {
		return errors.New("nothing was sent")
	}
	return nil
}
