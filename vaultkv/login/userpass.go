package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// Userpass logs in with a user name and a password.
type Userpass struct {
	Mount    Mount
	Username string
	// PasswordFile contains the password. One newline at its end is ignored.
	PasswordFile string
}

var _ Method = Userpass{}

// Name implements [Method].
func (Userpass) Name() string { return "userpass" }

func (m Userpass) mount() Mount { return m.Mount }

func (m Userpass) validate(*Config) error {
	errs := []error{m.Mount.validate(), required("username", m.Username, "password_file", m.PasswordFile)}
	if m.Username != "" && !kvpath.IsSegment(m.Username) {
		errs = append(errs, fmt.Errorf("username: %q cannot be a user name: the name becomes part of a path", m.Username))
	}
	return errors.Join(errs...)
}

func (m Userpass) request(context.Context, *Session) (string, map[string]any, error) {
	password, err := readPassword(m.PasswordFile)
	if err != nil {
		return "", nil, badFile(err)
	}
	return "login/" + m.Username, map[string]any{"password": password}, nil
}

func (Userpass) advice(a *Answer) string {
	return adviceFor(a, [][2]string{
		{"invalid username or password", "there is no such user, or the password is wrong; correct username or the content of password_file" + sameSecret},
	}, orLocked(a, "user", "the server does not accept user name and password; or "+checkMount(Userpass{})))
}

func (m Userpass) secretFile() string { return m.PasswordFile }

func (Userpass) secretIsWrong(a *Answer) bool { return a.Says("invalid username or password") }
