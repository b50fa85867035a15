package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// printEnvironment prints the date, the machine, the versions and the plan.
func printEnvironment(ctx context.Context, to io.Writer, b binaries, p plan) {
	fmt.Fprintf(to, "%s; %s; Envoy %s; traffic × %g, %s before each fault, %s of it, %s after it.\n\n",
		platform(ctx, b), firstLine(ctx, b.vault, "-version"), envoyVersion(firstLine(ctx, b.envoy, "--version")), p.load, p.steady, p.fault, p.recovery)
}

// printClusterEnvironment does the same for a cluster.
func printClusterEnvironment(ctx context.Context, to io.Writer, b binaries) {
	fmt.Fprintf(to, "%s; three nodes of %s, performance_multiplier 1.\n\n", platform(ctx, b), firstLine(ctx, b.bao, "version"))
}

func platform(ctx context.Context, b binaries) string {
	return fmt.Sprintf("%s, %s/%s, %d CPUs, %s; %s at %s",
		time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(),
		firstLine(ctx, b.service, "version"), firstLine(ctx, "git", "rev-parse", "--short", "HEAD"))
}

// firstLine returns the first line of the output of a program.
func firstLine(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return program + " of an unknown version"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// envoyVersion returns the number in "PATH version: COMMIT/NUMBER/STATE/…".
func envoyVersion(line string) string {
	_, version, _ := strings.Cut(line, "version: ")
	if parts := strings.Split(version, "/"); len(parts) > 1 {
		return parts[1]
	}
	return line
}
