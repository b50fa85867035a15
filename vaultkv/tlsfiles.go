package vaultkv

import (
	"crypto/tls"
	"errors"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// tlsFiles returns the files that TLS connections use.
func (c *Config) tlsFiles() tlsfiles.Files {
	return tlsfiles.Files{
		Certificate: tlsfiles.File{Setting: "client_cert_file", Path: c.ClientCertFile},
		Key:         tlsfiles.File{Setting: "client_key_file", Path: c.ClientKeyFile},
		Authorities: tlsfiles.File{Setting: "ca_file", Path: c.CAFile},
	}
}

// TLSFiles returns the status of the files that TLS connections use.
func (v *Vault) TLSFiles() tlsfiles.Status { return v.conn.files.Status() }

// concernsTLS reports whether other TLS files might have prevented the error.
func concernsTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || tlsAlert(err) != nil
}
