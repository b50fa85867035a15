package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Two secrets that may be stored as hashes, and one that may not.
const (
	strongSecret = "k7VbQ2xWm9RtYpLs4NcHdJgF"
	otherSecret  = "Zp3uT8eKqX5yBhMw6DnCrVaL"
	weakSecret   = "supersecretvalue"
)

func hexHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// hashing is furnished, with hashed secrets in the vault object.
func hashing(tb testing.TB) *bench {
	tb.Helper()
	b := furnished(tb)
	b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "secrets=hashed"))
	return b
}

// onlySecrets is the part of a record that is about its secrets.
func onlySecrets(d document) document {
	out := document{}
	for name, value := range d {
		if strings.Contains(name, "secret_token") {
			out[name] = value
		}
	}
	return out
}

func (b *bench) wantSecrets(want document) {
	b.Helper()
	if diff := cmp.Diff(want, onlySecrets(b.foo())); diff != "" {
		b.Errorf("secrets in the record: want (-), got (+):\n%s", diff)
	}
}

func TestAVaultObjectKeepsSecretsInClearTextUnlessItIsToldOtherwise(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	if got := b.get("/vault-auth/kong-auth").text("secrets"); got != "plain" {
		t.Errorf("secrets: got %q, want plain", got)
	}
	b.must(400, b.form("PATCH", "/vault-auth/kong-auth", "secrets=md5"))
	// The Vault token need not be given again: it is used for nothing else than before.
	b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "secrets=hashed"))
	if got := b.get("/vault-auth/kong-auth").text("secrets"); got != "hashed" {
		t.Errorf("secrets: got %q, want hashed", got)
	}
}

func TestAHashedSecretKeepsItsFormOverTheLifeOfACredential(t *testing.T) {
	t.Parallel()
	b := hashing(t)
	made := b.must(201, b.form("POST", credentials+"/alice", "access_token=foo"))
	first := made.text("data.secret_token")
	b.wantSecrets(document{"secret_token_sha256": hexHash(first)})

	rotated := b.must(201, b.form("POST", credentials+"/token/foo/rotate", "secret_token="+strongSecret))
	if got := rotated.text("data.secret_token"); got != strongSecret {
		t.Errorf("the answer to the rotation has the secret %q, want the one that was given", got)
	}
	both := document{"secret_token_sha256": hexHash(strongSecret), "previous_secret_token_sha256": hexHash(first)}
	b.wantSecrets(both)
	b.must(201, b.form("POST", credentials+"/token/foo/rotate", "secret_token="+strongSecret)) // changes nothing
	b.wantSecrets(both)
	b.must(409, b.do("POST", credentials+"/token/foo/rotate", "", "")) // within the grace
	b.must(200, b.form("PATCH", credentials+"/token/foo", "disabled=true"))
	b.wantSecrets(both)

	b.must(409, b.form("POST", credentials, "consumer=alice&access_token=foo&secret_token="+otherSecret))
	b.must(201, b.form("POST", credentials, "consumer=alice&access_token=foo&secret_token="+strongSecret)) // the same again
	b.wantSecrets(document{"secret_token_sha256": hexHash(strongSecret)})
	b.must(201, b.form("POST", credentials+"/token/foo/rotate", "grace=0"))
	if foo := b.foo(); foo["previous_secret_token_sha256"] != nil || foo["previous_expires_at"] != nil || foo["secret_token_sha256"] == hexHash(strongSecret) {
		t.Errorf("a rotation without a grace left %v", onlySecrets(foo))
	}
}

// A record keeps what nobody can turn back, and gets what the vault object says.
func TestAWriteFollowsTheVaultObjectAndNotTheRecord(t *testing.T) {
	t.Parallel()
	const expires = `"previous_expires_at":4102444800`
	for _, tt := range []struct {
		name, secrets, record, method, path, body string
		want                                      document
	}{
		{
			"a change of limits hashes both secrets", "hashed",
			`"secret_token":"` + weakSecret + `","previous_secret_token":"old",` + expires, "PATCH", "", "ttl=5",
			document{"secret_token_sha256": hexHash(weakSecret), "previous_secret_token_sha256": hexHash("old")},
		},
		{
			"a rotation hashes the secret before", "hashed",
			`"secret_token":"` + weakSecret + `"`, "POST", "/rotate", "secret_token=" + strongSecret,
			document{"secret_token_sha256": hexHash(strongSecret), "previous_secret_token_sha256": hexHash(weakSecret)},
		},
		{
			"a hash stays one where secrets are plain", "plain",
			`"secret_token_sha256":"` + hexHash(strongSecret) + `"`, "PATCH", "", "ttl=5",
			document{"secret_token_sha256": hexHash(strongSecret)},
		},
		{
			"a rotation puts a plain secret beside a hash", "plain",
			`"secret_token_sha256":"` + hexHash(strongSecret) + `"`, "POST", "/rotate", "secret_token=new",
			document{"secret_token": "new", "previous_secret_token_sha256": hexHash(strongSecret)},
		},
		{
			"a rotation repairs a secret in two forms, of which none counted", "plain",
			`"secret_token":"a","secret_token_sha256":"` + hexHash("a") + `"`, "POST", "/rotate", "secret_token=new",
			document{"secret_token": "new"},
		},
		{
			"two forms of a secret are left as they are", "hashed",
			`"secret_token":"a","secret_token_sha256":"` + hexHash("a") + `"`, "PATCH", "", "disabled=true",
			document{"secret_token": "a", "secret_token_sha256": hexHash("a")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "secrets="+tt.secrets))
			b.put("foo", `{"access_token":"foo","consumer":{"id":"`+b.get("/consumers/alice").text("id")+`"},`+tt.record+`}`)
			if a := b.form(tt.method, credentials+"/token/foo"+tt.path, tt.body); a.status/100 != 2 {
				t.Fatalf("got %d %s", a.status, a.raw)
			}
			b.wantSecrets(tt.want)
		})
	}
}

