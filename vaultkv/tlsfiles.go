package vaultkv

import (
	"crypto/tls"
	"errors"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// tlsFiles are what TLS is spoken with.
func (c *Config) tlsFiles() tlsfiles.Files {
	return tlsfiles.Files{
		Certificate: tlsfiles.File{Setting: "client_cert_file", Path: c.ClientCertFile},
		Key:         tlsfiles.File{Setting: "client_key_file", Path: c.ClientKeyFile},
		Authorities: tlsfiles.File{Setting: "ca_file", Path: c.CAFile},
	}
}

// TLSFiles says how the files are doing that TLS is spoken with.
func (v *Vault) TLSFiles() tlsfiles.Status { return v.conn.files.Status() }

// concernsTLS says whether other files might have helped.
func concernsTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || tlsAlert(err) != nil
}
