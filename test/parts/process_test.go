package parts

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEndingAProcessEndsWhatItStarted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, script string
		end          func(p *Process)
	}{
		{"killed", "sleep 1000 & echo $!; wait", (*Process).Kill},
		{"asked", "sleep 1000 & echo $!; wait", func(p *Process) { p.Stop(10 * time.Second) }},
		{"asked, but it ignores the signal", "trap '' TERM; sleep 1000 & echo $!; wait", func(p *Process) { p.Stop(10 * time.Millisecond) }},
		{"stopped by a signal", "sleep 1000 & echo $!; kill -STOP $$; wait", func(p *Process) { p.Stop(10 * time.Second) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, err := Start(Command{Name: "shell", Path: "/bin/sh", Args: []string{"-c", test.script}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var child int
			err = Await(ctx, nil, func(context.Context) (err error) {
				child, err = strconv.Atoi(strings.TrimSpace(p.Log()))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			test.end(p)
			err = Await(ctx, nil, func(context.Context) error {
				// A zombie counts as ended.
				if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) && !zombie(child) {
					return errors.New("the child still runs")
				}
				return nil
			})
			if err != nil {
				t.Errorf("script %q: %v", test.script, err)
			}
		})
	}
}

func TestAwaitReportsWhyAProcessEnded(t *testing.T) {
	t.Parallel()
	p, err := Start(Command{Name: "shell", Path: "/bin/sh", Args: []string{"-c", "echo no such thing >&2; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	err = p.failed(Await(t.Context(), p, func(context.Context) error { return errors.New("not ready") }))
	for _, want := range []string{"shell", "the process ended", "not ready", "no such thing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q in it", err, want)
		}
	}
}
