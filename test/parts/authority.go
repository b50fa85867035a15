package parts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An Authority issues certificates.
type Authority struct {
	// PEM is its own certificate.
	PEM []byte

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns an authority that is valid for an hour.
func NewAuthority(name string) (*Authority, error) {
	return NewAuthorityUntil(name, time.Now().Add(time.Hour))
}

// NewAuthorityUntil returns an authority that is valid until a time.
func NewAuthorityUntil(name string, end time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: end.Add(-48 * time.Hour), NotAfter: end,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(raw)
	return &Authority{PEM: encode("CERTIFICATE", raw), certificate: certificate, key: key}, err
}

// serial returns a new serial number: clients take two authorities with the same
// name and number for one.
func serial() *big.Int { return big.NewInt(time.Now().UnixNano()) }

// Issued is a certificate and its key as PEM.
type Issued struct{ Certificate, Key []byte }

// Issue issues a certificate for clients and servers, valid from an hour ago until in an
// hour, with the names. A name is a DNS name, an IP address or a URI. edit, which may be
// nil, changes the certificate before it is signed.
func (a *Authority) Issue(edit func(*x509.Certificate), names ...string) (Issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Issued{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "gateway.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		switch ip := net.ParseIP(name); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case strings.Contains(name, ":"):
			u, err := url.Parse(name)
			if err != nil {
				return Issued{}, err
			}
			template.URIs = append(template.URIs, u)
		default:
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if edit != nil {
		edit(template)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return Issued{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return Issued{encode("CERTIFICATE", raw), encode("PRIVATE KEY", der)}, err
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// MountSecret puts files into a folder as Kubernetes mounts a secret: all files are symbolic
// links through one link, which is swapped, so that they change in one step.
func MountSecret(dir string, files map[string][]byte) error {
	version, err := os.MkdirTemp(dir, "..version-")
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(version, name), content, 0o600); err != nil {
			return err
		}
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); os.IsNotExist(err) {
			if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
				return err
			}
		}
	}
	data := filepath.Join(dir, "..data")
	before, _ := os.Readlink(data)
	if err := os.Symlink(filepath.Base(version), data+"_tmp"); err != nil {
		return err
	}
	if err := os.Rename(data+"_tmp", data); err != nil || before == "" {
		return err
	}
	return os.RemoveAll(filepath.Join(dir, before))
}

// Bundle puts the certificates of authorities into one file.
func Bundle(authorities ...*Authority) []byte {
	var all []byte
	for _, a := range authorities {
		all = slices.Concat(all, a.PEM)
	}
	return all
}
