package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// screen is a terminal that can be read.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestThePrintedLinesWorkByPaste pastes them into a shell, and then looks at
// what is left once the demo is ended.
func TestThePrintedLinesWorkByPaste(t *testing.T) {
	for _, name := range []string{"ENVOY_BIN", "VAULT_BIN"} {
		if os.Getenv(name) == "" {
			if os.Getenv("REQUIRE_REAL_PARTS") == "1" {
				t.Fatalf("%s is not set although REQUIRE_REAL_PARTS=1: run `make tools` and set it to the binary", name)
			}
			t.Skipf("%s is not set: `make tools` gets the real parts", name)
		}
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out screen
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, &out) }()
	limit, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := parts.Await(limit, nil, func(context.Context) error {
		if !strings.Contains(out.String(), "Ctrl-C") {
			return fmt.Errorf("printed so far:\n%s", &out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	paste(t, out.String())
	interrupt()
	if err := <-ended; err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "vault-authz-demo-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// paste runs each line that begins with curl, under the title above it.
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
		_, want, _ := strings.Cut(title, "(")
		want = strings.TrimSuffix(want, ")")
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
