//go:build !linux

package partstest

import "testing"

// OnItsOwnMachine needs Linux.
func OnItsOwnMachine(t *testing.T) bool {
	t.Helper()
	Missing(t, "only Linux has the namespaces for this test")
	return false
}

// Root needs Linux.
func Root(t *testing.T, _, _ string) string {
	t.Helper()
	Missing(t, "only Linux has the namespaces for this test")
	return ""
}
