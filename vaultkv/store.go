package vaultkv

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// A Store reads the objects of an [Engine] as credentials: it is the source of
// one vault object. It keeps nothing, and is safe for concurrent use.
type Store struct {
	name     string
	engine   Engine
	digester *authz.Digester
	log      *zap.Logger
	noted    notes
}

var _ authz.Source = (*Store)(nil)

// NewStore returns the source of the vault object called name. digester must be
// the one that presented secrets are digested with.
func NewStore(name string, engine Engine, digester *authz.Digester, log *zap.Logger) *Store {
	return &Store{name: name, engine: engine, digester: digester, log: log.With(zap.String("vault", name))}
}

// Lookup implements [authz.Source]. The secrets of the record leave it as
// digests only.
func (s *Store) Lookup(ctx context.Context, accessToken string) (authz.Credential, error) {
	if !kvpath.IsSegment(accessToken) {
		return authz.Credential{}, fmt.Errorf("vault object %q: the access token cannot be a key: %w", s.name, authz.ErrNotFound)
	}
	raw, found, err := s.engine.Read(ctx, accessToken)
	switch {
	case err != nil:
		return authz.Credential{}, s.unavailable(err)
	case !found:
		return authz.Credential{}, fmt.Errorf("vault object %q: %w", s.name, authz.ErrNotFound)
	}
	d, err := understand(accessToken, raw)
	if err != nil {
		s.note(accessToken, err)
		return authz.Credential{}, fmt.Errorf("vault object %q: %w: %w", s.name, authz.ErrMalformed, err)
	}
	return s.credential(&d), nil
}

// Understand reads a record as Lookup does, for somebody who has it already. The
// credential has no secrets. Its error wraps [authz.ErrMalformed].
func Understand(accessToken string, raw []byte) (authz.Credential, error) {
	d, err := understand(accessToken, raw)
	if err != nil {
		return authz.Credential{}, fmt.Errorf("%w: %w", authz.ErrMalformed, err)
	}
	return d.limits(), nil
}

func understand(accessToken string, raw []byte) (document, error) {
	d, err := decode(raw)
	if err == nil && !sameToken(d.AccessToken, accessToken) {
		// A record under another key than its own would be found by a name
		// that its maker did not give it.
		err = mistake{fieldAccessToken, "differs from the key that the record is stored under"}
	}
	return d, err
}

func (s *Store) credential(d *document) authz.Credential {
	c := d.limits()
	c.Secret = s.digester.Digest(s.name, d.AccessToken, string(d.Secret))
	c.Previous = s.digester.Digest(s.name, d.AccessToken, string(d.Previous))
	return c
}

// limits is the credential without its secrets.
func (d *document) limits() authz.Credential {
	return authz.Credential{
		AccessToken:       d.AccessToken,
		PreviousExpiresAt: d.PreviousExpiresAt,
		ConsumerID:        d.ConsumerID,
		TTL:               d.TTL,
		NotBefore:         d.NotBefore,
		ExpiresAt:         d.ExpiresAt,
		Disabled:          d.Disabled,
	}
}

// unavailable wraps every error of an engine. One that claims to be an answer
// ([authz.ErrNotFound], [authz.ErrMalformed]) has no business to: it loses that
// claim, since a failure that passes for "not found" would be remembered.
func (s *Store) unavailable(err error) error {
	if errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed) {
		return fmt.Errorf("vault object %q: %w: %s", s.name, authz.ErrUnavailable, err.Error())
	}
	return fmt.Errorf("vault object %q: %w: %w", s.name, authz.ErrUnavailable, err)
}

// note logs what is wrong with a record, for whoever can mend it.
func (s *Store) note(accessToken string, mistake error) {
	credential := authz.Fingerprint(accessToken)
	if s.noted.due(credential + mistake.Error()) {
		s.log.Warn("malformed credential record", zap.String("credential", credential), zap.String("mistake", mistake.Error()))
	}
}

// sameToken compares in constant time, for tokens of any length.
func sameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
