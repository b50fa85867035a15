// Package partstest connects package parts to the testing package: tests that
// need a real program ask for it here.
package partstest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// Missing skips the test because something that it needs is missing. With
// REQUIRE_REAL_PARTS=1 it fails the test instead.
func Missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("REQUIRE_REAL_PARTS") == "1" {
		t.Fatalf("REQUIRE_REAL_PARTS=1, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// Need calls [Missing] unless each of the environment variables names a program.
func Need(t *testing.T, variables ...string) {
	t.Helper()
	for _, name := range variables {
		path := os.Getenv(name)
		if path == "" {
			Missing(t, "%s is not set: run `make tools` and set it to the binary", name)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// Binary returns the program that an environment variable names.
func Binary(t *testing.T, variable string) string {
	t.Helper()
	Need(t, variable)
	return os.Getenv(variable)
}

// Await fails the test if a condition does not hold within a time limit.
func Await(t *testing.T, limit time.Duration, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := parts.Await(ctx, nil, condition); err != nil {
		t.Fatalf("within %s: %v", limit, err)
	}
}

// Eventually fails the test if a condition does not hold within half a minute.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	Await(t, 30*time.Second, func(context.Context) error {
		if !ok() {
			return errors.New(what)
		}
		return nil
	})
}

// StopWith stops a process at the end of the test, and shows its log if the test
// failed.
func StopWith(t *testing.T, p *parts.Process) {
	t.Helper()
	t.Cleanup(func() {
		p.Stop(5 * time.Second)
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.Name(), p.Log())
		}
	})
}
