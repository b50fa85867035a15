package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/redact"
)

const (
	testUUID   = "a8a49d5c-4b0c-4f0e-9d0e-0e3f7c1f8b52"
	testSecret = "s3cret-of-the-record"
)

// record is a good document with members added, or replaced where given with
// "-name" first.
func record(more ...string) string {
	members := []string{`"access_token":"foo"`, `"secret_token":"` + testSecret + `"`, `"consumer":{"id":"` + testUUID + `"}`}
	for _, m := range more {
		if name, drop := strings.CutPrefix(m, "-"); drop {
			kept := members[:0]
			for _, old := range members {
				if !strings.HasPrefix(old, `"`+name+`"`) {
					kept = append(kept, old)
				}
			}
			members = kept
			continue
		}
		members = append(members, m)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func hexOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// hashed is the member with the hash of a secret.
func hashed(name, secret string) string { return `"` + name + `_sha256":"` + hexOf(secret) + `"` }

func hashOf(secret string) storedSecret {
	sum := sha256.Sum256([]byte(secret))
	return storedSecret{Hash: redact.New(string(sum[:]))}
}

func TestDecodeReadsWhatKongAndPeopleWrite(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	unix := strconv.FormatInt(at.Unix(), 10)
	tests := []struct {
		name string
		in   string
		edit func(*document)
	}{
		{"the least", record(), func(*document) {}},
		{"extra fields", record(`"note":{"secret_token":"x"}`, `"Secret_Token":"y"`, `"tags":[1]`), func(*document) {}},
		{"Kong's timestamps", record(`"created_at":`+unix, `"updated_at":`+unix), func(d *document) { d.CreatedAt, d.UpdatedAt = at, at }},
		{"timestamps that only inform may be anything", record(`"created_at":"yesterday"`, `"updated_at":[]`), func(*document) {}},
		{"consumer id in upper case", record("-consumer", `"consumer":{"id":"`+strings.ToUpper(testUUID)+`","x":1}`), func(*document) {}},
		{"ttl", record(`"ttl":86400`), func(d *document) { d.TTL = 24 * time.Hour }},
		{"ttl as a string", record(`"ttl":"86400"`), func(d *document) { d.TTL = 24 * time.Hour }},
		{"ttl as KV v2 may return it", record(`"ttl":86400.0`), func(d *document) { d.TTL = 24 * time.Hour }},
		{"ttl as a duration", record(`"ttl":"30m"`), func(d *document) { d.TTL = 30 * time.Minute }},
		{"ttl null", record(`"ttl":null`), func(*document) {}},
		{"ttl 0", record(`"ttl":0`), func(*document) {}},
		{"ttl negative", record(`"ttl":-5`), func(*document) {}},
		{"ttl negative duration", record(`"ttl":"-5m"`), func(*document) {}},
		{"ttl huge does not overflow", record(`"ttl":9223372036854775807`), func(d *document) { d.TTL = maxTTL }},
		{"ttl beyond float64 does not overflow", record(`"ttl":"1e999"`), func(d *document) { d.TTL = maxTTL }},
		{"limits in Unix seconds", record(`"expires_at":`+unix, `"not_before":"`+unix+`"`), func(d *document) { d.ExpiresAt, d.NotBefore = at, at }},
		{"limits as floats", record(`"expires_at":` + unix + `.0`), func(d *document) { d.ExpiresAt = at }},
		{"limits in RFC 3339", record(`"expires_at":"2026-11-25T13:00:00+01:00"`), func(d *document) { d.ExpiresAt = at }},
		{"expires_at 0 is 1970 and not none", record(`"expires_at":0`), func(d *document) { d.ExpiresAt = time.Unix(0, 0).UTC() }},
		{"limits null", record(`"expires_at":null`, `"not_before":null`), func(*document) {}},
		{"previous secret", record(`"previous_secret_token":"old"`, `"previous_expires_at":`+unix), func(d *document) {
			d.Previous.Plain, d.PreviousExpiresAt = redact.New("old"), at
		}},
		{"secret hashed", record("-secret_token", hashed("secret_token", testSecret)), func(d *document) { d.Secret = hashOf(testSecret) }},
		{"secret hashed, in upper case", record("-secret_token", strings.Replace(hashed("secret_token", testSecret), hexOf(testSecret), strings.ToUpper(hexOf(testSecret)), 1)), func(d *document) { d.Secret = hashOf(testSecret) }},
		{"secret hashed, and null in clear text", record("-secret_token", `"secret_token":null`, hashed("secret_token", testSecret)), func(d *document) { d.Secret = hashOf(testSecret) }},
		{"both secrets hashed", record("-secret_token", hashed("secret_token", testSecret), hashed("previous_secret_token", "old"), `"previous_expires_at":`+unix), func(d *document) {
			d.Secret, d.Previous, d.PreviousExpiresAt = hashOf(testSecret), hashOf("old"), at
		}},
		{"only the previous secret hashed", record(hashed("previous_secret_token", "old"), `"previous_expires_at":`+unix), func(d *document) {
			d.Previous, d.PreviousExpiresAt = hashOf("old"), at
		}},
		{"only the previous secret in clear text", record("-secret_token", hashed("secret_token", testSecret), `"previous_secret_token":"old"`, `"previous_expires_at":`+unix), func(d *document) {
			d.Secret, d.Previous.Plain, d.PreviousExpiresAt = hashOf(testSecret), redact.New("old"), at
		}},
		{"disabled", record(`"disabled":true`), func(d *document) { d.Disabled = true }},
		{"disabled as a string", record(`"disabled":"true"`), func(d *document) { d.Disabled = true }},
		{"not disabled", record(`"disabled":"false"`), func(*document) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := document{AccessToken: "foo", Secret: storedSecret{Plain: redact.New(testSecret)}, ConsumerID: testUUID}
			tt.edit(&want)
			got, err := decodeDocument([]byte(tt.in))
			if err != nil {
				t.Fatalf("decodeDocument(%s) = %v, want no error", tt.in, err)
			}
			secrets := cmp.Comparer(func(a, b redact.String) bool { return a == b })
			if diff := cmp.Diff(want, got, secrets); diff != "" {
				t.Errorf("decodeDocument(%s) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestDecodeRefusesMalformedRecords(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"nothing", ``, "is missing, must be a JSON object"},
		{"null", `null`, "is null"},
		{"array", `[]`, "is an array"},
		{"cut off", `{"access_token":"foo"`, "not valid JSON"},
		{"something behind", record() + `{}`, "not valid JSON"},
		{"duplicate key", record(`"secret_token":"` + testSecret + `2"`), "a field is given twice"},
		{"duplicate key in the consumer", record("-consumer", `"consumer":{"id":"`+testUUID+`","id":"x"}`), "consumer: a field is given twice"},
		{"no access_token", record("-access_token"), "access_token: missing or empty"},
		{"access_token a number", record("-access_token", `"access_token":1`), "access_token: is a number, must be a string"},
		{"no secret_token", record("-secret_token"), "secret_token: missing or empty"},
		{"secret_token in another case", record("-secret_token", `"Secret_Token":"`+testSecret+`"`), "secret_token: missing or empty"},
		{"secret_token empty", record("-secret_token", `"secret_token":""`), "secret_token: missing or empty"},
		{"secret_token null", record("-secret_token", `"secret_token":null`), "secret_token: missing or empty"},
		{"secret_token a boolean", record("-secret_token", `"secret_token":true`), "secret_token: is a boolean"},
		{"secret_token that no request presents", record("-secret_token", `"secret_token":"two words"`), "secret_token: contains a character"},
		{"secret_token with a comma", record("-secret_token", `"secret_token":"a,b"`), "secret_token: contains a character"},
		{"secret_token too long", record("-secret_token", `"secret_token":"`+strings.Repeat("x", 4097)+`"`), "secret_token: longer than 4096"},
		{"no consumer", record("-consumer"), "consumer: missing"},
		{"consumer made by the command line", record("-consumer", `"consumer":"{\"id\":\"`+testUUID+`\"}"`), "consumer: is a string"},
		{"consumer an array", record("-consumer", `"consumer":[]`), "consumer: is an array"},
		{"consumer without an id", record("-consumer", `"consumer":{}`), "consumer.id: missing"},
		{"consumer id a number", record("-consumer", `"consumer":{"id":7}`), "consumer.id: is a number"},
		{"consumer by username", record("-consumer", `"consumer":{"id":"alice"}`), "consumer.id: not a UUID"},
		{"ttl a word", record(`"ttl":"soon"`), "ttl: neither"},
		{"ttl a fraction", record(`"ttl":1.5`), "ttl: neither"},
		{"ttl an object", record(`"ttl":{}`), "ttl: is an object"},
		{"expires_at a word", record(`"expires_at":"soon"`), "expires_at: neither"},
		{"expires_at empty", record(`"expires_at":""`), "expires_at: neither"},
		{"expires_at a boolean", record(`"expires_at":false`), "expires_at: is a boolean"},
		{"expires_at in milliseconds", record(`"expires_at":1764000000000`), "expires_at: not between"},
		{"expires_at negative", record(`"expires_at":-1`), "expires_at: not between"},
		{"expires_at beyond float64", record(`"expires_at":1e999`), "expires_at: not between"},
		{"expires_at the zero time of Go", record(`"expires_at":"0001-01-01T00:00:00Z"`), "expires_at: not between"},
		{"not_before without a zone", record(`"not_before":"2026-11-25 12:00"`), "not_before: neither"},
		{"previous_expires_at a word", record(`"previous_expires_at":"x"`), "previous_expires_at: neither"},
		{"previous_secret_token a number", record(`"previous_secret_token":5`), "previous_secret_token: is a number"},
		{"hash too short", record("-secret_token", `"secret_token_sha256":"`+hexOf(testSecret)[2:]+`"`), "secret_token_sha256: not a SHA-256"},
		{"hash too long", record("-secret_token", `"secret_token_sha256":"`+hexOf(testSecret)+`00"`), "secret_token_sha256: not a SHA-256"},
		{"hash with a space", record("-secret_token", `"secret_token_sha256":" `+hexOf(testSecret)[1:]+`"`), "secret_token_sha256: not a SHA-256"},
		{"hash in base64", record("-secret_token", `"secret_token_sha256":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="`), "secret_token_sha256: not a SHA-256"},
		{"hash empty", record("-secret_token", `"secret_token_sha256":""`), "secret_token_sha256: not a SHA-256"},
		{"hash null", record("-secret_token", `"secret_token_sha256":null`), "secret_token: missing or empty"},
		{"hash a number", record("-secret_token", `"secret_token_sha256":1`), "secret_token_sha256: is a number"},
		{"hash of nothing", record("-secret_token", hashed("secret_token", "")), "secret_token_sha256: the SHA-256 of an empty secret"},
		{"hash of the secret beside it", record(hashed("secret_token", testSecret)), "secret_token_sha256: is given beside secret_token"},
		{"hash of another secret beside it", record(hashed("secret_token", "x")), "secret_token_sha256: is given beside secret_token"},
		{"hash beside an empty secret", record("-secret_token", `"secret_token":""`, hashed("secret_token", testSecret)), "secret_token_sha256: is given beside secret_token"},
		{"hash of the previous secret too short", record(`"previous_secret_token_sha256":"00"`), "previous_secret_token_sha256: not a SHA-256"},
		{"hash of the previous secret beside it", record(`"previous_secret_token":"old"`, hashed("previous_secret_token", "old")), "previous_secret_token_sha256: is given beside previous_secret_token"},
		{"disabled a number", record(`"disabled":1`), "disabled: neither true nor false"},
		{"disabled a word", record(`"disabled":"yes"`), "disabled: neither true nor false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeDocument([]byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("decodeDocument(%s) = %v, want an error with %q", tt.in, err, tt.want)
			}
			if strings.Contains(err.Error(), testSecret) || strings.Contains(err.Error(), hexOf(testSecret)[2:]) {
				t.Errorf("the error %q contains the secret or its hash", err)
			}
			if told := Mistake(fmt.Errorf("%w: %w", authz.ErrMalformed, err)); told != err.Error() {
				t.Errorf("Mistake = %q, want %q", told, err)
			}
			if got != (document{}) {
				t.Errorf("decodeDocument(%s) returned a document beside its error", tt.in)
			}
		})
	}
}

func TestDocumentNeverPrintsItsSecret(t *testing.T) {
	t.Parallel()
	d, err := decodeDocument([]byte(record(hashed("previous_secret_token", testSecret))))
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(d), fmt.Sprintf("%+v %#v %q", d, d, d.Secret), string(encoded)} {
		if strings.Contains(text, testSecret) || !strings.Contains(text, redact.Text) || len(text) > 1000 {
			t.Errorf("%q contains the secret, or its hash", text)
		}
	}
}

// FuzzDecode: no input makes decode panic; what it decodes has the tokens of the
// input as encoding/json sees them; an unknown field changes nothing; and every
// error is made of known words, so that no value of a record can be in it.
func FuzzDecode(f *testing.F) {
	seeds := []string{
		record(), record(`"ttl":"60"`, `"disabled":"true"`), record(`"expires_at":"2026-11-25T12:00:00Z"`, `"x":{"y":[1,2]}`),
		record(`"previous_secret_token":"p"`, `"previous_expires_at":1764000000`), record("-consumer", `"consumer":"x"`),
		record("-secret_token", hashed("secret_token", testSecret)), record(hashed("secret_token", testSecret)), record(hashed("previous_secret_token", "p")),
		`{}`, `null`, `{"a":1,"a":2}`, `{"access_token":"\u0000","secret_token":"\ud800"}`, record(`"ttl":1e999`),
	}
	if len(seeds) == 0 {
		f.Fatal("there are no seeds")
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	words := knownWords()
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := decodeDocument(in)
		if err != nil {
			m, ok := err.(mistake) //nolint:errorlint // decode wraps nothing
			if !ok || !words[m.field] || !knownProblem(m.problem) {
				t.Fatalf("decodeDocument(%q) = %q, which is not made of known words", in, err)
			}
			if d != (document{}) {
				t.Fatalf("decodeDocument(%q) returned a document beside its error", in)
			}
		} else {
			var generic map[string]any
			dec := json.NewDecoder(bytes.NewReader(in))
			dec.UseNumber()
			if err := dec.Decode(&generic); err != nil {
				t.Fatalf("decodeDocument(%q) took what is not JSON: %v", in, err)
			}
			if generic["access_token"] != d.AccessToken || !isFormOf(d.Secret, generic["secret_token"], generic["secret_token_sha256"]) ||
				!isFormOf(d.Previous, generic["previous_secret_token"], generic["previous_secret_token_sha256"]) {
				t.Fatalf("decodeDocument(%q) has other tokens than the input", in)
			}
			if d.AccessToken == "" || d.Secret == (storedSecret{}) || d.ConsumerID == "" || d.TTL < 0 {
				t.Fatalf("decodeDocument(%q) = %+v, want tokens, a consumer and no negative ttl", in, d)
			}
		}
		at := strings.IndexByte(string(in), '{')
		const unknown = "a field that nobody knows"
		if at < 0 || strings.TrimLeft(string(in[:at]), " \t\r\n") != "" || strings.Contains(string(in), `\`) || strings.Contains(string(in), unknown) {
			return
		}
		comma := ","
		if rest := strings.TrimLeft(string(in[at+1:]), " \t\r\n"); strings.HasPrefix(rest, "}") {
			comma = ""
		}
		more := string(in[:at+1]) + `"` + unknown + `":{"secret_token":"z"}` + comma + string(in[at+1:])
		again, errAgain := decodeDocument([]byte(more))
		if again != d || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("decodeDocument(%q) = %+v, %v, and without the unknown field %+v, %v", more, again, errAgain, d, err)
		}
	})
}

// isFormOf says whether a secret is what a record has in one of its forms, and nothing in
// the other.
func isFormOf(s storedSecret, plain, hash any) bool {
	text, isHash := hash.(string)
	switch {
	case isHash:
		return plain == nil && s.Plain.Reveal() == "" && strings.EqualFold(hex.EncodeToString([]byte(s.Hash.Reveal())), text)
	case hash != nil || s.Hash.Reveal() != "":
		return false
	}
	text, _ = plain.(string)
	return s.Plain.Reveal() == text
}

func knownWords() map[string]bool {
	words := map[string]bool{"": true}
	for _, w := range []string{
		fieldAccessToken, fieldSecretToken, fieldConsumer, fieldConsumerID, fieldTTL,
		fieldSecretHash, fieldPrevious, fieldPreviousHash, fieldPreviousExpiresAt, fieldNotBefore, fieldExpiresAt, fieldDisabled,
	} {
		words[w] = true
	}
	return words
}

func knownProblem(p string) bool {
	for _, prefix := range []string{
		"is an object,", "is an array,", "is a string,", "is a number,", "is a boolean,", "is null,", "is missing,",
		"missing", "not valid JSON", "a field is given twice", "longer than 4096 bytes", "contains a character that no request",
		"not a UUID", "neither true nor false", "neither a whole number", "neither Unix seconds", "not between the years",
		"not a SHA-256", "the SHA-256 of an empty secret", "is given beside secret_token;", "is given beside previous_secret_token;",
	} {
		if strings.HasPrefix(p, prefix) {
			return true
		}
	}
	return false
}
