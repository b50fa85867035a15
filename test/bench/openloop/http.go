package openloop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// HTTP makes requests over one HTTP/1.1 connection that is kept open.
type HTTP struct {
	// Address is the host:port of the server.
	Address string
	// Host, Path and Header are those of the request, which is a GET.
	Host, Path string
	Header     http.Header
	// Status is the status that the answers must have.
	Status int
	// Timeout bounds one request.
	Timeout time.Duration
}

// Connect returns a function for [Run].
func (h HTTP) Connect() func(context.Context) (Caller, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", h.Path, h.Host)
	// Write only fails with its writer.
	_ = h.Header.Write(&b)
	b.WriteString("\r\n")
	request := []byte(b.String())
	return func(ctx context.Context) (Caller, error) {
		c := &connection{HTTP: h, request: request}
		return c, c.dial(ctx)
	}
}

// connection writes and reads on one goroutine, which net/http does on three.
type connection struct {
	HTTP
	request []byte
	conn    net.Conn
	in      *bufio.Reader
}

func (c *connection) dial(ctx context.Context) error {
	dialer := net.Dialer{Timeout: c.Timeout}
	conn, err := dialer.DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return err
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	return nil
}

// Call implements [Caller]. After an error the next call connects anew.
func (c *connection) Call(ctx context.Context) error {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return err
		}
	}
	status, last, err := c.exchange()
	if err != nil || last {
		_ = c.Close()
	}
	if err == nil && status != c.Status {
		err = fmt.Errorf("status: got %d, want %d", status, c.Status)
	}
	return err
}

// exchange sends the request and reads the answer. last says that the server
// will close the connection.
func (c *connection) exchange() (status int, last bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.Timeout)); err != nil {
		return 0, false, err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, false, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, false, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Close, err
}

// Close implements [Caller].
func (c *connection) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}
