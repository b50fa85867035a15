package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
)

// socketMode lets the owner and its group connect: whoever reaches the socket
// can try credentials.
const socketMode fs.FileMode = 0o660

// Listen opens a TCP address ("127.0.0.1:9191", port 0 for any) or a Unix
// socket ("unix:/run/vault-authz.sock"). 0.0.0.0 is IPv4 only; [::], or no host at all
// (":9191"), is IPv4 and IPv6, as clusters with both write it. A socket that was left behind by a process that is gone is
// replaced; one that answers is not.
func Listen(ctx context.Context, address string) (net.Listener, error) {
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
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("listening on socket %q: %w", path, err), ln.Close())
	}
	return ln, nil
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
