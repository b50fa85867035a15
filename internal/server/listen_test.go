package server

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAnIPv4AddressIsNotListenedOnWithIPv6(t *testing.T) {
	if !hasIPv6(t) {
		t.Skip("this machine has no IPv6")
	}
	tests := []struct {
		address    string
		ipv4, ipv6 bool
	}{
		{address: "0.0.0.0:0", ipv4: true},
		{address: "127.0.0.1:0", ipv4: true},
		{address: "[::ffff:127.0.0.1]:0", ipv4: true},
		{address: "[::]:0", ipv4: true, ipv6: true},
		{address: "[::1]:0", ipv6: true},
		{address: ":0", ipv4: true, ipv6: true},
	}
	for _, test := range tests {
		// Not in parallel: another test may use the port with the other version.
		t.Run(test.address, func(t *testing.T) {
			ln, err := Listen(t.Context(), test.address, DefaultSocket())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			_, port, err := net.SplitHostPort(Address(ln))
			if err != nil {
				t.Fatal(err)
			}
			for host, want := range map[string]bool{"127.0.0.1": test.ipv4, "::1": test.ipv6} {
				if got := answers(t, net.JoinHostPort(host, port)); got != want {
					t.Errorf("%s: a connection is accepted: %t, want %t", host, got, want)
				}
			}
		})
	}
}

func TestANameOrAPortListensAsTheSystemResolvesIt(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"localhost:0", ":0", ":http", "nonsense", "[::1"} {
		if got := network(address); got != "tcp" {
			t.Errorf("%q: got %s, want tcp", address, got)
		}
	}
}

func hasIPv6(t *testing.T) bool {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
}

func answers(t *testing.T, address string) bool {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// listenAndStat listens on a Unix socket until the end of the test, and describes its file.
func listenAndStat(t *testing.T, path string, s Socket) fs.FileInfo {
	t.Helper()
	ln, err := Listen(t.Context(), "unix:"+path, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestASocketHasTheConfiguredModeAndGroup(t *testing.T) {
	t.Parallel()
	group := os.Getegid()
	if os.Geteuid() == 0 {
		group = 54321 // not a group of this process
	}
	for _, test := range []struct {
		name string
		Socket
		mode  fs.FileMode
		group int
	}{
		{"the default", DefaultSocket(), 0o660, os.Getegid()},
		{"another mode", Socket{Mode: 0o600}, 0o600, os.Getegid()},
		{"what the umask would take away", Socket{Mode: 0o666}, 0o666, os.Getegid()},
		{"a group by its number", Socket{Mode: 0o660, Group: strconv.Itoa(group)}, 0o660, group},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "s")
			info := listenAndStat(t, path, test.Socket)
			if got := info.Mode().Perm(); got != test.mode {
				t.Errorf("mode: got %o, want %o", got, test.mode)
			}
			if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Gid) != test.group {
				t.Errorf("group: got %+v, want %d", stat, test.group)
			}
		})
	}
}

// fsGroup of Kubernetes sets the setgid bit of a folder.
func TestASocketHasTheGroupOfASetgidFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	group := os.Getegid()
	if os.Geteuid() == 0 {
		group = 54321
	}
	if err := errors.Join(os.Chown(dir, -1, group), os.Chmod(dir, 0o770|fs.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	info := listenAndStat(t, path, DefaultSocket())
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Gid) != group || info.Mode().Perm() != 0o660 {
		t.Errorf("got %s and %+v, want the group %d", info.Mode(), stat, group)
	}
}

func TestASocketWithAnUnknownGroupIsNotOpened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	if _, err := Listen(t.Context(), "unix:"+path, Socket{Mode: 0o660, Group: "no such group"}); err == nil || !strings.Contains(err.Error(), `the system has no group "no such group"; give its number`) {
		t.Errorf("got %v, want an error that names the group", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket still exists: %v", err)
	}
}
