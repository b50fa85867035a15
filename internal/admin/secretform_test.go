package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
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
func onlySecrets(d schema.Document) schema.Document {
	out := schema.Document{}
	for name, value := range d {
		if strings.Contains(name, "secret_token") {
			out[name] = value
		}
	}
	return out
}

func (b *bench) wantSecrets(want schema.Document) {
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

// A tool that does not know these settings must not bring clear text back.
func TestAVaultObjectKeepsTheFormOfTokensIfItIsReplacedWithoutIt(t *testing.T) {
	t.Parallel()
	b := hashing(t)
	b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "token_prefix=va_live"))
	for _, tt := range []struct{ given, secrets, prefix string }{
		{"", "hashed", "va_live"},
		{"&secrets=plain&token_prefix=", "plain", ""},
	} {
		b.must(200, b.form("PUT", "/vault-auth/kong-auth", vaultForm+tt.given))
		if got := b.get("/vault-auth/kong-auth"); got.text("secrets") != tt.secrets || got.text("token_prefix") != tt.prefix {
			t.Errorf("replaced with %q: got %s", tt.given, got.raw)
		}
	}
}

func TestAHashedSecretKeepsItsFormOverTheLifeOfACredential(t *testing.T) {
	t.Parallel()
	b := hashing(t)
	made := b.must(201, b.form("POST", credentials+"/alice", "access_token=foo"))
	first := made.text("data.secret_token")
	b.wantSecrets(schema.Document{"secret_token_sha256": hexHash(first)})

	rotated := b.must(201, b.form("POST", credentials+"/token/foo/rotate", "secret_token="+strongSecret))
	if got := rotated.text("data.secret_token"); got != strongSecret {
		t.Errorf("the answer to the rotation has the secret %q, want the one that was given", got)
	}
	both := schema.Document{"secret_token_sha256": hexHash(strongSecret), "previous_secret_token_sha256": hexHash(first)}
	b.wantSecrets(both)
	b.must(201, b.form("POST", credentials+"/token/foo/rotate", "secret_token="+strongSecret)) // changes nothing
	b.wantSecrets(both)
	b.must(409, b.do("POST", credentials+"/token/foo/rotate", "", "")) // within the grace
	b.must(200, b.form("PATCH", credentials+"/token/foo", "disabled=true"))
	b.wantSecrets(both)

	b.must(409, b.form("POST", credentials, "consumer=alice&access_token=foo&secret_token="+otherSecret))
	b.must(201, b.form("POST", credentials, "consumer=alice&access_token=foo&secret_token="+strongSecret)) // the same again
	b.wantSecrets(schema.Document{"secret_token_sha256": hexHash(strongSecret)})
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
		want                                      schema.Document
	}{
		{
			"a change of limits hashes both secrets", "hashed",
			`"secret_token":"` + strongSecret + `","previous_secret_token":"old",` + expires, "PATCH", "", "ttl=5",
			schema.Document{"secret_token_sha256": hexHash(strongSecret), "previous_secret_token_sha256": hexHash("old")},
		},
		{
			"a change of limits leaves a secret that is easy to guess, so that a rehash finds it", "hashed",
			`"secret_token":"` + weakSecret + `"`, "PATCH", "", "ttl=5",
			schema.Document{"secret_token": weakSecret},
		},
		{
			"a change of limits leaves a secret that no request can present", "hashed",
			`"secret_token":"` + strongSecret + `\n"`, "PATCH", "", "ttl=5",
			schema.Document{"secret_token": strongSecret + "\n"},
		},
		{
			"an empty previous secret is none", "hashed",
			`"secret_token":"` + strongSecret + `","previous_secret_token":""`, "PATCH", "", "ttl=5",
			schema.Document{"secret_token_sha256": hexHash(strongSecret)},
		},
		{
			"a rotation hashes the secret before", "hashed",
			`"secret_token":"` + weakSecret + `"`, "POST", "/rotate", "secret_token=" + strongSecret,
			schema.Document{"secret_token_sha256": hexHash(strongSecret), "previous_secret_token_sha256": hexHash(weakSecret)},
		},
		{
			"a hash stays one where secrets are plain", "plain",
			`"secret_token_sha256":"` + hexHash(strongSecret) + `"`, "PATCH", "", "ttl=5",
			schema.Document{"secret_token_sha256": hexHash(strongSecret)},
		},
		{
			"a rotation puts a plain secret beside a hash", "plain",
			`"secret_token_sha256":"` + hexHash(strongSecret) + `"`, "POST", "/rotate", "secret_token=new",
			schema.Document{"secret_token": "new", "previous_secret_token_sha256": hexHash(strongSecret)},
		},
		{
			"a rotation repairs a secret in two forms, of which none counted", "plain",
			`"secret_token":"a","secret_token_sha256":"` + hexHash("a") + `"`, "POST", "/rotate", "secret_token=new",
			schema.Document{"secret_token": "new"},
		},
		{
			"two forms of a secret are left as they are", "hashed",
			`"secret_token":"a","secret_token_sha256":"` + hexHash("a") + `"`, "PATCH", "", "disabled=true",
			schema.Document{"secret_token": "a", "secret_token_sha256": hexHash("a")},
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
	b.must(400, b.form("POST", credentials+"/alice", "access_token="+strongSecret+"&secret_token="+strongSecret))
	b.must(201, b.form("POST", credentials+"/alice", "access_token="+strongSecret))
	b.must(400, b.form("POST", credentials+"/token/"+strongSecret+"/rotate", "secret_token="+strongSecret))
	b.put(otherSecret, `{"access_token":"`+otherSecret+`","secret_token":"`+otherSecret+`"}`)
	if a := b.must(200, b.do("POST", rehashPath, "", "")); !strings.Contains(a.raw, `"guessable":["`+otherSecret+`"]`) {
		t.Errorf("a secret that is the access token is hashed: %s", a.raw)
	}
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

const rehashPath = "/vault-auth/kong-auth/rehash"

func TestRehashReplacesWhatIsInClearTextAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	for i := range 25 {
		b.must(201, b.form("POST", credentials+"/alice", fmt.Sprintf("access_token=t%02d", i)))
	}
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token="+weakSecret))
	b.must(201, b.form("POST", credentials+"/token/foo/rotate", "secret_token="+strongSecret))
	b.must(201, b.form("POST", credentials+"/alice", "access_token=weak&secret_token="+weakSecret))
	b.put("both", `{"access_token":"both","secret_token":"a","secret_token_sha256":"b"}`)
	b.put("list", `[]`)
	before := b.foo()
	if a := b.must(400, b.do("POST", rehashPath, "", "")); !strings.Contains(a.raw, "set its secrets to hashed first") {
		t.Errorf("got %s", a.raw)
	}
	b.must(404, b.do("POST", "/vault-auth/none/rehash", "", ""))
	b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "secrets=hashed"))
	type sum struct {
		pages, checked, hashed int
		guessable, unusable    string
	}
	rehash := func() (s sum) {
		for next := rehashPath + "?size=10"; next != ""; s.pages++ {
			a := b.must(200, b.do("POST", next, "", ""))
			d := a.body["data"].(map[string]any)
			if d["total"] != 29.0 || d["failed"] != nil {
				t.Errorf("got %s", a.raw)
			}
			s.checked += int(d["checked"].(float64))
			s.hashed += int(d["hashed"].(float64))
			for field, to := range map[string]*string{"guessable": &s.guessable, "unusable": &s.unusable} {
				if d[field] != nil {
					*to += fmt.Sprint(d[field])
				}
			}
			next = a.text("next")
		}
		return s
	}
	if got, want := rehash(), (sum{3, 29, 26, "[weak]", "[both list]"}); got.unusable != want.unusable && got.unusable != "[both][list]" && got.unusable != "[list both]" || got.hashed != want.hashed || got.checked != want.checked || got.pages != want.pages || got.guessable != want.guessable {
		t.Errorf("got %+v, want %+v", got, want)
	}
	after := b.foo()
	b.wantSecrets(schema.Document{"secret_token_sha256": hexHash(strongSecret), "previous_secret_token_sha256": hexHash(weakSecret)})
	for _, d := range []schema.Document{before, after} {
		for _, name := range []string{credential.CurrentSecret, credential.PreviousSecret} {
			credential.Forget(d, name)
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("more than the secrets has changed: before (-), after (+):\n%s", diff)
	}
	// What is left is said each time.
	if got := rehash(); got.hashed != 0 || got.guessable != "[weak]" || got.checked != 29 {
		t.Errorf("once more: got %+v, want nothing to be hashed, and weak to be named", got)
	}
	if a := b.must(200, b.form("POST", rehashPath+"?size=1000", "weak_too=true")); !strings.Contains(a.raw, `"hashed":1,`) || !strings.Contains(a.raw, `"guessable":["weak"]`) {
		t.Errorf("with weak_too: got %s, want weak to be hashed and named", a.raw)
	}
	for _, line := range b.ended() {
		if fields := line.ContextMap(); fields["action"] == "rehash" && fields["id"] == "" {
			t.Errorf("a line without an id: %v", fields)
		}
	}
}

