package authn

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/internal/clientcert"
)

// Config says who may call. Its zero value knows no name of the listener, and thus lets
// nobody in.
type Config struct {
	// Hosts are the names that the API may be called by (the Host header), with
	// or without a port; without one every port will do. It keeps a web page
	// whose name was pointed at this listener (DNS rebinding) from calling it.
	Hosts []string
	// Tokens are the bearer tokens that are accepted. With none of them, and
	// no ClientNames, everybody who reaches the listener is an operator. With
	// both, both are demanded.
	Tokens []Token
	// ClientNames are the names of which a client certificate has to have one.
	ClientNames []ClientName
}

// Validate reports every mistake. clientCAFile has the authorities of the client certificates.
func (c *Config) Validate(clientCAFile string) error {
	return errors.Join(c.validateTokens(), c.validateClientNames(clientCAFile), c.validateHosts())
}

func (c *Config) validateHosts() error {
	if len(c.Hosts) == 0 {
		return errors.New("hosts: give at least one name that the API may be called by")
	}
	var errs []error
	for _, h := range c.Hosts {
		if _, _, ok := splitHost(h); !ok {
			errs = append(errs, fmt.Errorf("hosts: %q is not a host name or address, with or without a port; an IPv6 address goes in brackets", h))
		}
	}
	return errors.Join(errs...)
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
func (c *Config) validateClientNames(clientCAFile string) error {
	var errs []error
	switch {
	case clientCAFile == "" && len(c.ClientNames) > 0:
		errs = append(errs, errors.New("client_names: these are names in client certificates, so give client_ca_file, the authorities of those, too"))
	case clientCAFile != "" && len(c.ClientNames) == 0:
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
