package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestThePrintedLinesWork pastes the walkthrough into a shell, and then checks
// that the demo leaves no files behind.
func TestThePrintedLinesWork(t *testing.T) {
	for _, vault := range []string{"openbao", "hashicorp"} {
		t.Run(vault, func(t *testing.T) {
			kind, err := kindOf(vault)
			if err != nil {
				t.Fatal(err)
			}
			partstest.Need(t, "ENVOY_BIN", kind.variable)
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var out parts.Log
			var problem error
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				problem = run(ctx, vault, &out)
			}()
			limit, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			for !strings.Contains(out.String(), "Ctrl-C") {
				select {
				case <-ended:
					t.Fatalf("the demo ended: %v; it printed:\n%s", problem, &out)
				case <-limit.Done():
					t.Fatalf("the demo did not start in time; it printed:\n%s", &out)
				case <-time.After(20 * time.Millisecond):
				}
			}
			paste(t, out.String())
			interrupt()
			if <-ended; problem != nil {
				t.Errorf("the demo ended with %v", problem)
			}
			if left, err := filepath.Glob(filepath.Join(temp, "vault-authz-demo-*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

// paste runs each line that begins with curl, and expects the status that the
// title above it gives.
func paste(t *testing.T, text string) {
	t.Helper()
	var title string
	pasted := 0
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "# ") {
			title = line
		}
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		pasted++
		got, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
		want := strings.TrimSuffix(title[strings.LastIndex(title, "(")+1:], ")")
		if head, _, _ := strings.Cut(string(got), "\n"); err != nil || !strings.Contains(head, " "+want) {
			t.Errorf("%s\n%s\nshows %q, %v, want status %s", title, line, got, err, want)
		}
		if strings.Contains(string(got), secret) || strings.Contains(string(got), "admin") {
			t.Errorf("%s\nshows the secret or the forged name: %s", line, got)
		}
	}
	if pasted < 5 {
		t.Errorf("%d lines to paste, want at least 5", pasted)
	}
}

func TestAnUnknownServerIsRefusedWithTheOnesThatExist(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), "etcd", t.Output())
	if err == nil || !strings.Contains(err.Error(), "VAULT=openbao") || !strings.Contains(err.Error(), "VAULT=hashicorp") {
		t.Errorf("error = %v, want both servers in it", err)
	}
}
