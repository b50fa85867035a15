package record

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

// A Reader reads the JSON object under a key. found is false if it knows that there is no
// object; if it does not know, it returns an error. An engine of vaultkv is one.
type Reader interface {
	Read(ctx context.Context, key string) (document []byte, found bool, err error)
}

// A Source reads the objects of a [Reader] as credentials: it is the [authz.Source] of one
// vault object. It keeps no credential and is safe for concurrent use.
type Source struct {
	name     string
	reader   Reader
	digester *authz.Digester
	log      *zap.Logger
	logged   logOnce
	// notFound is the error for every unknown access token. Unknown ones may come in floods.
	notFound error
}

var _ authz.Source = (*Source)(nil)

// NewSource returns the source of the vault object called name. digester must be the one
// that digests the presented secrets.
func NewSource(name string, reader Reader, digester *authz.Digester, log *zap.Logger) *Source {
	return &Source{
		name: name, reader: reader, digester: digester, log: log.With(zap.String("vault", name)),
		notFound: fmt.Errorf("vault object %q: %w", name, authz.ErrNotFound),
	}
}

// Lookup implements [authz.Source]. It returns the secrets of the record as digests only.
func (s *Source) Lookup(ctx context.Context, accessToken string) (authz.Credential, error) {
	if !kvpath.IsSegment(accessToken) {
		return authz.Credential{}, fmt.Errorf("vault object %q: the access token cannot be a key: %w", s.name, authz.ErrNotFound)
	}
	raw, found, err := s.reader.Read(ctx, accessToken)
	switch {
	case err != nil:
		return authz.Credential{}, s.unavailable(err)
	case !found:
		return authz.Credential{}, s.notFound
	}
	d, err := decodeUnder(accessToken, raw)
	if err != nil {
		s.logMistake(accessToken, err)
		return authz.Credential{}, fmt.Errorf("vault object %q: %w: %w", s.name, authz.ErrMalformed, err)
	}
	return s.credential(&d), nil
}

// Decode decodes a record as Lookup does. The credential has no secrets. Every
// error wraps [authz.ErrMalformed].
func Decode(accessToken string, raw []byte) (authz.Credential, error) {
	d, err := decodeUnder(accessToken, raw)
	if err != nil {
		return authz.Credential{}, fmt.Errorf("%w: %w", authz.ErrMalformed, err)
	}
	return d.credential(), nil
}

// Mistake says what is wrong with a record, for an error of [Decode]; "" for
// another error. It names the field and contains no part of its value.
func Mistake(err error) string {
	var m mistake
	if !errors.As(err, &m) {
		return ""
	}
	return m.Error()
}

// decodeUnder decodes the record that is stored under the key accessToken.
func decodeUnder(accessToken string, raw []byte) (document, error) {
	d, err := decodeDocument(raw)
	if err == nil && !sameToken(d.AccessToken, accessToken) {
		// Otherwise the record would be found by a token that its author did not choose.
		err = mistake{fieldAccessToken, "differs from the key that the record is stored under"}
	}
	return d, err
}

func (s *Source) credential(d *document) authz.Credential {
	c := d.credential()
	c.Secret = d.Secret.digest(s.digester, s.name, d.AccessToken)
	c.Previous = d.Previous.digest(s.digester, s.name, d.AccessToken)
	return c
}

// credential returns the credential without its secrets.
func (d *document) credential() authz.Credential {
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

// unavailable wraps an error of a reader. It hides [authz.ErrNotFound] and
// [authz.ErrMalformed] in the error, which a reader must not return: a failure that
// passes for "not found" would be cached.
func (s *Source) unavailable(err error) error {
	if errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed) {
		return fmt.Errorf("vault object %q: %w: %s", s.name, authz.ErrUnavailable, err.Error())
	}
	return fmt.Errorf("vault object %q: %w: %w", s.name, authz.ErrUnavailable, err)
}

// logMistake logs what is wrong with a record.
func (s *Source) logMistake(accessToken string, mistake error) {
	credential := authz.Fingerprint(accessToken)
	if s.logged.due(credential + mistake.Error()) {
		s.log.Warn("malformed credential record", zap.String("credential", credential), zap.String("mistake", mistake.Error()))
	}
}

// sameToken compares tokens of any length in constant time.
func sameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
