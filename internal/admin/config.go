package admin

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/authn"
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
	// Config says who may call.
	authn.Config
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

const (
	defaultMaxBody = 1 << 20
	defaultTimeout = 15 * time.Second
)

// DefaultConfig returns the defaults: loopback, open to whoever can reach it.
func DefaultConfig() Config {
	return Config{
		Address:      "127.0.0.1:9192",
		Listener:     tlsfiles.Listener{MinTLSVersion: tlsfiles.TLS13},
		Config:       authn.Config{Hosts: []string{"localhost", "127.0.0.1", "[::1]"}},
		UI:           true,
		MaxBodyBytes: defaultMaxBody,
		Timeout:      defaultTimeout,
		Grammar:      authz.DefaultGrammar(),
	}
}

// Validate reports every mistake that shows without reading a file.
func (c *Config) Validate() error {
	errs := []error{c.validateExposure(), c.Listener.Validate(), c.Config.Validate(c.ClientCAFile), c.Grammar.Validate()}
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

// InsecureSettings describes each setting that is allowed and yet worth a
// warning at start-up.
func (c *Config) InsecureSettings() []string {
	if c.authenticates() {
		if len(c.Tokens) == 0 && slices.Contains(c.ClientNames, authn.ClientName{Name: "*", Role: authn.RoleWrite}) {
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
		ErrorLog:          log.New(a.authenticator.ServerLog(), "", 0), //nolint:forbidigo // net/http takes no other, and this one ends in ours
	}
}
