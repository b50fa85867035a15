package credential

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// A record has a secret in one of two forms: in clear text under one of these names, as
// Kong reads it, or as its SHA-256 in hexadecimal digits under the name with hashSuffix.
const (
	CurrentSecret  = "secret_token"
	PreviousSecret = "previous_secret_token"
	hashSuffix     = "_sha256"
)

// secretHash returns the SHA-256 of the secret under a name, in either form. It is not known if
// there is none, if there are both forms, or if the hash is none.
func hashOf(d schema.Document, name string) (hash [sha256.Size]byte, known bool) {
	plain, hashed := d[name], d[name+hashSuffix]
	if plain != nil && hashed != nil {
		return hash, false
	}
	if text := d.Text(name); text != "" {
		return sha256.Sum256([]byte(text)), true
	}
	raw, err := hex.DecodeString(d.Text(name + hashSuffix))
	if err != nil || len(raw) != len(hash) {
		return hash, false
	}
	return [sha256.Size]byte(raw), true
}

// HasSecret says whether a secret is the one of the record.
func HasSecret(d schema.Document, secret string) bool {
	stored, known := hashOf(d, CurrentSecret)
	given := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(stored[:], given[:]) == 1 && known
}

// Forget removes the secret under a name.
func Forget(d schema.Document, name string) {
	delete(d, name)
	delete(d, name+hashSuffix)
}

// Hash replaces the secrets that the record has in clear text. A secret that is there in
// both forms stays: which of them was meant is for people to say. A previous secret that is
// empty is none, and is removed.
func Hash(d schema.Document) {
	for _, name := range []string{CurrentSecret, PreviousSecret} {
		if hash, known := hashOf(d, name); known && d.Text(name) != "" {
			delete(d, name)
			d[name+hashSuffix] = hex.EncodeToString(hash[:])
		}
	}
	if d[PreviousSecret] == "" && d[PreviousSecret+hashSuffix] == nil {
		delete(d, PreviousSecret)
	}
}

// IsHashed says whether the record has no secret in clear text.
func IsHashed(d schema.Document) bool {
	_, known := hashOf(d, CurrentSecret)
	return known && d[CurrentSecret] == nil && d[PreviousSecret] == nil
}

// IsGuessable says whether the current secret is in clear text and is easy to guess. The one
// before does not count: it was rotated already and ends by itself.
func IsGuessable(d schema.Document) bool {
	secret := d.Text(CurrentSecret)
	return secret != "" && (secret == d.Text("access_token") || CheckHashable(secret) != "")
}
