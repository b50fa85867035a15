package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/state"
)

// foo is the document of the credential foo in the only vault object.
func (b *bench) foo() schema.Document {
	b.Helper()
	for _, kv := range b.kv {
		if raw, found := kv.documents["foo"]; found {
			d, err := schema.Decode(raw)
			if err != nil {
				b.Fatal(err)
			}
			return d
		}
	}
	b.Fatal("there is no credential foo")
	return nil
}

// put writes a document as a person would, past the API.
func (b *bench) put(accessToken, raw string) {
	b.Helper()
	store, _ := b.Credentials(context.Background(), b.get("/vault-auth/kong-auth").text("id"), 0)
	store.(*fakeKV).documents[accessToken] = []byte(raw)
}

const credentials = "/vault-auth/kong-auth/credentials"

func TestCredentialsAreCreated(t *testing.T) {
	t.Parallel()
	apart(t, []step{
		{name: "for the consumer in the path", method: "POST", path: credentials + "/alice", status: 201, want: []string{`{"data":{`, `"secret_token":`, `"ttl":null`}},
		{name: "for the consumer in the body", method: "POST", path: credentials, contentType: typeJSON, body: `{"consumer":"alice"}`, status: 201},
		{name: "by username", method: "POST", path: credentials, contentType: typeForm, body: "consumer.username=alice", status: 201},
		{name: "with tokens of one's own", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=foo&secret_token=supersecretvalue", status: 201, want: []string{`"access_token":"foo"`, `"secret_token":"supersecretvalue"`}},
		{name: "ttl as json", method: "POST", path: credentials + "/alice", contentType: typeJSON, body: `{"ttl":86400}`, status: 201, want: []string{`"ttl":86400`}},
		{name: "ttl as a form field works here (Kong/kong#6766)", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "ttl=86400", status: 201, want: []string{`"ttl":86400`}},
		{name: "ttl is a number", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "ttl=20m", status: 400, want: []string{"ttl: expected an integer"}},
		{name: "limits", method: "POST", path: credentials + "/alice", contentType: typeJSON, body: `{"expires_at":1893456000,"not_before":5,"disabled":true}`, status: 201, want: []string{`"expires_at":1893456000`, `"not_before":5`, `"disabled":true`}},
		{name: "no consumer", method: "POST", path: credentials, status: 400, want: []string{"consumer: required field missing"}},
		{name: "an unknown consumer", method: "POST", path: credentials + "/nobody", status: 404, want: []string{"Not found"}},
		{name: "an unknown consumer in the body", method: "POST", path: credentials, contentType: typeForm, body: "consumer=nobody", status: 404},
		{name: "an unknown vault object", method: "POST", path: "/vault-auth/none/credentials/alice", status: 404},
		{name: "unknown field", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "x=1", status: 400, want: []string{"x: unknown field"}},
		{name: "a slash", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=a/b", status: 400, want: []string{"access_token: only"}},
		{name: "dots", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=..", status: 400},
		{name: "too long", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=" + strings.Repeat("x", 257), status: 400, want: []string{"length must be at most 256"}},
		{name: "a bad secret is not repeated", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "secret_token=my,secret", status: 400, want: []string{"secret_token: only visible ASCII"}, not: []string{"my,secret"}},
	})
}

func TestACredentialIsStoredAsKongWritesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := furnished(t)
		alice := b.get("/consumers/alice").text("id")
		b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=bar&ttl=60"))
		now := time.Now().Unix()
		want := schema.Document{"access_token": "foo", "secret_token": "bar", "ttl": int64(60), "consumer": schema.Document{"id": alice}, "created_at": now, "updated_at": now}
		if diff := cmp.Diff(want, b.foo()); diff != "" {
			t.Errorf("document: want (-), got (+):\n%s", diff)
		}
	})
}

func TestSecretsAreShownOnce(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=supersecretvalue"))
	b.must(201, b.form("POST", credentials+"/token/foo/rotate", "secret_token=nextsecretvalue"))
	secrets := []string{"supersecretvalue", "nextsecretvalue"}
	for _, s := range []step{
		{name: "one", method: "GET", path: credentials + "/token/foo", status: 200, want: []string{`{"data":{`, `"access_token":"foo"`, "previous_expires_at"}},
		{name: "list", method: "GET", path: credentials, status: 200, want: []string{`"access_token":"foo"`, `"next":null`}},
		{name: "of a consumer", method: "GET", path: "/consumers/alice/credentials", status: 200, want: []string{`"access_token":"foo"`, `"name":"kong-auth"`}},
		{name: "of another consumer", method: "GET", path: "/consumers/bob/credentials", status: 200, want: []string{`{"data":[],"next":null}`}},
		{name: "of nobody", method: "GET", path: "/consumers/nobody/credentials", status: 404},
		{name: "patch", method: "PATCH", path: credentials + "/token/foo", contentType: typeForm, body: "disabled=true", status: 200, want: []string{`"disabled":true`}},
		{name: "none", method: "GET", path: credentials + "/token/none", status: 404},
		{name: "rotate none", method: "POST", path: credentials + "/token/none/rotate", status: 404},
		{name: "patch none", method: "PATCH", path: credentials + "/token/none", contentType: typeForm, body: "disabled=true", status: 404},
		{name: "no other path", method: "GET", path: credentials + "/token/a%2Fb", status: 404},
		{name: "no path up", method: "DELETE", path: credentials + "/token/%2e%2e", status: 404},
	} {
		s.not = secrets
		s.run(b)
	}
	for _, line := range append(b.audit.All(), b.log.All()...) {
		raw, err := json.Marshal(line.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range append(secrets, `"foo"`, vaultToken) {
			if strings.Contains(string(raw), secret) {
				t.Errorf("a log line has %q: %s", secret, raw)
			}
		}
	}
}

func TestAnotherConsumersAccessTokenIsNotOverwritten(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=hers"))
	for _, s := range []step{
		{name: "taken", method: "POST", path: credentials + "/bob", contentType: typeForm, body: "access_token=foo&secret_token=his", status: 409, want: []string{`"code":5`, `{access_token=\"foo\"}`}},
		{name: "one's own is replaced", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=foo&secret_token=new", status: 201, want: []string{`"secret_token":"new"`}},
	} {
		s.run(b)
	}
	if got := b.foo().Text("secret_token"); got != "new" {
		t.Errorf("secret: got %q, want new", got)
	}
}

func TestASecretThatIsInUseIsReplacedOnlyWhereThatIsMeant(t *testing.T) {
	t.Parallel()
	const inPath, inBody = credentials + "/alice", credentials
	exists := []string{`"code":5`, "with this access token exists", "use rotate"}
	for _, tt := range []struct {
		step
		secret string
	}{
		{step{name: "created without a secret", path: inBody, body: `{"consumer":"alice","access_token":"foo"}`, status: 409, want: exists}, "inuse"},
		{step{name: "created with another secret", path: inBody, body: `{"consumer":"alice","access_token":"foo","secret_token":"other"}`, status: 409, want: exists}, "inuse"},
		{step{name: "created with the secret that it has", path: inBody, body: `{"consumer":"alice","access_token":"foo","secret_token":"inuse"}`, status: 201}, "inuse"},
		{step{name: "Kong's upsert without a secret", path: inPath, body: `{"access_token":"foo"}`, status: 409, want: exists}, "inuse"},
		{step{name: "Kong's upsert with null for a secret", path: inPath, body: `{"access_token":"foo","secret_token":null}`, status: 409, want: exists}, "inuse"},
		{step{name: "Kong's upsert with a secret", path: inPath, body: `{"access_token":"foo","secret_token":"other"}`, status: 201}, "other"},
		{step{name: "in a batch that is sent again", path: "/batch", body: `{"operations":[{"method":"POST","path":"` + inPath + `","body":{"access_token":"foo","secret_token":"inuse"}}]}`, status: 200, want: []string{`"status":201`}}, "inuse"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			b.must(201, b.form("POST", inPath, "access_token=foo&secret_token=inuse"))
			tt.method, tt.contentType = "POST", typeJSON
			if tt.status == 409 {
				tt.not = []string{`foo`, "inuse", "other"}
			}
			tt.run(b)
			if got := b.foo().Text("secret_token"); got != tt.secret {
				t.Errorf("secret: got %q, want %q", got, tt.secret)
			}
		})
	}
}

func TestCreatingAgainDoesNotBringBackWhatWasDisabled(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=bar&disabled=true&expires_at=5"))
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=other"))
	if d := b.foo(); !d.Yes("disabled") || d.Number("expires_at") != 5 {
		t.Errorf("got %v, want it disabled and expired still", d)
	}
	b.must(201, b.json("POST", credentials+"/alice", `{"access_token":"foo","secret_token":"other","disabled":false,"expires_at":null}`))
	if d := b.foo(); d.Yes("disabled") || d["expires_at"] != nil {
		t.Errorf("got %v, want no limits", d)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		grace      int64
	}{
		{"an hour unless it is said", "", 3600},
		{"so long as it is said", "grace=60", 60},
		{"at once", "grace=0", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := furnished(t)
				alice := b.get("/consumers/alice").text("id")
				b.put("foo", `{"access_token":"foo","secret_token":"old","consumer":{"id":"`+alice+`"},"note":{"by":["hand",7]},"ttl":"30m"}`)
				contentType := ""
				if tt.body != "" {
					contentType = typeForm
				}
				a := b.must(201, b.do("POST", credentials+"/token/foo/rotate", contentType, tt.body))
				now := time.Now().Unix()
				secret := a.text("data.secret_token")
				want := schema.Document{"access_token": "foo", "secret_token": secret, "consumer": schema.Document{"id": alice}, "note": schema.Document{"by": []any{"hand", json.Number("7")}}, "ttl": "30m", "updated_at": now}
				if tt.grace > 0 {
					want["previous_secret_token"], want["previous_expires_at"] = "old", now+tt.grace
				}
				if diff := cmp.Diff(want, b.foo()); diff != "" || len(secret) != 32 {
					t.Errorf("document: want (-), got (+):\n%s", diff)
				}
				if strings.Contains(a.raw, "hand") || strings.Contains(a.raw, `"old"`) {
					t.Errorf("the answer has more than it should: %s", a.raw)
				}
			})
		})
	}
}

