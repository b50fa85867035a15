package vaultkv

import (
	"context"
	"errors"
	"fmt"
)

// Userpass logs in with a user name and a password.
type Userpass struct {
	LoginPlace
	Username string
	// PasswordFile holds the password. One newline at its end is not part of it.
	PasswordFile string
}

var _ Login = Userpass{}

// Method implements [Login].
func (Userpass) Method() string { return "userpass" }

func (l Userpass) place() LoginPlace { return l.LoginPlace }

func (l Userpass) validate(*Config) error {
	errs := []error{l.LoginPlace.validate(), required("username", l.Username, "password_file", l.PasswordFile)}
	if l.Username != "" && !isKey(l.Username) {
		errs = append(errs, fmt.Errorf("username: %q cannot be a user: it becomes part of a path", l.Username))
	}
	return errors.Join(errs...)
}

func (l Userpass) request(context.Context, *session) (string, map[string]any, *Error) {
	password, err := readPassword(l.PasswordFile)
	if err != nil {
		return "", nil, loginFile(err)
	}
	return "login/" + l.Username, map[string]any{"password": password}, nil
}

func (Userpass) advice(a *answer) string {
	return adviceFor(a, [][2]string{
		{"invalid username or password", "there is no such user, or the password is another; correct username or the content of password_file"},
		{"locked", "the server has locked the user after too many failures; unlock it, and correct the content of password_file"},
	}, "the server does not take user and password; or "+noMethod(Userpass{}))
}
