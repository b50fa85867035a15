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

// A Socket says who may connect to a Unix socket: whoever may write to its file.
type Socket struct {
	// Mode is that of the file, whatever the umask.
	Mode fs.FileMode
	// Group is the name or number of a group, empty for the one that the system
	// gives: that of the folder where its setgid bit is set, else our own.
	Group string
}

// DefaultSocket lets the owner and its group connect: whoever reaches the socket
// can try credentials.
func DefaultSocket() Socket { return Socket{Mode: 0o660} }

// Listen opens a TCP address ("127.0.0.1:9191", port 0 for any) or a Unix
// socket ("unix:/run/vault-authz.sock"). 0.0.0.0 is IPv4 only; [::], or no host at all
// (":9191"), is IPv4 and IPv6, as clusters with both write it. A socket that was left behind by a process that is gone is
// replaced; one that answers is not.
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

// admit opens a socket that is its owner's alone. The group comes before the mode:
// nobody else is let in meanwhile.
func (s Socket) admit(path string) error {
	if s.Group != "" {
		gid, err := groupID(s.Group)
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, gid); err != nil {
			return fmt.Errorf("giving it to the group %q: %w; only a member of the group can do that, so start vault-authz as one", s.Group, err)
		}
	}
	return os.Chmod(path, s.Mode)
}

// groupID is the number of a group. A name is looked for in the files of the system,
// which containers often lack.
func groupID(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q here; give its number instead", group)
	}
	return strconv.Atoi(g.Gid)
}

// network is the network of a TCP address. Go's "tcp" takes 0.0.0.0 for IPv6, too,
// which opens more than was asked for.
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
		return fmt.Errorf("listening on socket %q: there is a file of that name that is no socket; remove it or choose another name", path)
	}
	var d net.Dialer
	if conn, err := d.DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close()
		return fmt.Errorf("listening on socket %q: another process answers there", path)
	}
	return os.Remove(path)
}

// Address returns where ln listens, in the form that Listen takes.
func Address(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return "unix:" + ln.Addr().String()
	}
	return ln.Addr().String()
}
