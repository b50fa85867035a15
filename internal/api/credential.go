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
	AccessToken string `json:"access_token,omitempty"`
	SecretToken string `json:"secret_token,omitempty"`
	Consumer    *Ref   `json:"consumer,omitempty" rule:"key=username"`
	// TTL is how many seconds the record may be used before it is read again.
	TTL *int64 `json:"ttl,omitempty" rule:"limit,max=315360000"`
	// Until the end of the year 9999.
	ExpiresAt         *int64 `json:"expires_at,omitempty" rule:"limit,max=253402300799"`
	NotBefore         *int64 `json:"not_before,omitempty" rule:"limit,max=253402300799"`
	Disabled          bool   `json:"disabled,omitempty" rule:"limit"`
	PreviousExpiresAt *int64 `json:"previous_expires_at,omitempty" rule:"answer"`
	// Hashed says that the record has no secret in clear text.
	Hashed bool `json:"hashed,omitempty" rule:"answer"`
	// State is "good", or the reason that a check has not to let it in. RefusedBy are
	// the policies whose acl refuses it, where others let it in.
	State     string   `json:"state,omitempty" rule:"answer"`
	RefusedBy []string `json:"refused_by,omitempty" rule:"answer"`
	CreatedAt *int64   `json:"created_at,omitempty" rule:"answer"`
	UpdatedAt *int64   `json:"updated_at,omitempty" rule:"answer"`
	// LastUsedAt is the minute in which it last authenticated a request, nil if it did not
	// since UsesKnownSince; before that, uses are not known. UsesKnownSince is nil where
	// nothing is recorded. Both are nil where that cannot be told, and in answers to
	// creations and rotations.
	LastUsedAt     *int64 `json:"last_used_at,omitempty" rule:"answer"`
	UsesKnownSince *int64 `json:"uses_known_since,omitempty" rule:"answer"`
	// Vault is set in the list of a consumer's credentials.
	Vault *VaultRef `json:"vault,omitempty" rule:"answer"`
}

// A Rotation says how a secret is replaced.
type Rotation struct {
	// Grace is for how many seconds the old secret stays good, nil for an hour.
	Grace *int64 `json:"grace,omitempty" rule:"max=7776000"`
	// SecretToken is the new secret, "" for a random one. With one of the
	// caller's, a rotation can be repeated without harm.
	SecretToken string `json:"secret_token,omitempty"`
	// Force ends the grace of the rotation before, if it is not over.
	Force bool `json:"force,omitempty"`
}

// A Rehash says how secrets in clear text are replaced by their hashes.
type Rehash struct {
	// DestroyOldVersions destroys the earlier versions in KV v2, which have the secrets in
	// clear text, and those of deleted credentials.
	DestroyOldVersions bool `json:"destroy_old_versions,omitempty"`
	// WeakToo also hashes secrets that are easy to guess. Afterwards it does not show which
	// they were.
	WeakToo bool `json:"weak_too,omitempty"`
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
