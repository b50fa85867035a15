package login

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
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

// Refusals are the logins that servers refused because of a wrong secret, and those that are under
// way: of several vault objects with the same role only one sends a secret that may be wrong.
// Make one with [NewRefusals]. It is safe for concurrent use.
type Refusals struct {
	mu    sync.Mutex
	known map[loginID]*refusal
}

// NewRefusals returns an empty set.
func NewRefusals() *Refusals { return &Refusals{known: map[loginID]*refusal{}} }

// A loginID is a hash of the server and all that a login sends to it.
type loginID [sha256.Size]byte

func (s *Session) loginID(path string, body map[string]any) loginID {
	raw, _ := json.Marshal([]any{s.cfg.Address, s.cfg.namespace(), path, body}) // Maps of strings have a JSON form, with sorted keys.
	return sha256.Sum256(raw)
}

// A refusal is one login. err is why it was refused, nil if it was not, and until when it is not
// sent again.
type refusal struct {
	// turn is held by the session that may send it.
	turn *semaphore.Weighted
	// sessions hold the turn or wait for it. Refusals.mu guards it.
	sessions int
	until    time.Time
	err      error
}

// send calls login unless the same was refused lately, and then returns why. Sessions with the same
// login take turns. login says whether the secret is wrong; file is where the secret is from.
func (r *Refusals) send(ctx context.Context, id loginID, file string, login func() (wrong bool, err error)) error {
	entry := r.enter(id)
	defer r.leave(entry)
	if err := entry.turn.Acquire(ctx, 1); err != nil {
		return &Error{Reason: NoAnswer, text: "another vault object has sent the same login and has no answer yet", cause: err}
	}
	defer entry.turn.Release(1)
	if entry.err != nil && time.Now().Before(entry.until) {
		return entry.err
	}
	wrong, err := login()
	if !wrong {
		entry.err = nil
		return err
	}
	wait := sameSecretAfter
	if entry.err == nil && isNew(file) {
		wait = newSecretAfter
	}
	entry.err, entry.until = err, time.Now().Add(wait)
	return err
}

func (r *Refusals) enter(id loginID) *refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.known[id]
	if entry == nil {
		entry = &refusal{turn: semaphore.NewWeighted(1)}
		r.known[id] = entry
	}
	entry.sessions++
	return entry
}

// leave forgets what is of no use any more. Nobody writes an entry without sessions.
func (r *Refusals) leave(entry *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry.sessions--
	for id, e := range r.known {
		if e.sessions == 0 && (e.err == nil || time.Since(e.until) > sameSecretAfter) {
			delete(r.known, id)
		}
	}
}

func isNew(file string) bool {
	info, err := os.Stat(file)
	return err == nil && time.Since(info.ModTime()) < newFor
}
