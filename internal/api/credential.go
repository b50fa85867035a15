package api

// MaxGrace is for how many seconds a secret can be good that is replaced.
const MaxGrace = 90 * 24 * 3600

// A Credential is a token pair. SecretToken is in the answer to a creation or
// rotation only. Times are Unix seconds.
type Credential struct {
	AccessToken string `json:"access_token,omitempty"`
	SecretToken string `json:"secret_token,omitempty"`
	Consumer    *Ref   `json:"consumer,omitempty"`
	// TTL is how many seconds the record may be used before it is read again.
	TTL               *int64 `json:"ttl,omitempty"`
	NotBefore         *int64 `json:"not_before,omitempty"`
	ExpiresAt         *int64 `json:"expires_at,omitempty"`
	Disabled          bool   `json:"disabled,omitempty"`
	PreviousExpiresAt *int64 `json:"previous_expires_at,omitempty"`
	// State is "good", or the reason that a check has not to let it in. RefusedBy are
	// the policies whose acl refuses it, where others let it in.
	State     string   `json:"state,omitempty"`
	RefusedBy []string `json:"refused_by,omitempty"`
	CreatedAt *int64   `json:"created_at,omitempty"`
	UpdatedAt *int64   `json:"updated_at,omitempty"`
	// Vault is set in the list of a consumer's credentials.
	Vault *VaultRef `json:"vault,omitempty"`
}

// A Rotation says how a secret is replaced.
type Rotation struct {
	// Grace is for how many seconds the old secret stays good, nil for an hour.
	Grace *int64 `json:"grace,omitempty"`
	// SecretToken is the new secret, "" for a random one. With one of the
	// caller's, a rotation can be repeated without harm.
	SecretToken string `json:"secret_token,omitempty"`
	// Force ends the grace of the rotation before, if it is not over.
	Force bool `json:"force,omitempty"`
}
