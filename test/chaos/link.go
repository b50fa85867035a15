package main

import (
	"errors"
	"net"
	"sync"
	"time"
)

// A state is what a link does to its connections.
type state int

const (
	// passes forwards everything.
	passes state = iota
	// resets aborts every connection, new and old.
	resets
	// blackholes drops all data in both directions and closes nothing, like a firewall
	// that has forgotten the connection. An affected connection stays dead.
	blackholes
	// truncates closes every connection in the middle of an answer.
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

// set changes the state, also for open connections.
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

// delay delays each answer.
func (l *link) delay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latency = d
}

// closeConnections closes the open connections.
func (l *link) closeConnections() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Conn.Close()
	}
}

// openConnections returns the number of open connections.
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

// A conn is a connection of a link.
type conn struct {
	net.Conn
	link *link
	// dead is guarded by the mutex of link.
	dead bool
}

var errCut = errors.New("closed in the middle of an answer")

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
		// The service sent a request, even if it did not arrive.
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

// abort closes a connection with a reset.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
