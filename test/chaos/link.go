package main

import (
	"errors"
	"net"
	"sync"
	"time"
)

// A state is what a link does to the connections that cross it.
type state int

const (
	// passes: everything is passed on.
	passes state = iota
	// resets aborts every connection, new and old.
	resets
	// vanishes swallows what is sent, both ways, and closes nothing, as a
	// firewall that has forgotten the connection. A connection that this once
	// happened to stays dead.
	blackholes
	// cuts ends every connection in the middle of an answer.
	truncates
)

// A link is a listener whose connections can be broken. It is safe for
// concurrent use.
type link struct {
	net.Listener
	count *counter

	mu      sync.Mutex
	state   state
	latency time.Duration
	conns   map[*conn]bool
}

func newLink(ln net.Listener, count *counter) *link {
	return &link{Listener: ln, count: count, conns: map[*conn]bool{}}
}

// set changes what happens from now on, also to connections that are open.
func (l *link) set(s state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	for c := range l.conns {
		switch s {
		case resets:
			abort(c.Conn)
		case blackholes:
			c.dead = true
		case passes, truncates:
		}
	}
}

// delay holds up each answer by that much.
func (l *link) delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latency = d
}

// drop closes the connections that are open, and nothing else.
func (l *link) closeConnections() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Conn.Close()
	}
}

// held returns how many connections there are.
func (l *link) openConnections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Accept implements [net.Listener].
func (l *link) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.wrap(raw); c != nil {
			return c, nil
		}
	}
}

func (l *link) wrap(raw net.Conn) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == resets {
		l.count.add("")
		abort(raw)
		return nil
	}
	c := &conn{Conn: raw, link: l, dead: l.state == blackholes}
	l.conns[c] = true
	return c
}

// A conn is a connection that crosses a link.
type conn struct {
	net.Conn
	link *link
	// dead is guarded by the mutex of link.
	dead bool
}

var errCut = errors.New("cut in the middle of an answer")

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if n == 0 || err != nil {
			return n, err
		}
		if dead, _, _ := c.look(); !dead {
			return n, nil
		}
		// Whoever sent this has asked, even if nobody heard it.
		c.link.count.add("")
	}
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (int, error) {
	dead, s, latency := c.look()
	if latency > 0 {
		time.Sleep(latency)
		dead, s, _ = c.look()
	}
	switch {
	case dead:
		return len(p), nil
	case s == truncates:
		n, _ := c.Conn.Write(p[:len(p)/2])
		_ = c.Conn.Close()
		return n, errCut
	}
	return c.Conn.Write(p)
}

func (c *conn) look() (dead bool, s state, latency time.Duration) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.dead, c.link.state, c.link.latency
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}

// abort closes a connection so that the other end sees a reset.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
