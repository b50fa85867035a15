package admin

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/clientcert"
	"github.com/vault-authz/vault-authz/internal/loopback"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// Config says how the admin API is exposed. The zero Config is not usable; start
// from [DefaultConfig].
type Config struct {
	// Address is where the API listens: host:port, or unix:/path. Anything but
	// loopback needs TLS and authentication.
	Address string
	// Listener is the TLS of the API. With ClientCAFile the client certificate has to
	// have one of ClientNames.
	tlsfiles.Listener
	ClientNames []ClientName
	// Tokens are the bearer tokens that are accepted. With none of them, and
	// no ClientCAFile, everybody who reaches the listener is an operator. With
	// both, both are demanded.
	Tokens []Token
	// Hosts are the names that the API may be called by (the Host header), with
	// or without a port; without one every port will do. It keeps a web page
	// whose name was pointed at this listener (DNS rebinding) from calling it.
	Hosts []string
	// Vaults serves /vaults as another name of /vault-auth, as Kong did up to
	// 2.x.
	Vaults bool
	// UI serves the page for people under /ui, to everybody who reaches the listener: it holds
	// no data, and calls the API as its user. Default true.
	UI bool
	// MaxBodyBytes bounds a request's body. Default 1 MiB.
	MaxBodyBytes int64
	// Timeout bounds one call with all that it asks of the stores. Default
	// 15s. A change that has begun is finished even if its caller has gone.
	Timeout time.Duration
	// Grammar is what access tokens and secret tokens must fit, the same as for
	// requests: what no request can present is not stored.
	Grammar authz.Grammar
}

// A Token is a bearer token that is accepted, known by its hash only.
type Token struct {
	// Name says whose token it is; the audit log calls the caller that.
	Name string
	// SHA256 is the hash of the token in hexadecimal.
	SHA256 string
	Role   Role
}

// A ClientName is a name that a client certificate may have, in the form that
// [clientcert.Parse] takes. Of several that one certificate has, the most precise
// counts.
type ClientName struct {
	Name string
	Role Role
}

const (
	defaultMaxBody = 1 << 20
	defaultTimeout = 15 * time.Second
)

// DefaultConfig returns the defaults: loopback, open to whoever can reach it.
func DefaultConfig() Config {
	return Config{
		Address:      "127.0.0.1:9192",
		Listener:     tlsfiles.Listener{MinTLSVersion: tlsfiles.TLS13},
		Hosts:        []string{"localhost", "127.0.0.1", "[::1]"},
		UI:           true,
		MaxBodyBytes: defaultMaxBody,
		Timeout:      defaultTimeout,
		Grammar:      authz.DefaultGrammar(),
	}
}

// Validate reports every mistake that shows without reading a file.
func (c *Config) Validate() error {
	errs := []error{c.validateExposure(), c.Listener.Validate(), c.validateTokens(), c.validateClientNames(), c.Grammar.Validate()}
	if len(c.Hosts) == 0 {
		errs = append(errs, errors.New("hosts: give at least one name that the API may be called by"))
	}
	for _, h := range c.Hosts {
		if _, _, ok := splitHost(h); !ok {
			errs = append(errs, fmt.Errorf("hosts: %q is not a host name or address, with or without a port; an IPv6 address goes in brackets", h))
		}
	}
	if c.MaxBodyBytes < 1<<10 || c.MaxBodyBytes > 64<<20 {
		errs = append(errs, fmt.Errorf("max_body_bytes: %d is not between 1024 and 67108864", c.MaxBodyBytes))
	}
	if c.Timeout < 100*time.Millisecond || c.Timeout > 5*time.Minute {
		errs = append(errs, fmt.Errorf("timeout: %s is not between 100ms and 5m", c.Timeout))
	}
	return errors.Join(errs...)
}

