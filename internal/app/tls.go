package app

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/clientcert"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// The listeners that speak TLS, as their settings, metrics and log lines call them.
const (
	grpcListener   = "grpc"
	probesListener = "probes"
	adminListener  = "admin"
)

// doors are the TLS of the listeners, nil for those that speak none.
type doors struct {
	grpc, probes, admin *tlsfiles.Server
	handshakes          *server.Handshakes
}

// openDoors reads the files of every listener that is to speak TLS. One whose files cannot
// be used keeps the service from starting.
func openDoors(c *config.Config, reg prometheus.Registerer, log *zap.Logger) (d doors, err error) {
	log = log.Named("tls")
	if d.handshakes, err = server.NewHandshakes(log, reg, grpcListener, probesListener); err != nil {
		return doors{}, err
	}
	if d.grpc, err = openDoor(grpcListener, c.GRPC.TLS, reg, log); err != nil {
		return doors{}, err
	}
	if d.probes, err = openDoor(probesListener, c.Probes.TLS, reg, log); err != nil {
		return doors{}, err
	}
	if c.State.Vault != "" {
		// The admin API looks at the names itself: each has a role, and a caller that has
		// none is told so.
		everybody := config.TLS{Listener: c.Admin.Listener, ClientNames: []string{"*"}}
		d.admin, err = openDoor(adminListener, everybody, reg, log)
	}
	return d, err
}

func openDoor(name string, t config.TLS, reg prometheus.Registerer, log *zap.Logger) (*tlsfiles.Server, error) {
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
	return s, reg.Register(newTLSCollector(name, "", s.Status))
}

// watches are what keeps up with the files.
func (d doors) watches() []*tlsfiles.Server {
	var open []*tlsfiles.Server
	for _, s := range []*tlsfiles.Server{d.grpc, d.probes, d.admin} {
		if s != nil {
			open = append(open, s)
		}
	}
	return open
}

// tlsCollector shows how the files are doing that TLS is spoken with.
type tlsCollector struct {
	status func() tlsfiles.Status

	expires, refused *prometheus.Desc
}

// newTLSCollector takes who uses the files: a listener, or vault, and then which.
func newTLSCollector(use, vault string, status func() tlsfiles.Status) *tlsCollector {
	labels := prometheus.Labels{"use": use, "vault": vault}
	return &tlsCollector{
		status:  status,
		expires: prometheus.NewDesc("vault_authz_tls_expires_seconds", "Seconds that the certificate in use is good for, or the first of the authorities in use; below 0 when it has expired.", []string{"file"}, labels),
		refused: prometheus.NewDesc("vault_authz_tls_files_refused", "1 while the TLS files hold what cannot be used, so that what was read before is in use.", nil, labels),
	}
}

// Describe implements [prometheus.Collector].
func (c *tlsCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.expires
	out <- c.refused
}

// Collect implements [prometheus.Collector].
func (c *tlsCollector) Collect(out chan<- prometheus.Metric) {
	s := c.status()
	files := false
	for name, end := range map[string]time.Time{"certificate": s.Certificate, "authorities": s.Authorities} {
		if !end.IsZero() {
			files = true
			out <- prometheus.MustNewConstMetric(c.expires, prometheus.GaugeValue, time.Until(end).Seconds(), name)
		}
	}
	if files {
		out <- prometheus.MustNewConstMetric(c.refused, prometheus.GaugeValue, flag(s.Refused))
	}
}
