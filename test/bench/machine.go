package main

import (
	"context"
	"fmt"
	"io"
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

// describe writes what the figures were measured on, built being the commit of
// the product, and whether the machine had something else to do: busy is the load average before, others the share of the
// machine that other programs took while it was measured.
func describe(ctx context.Context, w io.Writer, b *bench, built string, busy, others float64) {
	fmt.Fprintf(w, "Measured on %s at commit %s: %s, %d CPUs (%s), %s %s, %s, grpc-go %s", time.Now().UTC().Format(time.DateOnly),
		built, runtime.GOARCH, runtime.NumCPU(), cpuModel(), runtime.GOOS, kernel(), runtime.Version(), grpcVersion())
	if v := envoyVersion(ctx, b.envoy); v != "" {
		fmt.Fprintf(w, ", Envoy %s", v)
	}
	fmt.Fprintf(w, ". %d alternating rounds, %d calls of each server per round, 20 headers. Other programs took %.0f %% of the machine.\n\n", b.rounds, b.calls, 100*others)
	if busy > float64(runtime.NumCPU()) {
		fmt.Fprintf(w, "**The machine was busy:** the load average was %.1f before it began, on %d CPUs. Take these figures for a rough idea.\n\n", busy, runtime.NumCPU())
	} else if others > tooBusy {
		fmt.Fprint(w, "**The machine was busy** with other things meanwhile. Take these figures for a rough idea.\n\n")
	}
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
		return ""
	}
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	_, version, _ := strings.Cut(string(out), "version: ")
	if parts := strings.Split(version, "/"); err == nil && len(parts) > 2 {
		return parts[1]
	}
	return "unknown"
}

// loadAverage returns that of the last minute.
func loadAverage() (float64, error) {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return strconv.ParseFloat(first, 64)
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
