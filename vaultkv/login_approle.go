package vaultkv

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// AppRole logs in with a role id and a secret id.
type AppRole struct {
	LoginPlace
	// RoleID or RoleIDFile gives the role id. It is half of a credential, and
	// not secret on its own.
	RoleID, RoleIDFile string
	// SecretIDFile holds the secret id, or with Wrapped a wrapping token that is
	// good for getting the secret id once. What was unwrapped is kept in memory
	// for later logins, until there is another wrapping token in the file.
	SecretIDFile string
	Wrapped      bool
}

var _ Login = AppRole{}

// Method implements [Login].
func (AppRole) Method() string { return "approle" }

func (l AppRole) place() LoginPlace { return l.LoginPlace }

func (l AppRole) validate(*Config) error {
	errs := []error{l.LoginPlace.validate(), required("secret_id_file", l.SecretIDFile), plainText("role_id", l.RoleID)}
	if (l.RoleID == "") == (l.RoleIDFile == "") {
		errs = append(errs, errors.New("role_id: exactly one of role_id and role_id_file must be given"))
	}
	return errors.Join(errs...)
}

func (l AppRole) request(ctx context.Context, s *session) (string, map[string]any, *Error) {
	role := l.RoleID
	if l.RoleIDFile != "" {
		var err error
		if role, err = readSecret(l.RoleIDFile, "role id"); err != nil {
			return "", nil, loginFile(err)
		}
	}
	secret, err := readSecret(l.SecretIDFile, "secret id")
	if err != nil {
		return "", nil, loginFile(err)
	}
	if l.Wrapped {
		var problem *Error
		if secret, problem = l.unwrap(ctx, s, secret); problem != nil {
			return "", nil, problem
		}
	}
	return "login", map[string]any{"role_id": role, "secret_id": secret}, nil
}

func (AppRole) advice(a *answer) string {
	return adviceFor(a, [][2]string{
		{"invalid role or secret id", "the role id or the secret id is not valid: the role is gone, or the secret id expired, was used up or destroyed; put a new secret id into secret_id_file"},
		{"invalid role id", "there is no role with this role id; correct role_id"},
		{"invalid secret id", "the secret id is not valid: it expired, was used up or destroyed; put a new one into secret_id_file"},
		{"source address", "the role or the secret id may not be used from this machine's address; see secret_id_bound_cidrs and token_bound_cidrs of the role"},
	}, noMethod(AppRole{}))
}

// unwrapped remembers the secret id that came out of a wrapping token, which
// gives it once. Guarded by the flight of the login.
type unwrapped struct {
	from     [sha256.Size]byte
	secretID string
}

// unwrap gets the secret id behind a wrapping token, from the server the first
// time.
func (l AppRole) unwrap(ctx context.Context, s *session, wrapping string) (string, *Error) {
	from := sha256.Sum256([]byte(wrapping))
	if s.unwrapped.secretID != "" && s.unwrapped.from == from {
		return s.unwrapped.secretID, nil
	}
	// Whoever can write the file could wrap something of their own; only the
	// server knows what made the wrapping token.
	a, problem := s.post(ctx, "", "sys/wrapping/lookup", map[string]any{"token": wrapping})
	if problem = l.unwrapProblem(ctx, s, a, problem); problem != nil {
		return "", problem
	}
	var made struct {
		Path string `json:"creation_path"`
	}
	role := loginPath(l) + "/role/"
	if json.Unmarshal(a.Data, &made) != nil || !strings.HasPrefix(made.Path, role) || !strings.HasSuffix(made.Path, "/secret-id") {
		return "", fail(StateLoginRefused, a.status, "the wrapping token in %q was not made by %s+/secret-id, so it is not used; it may have been put there by somebody else", l.SecretIDFile, role)
	}
	a, problem = s.post(ctx, wrapping, "sys/wrapping/unwrap", nil)
	if problem = l.unwrapProblem(ctx, s, a, problem); problem != nil {
		return "", problem
	}
	var data struct {
		SecretID string `json:"secret_id"`
	}
	if json.Unmarshal(a.Data, &data) != nil || data.SecretID == "" {
		return "", fail(StateLoginRefused, a.status, "there is no secret id in what the wrapping token in %q gives", l.SecretIDFile)
	}
	s.unwrapped = unwrapped{from, data.SecretID}
	return data.SecretID, nil
}

func (l AppRole) unwrapProblem(ctx context.Context, s *session, a *answer, problem *Error) *Error {
	switch {
	case problem != nil:
		return problem
	case a.status == 200:
		return nil
	case (a.status == 400 || a.status == 403 || a.status == 404) && a.Errors != nil:
		return fail(StateLoginRefused, a.status, "the wrapping token in %q has expired or was used already; each can be used once, so if it was not this service before a restart, or an answer that did not arrive, then somebody else has the secret id: destroy it, look into Vault's audit log, and put a new wrapping token there", l.SecretIDFile)
	}
	return s.otherRefusal(ctx, a)
}

// loginFile is for a file that a login needs.
func loginFile(err error) *Error { return fail(StateLoginRefused, 0, "%s", err.Error()) }

// noMethod is the advice where an answer tells nothing.
func noMethod(l Login) string {
	return fmt.Sprintf("check that the auth method %s is enabled at the configured mount and namespace; the server's audit log has more", l.Method())
}
