package cli

import (
	"context"
	"errors"
	"net"
	"time"
)

// errHTTP2 is about a server that speaks HTTP/2 before it is asked anything, as one for
// gRPC does.
var errHTTP2 = errors.New("it speaks HTTP/2 at once, as a gRPC service does")

// dialHTTP opens connections that fail with errHTTP2. Without that, net/http says in one of
// several ways, and on standard error by itself, which bytes it did not expect.
func dialHTTP(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &listeningConn{Conn: conn}, nil
}

// A listeningConn listens to the first byte. Neither HTTP/1 nor TLS begins with a zero,
// and HTTP/2 does: its first frame is shorter than 64 KiB.
type listeningConn struct {
	net.Conn
	heard bool
}

// Read implements [net.Conn].
func (c *listeningConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.heard {
		if c.heard = true; b[0] == 0 {
			return 0, errHTTP2
		}
	}
	return n, err
}
