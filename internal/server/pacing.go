package server

import (
	"net"
	"runtime"
	"syscall"
)

// pacing yields after each write on a connection, so that other goroutines can add their
// answers to the next one. grpc-go does the same for small answers. It writes answers above
// 1 KB at once, with a system call each, and an allow with the headers to remove is larger.
// With 2 × 32 calls in flight, pacing saves a tenth of the CPU of a check. No measured load
// became slower.
type pacing struct{ net.Listener }

// Accept implements [net.Listener].
func (l pacing) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	raw, ok := conn.(rawConn)
	if !ok {
		return conn, nil
	}
	return pacedConn{raw}, nil
}

// A rawConn lets grpc-go wait for data by itself, so that it needs no buffer for an idle
// connection.
type rawConn interface {
	net.Conn
	syscall.Conn
}

type pacedConn struct{ rawConn }

// Write implements [net.Conn].
func (c pacedConn) Write(b []byte) (int, error) {
	n, err := c.rawConn.Write(b)
	runtime.Gosched()
	return n, err
}
