package partstest

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/test/parts"
)

// PEMFiles are certificates and keys in a folder, for settings and flags.
type PEMFiles struct {
	testing.TB

	Dir string
}

// NewPEMFiles returns an empty folder, which is deleted at the end of the test.
func NewPEMFiles(tb testing.TB) PEMFiles {
	tb.Helper()
	return PEMFiles{tb, tb.TempDir()}
}

// Path returns the path of a file in the folder.
func (f PEMFiles) Path(name string) string { return filepath.Join(f.Dir, name) }

// Listener returns the TLS of a listener: service.pem and service.key, and ca.pem for clients.
func (f PEMFiles) Listener() tlsfiles.Listener {
	return tlsfiles.Listener{CertFile: f.Path("service.pem"), KeyFile: f.Path("service.key"), ClientCAFile: f.Path("ca.pem")}
}

// Put writes a file.
func (f PEMFiles) Put(name string, content []byte) {
	f.Helper()
	if err := os.WriteFile(f.Path(name), content, 0o600); err != nil {
		f.Fatal(err)
	}
}

// Issue writes NAME.pem and NAME.key, a certificate with names and its key.
func (f PEMFiles) Issue(a *parts.Authority, name string, names ...string) {
	f.Helper()
	issued, err := a.Issue(nil, names...)
	if err != nil {
		f.Fatal(err)
	}
	f.Put(name+".pem", issued.Certificate)
	f.Put(name+".key", issued.Key)
}

// Client returns a client that trusts ca.pem and has the certificate of a name, none if the
// name is empty.
func (f PEMFiles) Client(name string) *http.Client {
	f.Helper()
	raw, err := os.ReadFile(f.Path("ca.pem"))
	if err != nil {
		f.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	c.RootCAs.AppendCertsFromPEM(raw)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(f.Path(name+".pem"), f.Path(name+".key"))
		if err != nil {
			f.Fatal(err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}}
}