// Other programs may share the mount, and a mistake in a record must stay to be seen.
func TestRehashLeavesWhatNoCheckCanUse(t *testing.T) {
	t.Parallel()
	b := hashing(t)
	b.api.deps.Judge = func(string) func(string, []byte) authz.Outcome {
		return func(accessToken string, record []byte) authz.Outcome {
			if d, err := schema.Decode(record); err != nil || d.Text("access_token") != accessToken {
				return authz.Outcome{Reason: authz.ReasonMalformedRecord}
			}
			return authz.Outcome{Reason: authz.ReasonUnknownConsumer}
		}
	}
	left := map[string]string{
		"foreign": `{"secret_token":"` + strongSecret + `","url":"https://example.com"}`,
		"other":   `{"access_token":"foo","secret_token":"` + strongSecret + `"}`,
		"line":    `{"access_token":"line","secret_token":"` + strongSecret + `\n"}`,
		"comma":   `{"access_token":"comma","secret_token":"` + strongSecret + `,"}`,
		"before":  `{"access_token":"before","previous_secret_token":"a b","secret_token":"` + strongSecret + `"}`,
	}
	for key, record := range left {
		b.put(key, record)
	}
	b.put("good", `{"access_token":"good","secret_token":"`+strongSecret+`"}`)
	a := b.must(200, b.do("POST", rehashPath, "", ""))
	if !strings.Contains(a.raw, `"hashed":1,`) || !strings.Contains(a.raw, `"unusable":["before","comma","foreign","line","other"]`) {
		t.Errorf("got %s", a.raw)
	}
	a = b.must(200, b.form("PATCH", credentials+"/token/foreign", "ttl=5"))
	if !strings.Contains(a.header.Get("Warning"), "clear text") {
		t.Errorf("a change of a record that no check can use: header %v, want a warning", a.header)
	}
	kv := b.kv[b.get("/vault-auth/kong-auth").text("id")]
	for key := range left {
		if !strings.Contains(string(kv.documents[key]), strongSecret) {
			t.Errorf("%s has lost its secret: %s", key, kv.documents[key])
		}
	}
}

