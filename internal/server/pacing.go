package server

import (
	"net"
	"runtime"
	"syscall"
)

// pacing lets the goroutines that have an answer ready run after each write on a
// connection. grpc-go gathers small answers into one write by the same means, but
// writes at once what is above 1 KB, as an allow is with the headers to remove: a
// system call for each. Measured with 2 × 32 calls in flight, it takes a tenth off
// the CPU that a check costs, and nothing is slower for it.
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

// rawConn is what grpc-go asks for: it reads by itself as soon as there is
// something to read.
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
