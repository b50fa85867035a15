package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// A File is one PEM file, and the setting that names it. It is not used if Path is empty.
type File struct{ Setting, Path string }

// Files are what TLS is spoken with.
type Files struct {
	// Certificate is a chain that begins with our certificate, and Key its private key.
	// Both are used, or neither.
	Certificate, Key File
	// Authorities are those that are believed about the other side.
	Authorities File
	// Server says that the certificate is shown to clients.
	Server bool
}

// A Material is what the files held at one time. It never changes.
type Material struct {
	// Certificate is nil where none is used.
	Certificate *tls.Certificate
	// Authorities is nil where no file is used.
	Authorities *x509.CertPool

	authorities []*x509.Certificate
	raw         [3][]byte
}

// Read reads the files. What it returns can be used now.
func (f *Files) Read() (*Material, error) {
	raw, err := f.contents()
	if err != nil {
		return nil, err
	}
	m, err := f.parse(raw)
	if err != nil {
		return nil, err
	}
	return m, f.usable(m, time.Now())
}

func (f *Files) contents() (raw [3][]byte, err error) {
	for i, file := range [...]File{f.Certificate, f.Key, f.Authorities} {
		if file.Path == "" {
			continue
		}
		if raw[i], err = os.ReadFile(file.Path); err != nil {
			return raw, fmt.Errorf("%s: %w", file.Setting, err)
		}
	}
	return raw, nil
}

func (f *Files) parse(raw [3][]byte) (*Material, error) {
	m := &Material{raw: raw}
	if f.Certificate.Path != "" {
		pair, err := tls.X509KeyPair(raw[0], raw[1])
		if err != nil {
			// The text of crypto/tls is about the form of the files and the kinds of
			// keys, not what is in them.
			return nil, fmt.Errorf("%s: %q and %q are no certificate with its key: %w", f.Certificate.Setting, f.Certificate.Path, f.Key.Path, err)
		}
		m.Certificate = &pair
	}
	if f.Authorities.Path != "" {
		var err error
		if m.authorities, err = certificates(raw[2]); err != nil {
			return nil, fmt.Errorf("%s: %w in %q", f.Authorities.Setting, err, f.Authorities.Path)
		}
		m.Authorities = x509.NewCertPool()
		for _, c := range m.authorities {
			m.Authorities.AddCert(c)
		}
	}
	return m, nil
}

// certificates reads all certificates of a file. One that cannot be read makes all of the
// file bad: it may be half written, and whoever has a certificate of that authority would
// be refused.
func certificates(raw []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	begun := bytes.Count(raw, []byte("-----BEGIN CERTIFICATE-----"))
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read (%w)", len(all)+1, err)
		}
		all = append(all, c)
	}
	switch {
	case begun == 0:
		return nil, errors.New("there is no PEM certificate")
	case len(all) != begun:
		// What is no PEM is passed over by the decoder.
		return nil, fmt.Errorf("%d of %d certificates are cut off or damaged", begun-len(all), begun)
	}
	return all, nil
}

// usable says what keeps a Material from being used at a time.
func (f *Files) usable(m *Material, now time.Time) error {
	if m.Certificate != nil {
		leaf := m.Certificate.Leaf
		if err := current(leaf, now); err != nil {
			return fmt.Errorf("%s: the certificate in %q %w", f.Certificate.Setting, f.Certificate.Path, err)
		}
		if f.Server && !serves(leaf) {
			return fmt.Errorf("%s: the certificate in %q is not for servers: it has extended key usages, and serverAuth is none of them", f.Certificate.Setting, f.Certificate.Path)
		}
	}
	var problem error
	for _, c := range m.authorities {
		if problem = current(c, now); problem == nil {
			return nil
		}
	}
	if problem != nil {
		return fmt.Errorf("%s: no authority in %q is good now: the last one %w", f.Authorities.Setting, f.Authorities.Path, problem)
	}
	return nil
}

// current says why a certificate is not good at a time.
func current(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("is not good before %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// serves says whether clients take a certificate for that of a server.
func serves(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// Client returns what a new connection to a server uses. Without Authorities those of the
// system are believed; serverName, if not empty, is expected in the server's certificate
// in place of the host.
func (m *Material) Client(serverName string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: serverName,
		RootCAs:    m.Authorities,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if m.Certificate == nil {
				// Nothing to show; the server says what it thinks of that.
				return &tls.Certificate{}, nil
			}
			return m.Certificate, nil
		},
	}
}

// equal says whether the files hold what they held.
func (m *Material) equal(raw [3][]byte) bool {
	for i := range raw {
		if !bytes.Equal(m.raw[i], raw[i]) {
			return false
		}
	}
	return true
}

// First returns the first of the authorities.
func (m *Material) First() *x509.Certificate { return m.authorities[0] }
