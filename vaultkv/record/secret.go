package record

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/redact"
)

// A storedSecret is a secret token as a record has it: in clear text, or as its SHA-256.
// The zero storedSecret is none. Neither form prints: the hash tells whoever has it which
// guess is right.
type storedSecret struct {
	// The fields are exported so that printing a document calls their methods.
	Plain redact.String
	// Hash is the SHA-256 as bytes.
	Hash redact.String
}

// digest returns what the secret is compared as, which does not depend on its form.
func (s storedSecret) digest(digester *authz.Digester, vault, accessToken string) authz.Secret {
	if s.Hash == (redact.String{}) {
		return digester.Digest(vault, accessToken, s.Plain.Reveal())
	}
	return digester.DigestHash(vault, accessToken, [sha256.Size]byte([]byte(s.Hash.Reveal())))
}

// storedSecret refuses two forms of one secret, even if they agree: one of them may have
// been changed without the other, and nobody could say which one counts.
func (f fields) storedSecret(plain, hash string) (storedSecret, error) {
	if f.given(plain) && f.given(hash) {
		return storedSecret{}, mistake{hash, "is given beside " + plain + "; a record has one of the two"}
	}
	var s storedSecret
	var err error
	if s.Plain, err = f.secret(plain); err == nil {
		s.Hash, err = f.hash(hash)
	}
	if err != nil {
		return storedSecret{}, err
	}
	return s, nil
}

// hash returns a hash as bytes, nothing if the field is not given.
func (f fields) hash(name string) (redact.String, error) {
	s, err := f.text(name)
	if err != nil || !f.given(name) {
		return redact.String{}, err
	}
	sum, err := hex.DecodeString(s)
	if err != nil || len(sum) != sha256.Size {
		return redact.String{}, mistake{name, "not a SHA-256 in 64 hexadecimal digits"}
	}
	if [sha256.Size]byte(sum) == sha256.Sum256(nil) {
		return redact.String{}, mistake{name, "the SHA-256 of an empty secret, which no request can present"}
	}
	return redact.New(string(sum)), nil
}
