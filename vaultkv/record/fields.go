package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/redact"
	"github.com/vault-authz/vault-authz/internal/strictjson"
)

// fields are the fields of a JSON object by their exact names. encoding/json would accept
// Secret_Token as secret_token.
type fields []strictjson.Field

// object splits a JSON object into its fields, in the memory of room where there is
// enough. A name that is given twice is a mistake: which of the two counts would depend on
// the reader.
func object(room fields, raw []byte, field string) (fields, error) {
	if k := kind(raw); k != kindObject {
		return nil, mistake{field, "is " + k + ", must be a JSON object"}
	}
	all, err := strictjson.Fields(room, raw)
	switch {
	case errors.Is(err, strictjson.ErrDuplicate):
		return nil, mistake{field, err.Error()}
	case err != nil:
		return nil, mistake{field, "not valid JSON"}
	}
	return all, nil
}

// value returns the value of a field, nil if there is no such field.
func (f fields) value(name string) json.RawMessage {
	for i := range f {
		if string(f[i].Name) == name {
			return f[i].Value
		}
	}
	return nil
}

const (
	kindObject  = "an object"
	kindString  = "a string"
	kindNumber  = "a number"
	kindBoolean = "a boolean"
	kindNull    = "null"
	kindMissing = "missing"
)

// kind names the JSON type of a value by its first byte.
func kind(raw []byte) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return kindMissing
	}
	switch raw[0] {
	case '{':
		return kindObject
	case '[':
		return "an array"
	case '"':
		return kindString
	case 't', 'f':
		return kindBoolean
	case 'n':
		return kindNull
	}
	return kindNumber
}

// given reports whether a field has a value other than null.
func (f fields) given(name string) bool {
	k := kind(f.value(name))
	return k != kindMissing && k != kindNull
}

// text returns a string field, "" if it is not given.
func (f fields) text(name string) (string, error) {
	if !f.given(name) {
		return "", nil
	}
	s, ok := strictjson.Text(f.value(name))
	if !ok {
		return "", mistake{name, "is " + kind(f.value(name)) + ", must be a string"}
	}
	return s, nil
}

func (f fields) accessToken() (string, error) {
	s, err := f.text(fieldAccessToken)
	if err == nil && s == "" {
		err = mistake{fieldAccessToken, "missing or empty"}
	}
	return s, err
}

// secret refuses a value that no request can present: the record would look valid and
// never work. authz.Grammar explains the characters.
func (f fields) secret(name string) (redact.String, error) {
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

func (f fields) consumerID() (string, error) {
	raw := f.value(fieldConsumer)
	switch k := kind(raw); k {
	case kindObject:
	case kindMissing, kindNull:
		return "", mistake{fieldConsumer, "missing"}
	case kindString:
		return "", mistake{fieldConsumer, `is a string, must be an object with an id; the command line makes strings of key=value, so write the record as JSON ("vault write PATH -")`}
	default:
		return "", mistake{fieldConsumer, "is " + k + ", must be an object with an id"}
	}
	var room [4]strictjson.Field
	consumer, err := object(room[:0], raw, fieldConsumer)
	if err != nil {
		return "", err
	}
	if !consumer.given("id") {
		return "", mistake{fieldConsumerID, "missing"}
	}
	id, err := consumer.text("id")
	if err != nil {
		return "", mistake{fieldConsumerID, "is " + kind(consumer.value("id")) + ", must be a string"}
	}
	if id = strings.ToLower(id); !authz.IsUUID(id) {
		return "", mistake{fieldConsumerID, "not a UUID; it must be the consumer's id, not its username"}
	}
	return id, nil
}

// disabled also accepts the strings "true" and "false", which `vault write` makes.
func (f fields) disabled() (bool, error) {
	if !f.given(fieldDisabled) {
		return false, nil
	}
	switch strings.Trim(string(f.value(fieldDisabled)), `"`) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, mistake{fieldDisabled, "neither true nor false"}
}

// ttl is in seconds. Durations such as "30m" are accepted too, as Vault does for this
// field. Zero or less means no ttl.
func (f fields) ttl() (time.Duration, error) {
	if !f.given(fieldTTL) {
		return 0, nil
	}
	s, ok := f.scalar(fieldTTL)
	if !ok {
		return 0, mistake{fieldTTL, "is " + kind(f.value(fieldTTL)) + ", must be a whole number of seconds"}
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
func (f fields) time(name string) (time.Time, error) {
	if !f.given(name) {
		return time.Time{}, nil
	}
	s, ok := f.scalar(name)
	if !ok {
		return time.Time{}, mistake{name, "is " + kind(f.value(name)) + ", must be Unix seconds or an RFC 3339 time"}
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
func (f fields) scalar(name string) (string, bool) {
	switch kind(f.value(name)) {
	case kindNumber:
		return string(f.value(name)), true
	case kindString:
		s, err := f.text(name)
		return s, err == nil
	}
	return "", false
}

// whole parses a JSON number without a fraction as a float64. KV v2 stores numbers as
// float64 anyway, which represents whole seconds far beyond the year 9999 exactly. A number
// too large for float64 becomes infinite.
func whole(s string) (float64, bool) {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') || !json.Valid([]byte(s)) {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(n, 0) || n != math.Trunc(n) {
		return 0, false
	}
	return n, true
}
