package vaultkv

import (
	"errors"
	"fmt"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// The versions of the KV engine.
const (
	KV1 = "v1"
	KV2 = "v2"
)

// Config is the configuration of one vault object. The zero Config is not usable; start
// from [DefaultConfig]. VAULT_* variables have no effect.
type Config struct {
	// Name is the name of the vault object. Log lines and errors contain it, and the
	// digests of secrets depend on it.
	Name string
	// Address is the URL of the server: http or https, host, port; or unix: and the path
	// of a socket. Several URLs, separated by commas, are tried in turn; they must be
	// nodes of one cluster.
	Address string
	// Proxy is the URL of an HTTP proxy to the server. Empty means no proxy, whatever the
	// environment says.
	Proxy string
	// Namespace of Vault Enterprise or OpenBao, empty for the root.
	Namespace string
	// Mount is the path of the KV mount without slashes around it.
	Mount string
	// Prefix is the folder in the mount that contains all credentials, without slashes
	// around it. Nothing outside of it is read or written, so that the mount can be shared
	// with others. Empty means the mount itself.
	Prefix string
	// KV is the version of the mount: [KV1], which is the default as in Kong, or [KV2].
	KV string

	// TokenFile contains the Vault token and is read again when it changes. Exactly one of
	// TokenFile, Token, Login and Agent must be set.
	TokenFile string
	// Token is the Vault token itself, never logged.
	Token string
	// Login is the auth method that gives the Vault token.
	Login login.Method
	// Agent declares that the server at Address adds a Vault token of its own to requests
	// without one, as Vault Agent and the proxy of OpenBao do. Then requests carry no
	// token.
	Agent bool

	// CAFile is a PEM file with the authorities to trust instead of those of the system.
	// It is read again when it changes.
	CAFile string
	// ClientCertFile and ClientKeyFile are the PEM files of our client certificate. Both
	// or neither must be set. They are read again when they change.
	ClientCertFile, ClientKeyFile string
	// TLSServerName is the name to expect in the server's certificate instead of the host
	// of Address.
	TLSServerName string

	// Timeout bounds one operation from dialling to the last byte of the answer, including
	// retries. Default 2s. The limit of a load in the cache must be longer; internal/config
	// raises it to fit.
	Timeout time.Duration
	// MaxRetries is how often a read is tried again after a connection error or a 5xx,
	// within Timeout: 0 (the default) or 1. A write is never tried again.
	MaxRetries int
	// MaxConnections is how many idle connections are kept open. With fewer than the reads
	// in flight, a busy service makes a handshake per read. Default 128.
	MaxConnections int
}

// DefaultConfig returns the defaults. Name, Address, Mount and the source of a token
// remain to be set.
func DefaultConfig() Config {
	return Config{
		KV:             KV1,
		Timeout:        2 * time.Second,
		MaxConnections: 128,
	}
}

// Validate reports every mistake that shows without reading a file or asking the server.
func (c *Config) Validate() error {
	session := c.session()
	errs := []error{c.validateAddress(), c.validateConnection(), session.Validate()}
	if c.Name == "" {
		errs = append(errs, errors.New("name: must be set"))
	}
	if err := ValidateMount(c.Mount); err != nil {
		errs = append(errs, fmt.Errorf("mount: %w", err))
	}
	if err := validatePrefix(c.Prefix); err != nil {
		errs = append(errs, fmt.Errorf("prefix: %w", err))
	}
	if err := validateNamespace(c.Namespace); err != nil {
		errs = append(errs, fmt.Errorf("namespace: %w", err))
	}
	if c.KV != KV1 && c.KV != KV2 {
		errs = append(errs, fmt.Errorf("kv: %q is neither v1 nor v2", c.KV))
	}
	if c.Timeout < 10*time.Millisecond || c.Timeout > time.Minute {
		errs = append(errs, fmt.Errorf("timeout: %s is not between 10ms and 1m", c.Timeout))
	}
	if c.MaxRetries < 0 || c.MaxRetries > 1 {
		errs = append(errs, fmt.Errorf("max_retries: %d is neither 0 nor 1", c.MaxRetries))
	}
	if c.MaxConnections < 1 || c.MaxConnections > 65536 {
		errs = append(errs, fmt.Errorf("max_connections: %d is not between 1 and 65536", c.MaxConnections))
	}
	return errors.Join(errs...)
}

// session is the part of the configuration that is about the Vault token.
func (c *Config) session() login.Config {
	return login.Config{
		Token: c.Token, TokenFile: c.TokenFile, Method: c.Login, Agent: c.Agent,
		Address: c.Address, Namespace: c.Namespace, Timeout: c.Timeout,
		ClientCertificate: c.ClientCertFile != "" && c.ClientKeyFile != "",
	}
}

func (c *Config) validateAddress() error {
	all, err := parseAddresses(c.Address)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	for i := range all {
		if !all[i].secure() && c.usesTLS() {
			return fmt.Errorf("address: %q is not https, so ca_file, client_cert_file, client_key_file and server_name would have no effect", all[i].text)
		}
		if all[i].socket != "" && c.Proxy != "" {
			return fmt.Errorf("address: %q is a socket, which cannot be behind a proxy; remove proxy", all[i].text)
		}
	}
	return nil
}

func (c *Config) usesTLS() bool {
	return c.CAFile != "" || c.TLSServerName != "" || c.ClientCertFile != "" || c.ClientKeyFile != ""
}

func (c *Config) validateConnection() error {
	var errs []error
	proxy, err := parseProxy(c.Proxy)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("proxy: %w", err))
	case proxy != nil && proxy.Scheme == "https" && (c.TLSServerName != "" || c.ClientCertFile != ""):
		// net/http uses one TLS configuration for the proxy and the server behind it.
		errs = append(errs, errors.New("proxy: an https:// proxy would have to present the certificate of server_name, and would receive client_cert_file; use http:// for the proxy (the connection through it to an https address is encrypted all the same), or remove these settings"))
	}
	if c.ClientCertFile != "" && c.ClientKeyFile == "" {
		errs = append(errs, errors.New("client_cert_file: goes together with client_key_file; give both or neither"))
	}
	if c.ClientCertFile == "" && c.ClientKeyFile != "" {
		errs = append(errs, errors.New("client_key_file: goes together with client_cert_file; give both or neither"))
	}
	return errors.Join(errs...)
}

// InsecureSettings describes each setting that is allowed but deserves a warning at the
// start.
func (c *Config) InsecureSettings() []string {
	var all []string
	addresses, err := parseAddresses(c.Address)
	if err != nil {
		return nil
	}
	for i := range addresses {
		if a := &addresses[i]; a.inTheClear() || !a.secure() && c.Proxy != "" {
			all = append(all, fmt.Sprintf("address: %q is not https: the Vault token and every secret cross the network unencrypted", a.text))
		}
	}
	return all
}
