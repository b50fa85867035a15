package record

import (
	"time"

	"github.com/vault-authz/vault-authz/internal/strictjson"
)

// The fields of a credential document: first Kong's, then ours, which Kong ignores. All
// other fields are ignored.
const (
	fieldAccessToken = "access_token"
	fieldSecretToken = "secret_token"
	fieldConsumer    = "consumer"
	fieldConsumerID  = "consumer.id"
	fieldCreatedAt   = "created_at"
	fieldUpdatedAt   = "updated_at"
	fieldTTL         = "ttl"

	fieldSecretHash        = "secret_token_sha256"
	fieldPrevious          = "previous_secret_token"
	fieldPreviousHash      = "previous_secret_token_sha256"
	fieldPreviousExpiresAt = "previous_expires_at"
	fieldNotBefore         = "not_before"
	fieldExpiresAt         = "expires_at"
	fieldDisabled          = "disabled"
)

const (
	// maxTTL bounds a ttl, so that no number of seconds overflows. The cache bounds it
	// further.
	maxTTL = 10 * 365 * 24 * time.Hour
	// maxSecretLength is the longest secret token that a grammar of authz can
	// allow.
	maxSecretLength = 4096
	// maxTime is the end of the year 9999, the last year of RFC 3339. Times in
	// milliseconds instead of seconds are beyond it.
	maxTime = 253402300799
)

// A document is a credential record as it is stored.
type document struct {
	AccessToken          string
	Secret, Previous     storedSecret
	PreviousExpiresAt    time.Time
	ConsumerID           string
	TTL                  time.Duration
	NotBefore, ExpiresAt time.Time
	Disabled             bool
	CreatedAt, UpdatedAt time.Time
}

// A mistake is an error in a document. Its text names the field and never contains its
// value.
type mistake struct{ field, problem string }

// Error implements error.
func (m mistake) Error() string {
	if m.field == "" {
		return m.problem
	}
	return m.field + ": " + m.problem
}

// decodeDocument decodes a document. A missing optional field is zero. A field whose value cannot
// be decoded is a mistake, so that a misspelt limit is never ignored.
func decodeDocument(raw []byte) (document, error) {
	// Room for the fields of a record and a few of others.
	var room [16]strictjson.Field
	fields, err := object(room[:0], raw, "")
	if err != nil {
		return document{}, err
	}
	var d document
	var errs [9]error
	d.AccessToken, errs[0] = fields.accessToken()
	d.Secret, errs[1] = fields.storedSecret(fieldSecretToken, fieldSecretHash)
	if errs[1] == nil && d.Secret == (storedSecret{}) {
		errs[1] = mistake{fieldSecretToken, "missing or empty"}
	}
	d.ConsumerID, errs[2] = fields.consumerID()
	d.TTL, errs[3] = fields.ttl()
	d.Previous, errs[4] = fields.storedSecret(fieldPrevious, fieldPreviousHash)
	d.PreviousExpiresAt, errs[5] = fields.time(fieldPreviousExpiresAt)
	d.NotBefore, errs[6] = fields.time(fieldNotBefore)
	d.ExpiresAt, errs[7] = fields.time(fieldExpiresAt)
	d.Disabled, errs[8] = fields.disabled()
	// These two are for information only; the record is valid without them.
	d.CreatedAt, _ = fields.time(fieldCreatedAt)
	d.UpdatedAt, _ = fields.time(fieldUpdatedAt)
	for _, err := range errs {
		if err != nil {
			return document{}, err
		}
	}
	return d, nil
}
