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

// A File is a PEM file, with the setting that names it. It is not used if Path is empty.
type File struct{ Setting, Path string }

// Files are the files of one side of TLS.
type Files struct {
	// Certificate is the certificate chain of this side, and Key the private key. Set
	// both or neither.
	Certificate, Key File
	// Authorities are the trusted authorities for the certificate of the other side.
	Authorities File
	// Server says that this side is a server.
	Server bool
	// Content returns the content of a file. If it is nil, [os.ReadFile] reads it.
	Content func(File) ([]byte, error)
}

// A Material is the content of the files at one time. It is immutable.
type Material struct {
	// Certificate is nil if no certificate is used.
	Certificate *tls.Certificate
	// Authorities is nil if no file is used.
	Authorities *x509.CertPool

	authorities []*x509.Certificate
	raw         [3][]byte
}

// Read reads the files, and returns an error if their content cannot be used now.
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
	content := f.Content
	if content == nil {
		content = func(file File) ([]byte, error) { return os.ReadFile(file.Path) }
	}
	for i, file := range [...]File{f.Certificate, f.Key, f.Authorities} {
		if file.Path == "" {
			continue
		}
		if raw[i], err = content(file); err != nil {
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
			// The message of crypto/tls contains formats and kinds of keys, but no
			// part of a key.
			return nil, fmt.Errorf("%s: %q and %q are not a certificate with its key: %w", f.Certificate.Setting, f.Certificate.Path, f.Key.Path, err)
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

// certificates reads all certificates of a file. If one is invalid, the whole file is: it may
// be incomplete, and clients with a certificate of a missing authority would be refused.
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
		// The decoder ignores text that is not PEM.
		return nil, fmt.Errorf("%d of %d certificates are cut off or damaged", begun-len(all), begun)
	}
	return all, nil
}

// usable returns an error if a Material cannot be used at a time.
func (f *Files) usable(m *Material, now time.Time) error {
	if m.Certificate != nil {
		leaf := m.Certificate.Leaf
		if err := current(leaf, now); err != nil {
			return fmt.Errorf("%s: the certificate in %q %w", f.Certificate.Setting, f.Certificate.Path, err)
		}
		if f.Server && !serves(leaf) {
			return fmt.Errorf("%s: the certificate in %q is not for servers: its extended key usages do not include serverAuth", f.Certificate.Setting, f.Certificate.Path)
		}
	}
	var problem error
	for _, c := range m.authorities {
		if problem = current(c, now); problem == nil {
			return nil
		}
	}
	if problem != nil {
		return fmt.Errorf("%s: no authority in %q is valid now: the last one %w", f.Authorities.Setting, f.Authorities.Path, problem)
	}
	return nil
}

// current returns an error if a certificate is not valid at a time.
func current(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// serves says whether clients accept a certificate from a server.
func serves(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// Client returns the TLS configuration of a new connection to a server. Without Authorities
// it trusts those of the system. serverName, if it is not empty, replaces the host as the
// name that the certificate of the server must have.
func (m *Material) Client(serverName string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: serverName,
		RootCAs:    m.Authorities,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if m.Certificate == nil {
				// No certificate. The server decides whether it needs one.
				return &tls.Certificate{}, nil
			}
			return m.Certificate, nil
		},
	}
}

// equal says whether two Materials have the same content.
func (m *Material) equal(raw [3][]byte) bool {
	for i := range raw {
		if !bytes.Equal(m.raw[i], raw[i]) {
			return false
		}
	}
	return true
}

// First returns the first authority.
func (m *Material) First() *x509.Certificate { return m.authorities[0] }
