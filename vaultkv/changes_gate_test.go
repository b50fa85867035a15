package vaultkv_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv"
)

func TestGateIsShutUntilTheFirstReadingHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		c, _ := newChanges(t, kv, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantErr(t, "Current before Follow", c.Current(ctx), context.DeadlineExceeded)
		r := follow(t, kv, nil)
		wantErr(t, "Current with Follow", r.Current(t.Context()), nil)
		if n := r.reloaded(); n != 1 {
			t.Errorf("Current returned after %d reloads, want 1", n)
		}
		r.stop()
		time.Sleep(time.Minute)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantErr(t, "Current when nobody follows any more", r.Current(ctx), context.DeadlineExceeded)
	})
}

func TestStoreThatIsDownShutsNoGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		kv.Fail(errGone)
		r := follow(t, kv, nil)
		begin := time.Now()
		for range 600 {
			wantErr(t, "Current", r.Current(t.Context()), nil)
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("callers waited %s in a minute, want no time", took-time.Minute)
		}
		r.stop()
	})
}

// TestGateAfterAStop is what SIGSTOP and SIGCONT do to the gate: nobody gives a
// sign of life while time goes on.
func TestGateAfterAStop(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// first says who notices first.
		first func(g vaultkv.TestGate)
		stop  time.Duration
		waits bool
	}{
		{"noticed by a caller", func(vaultkv.TestGate) {}, 2501 * time.Millisecond, true},
		{"noticed by the sign of life", func(g vaultkv.TestGate) { g.Alive() }, 2501 * time.Millisecond, true},
		{"noticed by the reading in flight", func(g vaultkv.TestGate) { g.Polled(1, true) }, 2501 * time.Millisecond, true},
		{"too short to matter", func(vaultkv.TestGate) {}, 2500 * time.Millisecond, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := vaultkv.NewTestGate(2500 * time.Millisecond)
				g.Alive()
				before := g.Now()
				if !g.Polled(before, true) {
					t.Fatal("the first reading does not open the gate")
				}
				inFlight := g.Now()
				time.Sleep(tt.stop)
				tt.first(g)
				passed := make(chan error, 1)
				go func() { passed <- g.Pass(t.Context()) }()
				synctest.Wait()
				if waits := len(passed) == 0; waits != tt.waits {
					t.Fatalf("the caller waits: %t, want %t", waits, tt.waits)
				}
				if !tt.waits {
					return
				}
				if g.Polled(inFlight, true) || len(passed) != 0 {
					t.Fatal("a reading that began before the stop opens the gate")
				}
				if !g.Polled(g.Now(), false) {
					t.Fatal("a failed reading after the stop does not open the gate")
				}
				wantErr(t, "Pass", <-passed, nil)
				wantErr(t, "Pass when it is open", g.Pass(t.Context()), nil)
			})
		})
	}
}

// helperVariable makes this test binary a replica of
// TestProcessThatIsStoppedAndContinuedReadsTheLogFirst.
const helperVariable = "VAULT_AUTHZ_TEST_REPLICA"

// TestProcessThatIsStoppedAndContinuedReadsTheLogFirst stops a real process.
func TestProcessThatIsStoppedAndContinuedReadsTheLogFirst(t *testing.T) {
	if os.Getenv(helperVariable) == "1" {
		beReplica(t)
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), helperVariable+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	ask := func() {
		if _, err := io.WriteString(in, "?\n"); err != nil {
			t.Fatal(err)
		}
	}
	// A busy machine may starve it at the start.
	for ask(); next(t, lines) != "waited false"; {
		ask()
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The process must be asked about by the clock of the machine: no bubble.
	<-time.After(time.Second)
	ask()
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := next(t, lines); got != "waited true" {
		t.Errorf("after the stop: %s, want a reading of the log to end before Current does", got)
	}
}

func next(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	for lines.Scan() {
		if s := lines.Text(); strings.HasPrefix(s, "waited ") {
			return s
		}
	}
	t.Fatalf("the process ended: %v", lines.Err())
	return ""
}

// beReplica says for each line of input whether the log was read since the last
// sign of the process being awake.
func beReplica(t *testing.T) {
	t.Helper()
	kv := memkv.New()
	slow := intruder{kv, func(string, string) { <-time.After(300 * time.Millisecond) }}
	r := follow(t, slow, func(c *vaultkv.ChangesConfig) { c.Interval, c.Margin = 200*time.Millisecond, 100*time.Millisecond })
	if err := r.Current(t.Context()); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		begin := time.Now()
		err := r.Current(t.Context())
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		fmt.Printf("waited %t\n", time.Since(begin) > 50*time.Millisecond)
	}
}
