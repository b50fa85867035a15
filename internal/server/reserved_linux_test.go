package server

import (
	"os"
	"path/filepath"
	"testing"
)

// The mode is looked at as bind leaves it, before any chmod. The umask of the
// process only takes bits away.
func TestASocketIsItsOwnersAloneUntilItIsGivenAGroupAndAMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "authz.sock")
	ln, err := reserved().Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if open := info.Mode().Perm() &^ 0o600; open != 0 {
		t.Errorf("the mode is %s, want nothing for others", info.Mode().Perm())
	}
}
