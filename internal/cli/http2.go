package cli

import (
	"context"
	"errors"
	"net"
	"time"
)

// errHTTP2 is the error for a server that sends HTTP/2 before any request, as a gRPC server
// does.
var errHTTP2 = errors.New("it speaks HTTP/2 at once, as a gRPC service does")

// dialHTTP opens connections whose reads return errHTTP2 for such a server. net/http would
// report the unexpected bytes, in several ways and partly on standard error.
func dialHTTP(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &sniffingConn{Conn: conn}, nil
}

// A sniffingConn looks at the first byte. HTTP/2 begins with a zero, since its first frame is
// shorter than 64 KiB; neither HTTP/1 nor TLS does.
type sniffingConn struct {
	net.Conn
	sniffed bool
}

// Read implements [net.Conn].
func (c *sniffingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.sniffed {
		if c.sniffed = true; b[0] == 0 {
			return 0, errHTTP2
		}
	}
	return n, err
}
