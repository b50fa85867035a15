package cli

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	grpccreds "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vault-authz/vault-authz/internal/clientcert"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// tlsFlags are the flags of every command that calls a service.
type tlsFlags struct{ caFile, certFile, keyFile string }

func (t *tlsFlags) register(f *pflag.FlagSet) {
	f.StringVar(&t.caFile, "ca-file", "", "PEM `FILE` with the authorities to trust, instead of the system's")
	f.StringVar(&t.certFile, "cert-file", "", "PEM `FILE` with a client certificate")
	f.StringVar(&t.keyFile, "key-file", "", "PEM `FILE` with its key")
}

// read reads the files. content is as in [tlsfiles.Files].
func (t *tlsFlags) read(content func(tlsfiles.File) ([]byte, error)) (*tlsfiles.Material, error) {
	if (t.certFile == "") != (t.keyFile == "") {
		return nil, errors.New("--cert-file and --key-file go together")
	}
	files := tlsfiles.Files{
		Certificate: tlsfiles.File{Setting: "--cert-file", Path: t.certFile}, Key: tlsfiles.File{Setting: "--key-file", Path: t.keyFile},
		Authorities: tlsfiles.File{Setting: "--ca-file", Path: t.caFile}, Content: content,
	}
	return files.Read()
}

// clientTLS holds the TLS flags of a command that calls the gRPC service or the probes.
type clientTLS struct {
	tlsFlags
	on         bool
	serverName string
}

func (t *clientTLS) register(f *pflag.FlagSet) {
	t.tlsFlags.register(f)
	f.BoolVar(&t.on, "tls", false, "speak TLS; --ca-file, --cert-file, --key-file and --server-name imply it")
	f.StringVar(&t.serverName, "server-name", "", "`NAME` to expect in the service's certificate, instead of the host; a SPIFFE id will do")
}

func (t *clientTLS) given() bool { return *t != clientTLS{} }

// hint says what to try after a call without an answer.
func (t *clientTLS) hint(own string) string {
	switch {
	case !t.given() && own == "":
		return "; is vault-authz running there? If it speaks TLS, give --tls or --ca-file"
	case t.certFile == "":
		return "; is vault-authz running there, with TLS? If it asks for client certificates, give one with --cert-file and --key-file"
	}
	return "; is vault-authz running there, with TLS, and has the client certificate a name of grpc.client_names?"
}

// credentials returns those for a gRPC connection, see config.
func (t *clientTLS) credentials(own string) (grpccreds.TransportCredentials, error) {
	config, err := t.config(own)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return insecure.NewCredentials(), nil
	}
	return grpccreds.NewTLS(config), nil
}

// config returns the TLS of a connection, nil if none is asked for. own, if not "", is the file
// with the certificate of the service, which is trusted where no authorities are given.
func (t *clientTLS) config(own string) (*tls.Config, error) {
	if !t.given() && own == "" {
		return nil, nil
	}
	m, err := t.read(nil)
	if err != nil {
		return nil, err
	}
	config := m.Client(t.serverName)
	switch {
	case own != "" && t.caFile == "" && t.serverName == "":
		err = expectCertificate(config, own)
	case strings.Contains(t.serverName, ":"):
		err = expectURI(config, t.serverName)
	}
	return config, err
}

// expectCertificate accepts only the certificate in a file, under whatever name the service is
// reached.
func expectCertificate(config *tls.Config, file string) error {
	authorities := tlsfiles.Files{Authorities: tlsfiles.File{Setting: "grpc.cert_file", Path: file}}
	m, err := authorities.Read()
	if err != nil {
		return err
	}
	want := m.First()
	config.InsecureSkipVerify = true // it is compared below
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if !bytes.Equal(state.PeerCertificates[0].Raw, want.Raw) {
			return fmt.Errorf("the service does not have the certificate in %q; give --ca-file and --server-name", file)
		}
		return nil
	}
	return nil
}

// expectURI accepts a certificate of the authorities with a URI as its name, which crypto/tls
// does not check.
func expectURI(config *tls.Config, text string) error {
	name, err := clientcert.Parse(text)
	if err != nil {
		return fmt.Errorf("--server-name: %w", err)
	}
	config.ServerName = ""
	config.InsecureSkipVerify = true // it is verified below
	config.VerifyConnection = func(state tls.ConnectionState) error {
		options := x509.VerifyOptions{Roots: config.RootCAs, Intermediates: x509.NewCertPool()}
		for _, c := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(c)
		}
		leaf := state.PeerCertificates[0]
		if _, err := leaf.Verify(options); err != nil {
			return err
		}
		if _, ok := name.Match(leaf); !ok {
			return fmt.Errorf("the certificate of the service is that of %q, not of %q", clientcert.Identity(leaf), text)
		}
		return nil
	}
	return nil
}
