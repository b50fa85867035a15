package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// A record has a secret in one of two forms: in clear text under one of these names, as
// Kong reads it, or as its SHA-256 in hexadecimal digits under the name with hashSuffix.
const (
	currentSecret  = "secret_token"
	previousSecret = "previous_secret_token"
	hashSuffix     = "_sha256"
)

// hashed says whether the records of the vault object are written with hashes.
func (p *place) hashed() bool { return p.vault.text("secrets") == api.SecretsHashed }

// hashOf returns the SHA-256 of the secret under a name, in either form. It is not known if
// there is none, if there are both forms, or if the hash is none.
func (d document) hashOf(name string) (hash [sha256.Size]byte, known bool) {
	plain, hashed := d[name], d[name+hashSuffix]
	if plain != nil && hashed != nil {
		return hash, false
	}
	if text := d.text(name); text != "" {
		return sha256.Sum256([]byte(text)), true
	}
	raw, err := hex.DecodeString(d.text(name + hashSuffix))
	if err != nil || len(raw) != len(hash) {
		return hash, false
	}
	return [sha256.Size]byte(raw), true
}

// hasSecret says whether a secret is the one of the record.
func (d document) hasSecret(secret string) bool {
	stored, known := d.hashOf(currentSecret)
	given := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(stored[:], given[:]) == 1 && known
}

// forget removes the secret under a name.
func (d document) forget(name string) {
	delete(d, name)
	delete(d, name+hashSuffix)
}

// hash replaces the secrets that the record has in clear text. A secret that is there in
// both forms stays: which of them was meant is for people to say. A previous secret that is
// empty is none, and is removed.
func (d document) hash() {
	for _, name := range []string{currentSecret, previousSecret} {
		if hash, known := d.hashOf(name); known && d.text(name) != "" {
			delete(d, name)
			d[name+hashSuffix] = hex.EncodeToString(hash[:])
		}
	}
	if d[previousSecret] == "" && d[previousSecret+hashSuffix] == nil {
		delete(d, previousSecret)
	}
}

// isHashed says whether the record has no secret in clear text.
func (d document) isHashed() bool {
	_, known := d.hashOf(currentSecret)
	return known && d[currentSecret] == nil && d[previousSecret] == nil
}

// isGuessable says whether the current secret is in clear text and is easy to guess. The one
// before does not count: it was rotated already and ends by itself.
func (d document) isGuessable() bool {
	secret := d.text(currentSecret)
	return secret != "" && (secret == d.text("access_token") || checkHashable(secret) != "")
}

// checkPair refuses the access token as the secret: its hash is no secret, as the key of the
// record says what it is of.
func (p *place) checkPair(accessToken, secret string, v violations) {
	if p.hashed() && secret != "" && secret == accessToken {
		v.add(currentSecret, "is the access token; leave it out to get a random one")
	}
}

// isUsable says whether a request could present the secrets of the record, and a check could
// use it. Hashing anything else would hide what is wrong with it, or lose a secret of another
// program that shares the mount.
func (a *API) isUsable(p *place, d document) bool {
	for _, name := range []string{currentSecret, previousSecret} {
		if checkSecretToken(a.cfg.Grammar, d.text(name)) != "" {
			return false
		}
	}
	if a.deps.Judge == nil {
		return true
	}
	raw, err := d.encode()
	return err == nil && a.deps.Judge(p.vault.text("name"))(p.key, raw).Reason != authz.ReasonMalformedRecord
}