func TestASecretThatIsEasyToGuessIsNotStoredAsAHash(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		"foo", weakSecret, "correcthorsebattery", strings.Repeat("a", 100), strings.Repeat("abcdefg", 20), "0123456789012345678901234567",
		"0123456789abcdef0123456789abcde", // 124 bits
	} {
		if checkHashable(secret) == "" {
			t.Errorf("%q may be hashed", secret)
		}
	}
	for _, secret := range []string{
		strongSecret, "0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF", newToken(), "q1bJ9+dkT3vXn0wz7L/4Gg==",
		"9f1c2f4e-7a51-4d0e-8c55-3f6e0a1b2c3d", "314159265358979323846264338327950288419",
	} {
		if problem := checkHashable(secret); problem != "" {
			t.Errorf("%q %s", secret, problem)
		}
	}
	b := hashing(t)
	for _, call := range []answer{
		b.form("POST", credentials+"/alice", "access_token=foo&secret_token="+weakSecret),
		b.form("POST", credentials+"/alice", "access_token=foo&secret_token="+strongSecret+",x"),
	} {
		if b.must(400, call); strings.Contains(call.raw, weakSecret) || !strings.Contains(call.raw, "secret_token: ") {
			t.Errorf("got %s, want what is wrong with the secret_token, without it", call.raw)
		}
	}
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo"))
	b.must(400, b.form("POST", credentials+"/token/foo/rotate", "secret_token="+weakSecret))
	plain := furnished(t)
	plain.must(201, plain.form("POST", credentials+"/alice", "access_token=foo&secret_token="+weakSecret))
}

// A hash is shown nowhere: whoever has it knows which guess is right.
func TestHashesAreNotShown(t *testing.T) {
	t.Parallel()
	b := hashing(t)
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token="+strongSecret))
	b.must(201, b.form("POST", credentials+"/token/foo/rotate", "secret_token="+otherSecret))
	hidden := []string{hexHash(strongSecret), hexHash(otherSecret), "sha256"}
	for _, path := range []string{credentials, credentials + "/token/foo", "/consumers/alice/credentials"} {
		a := b.must(200, b.get(path))
		for _, text := range hidden {
			if strings.Contains(a.raw, text) {
				t.Errorf("%s shows %q: %s", path, text, a.raw)
			}
		}
		if !strings.Contains(a.raw, `"hashed":true`) {
			t.Errorf("%s does not say that the secrets are hashed: %s", path, a.raw)
		}
	}
	b.kv[b.get("/vault-auth/kong-auth").text("id")].err = fmt.Errorf("down")
	b.must(503, b.do("POST", credentials+"/token/foo/rotate", "", ""))
	for _, line := range append(b.audit.All(), b.log.All()...) {
		for _, text := range append(hidden, strongSecret, otherSecret) {
			if strings.Contains(mustJSON(t, line.ContextMap()), text) {
				t.Errorf("a log line has %q: %v", text, line.ContextMap())
			}
		}
	}
}

// FuzzHashingARecord: hashing changes no field but those of the secrets, and no secret but
// in its form; afterwards each one that was good is there as its hash alone; and hashing
// again changes nothing.
func FuzzHashingARecord(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"foo","secret_token":"s","consumer":{"id":"x"},"ttl":5}`, `{"secret_token_sha256":"` + hexHash("s") + `"}`, `{}`,
		`{"secret_token":"s","previous_secret_token":"p","previous_expires_at":1}`, `{"secret_token":"s","secret_token_sha256":"x"}`,
		`{"secret_token":"","previous_secret_token":5}`, `{"secret_token":null,"secret_token_sha256":null}`, `{"secret_token":["s"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before, err := decodeDocument(raw)
		if err != nil {
			return
		}
		d := maps.Clone(before)
		d.hash()
		for _, name := range []string{currentSecret, previousSecret} {
			was, good := before.hashOf(name)
			is, known := d.hashOf(name)
			if was != is || good != known {
				t.Fatalf("%q: the secret in %s is another one after hashing", raw, name)
			}
			if good && (d[name] != nil || d.text(name+hashSuffix) == "") {
				t.Fatalf("%q: the secret in %s is not hashed", raw, name)
			}
			if !good && (!reflect.DeepEqual(d[name], before[name]) || !reflect.DeepEqual(d[name+hashSuffix], before[name+hashSuffix])) {
				t.Fatalf("%q: what is no secret in %s has changed", raw, name)
			}
		}
		again := maps.Clone(d)
		again.hash()
		if !reflect.DeepEqual(d, again) {
			t.Fatalf("%q: hashing again changes it", raw)
		}
		for _, name := range []string{currentSecret, previousSecret} {
			d.forget(name)
			before.forget(name)
		}
		if !reflect.DeepEqual(d, before) {
			t.Fatalf("%q: hashing changes more than the secrets", raw)
		}
	})
}
