package parts

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// A Proxy stands in front of a TCP server and can make it slow, unreachable or
// another one. It is safe for concurrent use.
type Proxy struct {
	ln   net.Listener
	wg   sync.WaitGroup
	done chan struct{}

	mu      sync.Mutex
	target  string
	latency time.Duration
	reset   bool
	open    map[net.Conn]bool
	closed  bool
}

// NewProxy listens on a free loopback port and passes on to target. It must be
// closed.
func NewProxy(ctx context.Context, target string) (*Proxy, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{ln: ln, target: target, open: map[net.Conn]bool{}, done: make(chan struct{})}
	p.wg.Go(p.accept)
	return p, nil
}

// Address returns the host:port that the proxy listens on.
func (p *Proxy) Address() string { return p.ln.Addr().String() }

// SetTarget passes later connections on to another server, and drops those to
// the one before.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	p.dropLocked()
}

// SetLatency holds up what the server says by that much each time.
func (p *Proxy) SetLatency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// SetReset drops every connection, new and old, for as long as it is set.
func (p *Proxy) SetReset(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset = on
	if on {
		p.dropLocked()
	}
}

// Close ends all connections and waits for them.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	p.dropLocked()
	p.mu.Unlock()
	err := p.ln.Close()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	target, refuse := p.target, p.reset || p.closed
	p.mu.Unlock()
	if refuse {
		abort(client)
		return
	}
	server, err := (&net.Dialer{Timeout: time.Second}).Dial("tcp", target)
	if err != nil {
		abort(client)
		return
	}
	defer func() { _ = server.Close() }()
	if !p.keep(client, server) {
		return
	}
	defer p.forget(client, server)
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, false) })
	both.Go(func() { p.copy(client, server, true) })
	both.Wait()
}

// copy passes bytes on until one side ends, and then ends the other.
func (p *Proxy) copy(to, from net.Conn, delayed bool) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if delayed {
				p.delay()
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) delay() {
	p.mu.Lock()
	timer := time.NewTimer(p.latency)
	p.mu.Unlock()
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.done:
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.reset {
		return false
	}
	for _, c := range conns {
		p.open[c] = true
	}
	return true
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.open, c)
	}
}

func (p *Proxy) dropLocked() {
	for c := range p.open {
		abort(c)
	}
}

// abort closes a connection so that the other end sees a reset.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

var _ io.Closer = (*Proxy)(nil)
