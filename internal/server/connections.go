package server

import (
	"maps"
	"net"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vault-authz/vault-authz/internal/metric"
)

// Connections counts the connections that listeners accept, and those that are open. It is
// safe for concurrent use.
type Connections struct {
	byListener map[string]*connections
}

// NewConnections registers the counts, which begin at 0 for each of the listeners.
func NewConnections(reg prometheus.Registerer, listeners ...string) (*Connections, error) {
	c := &Connections{byListener: map[string]*connections{}}
	for _, l := range listeners {
		c.byListener[l] = &connections{open: map[syscall.Conn]struct{}{}}
	}
	accepted := metric.Counter("vault_authz_connections_accepted_total", "Connections that were accepted, by listener: grpc, probes, admin.", "listener")
	open := metric.Gauge("vault_authz_connections_open", "Connections that are open, by listener: grpc, probes, admin.", "listener")
	return c, reg.Register(metric.Collector(func(to chan<- prometheus.Metric) {
		for listener, of := range c.byListener {
			all, now := of.count()
			accepted.Send(to, float64(all), listener)
			open.Send(to, float64(now), listener)
		}
	}))
}

// Count returns ln with its connections counted as those of listener, one of those that
// NewConnections was given. They are handed on as they are: grpc-go does less for a
// connection that is not of the net package.
func (c *Connections) Count(listener string, ln net.Listener) net.Listener {
	return countingListener{ln, c.byListener[listener]}
}

type countingListener struct {
	net.Listener
	connections *connections
}

// Accept implements [net.Listener].
func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.connections.add(conn)
	}
	return conn, err
}

// connections are those of one listener.
type connections struct {
	mu       sync.Mutex
	accepted int
	// open has the connections that were open when they were last looked at, and those
	// accepted since then. There are at most sweepAt of them.
	open    map[syscall.Conn]struct{}
	sweepAt int
}

// firstSweep is how many connections are kept without a look at them.
const firstSweep = 64

func (c *connections) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted++
	of, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	c.open[of] = struct{}{}
	// The count may never be asked for, and connections that are closed must not pile up.
	if len(c.open) > max(c.sweepAt, firstSweep) {
		c.sweep()
		c.sweepAt = 2 * len(c.open)
	}
}

func (c *connections) count() (accepted, open int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep()
	return c.accepted, len(c.open)
}

// sweep forgets what is closed. The caller holds mu.
func (c *connections) sweep() {
	maps.DeleteFunc(c.open, func(conn syscall.Conn, _ struct{}) bool { return isClosed(conn) })
}

// isClosed says whether this process has closed a connection.
func isClosed(conn syscall.Conn) bool {
	raw, err := conn.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}
