// Package pipes connects an HTTP server and its clients in memory, so that they work on
// the fake clock of a bubble of testing/synctest, which sockets do not.
package pipes

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A Listener accepts connections that Dial makes.
type Listener struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Serve serves h until the test ends.
func Serve(t *testing.T, h http.Handler) *Listener {
	t.Helper()
	l := &Listener{accept: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return l
}

// Dial returns both ends of a new connection. The server reads from theirs.
func (l *Listener) Dial(ctx context.Context) (ours, theirs net.Conn, err error) {
	ours, theirs = net.Pipe()
	select {
	case l.accept <- theirs:
		return ours, theirs, nil
	case <-l.closed:
		return nil, nil, net.ErrClosed
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (*Listener) Addr() net.Addr { return &net.TCPAddr{} }