func TestARotationToASecretOfOnesOwnCanBeRepeated(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=old"))
	for range 2 {
		b.must(201, b.form("POST", credentials+"/token/foo/rotate", "secret_token=new"))
	}
	if d := b.foo(); d.Text("secret_token") != "new" || d.Text("previous_secret_token") != "old" {
		t.Errorf("got %v, want new, and old for the grace", d)
	}
}

func TestARotationWithinTheGraceOfAnotherIsRefusedUnlessItIsForced(t *testing.T) {
	t.Parallel()
	const rotate = credentials + "/token/foo/rotate"
	for _, tt := range []struct {
		step
		// first is the rotation before, and passed the time between.
		first    string
		passed   time.Duration
		previous string
	}{
		{step{name: "within", body: "", status: 409, want: []string{"good for another 9m0s, until 2000-01-01T00:10:00Z", `"previous_expires_at":946685400`}}, "grace=600", time.Minute, "one"},
		{step{name: "within, without a grace", body: "grace=0", status: 409}, "grace=600", time.Minute, "one"},
		{step{name: "within, for a secret of one's own", body: "secret_token=three", status: 409}, "grace=600", time.Minute, "one"},
		{step{name: "within, for the secret that it has", body: "secret_token=two", status: 201}, "grace=600", time.Minute, "one"},
		{step{name: "within, and forced", body: "force=true", status: 201}, "grace=600", time.Minute, "two"},
		{step{name: "after", body: "", status: 201}, "grace=600", 10 * time.Minute, "two"},
		{step{name: "after one without a grace", body: "", status: 201}, "grace=0", 0, "two"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := furnished(t)
				b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=one"))
				b.must(201, b.form("POST", rotate, "secret_token=two&"+tt.first))
				time.Sleep(tt.passed)
				tt.method, tt.path, tt.contentType = "POST", rotate, typeForm
				if tt.status == 409 {
					tt.not = []string{`"one`, `"two`, "three"}
				}
				tt.run(b)
				if got := b.foo().Text("previous_secret_token"); got != tt.previous {
					t.Errorf("previous secret: got %q, want %q", got, tt.previous)
				}
			})
		})
	}
}

