package api

const (
	// MaxGrace is for how many seconds a secret can be good that is replaced.
	MaxGrace = 90 * 24 * 3600
	// DefaultGrace is for how many seconds it is.
	DefaultGrace = 3600
)

// A Credential is a token pair. SecretToken is in the answer to a creation or
// rotation only. Times are Unix seconds.
type Credential struct {
	AccessToken string `json:"access_token,omitempty" rule:"made" doc:"text: made where it is not given"`
	SecretToken string `json:"secret_token,omitempty" rule:"made" doc:"text: in the answer to its creation or rotation only; made where it is not given"`
	Consumer    *Ref   `json:"consumer,omitempty" rule:"key=username,nullable" doc:"id or username: not needed in a request whose path names the consumer"`
	TTL         *int64 `json:"ttl,omitempty" rule:"limit,max=315360000" doc:"number: seconds after which the record is read again; no expiry"`
	// Until the end of the year 9999.
	ExpiresAt         *int64    `json:"expires_at,omitempty" rule:"limit,max=253402300799"`
	NotBefore         *int64    `json:"not_before,omitempty" rule:"limit,max=253402300799"`
	Disabled          bool      `json:"disabled,omitempty" rule:"limit"`
	PreviousExpiresAt *int64    `json:"previous_expires_at,omitempty" rule:"answer"`
	Hashed            bool      `json:"hashed,omitempty" rule:"answer" doc:"switch: no secret is stored in clear text"`
	State             string    `json:"state,omitempty" rule:"answer" doc:"word: good, or the reason that a check would have not to let it in, like disabled or unknown_consumer"`
	Mistake           string    `json:"mistake,omitempty" rule:"answer" doc:"text: what is wrong with the record if its state is malformed_record; it names a field and no value"`
	RefusedBy         []string  `json:"refused_by,omitempty" rule:"answer" doc:"list: the policies whose acl refuses it, where others let it in"`
	CreatedAt         *int64    `json:"created_at,omitempty" rule:"answer"`
	UpdatedAt         *int64    `json:"updated_at,omitempty" rule:"answer"`
	LastUsedAt        *int64    `json:"last_used_at,omitempty" rule:"answer" doc:"time: the minute in which it last authenticated a request; null if it did not since uses_known_since; not in the answer to a creation or rotation"`
	UsesKnownSince    *int64    `json:"uses_known_since,omitempty" rule:"answer" doc:"time: since when uses are recorded; null while none is recorded; if they cannot be read or recorded, a header Warning says why"`
	Vault             *VaultRef `json:"vault,omitempty" rule:"answer" doc:"record: in the list of a consumer's credentials"`
}

// A Rotation says how a secret is replaced.
type Rotation struct {
	// Grace is nil for [DefaultGrace].
	Grace       *int64 `json:"grace,omitempty" rule:"max=7776000" doc:"number: seconds for which the old secret stays good"`
	SecretToken string `json:"secret_token,omitempty" doc:"text: the new secret; with one of your own, a rotation can be repeated without harm"`
	Force       bool   `json:"force,omitempty" doc:"switch: rotate also within the grace of the rotation before, which ends with that"`
}

// A Rehash says how secrets in clear text are replaced by their hashes.
type Rehash struct {
	DestroyOldVersions bool `json:"destroy_old_versions,omitempty" doc:"switch: destroy the earlier versions in KV v2, which have the secrets in clear text, and those of deleted credentials"`
	WeakToo            bool `json:"weak_too,omitempty" doc:"switch: also hash secrets that are easy to guess, which does not show afterwards"`
}

// A Rehashed says what became of a page of the credentials of a vault object.
type Rehashed struct {
	// Total is how many entries there are in all pages, Checked how many in this one.
	Total   int `json:"total"`
	Checked int `json:"checked"`
	// Hashed is how many this call has hashed.
	Hashed            int `json:"hashed"`
	VersionsDestroyed int `json:"versions_destroyed"`
	// Guessable are the access tokens of secrets that can be found by trying: they stay in
	// clear text, or were hashed with WeakToo. Unusable are those of entries that are no
	// credentials and were left as they are.
	Guessable []string `json:"guessable,omitempty"`
	Unusable  []string `json:"unusable,omitempty"`
	// Failed are to be tried again.
	Failed []RehashFailure `json:"failed,omitempty"`
}

// A RehashFailure says why a credential was not rehashed, or its versions not destroyed.
type RehashFailure struct {
	AccessToken string `json:"access_token"`
	Message     string `json:"message"`
}
