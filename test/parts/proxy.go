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
	// route says which links a connection crosses, there and back, nil for one
	// that is refused.
	route func(client net.Conn) (there, back *Link)
	// there and back are the links where all connections cross the same.
	there, back Link

	mu     sync.Mutex
	target string
	open   map[*crossing]bool
	closed bool
}

// NewProxy listens on a free loopback port and passes on to target. It must be
// closed.
func NewProxy(ctx context.Context, target string) (*Proxy, error) {
	return newRoutedProxy(ctx, target, nil)
}

// newRoutedProxy is NewProxy with links that depend on where a connection comes
// from.
func newRoutedProxy(ctx context.Context, target string, route func(net.Conn) (there, back *Link)) (*Proxy, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{ln: ln, target: target, route: route, open: map[*crossing]bool{}, done: make(chan struct{})}
	if route == nil {
		p.route = func(net.Conn) (there, back *Link) { return &p.there, &p.back }
	}
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

// SetLatency has what the server says arrive that much later.
func (p *Proxy) SetLatency(d time.Duration) { p.back.SetDelay(d) }

// SetReset drops every connection, new and old, for as long as it is set.
func (p *Proxy) SetReset(on bool) {
	if on {
		p.there.Cut()
		return
	}
	p.there.Restore()
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
	there, back := p.route(client)
	if there == nil || back == nil || !there.pass(time.Time{}, p.done) || !back.pass(time.Time{}, p.done) {
		abort(client)
		return
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := (&net.Dialer{Timeout: time.Second}).Dial("tcp", target)
	if err != nil {
		abort(client)
		return
	}
	c := &crossing{client, server}
	if !p.keep(c, there, back) {
		c.abort()
		return
	}
	defer p.forget(c, there, back)
	var both sync.WaitGroup
	both.Go(func() { there.carry(server, client, p.done) })
	both.Go(func() { back.carry(client, server, p.done) })
	both.Wait()
}

func (p *Proxy) keep(c *crossing, there, back *Link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	if !there.keep(c) || !back.keep(c) {
		there.forget(c)
		return false
	}
	p.open[c] = true
	return true
}

func (p *Proxy) forget(c *crossing, there, back *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	there.forget(c)
	back.forget(c)
}

func (p *Proxy) dropLocked() {
	for c := range p.open {
		c.abort()
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