func (c *Config) validateExposure() error {
	if strings.HasPrefix(c.Address, "unix:") {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return fmt.Errorf("listen: %q is neither host:port, like 127.0.0.1:9191, nor unix:/path", c.Address)
	}
	if loopback.Is(host) {
		return nil
	}
	var errs []error
	if c.CertFile == "" {
		errs = append(errs, fmt.Errorf("listen: %q is not loopback, so Vault tokens and secrets would cross the network in clear: give a certificate and its key, or listen on 127.0.0.1", c.Address))
	}
	if !c.authenticates() {
		errs = append(errs, fmt.Errorf("listen: %q is not loopback, so anybody could make credentials: give tokens or client_ca_file, or listen on 127.0.0.1", c.Address))
	}
	return errors.Join(errs...)
}

func (c *Config) authenticates() bool { return len(c.Tokens) > 0 || c.ClientCAFile != "" }

func (c *Config) validateTokens() error {
	var errs []error
	names, hashes := map[string]bool{}, map[string]bool{}
	for i, t := range c.Tokens {
		if t.Name == "" {
			errs = append(errs, fmt.Errorf("tokens[%d]: name: must be set, the audit log needs it", i))
		}
		if names[t.Name] {
			errs = append(errs, fmt.Errorf("tokens[%d]: name: %q is taken by another token", i, t.Name))
		}
		// The hash is not quoted: what was put there may be the token itself.
		hash, err := hex.DecodeString(t.SHA256)
		if err != nil || len(hash) != 32 {
			errs = append(errs, fmt.Errorf("tokens[%d] %q: sha256: must be the SHA-256 of the token, 64 hexadecimal digits (printf %%s TOKEN | sha256sum)", i, t.Name))
		} else if hashes[string(hash)] {
			errs = append(errs, fmt.Errorf("tokens[%d] %q: sha256: the same token is given twice", i, t.Name))
		}
		if err := t.Role.validate(); err != nil {
			errs = append(errs, fmt.Errorf("tokens[%d] %q: %w", i, t.Name, err))
		}
		names[t.Name], hashes[string(hash)] = true, true
	}
	return errors.Join(errs...)
}

// validateClientNames wants the names said: an authority often issues certificates
// for more than operators.
func (c *Config) validateClientNames() error {
	var errs []error
	switch {
	case c.ClientCAFile == "" && len(c.ClientNames) > 0:
		errs = append(errs, errors.New("client_names: these are names in client certificates, so give client_ca_file, the authorities of those, too"))
	case c.ClientCAFile != "" && len(c.ClientNames) == 0:
		errs = append(errs, errors.New(`client_names: say which certificates of client_ca_file may call, by a DNS name or URI that they have, like [{name: ops.example.com}] or [{name: "spiffe://example.org/ops"}]; [{name: "*"}] stands for every certificate of these authorities`))
	}
	seen := map[string]bool{}
	for i, n := range c.ClientNames {
		if _, err := clientcert.Parse(n.Name); err != nil {
			errs = append(errs, fmt.Errorf("client_names[%d]: name: %w", i, err))
		}
		if err := n.Role.validate(); err != nil {
			errs = append(errs, fmt.Errorf("client_names[%d] %q: %w", i, n.Name, err))
		}
		if seen[strings.ToLower(n.Name)] {
			errs = append(errs, fmt.Errorf("client_names[%d]: name: %q is given twice", i, n.Name))
		}
		seen[strings.ToLower(n.Name)] = true
	}
	return errors.Join(errs...)
}

// InsecureSettings describes each setting that is allowed and yet worth a
// warning at start-up.
func (c *Config) InsecureSettings() []string {
	if c.authenticates() {
		if len(c.Tokens) == 0 && slices.Contains(c.ClientNames, ClientName{"*", RoleWrite}) {
			return []string{`client_names: "*" lets every certificate of client_ca_file make and delete credentials; name those of operators`}
		}
		return nil
	}
	return []string{fmt.Sprintf("listen: anyone who reaches the admin API at %q can make and delete credentials; give tokens to ask for one", c.Address)}
}

// Server returns an HTTP server for the API with bounds on what a client may
// take. Listening, TLS and stopping are the caller's.
func (a *API) Server() *http.Server {
	return &http.Server{
		Handler:           a,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      a.cfg.Timeout + 10*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(a.authenticator.refusals, "", 0), //nolint:forbidigo // net/http takes no other, and this one ends in ours
	}
}
