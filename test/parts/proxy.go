package parts

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// A Proxy is in front of a TCP server. It can delay or drop connections, or send them to
// another server. It is safe for concurrent use.
type Proxy struct {
	ln   net.Listener
	wg   sync.WaitGroup
	done chan struct{}
	// route returns the links of a connection to the server and back, nil if it is
	// refused.
	route func(client net.Conn) (there, back *Link)
	// there and back are the default links.
	there, back Link

	mu     sync.Mutex
	target string
	open   map[*crossing]bool
	closed bool
}

// NewProxy listens on a free loopback port and forwards to target. It must be closed.
func NewProxy(ctx context.Context, target string) (*Proxy, error) {
	return newRoutedProxy(ctx, target, nil)
}

// newRoutedProxy returns a proxy whose links depend on the client of a connection.
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

// Address returns its host:port.
func (p *Proxy) Address() string { return p.ln.Addr().String() }

// SetTarget forwards new connections to another server and drops the open ones.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	p.dropLocked()
}

// SetLatency delays the data from the server.
func (p *Proxy) SetLatency(d time.Duration) { p.back.SetDelay(d) }

// SetReset drops all connections, open and new, while it is on.
func (p *Proxy) SetReset(on bool) {
	if on {
		p.there.Cut()
		return
	}
	p.there.Restore()
}

// Close closes all connections and waits for them.
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