// toldError is one whose text may be told.
type toldError struct{ error }

func TestACallerIsToldWhyAStoreIsUnavailableIfThatMayBeTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *Config, d *Dependencies) {
		d.Explain = func(err error) string {
			var told toldError
			if errors.As(err, &told) {
				return told.Error()
			}
			return ""
		}
	})
	b.must(201, b.form("POST", "/vault-auth", vaultForm))
	b.must(201, b.form("POST", "/consumers", "username=alice"))
	id := b.get("/vault-auth/kong-auth").text("id")
	for _, s := range []step{
		{name: "one", method: "GET", path: credentials + "/token/foo"},
		{name: "all", method: "GET", path: credentials},
		{name: "those of a consumer", method: "GET", path: "/consumers/alice/credentials"},
		{name: "a creation", method: "POST", path: credentials + "/alice"},
		{name: "in a batch", method: "POST", path: "/batch", contentType: typeJSON, body: `{"operations":[{"method":"DELETE","path":"` + credentials + `/token/foo"}]}`},
	} {
		s.status = 503
		if s.path == "/batch" {
			s.status = 200
		}
		b.kv[id] = &fakeKV{documents: map[string][]byte{"foo": []byte("{}")}, log: b.order, err: fmt.Errorf("s.secret: %w", toldError{errors.New("the server is sealed")})}
		s.want, s.not = []string{`unavailable: the server is sealed; the call may be repeated`, `"cause":"the server is sealed"`}, []string{"s.secret"}
		s.run(b)
		b.kv[id].err = errors.New("s.secret")
		s.want, s.not = []string{"unavailable; the call may be repeated"}, []string{"s.secret", "cause"}
		s.run(b)
	}
}

