package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/redact"
)

// The decoder of records by encoding/json alone, which decode has to agree with.

// decode decodes a document. A missing optional field is zero. A field whose value cannot
// be decoded is a mistake, so that a misspelt limit is never ignored.
func referenceDecode(raw []byte) (document, error) {
	fields, err := referenceObject(raw, "")
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

// referenceFields are the members of a JSON object by their exact names. encoding/json would accept
// Secret_Token as secret_token.
type referenceFields map[string]json.RawMessage

// object splits a JSON object into its members. A name that is given twice is a mistake:
// which of the two counts would depend on the reader.
func referenceObject(raw []byte, field string) (referenceFields, error) {
	if k := kind(raw); k != kindObject {
		return nil, mistake{field, "is " + k + ", must be a JSON object"}
	}
	var members referenceFields
	if json.Unmarshal(raw, &members) != nil {
		return nil, mistake{field, "not valid JSON"}
	}
	if topLevelNames(raw) != len(members) {
		return nil, mistake{field, "a field is given twice"}
	}
	return members, nil
}

// given reports whether a field has a value other than null.
func (f referenceFields) given(name string) bool {
	k := kind(f[name])
	return k != kindMissing && k != kindNull
}

// text returns a string field, "" if it is not given.
func (f referenceFields) text(name string) (string, error) {
	if !f.given(name) {
		return "", nil
	}
	var s string
	if k := kind(f[name]); k != kindString || json.Unmarshal(f[name], &s) != nil {
		return "", mistake{name, "is " + k + ", must be a string"}
	}
	return s, nil
}

func (f referenceFields) accessToken() (string, error) {
	s, err := f.text(fieldAccessToken)
	if err == nil && s == "" {
		err = mistake{fieldAccessToken, "missing or empty"}
	}
	return s, err
}

// secret refuses a value that no request can present: the record would look valid and
// never work. authz.Grammar explains the characters.
func (f referenceFields) secret(name string) (redact.String, error) {
	s, err := f.text(name)
	if err != nil {
		return redact.String{}, err
	}
	if len(s) > maxSecretLength {
		return redact.String{}, mistake{name, "longer than 4096 bytes, which no request can present"}
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ',' || c == '!' {
			return redact.String{}, mistake{name, "contains a character that no request can present: only visible ASCII without ',' and '!' can be"}
		}
	}
	return redact.New(s), nil
}

func (f referenceFields) storedSecret(plain, hash string) (storedSecret, error) {
	if f.given(plain) && f.given(hash) {
		return storedSecret{}, mistake{hash, "is given beside " + plain + "; a record has one of the two"}
	}
	secret, err := f.secret(plain)
	if err != nil || !f.given(hash) {
		return storedSecret{Plain: secret}, err
	}
	text, err := f.text(hash)
	if err != nil {
		return storedSecret{}, err
	}
	sum, err := hex.DecodeString(text)
	switch {
	case err != nil, len(sum) != sha256.Size:
		return storedSecret{}, mistake{hash, "not a SHA-256 in 64 hexadecimal digits"}
	case [sha256.Size]byte(sum) == sha256.Sum256(nil):
		return storedSecret{}, mistake{hash, "the SHA-256 of an empty secret, which no request can present"}
	}
	return storedSecret{Hash: redact.New(string(sum))}, nil
}

func (f referenceFields) consumerID() (string, error) {
	switch k := kind(f[fieldConsumer]); k {
	case kindObject:
	case kindMissing, kindNull:
		return "", mistake{fieldConsumer, "missing"}
	case kindString:
		return "", mistake{fieldConsumer, `is a string, must be an object with an id; the command line makes strings of key=value, so write the record as JSON ("vault write PATH -")`}
	default:
		return "", mistake{fieldConsumer, "is " + k + ", must be an object with an id"}
	}
	consumer, err := referenceObject(f[fieldConsumer], fieldConsumer)
	if err != nil {
		return "", err
	}
	if !consumer.given("id") {
		return "", mistake{fieldConsumerID, "missing"}
	}
	id, err := consumer.text("id")
	if err != nil {
		return "", mistake{fieldConsumerID, "is " + kind(consumer["id"]) + ", must be a string"}
	}
	if id = strings.ToLower(id); !authz.IsUUID(id) {
		return "", mistake{fieldConsumerID, "not a UUID; it must be the consumer's id, not its username"}
	}
	return id, nil
}

// disabled also accepts the strings "true" and "false", which `vault write` makes.
func (f referenceFields) disabled() (bool, error) {
	if !f.given(fieldDisabled) {
		return false, nil
	}
	switch strings.Trim(string(f[fieldDisabled]), `"`) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, mistake{fieldDisabled, "neither true nor false"}
}

// ttl is in seconds. Durations such as "30m" are accepted too, as Vault does for this
// field. Zero or less means no ttl.
func (f referenceFields) ttl() (time.Duration, error) {
	if !f.given(fieldTTL) {
		return 0, nil
	}
	s, ok := f.scalar(fieldTTL)
	if !ok {
		return 0, mistake{fieldTTL, "is " + kind(f[fieldTTL]) + ", must be a whole number of seconds"}
	}
	if seconds, ok := whole(s); ok {
		seconds = math.Min(math.Max(seconds, 0), maxTTL.Seconds())
		return time.Duration(seconds) * time.Second, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return min(max(d, 0), maxTTL), nil
	}
	return 0, mistake{fieldTTL, `neither a whole number of seconds nor a duration like "30m"`}
}

// time decodes Unix seconds or RFC 3339. It returns the zero time, which means "no limit",
// only for a field that is not given.
func (f referenceFields) time(name string) (time.Time, error) {
	if !f.given(name) {
		return time.Time{}, nil
	}
	s, ok := f.scalar(name)
	if !ok {
		return time.Time{}, mistake{name, "is " + kind(f[name]) + ", must be Unix seconds or an RFC 3339 time"}
	}
	if seconds, ok := whole(s); ok {
		if seconds < 0 || seconds > maxTime {
			return time.Time{}, mistake{name, "not between the years 1970 and 9999; is it in seconds?"}
		}
		return time.Unix(int64(seconds), 0).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, mistake{name, "neither Unix seconds nor an RFC 3339 time"}
	}
	if t = t.UTC(); t.Unix() < 0 || t.Unix() > maxTime {
		return time.Time{}, mistake{name, "not between the years 1970 and 9999; is it in seconds?"}
	}
	return t, nil
}

// scalar returns the text of a number or a string.
func (f referenceFields) scalar(name string) (string, bool) {
	switch kind(f[name]) {
	case kindNumber:
		return string(f[name]), true
	case kindString:
		s, err := f.text(name)
		return s, err == nil
	}
	return "", false
}

// topLevelNames counts the names of a valid JSON object, repeated ones each time.
func topLevelNames(raw []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(raw))
	_, _ = d.Token()
	for d.More() {
		var value json.RawMessage
		if _, err := d.Token(); err != nil || d.Decode(&value) != nil {
			return -1
		}
		n++
	}
	return n
}

