package server

import (
	"os"
	"path/filepath"
	"testing"
)

// The test checks the mode after bind and before chmod. The umask of the process can only
// remove bits.
func TestOnlyTheOwnerMayUseASocketBeforeItsGroupAndModeAreSet(t *testing.T) {
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
		t.Errorf("the mode is %s, want no permission for group and others", info.Mode().Perm())
	}
}
