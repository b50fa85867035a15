package server

import (
	"net"

	"github.com/prometheus/client_golang/prometheus"
)

// Accepts counts the connections that listeners accept. How many are open is not counted:
// that takes a connection of our own around each, and grpc-go does less for those.
type Accepts struct{ accepted *prometheus.CounterVec }

// NewAccepts registers the count, which begins at 0 for each of the listeners.
func NewAccepts(reg prometheus.Registerer, listeners ...string) (*Accepts, error) {
	a := &Accepts{accepted: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vault_authz_connections_accepted_total",
		Help: "Connections that were accepted, by listener: grpc, probes, admin.",
	}, []string{"listener"})}
	for _, l := range listeners {
		a.accepted.WithLabelValues(l)
	}
	return a, reg.Register(a.accepted)
}

// Count returns ln with its connections counted as those of listener. They are handed on
// as they are.
func (a *Accepts) Count(listener string, ln net.Listener) net.Listener {
	return countingListener{ln, a.accepted.WithLabelValues(listener)}
}

type countingListener struct {
	net.Listener
	accepted prometheus.Counter
}

// Accept implements [net.Listener].
func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Inc()
	}
	return conn, err
}