func TestRehashReportsWhatFailedAndGoesOn(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo"))
	b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "secrets=hashed"))
	kv := b.kv[b.get("/vault-auth/kong-auth").text("id")]
	kv.failWrites = fmt.Errorf("read-only")
	a := b.must(200, b.do("POST", rehashPath, "", ""))
	if !strings.Contains(a.raw, `"failed":[{"access_token":"foo","message":"The store of this data is unavailable`) || !strings.Contains(a.raw, `"hashed":0`) {
		t.Errorf("got %s, want foo among what failed", a.raw)
	}
	kv.failWrites = nil
	leases := b.api.deps.Leases
	b.api.deps.Leases = brokenLeases{}
	if a := b.must(200, b.do("POST", rehashPath, "", "")); !strings.Contains(a.raw, `"failed":[{"access_token":"foo","message":"An unexpected error occurred"}]`) {
		t.Errorf("after a panic: got %s, want foo among what failed", a.raw)
	}
	b.api.deps.Leases = leases
	if a := b.must(200, b.do("POST", rehashPath, "", "")); !strings.Contains(a.raw, `"hashed":1`) {
		t.Errorf("once more: got %s, want it hashed", a.raw)
	}
}

// brokenLeases panic.
type brokenLeases struct{ credential.Leases }

func (brokenLeases) LeaseCredential(context.Context, string, func(func(context.Context, func(context.Context) error) error) error) error {
	panic("a bug")
}

