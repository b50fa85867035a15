package vaultkv

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
)

// trust is what TLS is spoken with. It never changes: after its files have, there
// is another one.
type trust struct {
	roots       *x509.CertPool // nil for the system's
	certificate *tls.Certificate
	// raw is what the files held.
	raw [3][]byte
}

// tlsFiles keeps the trust up to date with its files. It is safe for concurrent
// use.
type tlsFiles struct {
	ca, cert, key string
	log           *zap.Logger
	current       atomic.Pointer[trust]

	mu sync.Mutex
	// problem is what was last logged about the files, to log it once.
	problem string
}

// newTLSFiles reads the files of a configuration, which must be good.
func newTLSFiles(c Config, log *zap.Logger) (*tlsFiles, error) {
	f := &tlsFiles{ca: c.CAFile, cert: c.ClientCertFile, key: c.ClientKeyFile, log: log}
	t, err := f.read()
	if err != nil {
		return nil, err
	}
	f.current.Store(t)
	return f, nil
}

func (f *tlsFiles) read() (*trust, error) {
	t := &trust{}
	settings := [...]string{"ca_file", "client_cert_file", "client_key_file"}
	for i, name := range [...]string{f.ca, f.cert, f.key} {
		if name == "" {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", settings[i], err)
		}
		t.raw[i] = raw
	}
	if f.ca != "" {
		t.roots = x509.NewCertPool()
		if !t.roots.AppendCertsFromPEM(t.raw[0]) {
			return nil, fmt.Errorf("ca_file: there is no PEM certificate in %q", f.ca)
		}
	}
	if f.cert != "" {
		pair, err := tls.X509KeyPair(t.raw[1], t.raw[2])
		if err != nil {
			// The text of crypto/tls is about the form of the files and the kinds
			// of keys, not what is in them.
			return nil, fmt.Errorf("client_cert_file: %q and %q are no certificate with its key: %w", f.cert, f.key, err)
		}
		t.certificate = &pair
	}
	return t, nil
}

// reload reads the files again. What was read last stays in use unless all of them
// are good: files that are being replaced one after the other do not match for a
// moment.
func (f *tlsFiles) reload() {
	if f.ca == "" && f.cert == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.read()
	if err != nil {
		if problem := err.Error(); problem != f.problem {
			f.problem = problem
			f.log.Warn("TLS files not read again, what was read last stays in use", zap.Error(err))
		}
		return
	}
	f.problem = ""
	before, changed := f.current.Load(), false
	for i := range t.raw {
		changed = changed || !bytes.Equal(t.raw[i], before.raw[i])
	}
	if changed {
		f.current.Store(t)
		f.log.Info("TLS files read again")
	}
}

// config is what a new connection uses.
func (t *trust) config(serverName string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: serverName,
		RootCAs:    t.roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if t.certificate == nil {
				// Nothing to show; the server says what it thinks of that.
				return &tls.Certificate{}, nil
			}
			return t.certificate, nil
		},
	}
}

// concernsTLS says whether other files might have helped.
func concernsTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || tlsAlert(err) != nil
}