// farKV answers readings late, so that others come in between. It has no versions.
type farKV struct{ *fakeKV }

func (k farKV) Read(ctx context.Context, key string) ([]byte, bool, error) {
	d, found, err := k.fakeKV.Read(ctx, key)
	time.Sleep(time.Millisecond)
	return d, found, err
}

func (k farKV) Credentials(context.Context, string, int) (credential.Store, error) { return k, nil }
func (farKV) Validate(entities.VaultObject) error                                  { return nil }

// oneLease is shared by replicas.
type oneLease struct{ taken chan struct{} }

func (o oneLease) LeaseCredential(ctx context.Context, key string, do func(func(context.Context, func(context.Context) error) error) error) error {
	o.taken <- struct{}{}
	defer func() { <-o.taken }()
	return (&fakeLeases{}).LeaseCredential(ctx, key, do)
}

// replicas are two APIs on the same stores, without versions.
func replicas(t *testing.T) (one, two *bench, kv *fakeKV) {
	t.Helper()
	one, two = furnished(t), newBench(t)
	kv = &fakeKV{documents: map[string][]byte{}, log: one.order}
	leases := oneLease{make(chan struct{}, 1)}
	for _, b := range []*bench{one, two} {
		b.api.deps.Store, b.api.deps.Vaults, b.api.deps.Leases = one.store, farKV{kv}, leases
	}
	return one, two, kv
}

func TestOneOfTwoReplicasCreatesAnAccessTokenWithoutVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two, _ := replicas(t)
		var a, b answer
		var wg sync.WaitGroup
		wg.Go(func() { a = one.form("POST", credentials+"/alice", "access_token=foo") })
		wg.Go(func() { b = two.form("POST", credentials+"/bob", "access_token=foo") })
		wg.Wait()
		if a.status+b.status != 201+409 {
			t.Errorf("got %d and %d, want a 201 and a 409", a.status, b.status)
		}
	})
}