// archiveKV keeps all versions, as KV v2 does: it destroys those that it is told to, the
// current one too, and after a deletion for good the numbers begin again.
type archiveKV struct {
	*versionedKV
	turn sync.Mutex
	// old are the versions that can be read or brought back, the current one among them.
	old, destroyed map[string][]int
	// beforeRead, if it is set, is called before a record is read, for what others do.
	beforeRead func(*archiveKV)
}

func (k *archiveKV) ReadVersion(ctx context.Context, key string) ([]byte, int, bool, error) {
	if f := k.beforeRead; f != nil {
		f(k)
	}
	k.turn.Lock()
	defer k.turn.Unlock()
	return k.versionedKV.ReadVersion(ctx, key)
}

func (k *archiveKV) WriteVersion(ctx context.Context, key string, document []byte, version int) (int, bool, error) {
	k.turn.Lock()
	defer k.turn.Unlock()
	next, ok, err := k.versionedKV.WriteVersion(ctx, key, document, version)
	if ok && err == nil {
		k.old[key] = append(k.old[key], next)
	}
	return next, ok, err
}

func (k *archiveKV) Delete(ctx context.Context, key string) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	delete(k.versions, key)
	delete(k.old, key)
	return k.versionedKV.Delete(ctx, key)
}

func (k *archiveKV) OldVersions(_ context.Context, key string, before int) (old []int, err error) {
	k.turn.Lock()
	defer k.turn.Unlock()
	for _, version := range k.old[key] {
		if live := version == k.versions[key] && k.documents[key] != nil; version < before && !live {
			old = append(old, version)
		}
	}
	return old, nil
}

func (k *archiveKV) DestroyVersions(_ context.Context, key string, versions []int) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	k.destroyed[key] = append(k.destroyed[key], versions...)
	k.old[key] = slices.DeleteFunc(k.old[key], func(n int) bool { return slices.Contains(versions, n) })
	if slices.Contains(versions, k.versions[key]) {
		delete(k.documents, key)
	}
	return nil
}

type archives struct{ kv *archiveKV }

func (v archives) Credentials(context.Context, string, int) (credential.Store, error) {
	return v.kv, nil
}
func (archives) Validate(entities.VaultObject) error { return nil }

// rehashable gives the vault object a store with versions that has a secret to hash, and
// another one in an earlier version.
func (b *bench) rehashable(tb testing.TB) *archiveKV {
	tb.Helper()
	kv := &archiveKV{
		versionedKV: &versionedKV{fakeKV: &fakeKV{documents: map[string][]byte{}, log: b.order}, versions: map[string]int{"foo": 1}},
		old:         map[string][]int{"foo": {1}}, destroyed: map[string][]int{},
	}
	kv.documents["foo"] = []byte(`{"access_token":"foo","secret_token":"` + strongSecret + `"}`)
	b.api.deps.Vaults = archives{kv}
	b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "secrets=hashed&kv=v2&vault_token="+vaultToken))
	return kv
}

func TestRehashDestroysWhatEarlierVersionsHaveIfItIsAsked(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	kv := b.rehashable(t)
	record := func(secret string) []byte { return []byte(`{"access_token":"x",` + secret + `}`) }
	hash := `"secret_token_sha256":"` + hexHash("x") + `"`
	for key, at := range map[string]struct {
		document []byte
		version  int
		old      []int
	}{
		"plain":   {record(`"secret_token":"` + strongSecret + `"`), 3, []int{1, 2, 3}},
		"weak":    {record(`"secret_token":"x"`), 2, []int{1, 2}},
		"hashed":  {record(hash), 3, []int{1, 2, 3}},
		"clean":   {record(hash), 2, []int{2}},
		"broken":  {record(hash + `,"secret_token":"x"`), 2, []int{1, 2}},
		"deleted": {nil, 2, []int{1, 2}},
	} {
		kv.documents[key], kv.versions[key], kv.old[key] = at.document, at.version, at.old
	}
	kv.listed = []string{"plain", "weak", "hashed", "clean", "broken", "deleted"}
	for _, key := range []string{"deleted", "foo"} {
		delete(kv.documents, key)
	}
	delete(kv.old, "foo")
	if a := b.must(200, b.do("POST", rehashPath, "", "")); !strings.Contains(a.header.Get("Warning"), "Earlier versions") || len(kv.destroyed) != 0 {
		t.Errorf("without being asked: %v destroyed, header %v; want nothing, and a warning", kv.destroyed, a.header)
	}
	if got := kv.versions["plain"]; got != 4 {
		t.Fatalf("the version of the hashed record is %d, want 4", got)
	}
	a := b.must(200, b.form("POST", rehashPath, "destroy_old_versions=true"))
	want := map[string][]int{"plain": {1, 2, 3}, "hashed": {1, 2}, "deleted": {1, 2}}
	if diff := cmp.Diff(want, kv.destroyed); diff != "" {
		t.Errorf("destroyed: want (-), got (+):\n%s", diff)
	}
	if !strings.Contains(a.raw, `"versions_destroyed":7`) || !strings.Contains(a.raw, `"unusable":["broken"]`) || a.header.Get("Warning") != "" {
		t.Errorf("got %s, %v", a.raw, a.header)
	}
	if a := b.must(200, b.form("POST", rehashPath, "destroy_old_versions=true")); !strings.Contains(a.raw, `"versions_destroyed":0`) {
		t.Errorf("once more: %s, want nothing to be destroyed", a.raw)
	}
}

