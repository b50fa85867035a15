package tlsfiles

import "crypto/x509"

// Certificates is certificates for tests.
func Certificates(raw []byte) ([]*x509.Certificate, error) { return certificates(raw) }
