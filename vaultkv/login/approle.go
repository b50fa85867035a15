package login

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
)

// AppRole logs in with a role id and a secret id.
type AppRole struct {
	Mount Mount
	// Exactly one of RoleID and RoleIDFile must be set. A role id alone is not
	// secret.
	RoleID, RoleIDFile string
	// SecretIDFile contains the secret id or, if Wrapped is set, a wrapping token,
	// which yields the secret id once. The session keeps the secret id in memory for
	// later logins until the file contains another wrapping token.
	SecretIDFile string
	Wrapped      bool
}

var _ Method = AppRole{}

// Name implements [Method].
func (AppRole) Name() string { return "approle" }

func (m AppRole) mount() Mount { return m.Mount }

func (m AppRole) validate(*Config) error {
	errs := []error{m.Mount.validate(), required("secret_id_file", m.SecretIDFile), plainText("role_id", m.RoleID)}
	if (m.RoleID == "") == (m.RoleIDFile == "") {
		errs = append(errs, errors.New("role_id: exactly one of role_id and role_id_file must be given"))
	}
	return errors.Join(errs...)
}

func (m AppRole) request(ctx context.Context, s *Session) (string, map[string]any, error) {
	role := m.RoleID
	if m.RoleIDFile != "" {
		var err error
		if role, err = readSecret(m.RoleIDFile, "role id"); err != nil {
			return "", nil, badFile(err)
		}
	}
	secret, err := readSecret(m.SecretIDFile, "secret id")
	if err != nil {
		return "", nil, badFile(err)
	}
	if m.Wrapped {
		if secret, err = m.unwrap(ctx, s, secret); err != nil {
			return "", nil, err
		}
	}
	return "login", map[string]any{"role_id": role, "secret_id": secret}, nil
}

func (AppRole) advice(a *Answer) string {
	return adviceFor(a, [][2]string{
		{"invalid role or secret id", "the role id or the secret id is not valid: the role is gone, or the secret id expired, was used up or destroyed; put a new secret id into secret_id_file" + sameSecret},
		{"invalid role id", "there is no role with this role id; correct role_id"},
		{"invalid secret id", "the secret id is not valid: it expired, was used up or destroyed; put a new one into secret_id_file" + sameSecret},
		{"source address", "the role or the secret id may not be used from this machine's address; see secret_id_bound_cidrs and token_bound_cidrs of the role"},
	}, orLocked(a, "role", checkMount(AppRole{})))
}

func (m AppRole) secretFile() string { return m.SecretIDFile }

func (AppRole) secretIsWrong(a *Answer) bool {
	return a.Says("invalid role or secret id") || a.Says("invalid secret id")
}

// unwrapped is the secret id that a wrapping token yielded. Only the running login
// uses it.
type unwrapped struct {
	from     [sha256.Size]byte
	secretID string
}

// unwrap returns the secret id behind a wrapping token. It asks the server once for
// each wrapping token.
func (m AppRole) unwrap(ctx context.Context, s *Session, wrapping string) (string, error) {
	from := sha256.Sum256([]byte(wrapping))
	if s.unwrapped.secretID != "" && s.unwrapped.from == from {
		return s.unwrapped.secretID, nil
	}
	// An attacker who can write the file could wrap a secret id of another role. Only
	// the server knows which request made the wrapping token.
	a, err := s.post(ctx, "", "sys/wrapping/lookup", map[string]any{"token": wrapping})
	if err = m.unwrapError(ctx, a, err); err != nil {
		return "", err
	}
	var origin struct {
		Path string `json:"creation_path"`
	}
	role := mountPath(m) + "/role/"
	if json.Unmarshal(a.Data, &origin) != nil || !strings.HasPrefix(origin.Path, role) || !strings.HasSuffix(origin.Path, "/secret-id") {
		return "", fail(Refused, a.Status, "the wrapping token in %q was not made by %s+/secret-id, so it is not used; an attacker may have put it there", m.SecretIDFile, role)
	}
	a, err = s.post(ctx, wrapping, "sys/wrapping/unwrap", nil)
	if err = m.unwrapError(ctx, a, err); err != nil {
		return "", err
	}
	var data struct {
		SecretID string `json:"secret_id"`
	}
	if json.Unmarshal(a.Data, &data) != nil || data.SecretID == "" {
		return "", fail(Refused, a.Status, "the wrapping token in %q does not contain a secret id; wrap the answer of %s+/secret-id", m.SecretIDFile, role)
	}
	s.unwrapped = unwrapped{from, data.SecretID}
	return data.SecretID, nil
}

// unwrapError returns nil for an answer with status 200.
func (m AppRole) unwrapError(ctx context.Context, a *Answer, err error) error {
	switch {
	case err != nil:
		return err
	case a.Status == 200:
		return nil
	case a.refuses():
		return fail(Refused, a.Status, "the wrapping token in %q has expired or was used already; each can be used once. Unless this service used it before a restart, or the answer was lost, somebody else has the secret id: destroy the secret id, look into Vault's audit log, and put a new wrapping token there", m.SecretIDFile)
	}
	return a.Explain(ctx)
}
