package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// A Listener configures the TLS of a listener. The zero Listener is plain text.
type Listener struct {
	// CertFile and KeyFile are the certificate of the server. Set both or neither.
	CertFile, KeyFile string
	// ClientCAFile has the authorities for client certificates, which the listener then
	// requires.
	ClientCAFile string
	// MinTLSVersion is the minimum version, [TLS12] or [TLS13], TLS 1.3 if empty.
	MinTLSVersion string
}

// The minimum versions of TLS.
const (
	TLS12 = "1.2"
	TLS13 = "1.3"
)

// Encrypted says whether the listener uses TLS.
func (l Listener) Encrypted() bool {
	return l.CertFile != "" || l.KeyFile != "" || l.ClientCAFile != ""
}

// Validate reports every mistake that it can find without the files.
func (l Listener) Validate() error {
	var errs []error
	if l.CertFile != "" && l.KeyFile == "" {
		errs = append(errs, errors.New("cert_file: goes together with key_file; give both or neither"))
	}
	if l.CertFile == "" && l.KeyFile != "" {
		errs = append(errs, errors.New("key_file: goes together with cert_file; give both or neither"))
	}
	if l.ClientCAFile != "" && l.CertFile == "" {
		errs = append(errs, errors.New("client_ca_file: client certificates need TLS; give cert_file and key_file, too"))
	}
	if _, err := l.minVersion(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l Listener) minVersion() (uint16, error) {
	switch l.MinTLSVersion {
	case "", TLS13:
		return tls.VersionTLS13, nil
	case TLS12:
		return tls.VersionTLS12, nil
	}
	return 0, fmt.Errorf("min_tls_version: %q is neither %s nor %s", l.MinTLSVersion, TLS12, TLS13)
}

// strongSuites are the suites of TLS 1.2 with forward secrecy and authenticated encryption.
// All suites of TLS 1.3 have both.
func strongSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// A Server is the TLS of a listener. It is safe for concurrent use.
type Server struct {
	*Watch
	minVersion uint16
	clients    bool
	admit      func(*x509.Certificate) error
}

// NewServer reads the files of a listener with TLS. Errors name the settings below section.
// admit returns an error for a client with a valid certificate that is refused nevertheless.
func NewServer(section string, l Listener, admit func(*x509.Certificate) error, log *zap.Logger) (*Server, error) {
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", section, err)
	}
	if l.CertFile == "" {
		return nil, fmt.Errorf("%s.cert_file: must be set for TLS", section)
	}
	s := &Server{clients: l.ClientCAFile != "", admit: admit}
	var err error
	if s.minVersion, err = l.minVersion(); err != nil {
		return nil, err
	}
	s.Watch, err = Open(Files{
		Certificate: File{section + ".cert_file", l.CertFile},
		Key:         File{section + ".key_file", l.KeyFile},
		Authorities: File{section + ".client_ca_file", l.ClientCAFile},
		Server:      true,
	}, log)
	return s, err
}

// Config returns the TLS configuration of a listener for some protocols (ALPN). Each
// handshake uses the newest valid content of the files.
func (s *Server) Config(protocols ...string) *tls.Config {
	c := s.now(protocols)
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.now(protocols), nil }
	return c
}

func (s *Server) now(protocols []string) *tls.Config {
	m := s.Current()
	c := &tls.Config{
		MinVersion:   s.minVersion,
		CipherSuites: strongSuites(),
		NextProtos:   protocols,
		Certificates: []tls.Certificate{*m.Certificate},
		// A resumed session is not verified like a new one, so it would outlive an
		// authority that was replaced. Gateways keep their connections for minutes.
		SessionTicketsDisabled: true,
	}
	if s.clients {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, m.Authorities
		c.VerifyConnection = func(state tls.ConnectionState) error {
			if len(state.VerifiedChains) == 0 {
				return errors.New("a client certificate is required")
			}
			return s.admit(state.VerifiedChains[0][0])
		}
	}
	return c
}

// Trusts returns an error if the client of an open connection would be refused now: its
// certificate may have expired, or its authority may have been replaced.
func (s *Server) Trusts(state *tls.ConnectionState) error {
	if !s.clients {
		return nil
	}
	if state == nil || len(state.PeerCertificates) == 0 {
		return errors.New("a client certificate is required")
	}
	options := x509.VerifyOptions{
		Roots: s.Current().Authorities, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	leaf := state.PeerCertificates[0]
	if _, err := leaf.Verify(options); err != nil {
		return err
	}
	return s.admit(leaf)
}