// FuzzDecodeLikeTheReference: decode returns what the reference does, or the same error.
func FuzzDecodeLikeTheReference(f *testing.F) {
	for _, seed := range []string{
		record(), record(`"ttl":"60"`, `"disabled":"true"`), record(`"expires_at":"2026-11-25T12:00:00Z"`, `"x":{"y":[1,2]}`), record(`"ttl":1.50e1`, `"created_at":"x"`),
		record(`"previous_secret_token":"p"`, `"previous_expires_at":1764000000`), record("-consumer", `"consumer":"x"`), record("-consumer", `"consumer":{"id":7,"i\u0064":8}`),
		`{}`, ` null `, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, `{"access_token":"\u0000","secret_token":"\ud800"}`, record(`"ttl":1e999`, `"disabled":"tr\u0075e"`),
		"{\"access_token\":\"a\xff\",\"\xff\":1,\"\xfe\":2}", record("-secret_token", `"secret_token":"\u0061b"`), `{"a":` + strings.Repeat(`[`, 20) + strings.Repeat(`]`, 20) + `}`,
	} {
		f.Add([]byte(seed))
	}
	secrets := cmp.Comparer(func(a, b redact.String) bool { return a == b })
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		got, err := decodeDocument(raw)
		want, wantErr := referenceDecode(raw)
		if diff := cmp.Diff(want, got, secrets); diff != "" || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Errorf("decodeDocument(%q) = %v, want %v (-want +got):\n%s", raw, err, wantErr, diff)
		}
		if !bytes.Equal(raw, before) {
			t.Errorf("decode changed %q to %q", before, raw)
		}
	})
}
