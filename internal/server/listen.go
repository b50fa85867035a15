package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// A Socket has the permissions of a Unix socket: a process may connect if it may write to
// the file.
type Socket struct {
	// Mode is the mode of the file. It does not depend on the umask.
	Mode fs.FileMode
	// Group is the name or number of a group. If it is empty, the system chooses: the
	// group of the folder if its setgid bit is set, otherwise that of the process.
	Group string
}

// DefaultSocket lets only the owner and the group connect: a client of the socket can try
// credentials.
func DefaultSocket() Socket { return Socket{Mode: 0o660} }

// Listen opens a TCP address ("127.0.0.1:9191", port 0 for a free one) or a Unix socket
// ("unix:/run/vault-authz.sock"). 0.0.0.0 is IPv4 only. [::], and an address without a host
// (":9191"), is IPv4 and IPv6, as dual-stack clusters expect. Listen replaces the socket of
// a process that has ended, but not a socket that another process answers on.
func Listen(ctx context.Context, address string, s Socket) (net.Listener, error) {
	path, isSocket := strings.CutPrefix(address, "unix:")
	var lc net.ListenConfig
	if !isSocket {
		ln, err := lc.Listen(ctx, network(address), address)
		if err != nil {
			return nil, fmt.Errorf("listening on %q: %w; choose another address or stop what listens there", address, err)
		}
		return ln, nil
	}
	if err := removeStaleSocket(ctx, path); err != nil {
		return nil, err
	}
	ln, err := reserved().Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on socket %q: %w", path, err)
	}
	if err := s.admit(path); err != nil {
		return nil, errors.Join(fmt.Errorf("listening on socket %q: %w", path, err), ln.Close())
	}
	return ln, nil
}

// admit sets the group and the mode of a new socket. It sets the group first, so that no
// other group ever has access.
func (s Socket) admit(path string) error {
	if s.Group != "" {
		gid, err := groupID(s.Group)
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, gid); err != nil {
			return fmt.Errorf("changing its group to %q: %w; run vault-authz as a member of that group", s.Group, err)
		}
	}
	return os.Chmod(path, s.Mode)
}

// groupID returns the number of a group. It looks up a name in the files of the system,
// which many containers do not have.
func groupID(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("the system has no group %q; give its number instead", group)
	}
	return strconv.Atoi(g.Gid)
}

// network returns the network of a TCP address. With "tcp", Go also listens on IPv6 for
// 0.0.0.0, which opens more than was asked for.
func network(address string) string {
	host, _, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return "tcp4"
	}
	return "tcp"
}

func removeStaleSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listening on socket %q: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listening on socket %q: a file with that name exists and is not a socket; remove it or choose another name", path)
	}
	var d net.Dialer
	if conn, err := d.DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close()
		return fmt.Errorf("listening on socket %q: another process answers there", path)
	}
	return os.Remove(path)
}

// Address returns the address of ln in the form of Listen.
func Address(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return "unix:" + ln.Addr().String()
	}
	return ln.Addr().String()
}
