package app

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/clientcert"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/metric"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// The listeners that speak TLS, as their settings, metrics and log lines call them.
const (
	grpcListener   = "grpc"
	probesListener = "probes"
	adminListener  = "admin"
)

// listenersTLS is the TLS of the listeners, nil for those without.
type listenersTLS struct {
	grpc, probes, admin *tlsfiles.Server
	handshakes          *server.Handshakes
}

// loadListenersTLS reads the TLS files of every listener that has some. Files that cannot be
// used are an error: no listener opens without the TLS that is configured.
func loadListenersTLS(c *config.Config, reg prometheus.Registerer, log *zap.Logger) (l listenersTLS, err error) {
	log = log.Named("tls")
	if l.handshakes, err = server.NewHandshakes(log, reg, grpcListener, probesListener); err != nil {
		return listenersTLS{}, err
	}
	if l.grpc, err = loadListenerTLS(grpcListener, c.GRPC.TLS, reg, log); err != nil {
		return listenersTLS{}, err
	}
	if l.probes, err = loadListenerTLS(probesListener, c.Probes.TLS, reg, log); err != nil {
		return listenersTLS{}, err
	}
	if c.State.Vault != "" {
		// The admin API checks the names itself, since each has a role, and answers 403 to a
		// caller without one.
		anyName := config.TLS{Listener: c.Admin.Listener, ClientNames: []string{"*"}}
		l.admin, err = loadListenerTLS(adminListener, anyName, reg, log)
	}
	return l, err
}

func loadListenerTLS(name string, t config.TLS, reg prometheus.Registerer, log *zap.Logger) (*tlsfiles.Server, error) {
	if !t.Encrypted() {
		return nil, nil //nolint:nilnil // no TLS is a configuration, not a failure
	}
	names, err := clientcert.ParseNames(t.ClientNames)
	if err != nil {
		return nil, fmt.Errorf("%s.%w", name, err)
	}
	s, err := tlsfiles.NewServer(name, t.Listener, names.Admit, log.With(zap.String("listener", name)))
	if err != nil {
		return nil, err
	}
	files := tlsfiles.NewMetrics()
	return s, reg.Register(metric.Collector(func(to chan<- prometheus.Metric) { files.Send(to, name, "", s.Status()) }))
}

// enabled are those that there are. Each reads its files again in Run.
func (l listenersTLS) enabled() []*tlsfiles.Server {
	var open []*tlsfiles.Server
	for _, s := range []*tlsfiles.Server{l.grpc, l.probes, l.admin} {
		if s != nil {
			open = append(open, s)
		}
	}
	return open
}
