package vaultkv

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A Login is how a vault object gets its Vault token: [AppRole], [Kubernetes],
// [JWT], [Cert] or [Userpass]. Its values are comparable, and hold the names of
// files but nothing that is secret: the files are read again at each login.
type Login interface {
	// Method is the name of the auth method, as in Vault.
	Method() string

	validate(c *Config) error
	// place is where the method is mounted.
	place() LoginPlace
	// request reads the files. path is what follows the mount.
	request(ctx context.Context, s *session) (path string, body map[string]any, problem *Error)
	// advice says what to do when the server answers 400, 403 or 404. It is
	// picked by what the answer says, and quotes none of it.
	advice(a *answer) string
}

// A LoginPlace is where an auth method is mounted.
type LoginPlace struct {
	// Mount is its path below auth/, without slashes around it. Empty for the
	// name of the method.
	Mount string
	// Namespace is where the mount is if not in the namespace of the vault
	// object; "root" is the root namespace.
	Namespace string
}

func (p LoginPlace) validate() error {
	var errs []error
	if p.Mount != "" && !isMount(p.Mount) {
		errs = append(errs, fmt.Errorf("mount: %q is not the path of an auth method: give what follows auth/, without a slash at either end", p.Mount))
	}
	if p.Namespace != "" && !isMount(strings.TrimSuffix(p.Namespace, "/")) {
		errs = append(errs, fmt.Errorf("namespace: %q is not a namespace: give plain segments, like team-a/prod, or root", p.Namespace))
	}
	return errors.Join(errs...)
}

// loginPath is where a method that is mounted at its place takes logins.
func loginPath(l Login) string {
	mount := l.place().Mount
	if mount == "" {
		mount = l.Method()
	}
	return "auth/" + mount
}

// loginNamespace is the namespace of everything that is about the token itself:
// a token belongs to the namespace that it was made in, and cannot look at itself
// from another.
func (c *Config) loginNamespace() string {
	if c.Login == nil {
		return c.Namespace
	}
	switch n := c.Login.place().Namespace; n {
	case "":
		return c.Namespace
	case "root":
		return ""
	default:
		return n
	}
}

// validateLogin checks that there is exactly one source of a token.
func (c *Config) validateLogin() error {
	given := 0
	for _, is := range []bool{c.Token != "", c.TokenFile != "", c.Login != nil, c.Agent} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return errors.New("token: exactly one of a token file, a token value, a login and an agent that adds the token must be given")
	case c.Login != nil:
		return inSetting("login."+c.Login.Method(), c.Login.validate(c))
	case c.Token != "":
		if _, err := parseToken(c.Token); err != nil {
			return fmt.Errorf("token: %w", err)
		}
	}
	return nil
}

// inSetting puts the name of a setting in front of each of the errors in err.
func inSetting(setting string, err error) error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return fmt.Errorf("%s.%w", setting, err)
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, inSetting(setting, e))
	}
	return errors.Join(errs...)
}

// required reports settings that are empty, given as pairs of name and value.
func required(pairs ...string) error {
	var errs []error
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			errs = append(errs, fmt.Errorf("%s: must be set", pairs[i]))
		}
	}
	return errors.Join(errs...)
}

// plainText reports a setting that cannot be what the server calls something.
func plainText(setting, value string) error {
	if len(value) > 1024 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%s: it holds control characters or is longer than 1024 bytes", setting)
	}
	return nil
}

// adviceFor picks the advice for the first text that an answer has in it.
func adviceFor(a *answer, pairs [][2]string, otherwise string) string {
	for _, p := range pairs {
		if a.errorSays(p[0]) {
			return p[1]
		}
	}
	return otherwise
}