// Whatever the other replica is in the middle of, a revoked secret is gone.
func TestNoChangeOnOneReplicaBringsBackWhatIsRevokedOnAnother(t *testing.T) {
	t.Parallel()
	changes := []step{
		{name: "rotation", method: "POST", path: credentials + "/token/foo/rotate", contentType: typeForm, body: "grace=60"},
		{name: "limits", method: "PATCH", path: credentials + "/token/foo", contentType: typeForm, body: "ttl=5"},
		{name: "creation for its consumer", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=foo&secret_token=new&ttl=5"},
	}
	revocations := []step{
		{name: "deletion", method: "DELETE", path: credentials + "/token/foo"},
		{name: "rotation without grace", method: "POST", path: credentials + "/token/foo/rotate", contentType: typeForm, body: "grace=0"},
		{name: "disabling", method: "PATCH", path: credentials + "/token/foo", contentType: typeForm, body: "disabled=true"},
	}
	for _, c := range changes {
		for _, r := range revocations {
			t.Run(c.name+" and "+r.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					one, two, kv := replicas(t)
					one.must(201, one.form("POST", credentials+"/alice", "access_token=foo&secret_token=old"))
					var wg sync.WaitGroup
					wg.Go(func() { one.do(c.method, c.path, c.contentType, c.body) })
					wg.Go(func() { two.do(r.method, r.path, r.contentType, r.body) })
					wg.Wait()
					raw, found := kv.documents["foo"]
					d := schema.Document{}
					if found {
						d, _ = schema.Decode(raw)
					}
					// Either order will do. A rotation after the other one keeps
					// the secret before it for its own grace.
					if found && !d.Yes("disabled") && d.Text("secret_token") == "old" {
						t.Errorf("got %s, want it deleted, disabled or with another secret", raw)
					}
				})
			})
		}
	}
}

func TestALostTurnIsTakenAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		step
		lose int
	}{
		{step{name: "created", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=foo", status: 201}, 2},
		{step{name: "deleted", method: "DELETE", path: credentials + "/token/bar", status: 204}, 2},
		{step{name: "rotated", method: "POST", path: credentials + "/token/bar/rotate", status: 201}, 2},
		{step{name: "over and over", method: "DELETE", path: credentials + "/token/bar", status: 409, want: []string{"by somebody else"}}, 1000},
	} {
		b := furnished(t)
		b.must(201, b.form("POST", credentials+"/alice", "access_token=bar"))
		b.audit.TakeAll()
		b.api.deps.Leases = &fakeLeases{lose: tt.lose}
		tt.run(b)
		if lines := len(b.ended()) - b.audit.FilterField(zap.String("outcome", outcomeNotMade)).Len(); lines > 1 || tt.status == 409 && lines > 0 {
			t.Errorf("%s: got %d audit lines, want one for what was done", tt.name, lines)
		}
	}
}

// Two calls to one replica need not even wait for leases.
func TestOneOfManyCreationsOfAnAccessTokenWins(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	for i := range 40 {
		who := []string{"alice", "bob"}[i%2]
		wg.Go(func() {
			a := b.form("POST", credentials+"/"+who, "access_token=foo")
			mu.Lock()
			defer mu.Unlock()
			if a.status == 201 {
				won[who]++
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("got %v, want one consumer to have it", won)
	}
}

// versionedKV has versions; between runs after the next reading.
type versionedKV struct {
	*fakeKV
	versions map[string]int
	between  func(versionedKV)
}

func (k *versionedKV) ReadVersion(ctx context.Context, key string) ([]byte, int, bool, error) {
	d, found, err := k.Read(ctx, key)
	version := k.versions[key]
	if f := k.between; f != nil {
		k.between = nil
		f(*k)
	}
	return d, version, found, err
}

func (k *versionedKV) WriteVersion(ctx context.Context, key string, document []byte, version int) (int, bool, error) {
	if k.versions[key] != version {
		return 0, false, nil
	}
	k.versions[key]++
	return k.versions[key], true, k.Write(ctx, key, document)
}

type versionedVaults struct{ kv *versionedKV }

func (v versionedVaults) Credentials(context.Context, string, int) (credential.Store, error) {
	return v.kv, nil
}
func (versionedVaults) Validate(entities.VaultObject) error { return nil }

func TestAStoreWithVersionsDecidesBetweenTheAPIAndOthers(t *testing.T) {
	t.Parallel()
	theirs := func(k versionedKV) {
		k.versions["foo"]++
		k.documents["foo"] = []byte(`{"access_token":"foo","secret_token":"theirs"}`)
	}
	deleted := func(k versionedKV) {
		delete(k.documents, "foo")
		k.versions["foo"] = 0
	}
	for _, tt := range []struct {
		step
		exists bool
		other  func(versionedKV)
	}{
		{step{name: "both create", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=foo", status: 409, want: []string{"UNIQUE violation"}}, false, theirs},
		{step{name: "a rotation does not bring back what was deleted", method: "POST", path: credentials + "/token/foo/rotate", status: 404}, true, deleted},
		{step{name: "nor does a change of limits", method: "PATCH", path: credentials + "/token/foo", contentType: typeForm, body: "ttl=5", status: 404}, true, deleted},
		{step{name: "nobody else", method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=foo&secret_token=new", status: 201}, true, nil},
	} {
		b := furnished(t)
		kv := &versionedKV{fakeKV: &fakeKV{documents: map[string][]byte{}, log: b.order}, versions: map[string]int{}}
		b.api.deps.Vaults = versionedVaults{kv}
		b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "kv=v2&vault_token="+vaultToken))
		if tt.exists {
			b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=old"))
		}
		kv.between = tt.other
		tt.run(b)
		if raw := kv.documents["foo"]; tt.other != nil && strings.Contains(string(raw), "ttl") || tt.exists && tt.other != nil && raw != nil {
			t.Errorf("%s: got %s", tt.name, raw)
		}
	}
}

// misledKV refuses the next write if it is armed, though it made that if made is set. Then
// it shows what was there before while stale is set, or fails if it is broken.
type misledKV struct {
	*versionedKV
	armed, made, broken bool
	stale               *misledRecord
}

type misledRecord struct {
	document []byte
	version  int
}

func (k *misledKV) Credentials(context.Context, string, int) (credential.Store, error) { return k, nil }

func (*misledKV) Validate(entities.VaultObject) error { return nil }

func (k *misledKV) WriteVersion(ctx context.Context, key string, document []byte, version int) (int, bool, error) {
	if !k.armed {
		return k.versionedKV.WriteVersion(ctx, key, document, version)
	}
	k.armed, k.stale = false, &misledRecord{k.documents[key], k.versions[key]}
	if k.made {
		_, _, _ = k.versionedKV.WriteVersion(ctx, key, document, version)
	}
	if k.broken {
		k.err = errors.New("connection refused")
	}
	return 0, false, nil
}

func (k *misledKV) ReadVersion(ctx context.Context, key string) ([]byte, int, bool, error) {
	if k.stale != nil && k.err == nil {
		return k.stale.document, k.stale.version, k.stale.document != nil, nil
	}
	return k.versionedKV.ReadVersion(ctx, key)
}

// syncedStore tells when it is refreshed.
type syncedStore struct {
	*fakeStore
	refresh func() error
}

func (s syncedStore) Refresh(context.Context) error { return s.refresh() }

// doubtedLeases keeps whether the last lease ended in doubt.
type doubtedLeases struct {
	fakeLeases
	doubt bool
}

func (l *doubtedLeases) LeaseCredential(ctx context.Context, key string, do func(func(context.Context, func(context.Context) error) error) error) error {
	return l.fakeLeases.LeaseCredential(ctx, key, func(commit func(context.Context, func(context.Context) error) error) error {
		return do(func(ctx context.Context, write func(context.Context) error) error {
			err := commit(ctx, write)
			l.doubt = err != nil && !errors.Is(err, state.ErrConflict)
			return err
		})
	})
}

// A write that a store refused by mistake was made: "not made" needs a proof.
func TestAWriteIsNotMadeOnlyIfThatIsProved(t *testing.T) {
	t.Parallel()
	rotate := step{method: "POST", path: credentials + "/token/foo/rotate"}
	create := step{method: "POST", path: credentials + "/alice", contentType: typeForm, body: "access_token=new&secret_token=new"}
	for _, tt := range []struct {
		name   string
		change step
		status int
		// made: the write was made; broken: reads fail afterwards; lags: they are old even
		// after a refresh, whose error is refresh.
		made, broken, lags bool
		refresh            error
		outcomes           []string
	}{
		{name: "rotation, and a read that is current after a refresh", change: rotate, status: 201, made: true, outcomes: []string{"intended", "done"}},
		{name: "rotation, and reads fail", change: rotate, status: 503, made: true, broken: true, outcomes: []string{"intended", "unknown"}},
		{name: "rotation, and the refresh fails", change: rotate, status: 503, made: true, refresh: authz.ErrUnavailable, outcomes: []string{"intended", "unknown"}},
		{name: "rotation, and reads stay old", change: rotate, status: 503, made: true, lags: true, outcomes: []string{"intended", "unknown"}},
		{name: "creation, and a read that is current after a refresh", change: create, status: 201, made: true, outcomes: []string{"intended", "done"}},
		{name: "creation, and reads fail", change: create, status: 503, made: true, broken: true, outcomes: []string{"intended", "unknown"}},
		{name: "creation, and reads stay old", change: create, status: 503, made: true, lags: true, outcomes: []string{"intended", "unknown"}},
		{name: "a store that refuses what it should take", change: rotate, status: 503, outcomes: []string{"intended", "unknown"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			kv := &misledKV{versionedKV: &versionedKV{fakeKV: &fakeKV{documents: map[string][]byte{}, log: b.order}, versions: map[string]int{}}}
			leases := &doubtedLeases{}
			b.api.deps.Vaults, b.api.deps.Leases = kv, leases
			b.api.deps.Store = syncedStore{b.store, func() error {
				if kv.stale == nil {
					return nil
				}
				if !tt.lags {
					kv.stale = nil
				}
				return tt.refresh
			}}
			b.must(200, b.form("PATCH", "/vault-auth/kong-auth", "kv=v2&vault_token="+vaultToken))
			b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=old"))
			b.audit.TakeAll()
			kv.armed, kv.made, kv.broken = true, tt.made, tt.broken
			// A second attempt cannot write its intent.
			intents := 0
			b.auditor.fail = func(outcome string) bool {
				if outcome == outcomeIntended {
					intents++
				}
				return intents > 1
			}
			a := b.do(tt.change.method, tt.change.path, tt.change.contentType, tt.change.body)
			if a.status != tt.status || strings.Contains(a.raw, "Nothing was changed") {
				t.Errorf("got %d, want %d: %s", a.status, tt.status, a.raw)
			}
			var outcomes []string
			for _, line := range b.audit.All() {
				outcomes = append(outcomes, line.ContextMap()["outcome"].(string))
			}
			if diff := cmp.Diff(tt.outcomes, outcomes); diff != "" {
				t.Errorf("audit: want (-), got (+):\n%s", diff)
			}
			if want := tt.status == 503; leases.doubt != want {
				t.Errorf("the lease is in doubt: %t, want %t", leases.doubt, want)
			}
			if secret := a.text("data.secret_token"); tt.status == 201 && !strings.Contains(string(kv.documents[a.text("data.access_token")]), `"secret_token":"`+secret+`"`) {
				t.Error("the answer has another secret than the store")
			}
		})
	}
}

func TestARevocationIsAnnouncedBeforeAndAppliedAfterItIsWritten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, method, path, body, write string }{
		{"deletion", "DELETE", credentials + "/token/foo", "", "delete"},
		{"rotation", "POST", credentials + "/token/foo/rotate", "grace=0", "write"},
		{"disabling", "PATCH", credentials + "/token/foo", "disabled=true", "write"},
		{"deletion of what is gone from the store but may be in a cache", "DELETE", credentials + "/token/gone", "", "delete"},
		{"deletion of what is no credential", "DELETE", credentials + "/token/broken", "", "delete"},
	} {
		b := furnished(t)
		b.must(201, b.form("POST", credentials+"/alice", "access_token=foo"))
		b.put("broken", "[]")
		b.order.events = nil
		contentType := ""
		if tt.body != "" {
			contentType = typeForm
		}
		b.do(tt.method, tt.path, contentType, tt.body)
		if diff := cmp.Diff([]string{"announce credentials", tt.write, "applied credentials"}, b.order.events); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", tt.name, diff)
		}
	}
}

func TestRecordsMadeByHandAreShownAsTheyAreUnderstood(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	alice := b.get("/consumers/alice").text("id")
	b.put("hand", `{"access_token":"hand","secret_token":"s3cr3tvalue","consumer":{"id":"`+strings.ToUpper(alice)+`"},"ttl":"30m","expires_at":"2030-01-01T00:00:00Z","password":"p4ssw0rd"}`)
	b.put("broken", `"s3cr3tvalue"`)
	b.put("folder/", `{}`)
	hidden := []string{"s3cr3tvalue", "p4ssw0rd", "folder"}
	for _, s := range []step{
		{name: "list", method: "GET", path: credentials, status: 200, want: []string{`"access_token":"hand"`, `"access_token":"broken"`, `"ttl":1800`, `"expires_at":1893456000`}, not: hidden},
		{name: "of a consumer", method: "GET", path: "/consumers/alice/credentials", status: 200, want: []string{`"access_token":"hand"`}, not: append(hidden, "broken")},
		{name: "broken", method: "GET", path: credentials + "/token/broken", status: 409, want: []string{"not a credential"}, not: hidden},
		{name: "broken is deleted", method: "DELETE", path: credentials + "/token/broken", status: 204},
	} {
		s.run(b)
	}
}

func TestPagesOfCredentials(t *testing.T) {
	t.Parallel()
	for _, path := range []string{credentials, "/consumers/alice/credentials"} {
		b := furnished(t)
		for i := range 21 {
			b.must(201, b.form("POST", credentials+"/alice", fmt.Sprintf("access_token=t%02d", i)))
			b.must(201, b.form("POST", credentials+"/bob", fmt.Sprintf("access_token=b%02d", i)))
		}
		seen := map[string]bool{}
		for next := path + "?size=10"; next != ""; {
			a := b.must(200, b.get(next))
			for _, item := range a.body["data"].([]any) {
				token := item.(map[string]any)["access_token"].(string)
				if seen[token] {
					t.Errorf("%s: %s is on two pages", path, token)
				}
				seen[token] = true
			}
			next = a.text("next")
		}
		want := 42
		if path != credentials {
			want = 21
		}
		if len(seen) != want {
			t.Errorf("%s: got %d credentials, want %d", path, len(seen), want)
		}
	}
}

// TestACredentialThatCannotBeUsedIsMadeWithAWarning: the call does what it says, and the client
// that is refused cannot tell why.
func TestACredentialThatCannotBeUsedIsMadeWithAWarning(t *testing.T) {
	t.Parallel()
	now := time.Now().Unix()
	at := func(expires, begins int64) string {
		form := ""
		if expires != 0 {
			form += fmt.Sprintf("&expires_at=%d", now+expires)
		}
		if begins != 0 {
			form += fmt.Sprintf("&not_before=%d", now+begins)
		}
		return form
	}
	const expired, never = "expired already", "never accepted"
	for _, tt := range []struct {
		name, form, want string
	}{
		{"no limits", "ttl=5", ""},
		{"expires later", at(3600, 0), ""},
		{"begins later", at(0, 3600), ""},
		{"a window that is to come", at(7200, 3600), ""},
		{"expired a moment ago", at(-1, 0), expired},
		{"expired, and began before", at(-3600, -7200), expired},
		{"ends before it begins", at(3600, 7200), never},
		{"ends when it begins", at(3600, 3600), never},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := furnished(t)
			want := func(how string, a answer) {
				t.Helper()
				if got := a.header.Get("Warning"); (got != "") != (tt.want != "") || !strings.Contains(got, tt.want) {
					t.Errorf("%s: warning %q, want %q", how, got, tt.want)
				}
			}
			form := strings.TrimPrefix(tt.form, "&")
			want("created", b.must(201, b.form("POST", credentials+"/alice", "access_token=new&"+form)))
			b.must(201, b.form("POST", credentials+"/alice", "access_token=old"))
			want("changed", b.must(200, b.form("PATCH", credentials+"/token/old", form)))
		})
	}
	t.Run("a call that is not about the limits", func(t *testing.T) {
		t.Parallel()
		b := furnished(t)
		b.must(201, b.form("POST", credentials+"/alice", "access_token=old"+at(-3600, 0)))
		for _, form := range []string{"disabled=true", "expires_at="} {
			if a := b.must(200, b.form("PATCH", credentials+"/token/old", form)); a.header.Get("Warning") != "" {
				t.Errorf("%s: header %v, want no warning", form, a.header)
			}
		}
	})
}
