package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tooBusy is the share of the machine that others may take before the figures
// are doubted.
const tooBusy = 0.1

// describe writes what the figures are of, as benchstat reads it: a table for each
// machine and commit.
func (b *bench) describe(ctx context.Context) {
	fmt.Fprintf(b.results, "goos: %s\ngoarch: %s\ncpu: %s, %d of them\n", runtime.GOOS, runtime.GOARCH, cpuModel(), runtime.NumCPU())
	fmt.Fprintf(b.results, "versions: %s, %s %s, grpc-go %s, Envoy %s\n", runtime.Version(), runtime.GOOS, kernel(), grpcVersion(), envoyVersion(ctx, b.envoy))
	fmt.Fprintf(b.results, "commit: %s\n\n", commit(ctx))
}

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func cpuModel() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "model unknown"
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "model unknown"
}

func kernel() string {
	raw, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(raw)), "-")
	return version
}

func grpcVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == "google.golang.org/grpc" {
			return m.Version
		}
	}
	return "unknown"
}

// envoyVersion takes the number out of what envoy --version prints: "PATH
// version: COMMIT/NUMBER/STATE/KIND/TLS LIBRARY".
func envoyVersion(ctx context.Context, binary string) string {
	if binary == "" {
		return "none"
	}
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	_, version, _ := strings.Cut(string(out), "version: ")
	if parts := strings.Split(version, "/"); err == nil && len(parts) > 2 {
		return parts[1]
	}
	return "unknown"
}

// watch starts to look at who uses the machine. What it returns tells the share
// of all cores that neither this program nor one that it started has used since.
func (b *bench) watch() (func() (float64, error), error) {
	start := time.Now()
	before, err := b.othersUsed()
	return func() (float64, error) {
		after, err := b.othersUsed()
		capacity := time.Since(start) * time.Duration(runtime.NumCPU())
		return max(0, (after-before).Seconds()/capacity.Seconds()), err
	}, err
}

// othersUsed is the CPU time that others have used since the machine started,
// within the 10 ms that the kernel counts in.
func (b *bench) othersUsed() (time.Duration, error) {
	all, err := busyTime()
	if err != nil {
		return 0, err
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return 0, err
		}
		all -= time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, s := range b.running() {
		used, err := cpuTime(s.PID())
		if err != nil {
			return 0, err
		}
		all -= used
	}
	return all, nil
}

// busyTime reads the first line of /proc/stat: user, nice, system, idle, iowait,
// irq, softirq, steal, in hundredths of a second, see proc_stat(5). What the
// host took from a virtual machine (steal) counts as used by others.
func busyTime() (time.Duration, error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0, fmt.Errorf("/proc/stat: %d fields in %q, want at least 9", len(fields), line)
	}
	var busy time.Duration
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if idle := i == 3 || i == 4; !idle {
			busy += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return busy, nil
}