// TestRehashWarnsOfEarlierVersionsWhereThereAreSome: a warning that comes in any case is not
// read when it counts.
func TestRehashWarnsOfEarlierVersionsWhereThereAreSome(t *testing.T) {
	t.Parallel()
	record := func(secret string) []byte { return []byte(`{"access_token":"foo",` + secret + `}`) }
	hashed, plain := record(`"secret_token_sha256":"`+hexHash(strongSecret)+`"`), record(`"secret_token":"`+strongSecret+`"`)
	for _, tt := range []struct {
		name     string
		document []byte
		version  int
		kv       string
		warns    bool
	}{
		{"made as a hash", hashed, 1, "v2", false},
		{"hashed by this call", plain, 1, "v2", true},
		{"written again since it was made", hashed, 2, "v2", true},
		{"easy to guess, and stays as it is", record(`"secret_token":"x"`), 1, "v2", false},
		{"deleted, and could be brought back", nil, 1, "v2", true},
		{"a mount without versions", plain, 0, "v1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			kv := b.rehashable(t)
			b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "kv="+tt.kv+"&vault_token="+vaultToken))
			kv.documents["foo"], kv.versions["foo"], kv.listed = tt.document, tt.version, []string{"foo"}
			if tt.document == nil {
				delete(kv.documents, "foo")
			}
			a := b.must(200, b.do("POST", rehashPath, "", ""))
			warning := a.header.Get("Warning")
			if warns := strings.Contains(warning, "Earlier versions"); warns != tt.warns {
				t.Errorf("warning %q of %s, want one: %t", warning, a.raw, tt.warns)
			}
			if tt.warns && (!strings.Contains(warning, "destroy_old_versions") || !strings.Contains(warning, "--destroy-old-versions")) {
				t.Errorf("the warning %q names what to do for the API or for the command only", warning)
			}
		})
	}
}

// What is live when versions are destroyed stays, whatever was there when rehash first looked.
func TestRehashDestroysNoCurrentVersion(t *testing.T) {
	t.Parallel()
	hashed := []byte(`{"access_token":"foo","secret_token_sha256":"` + hexHash(strongSecret) + `"}`)
	plain := []byte(`{"access_token":"foo","secret_token":"` + otherSecret + `"}`)
	for _, tt := range []struct {
		name string
		// first is what rehash sees first, as one of versions; others is done before it
		// reads again.
		first     []byte
		versions  []int
		others    func(*archiveKV)
		want      []byte
		destroyed []int
		failed    bool
	}{
		{
			"it was deleted for good and created again, so that the numbers begin again", hashed,
			[]int{6, 7},
			func(k *archiveKV) { k.versions["foo"], k.old["foo"] = 1, []int{1} },
			hashed, nil, false,
		},
		{
			"a deletion was undone", nil,
			[]int{1, 2},
			func(k *archiveKV) { k.documents["foo"] = hashed },
			hashed,
			[]int{1},
			false,
		},
		{
			"a secret in clear text came back", nil,
			[]int{1, 2},
			func(k *archiveKV) { k.documents["foo"] = plain },
			plain, nil, true,
		},
		{
			"it was deleted meanwhile", hashed,
			[]int{1, 2},
			func(k *archiveKV) { delete(k.documents, "foo") },
			nil,
			[]int{1, 2},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			kv := b.rehashable(t)
			kv.listed = []string{"foo"}
			delete(kv.documents, "foo")
			if tt.first != nil {
				kv.documents["foo"] = tt.first
			}
			kv.old["foo"] = tt.versions
			kv.versions["foo"] = tt.versions[len(tt.versions)-1]
			reads := 0
			kv.beforeRead = func(k *archiveKV) {
				if reads++; reads == 2 {
					tt.others(k)
				}
			}
			a := b.must(200, b.form("POST", rehashPath, "destroy_old_versions=true"))
			if reads < 2 {
				t.Errorf("the record was read %d times, want it read again before anything is destroyed", reads)
			}
			if diff := cmp.Diff(tt.destroyed, kv.destroyed["foo"]); diff != "" {
				t.Errorf("destroyed: want (-), got (+):\n%s", diff)
			}
			if diff := cmp.Diff(string(tt.want), string(kv.documents["foo"])); diff != "" {
				t.Errorf("the record afterwards: want (-), got (+):\n%s", diff)
			}
			if failed := strings.Contains(a.raw, `"failed"`); failed != tt.failed {
				t.Errorf("failed = %t: %s", failed, a.raw)
			}
		})
	}
}

