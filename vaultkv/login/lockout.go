package login

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"time"
)

// Vault and OpenBao lock a role of AppRole and a user of userpass, for 15 minutes by
// default, after five logins with a wrong secret that are less than 15 minutes apart
// (https://developer.hashicorp.com/vault/docs/concepts/user-lockout). Then they refuse
// the right secret, too. All replicas count together. So a secret that the server calls
// wrong is not sent again until the file has another one, or sameSecretAfter is over: it
// may have been corrected on the server.
//
// A standby of OpenBao calls a secret id wrong that it has not got from the active node yet.
// So a secret that was put into its file less than newFor ago is sent once more, after
// newSecretAfter.
const (
	sameSecretAfter = 20 * time.Minute
	newSecretAfter  = 15 * time.Second
	newFor          = time.Minute
)

// sameSecret ends the advice about a wrong secret.
const sameSecret = "; the same one is sent again after 20 minutes only (one that has just been put there after 15 seconds, once), because a server locks the role or user after a few logins with a wrong one"

// orLocked adds to the advice for a refused login that the role or user may be locked:
// the server answers as if the auth method were not there.
func orLocked(a *Answer, who, advice string) string {
	if a.Status != 403 {
		return advice
	}
	return advice + "; and whether the server has locked the " + who + " after wrong logins: sys/locked-users lists it then, and unlocks it; otherwise that ends after 15 minutes"
}

// A lockable method is one whose role or user the server locks after failures.
type lockable interface {
	// secretIsWrong reports whether an answer that refuses a login says that the secret
	// is wrong.
	secretIsWrong(a *Answer) bool
	// secretFile is the file that the secret is read from.
	secretFile() string
}

// A wrongSecret is the last login that the server refused because of its secret, and when
// the same may be sent again. The zero value is none.
type wrongSecret struct {
	login [sha256.Size]byte
	until time.Time
	err   error
}

// sentBefore returns the error that the same login got, nil if it is to be sent.
func (w *wrongSecret) sentBefore(path string, body map[string]any) error {
	if w.err == nil || !time.Now().Before(w.until) || w.login != digest(path, body) {
		return nil
	}
	return w.err
}

func (w *wrongSecret) remember(path string, body map[string]any, file string, err error) {
	login, wait := digest(path, body), sameSecretAfter
	if w.login != login && isNew(file) {
		wait = newSecretAfter
	}
	*w = wrongSecret{login, time.Now().Add(wait), err}
}

func isNew(file string) bool {
	info, err := os.Stat(file)
	return err == nil && time.Since(info.ModTime()) < newFor
}

func digest(path string, body map[string]any) [sha256.Size]byte {
	raw, _ := json.Marshal([]any{path, body}) // Maps of strings have a JSON form, with sorted keys.
	return sha256.Sum256(raw)
}
