package login

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// A Method is an auth method of Vault: [AppRole], [Kubernetes], [JWT], [Cert] or
// [Userpass]. Its values are comparable. They contain the names of files but no
// secret; the files are read at each login.
type Method interface {
	// Name is Vault's name of the auth method.
	Name() string

	validate(c *Config) error
	mount() Mount
	// request reads the files. path is the rest of the path behind the mount. Within
	// the session's logins it is called by one goroutine at a time.
	request(ctx context.Context, s *Session) (path string, body map[string]any, err error)
	// advice says what to do after the answer 400, 403 or 404. It depends on the
	// text of the answer and quotes none of it.
	advice(a *Answer) string
}

// rootNamespace is how a setting names the root namespace.
const rootNamespace = "root"

// A Mount is where an auth method is mounted.
type Mount struct {
	// Path is what follows auth/, without slashes around it. Empty means the name of
	// the method.
	Path string
	// Namespace is the namespace of the mount if that is not the namespace of the
	// vault object; "root" is the root namespace.
	Namespace string
}

func (m Mount) validate() error {
	var errs []error
	if m.Path != "" && !kvpath.IsPath(m.Path) {
		errs = append(errs, fmt.Errorf("mount: %q is not the path of an auth method: give what follows auth/, without a slash at either end", m.Path))
	}
	if m.Namespace != "" && !kvpath.IsPath(strings.TrimSuffix(m.Namespace, "/")) {
		errs = append(errs, fmt.Errorf("namespace: %q is not a namespace: give plain segments, like team-a/prod, or root", m.Namespace))
	}
	return errors.Join(errs...)
}

// mountPath returns the path that a method is mounted at.
func mountPath(m Method) string {
	p := m.mount().Path
	if p == "" {
		p = m.Name()
	}
	return "auth/" + p
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

// required reports the settings that are empty, given as pairs of name and value.
func required(pairs ...string) error {
	var errs []error
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			errs = append(errs, fmt.Errorf("%s: must be set", pairs[i]))
		}
	}
	return errors.Join(errs...)
}

// plainText reports a value that no role can have as its name or id.
func plainText(setting, value string) error {
	if len(value) > 1024 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%s: contains control characters or is longer than 1024 bytes", setting)
	}
	return nil
}

// adviceFor returns the advice of the first pair whose text is in the answer.
func adviceFor(a *Answer, pairs [][2]string, otherwise string) string {
	for _, p := range pairs {
		if a.Says(p[0]) {
			return p[1]
		}
	}
	return otherwise
}

// checkMount is the advice for an answer that gives no reason.
func checkMount(m Method) string {
	return fmt.Sprintf("check that the auth method %s is enabled at the configured mount and namespace (the server's audit log has more)", m.Name())
}

// badFile is the error about a file that a login needs.
func badFile(err error) *Error { return fail(Refused, 0, "%s", err.Error()) }
