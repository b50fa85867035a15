package config

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vault-authz/vault-authz/internal/clientcert"
	"github.com/vault-authz/vault-authz/internal/loopback"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// TLS has the TLS settings of a listener and the clients that it accepts.
type TLS struct {
	tlsfiles.Listener
	// ClientNames are those that client certificates may have, in the form that
	// [clientcert.Parse] takes.
	ClientNames []string
}

// Validate reports every mistake that shows without reading a file. Names are required:
// an authority often issues certificates for more than gateways.
func (t TLS) Validate() error {
	errs := []error{t.Listener.Validate()}
	switch {
	case t.ClientCAFile == "" && len(t.ClientNames) > 0:
		errs = append(errs, errors.New("client_names: these are names in client certificates, so give client_ca_file, the authorities of those, too"))
	case t.ClientCAFile != "" && len(t.ClientNames) == 0:
		errs = append(errs, errors.New(`client_names: say which certificates of client_ca_file may connect, by a DNS name or URI in them, like [gateway.example.com] or ["spiffe://example.org/gateway"]; ["*"] stands for every certificate of these authorities`))
	}
	_, err := clientcert.ParseNames(t.ClientNames)
	return errors.Join(append(errs, err)...)
}

// InsecureSettings describes each setting of the listener for Envoy that is allowed and
// yet worth a warning at a start.
func (c *Config) InsecureSettings() []string {
	t := c.GRPC.TLS
	switch {
	case t.ClientCAFile != "" || isPrivate(c.Listen.GRPC):
		return nil
	case t.Encrypted():
		return []string{fmt.Sprintf("grpc: anyone who reaches %q can try token pairs, because no client certificate is asked for; give grpc.client_ca_file and grpc.client_names", c.Listen.GRPC)}
	}
	return []string{fmt.Sprintf("listen.grpc: anyone who reaches %q can try token pairs, which cross the network in the clear; give grpc.cert_file, grpc.client_ca_file and grpc.client_names, or listen on loopback or a socket", c.Listen.GRPC)}
}

// isPrivate reports whether an address can be reached from this machine only.
func isPrivate(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if strings.HasPrefix(address, "unix:") || err != nil {
		return true
	}
	return loopback.Is(host)
}

// tlsSection is the TLS of one listener. All of them have the same settings.
type tlsSection struct {
	CertFile      *string `yaml:"cert_file,omitempty" doc:"path: PEM certificate chain to show clients, for TLS; read again when it changes"`
	KeyFile       *string `yaml:"key_file,omitempty" doc:"path: its private key"`
	ClientCAFile  *string `yaml:"client_ca_file,omitempty" doc:"path: authorities of the required client certificates; read again when it changes; client_names says which of them"`
	MinTLSVersion *string `yaml:"min_tls_version,omitempty" rule:"oneof=1.3|1.2" doc:"word: 1.3, or 1.2 for clients that do not support it, with strong suites only"`
}