// A replica whose lease ended must not destroy anything.
func TestRehashDestroysNothingWithoutItsLease(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	kv := b.rehashable(t)
	kv.documents["foo"] = []byte(`{"access_token":"foo","secret_token_sha256":"` + hexHash(strongSecret) + `"}`)
	kv.old["foo"], kv.versions["foo"] = []int{1, 2}, 2
	b.api.deps.Leases = &fakeLeases{lose: attempts}
	a := b.must(200, b.form("POST", rehashPath, "destroy_old_versions=true"))
	if len(kv.destroyed) != 0 || !strings.Contains(a.raw, `"failed":[{"access_token":"foo"`) {
		t.Errorf("destroyed %v: %s", kv.destroyed, a.raw)
	}
}

// Somebody rotates with the tools of Vault between the read and the write of a rehash.
func TestRehashDoesNotUndoARotation(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	kv := &versionedKV{fakeKV: &fakeKV{documents: map[string][]byte{}, log: b.order}, versions: map[string]int{"foo": 1}}
	b.api.deps.Vaults = versionedVaults{kv}
	b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "secrets=hashed&kv=v2&vault_token="+vaultToken))
	kv.documents["foo"] = []byte(`{"access_token":"foo","secret_token":"` + otherSecret + `"}`)
	reads := 0
	var rotate func(versionedKV)
	rotate = func(k versionedKV) {
		if reads++; reads < 2 { // the first read is without the lease
			kv.between = rotate
			return
		}
		k.versions["foo"]++
		k.documents["foo"] = []byte(`{"access_token":"foo","secret_token":"` + strongSecret + `"}`)
	}
	kv.between = rotate
	b.must(200, b.do("POST", rehashPath, "", ""))
	d, err := schema.Decode(kv.documents["foo"])
	if err != nil || d.Text("secret_token_sha256") != hexHash(strongSecret) || d["secret_token"] != nil {
		t.Errorf("got %v, want the hash of the new secret", d)
	}
}

// A long list is done in the pages that the time of a call has room for.
func TestAPageOfARehashEndsInGoodTime(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config, _ *Dependencies) { c.Timeout = 200 * time.Millisecond })
	b.must(201, b.form("POST", "/vault-auth", vaultForm+"&secrets=hashed"))
	const entries = 3 * rehashAtOnce
	for i := range entries {
		b.put(fmt.Sprintf("t%04d", i), `{"secret_token":"`+strongSecret+`"}`)
	}
	b.kv[b.get("/vault-auth/kong-auth").text("id")].slow = 150 * time.Millisecond
	hashed, pages := 0, 0
	for next := rehashPath + "?size=1000"; next != "" && pages < entries; pages++ {
		a := b.must(200, b.do("POST", next, "", ""))
		hashed += int(a.body["data"].(map[string]any)["hashed"].(float64))
		next = a.text("next")
	}
	if pages < 2 || hashed != entries {
		t.Errorf("%d hashed on %d pages, want all of %d on several", hashed, pages, entries)
	}
}
