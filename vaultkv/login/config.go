package login

import (
	"errors"
	"fmt"
	"time"
)

// Config describes where the Vault token of a session comes from.
type Config struct {
	// Exactly one of Token, TokenFile, Method and Agent must be set. TokenFile is
	// read again when it changes.
	Token, TokenFile string
	Method           Method
	// Agent declares that whatever answers at Address adds a token to requests that
	// carry none, as Vault Agent and the proxy of OpenBao do. The session then keeps
	// no token.
	Agent bool

	// Address is the server's address, for error texts.
	Address string
	// Namespace of the vault object, empty for the root namespace.
	Namespace string
	// ClientCertificate declares that the connection presents a client certificate.
	ClientCertificate bool
	// Refusals are shared by the sessions of a process. With nil a session has its own.
	Refusals *Refusals
	// Timeout bounds one read of the vault object. A replaced token is revoked after
	// twice that time, when no request carries it any more.
	Timeout time.Duration
}

// Validate reports every mistake that shows without reading a file or asking the
// server.
func (c *Config) Validate() error {
	sources := 0
	for _, given := range []bool{c.Token != "", c.TokenFile != "", c.Method != nil, c.Agent} {
		if given {
			sources++
		}
	}
	switch {
	case sources != 1:
		return errors.New("token: exactly one of a token file, a token value, a login and an agent that adds the token must be given")
	case c.Method != nil:
		return inSetting("login."+c.Method.Name(), c.Method.validate(c))
	case c.Token != "":
		if _, err := parseToken(c.Token); err != nil {
			return fmt.Errorf("token: %w", err)
		}
	}
	return nil
}

// initialToken returns the token that was given. It is empty for a login and for an
// agent.
func (c *Config) initialToken() (string, error) {
	switch {
	case c.Method != nil, c.Agent:
		return "", nil
	case c.TokenFile != "":
		return readToken(c.TokenFile)
	}
	return parseToken(c.Token)
}

// namespace is the namespace for every request about the token itself: a token
// belongs to the namespace that it was made in, and cannot look itself up from
// another.
func (c *Config) namespace() string {
	if c.Method == nil {
		return c.Namespace
	}
	switch n := c.Method.mount().Namespace; n {
	case "":
		return c.Namespace
	case rootNamespace:
		return ""
	default:
		return n
	}
}
