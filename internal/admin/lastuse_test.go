package admin

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// fakeUses is what is known of the last uses.
type fakeUses struct {
	used  map[string]time.Time
	since time.Time
	err   error
	// during, if it is not nil, is called while the last use of one is read.
	during func()
	// single and all count the calls.
	single, all int
}

var usesSince = time.Unix(1_542_762_000, 0)

func newFakeUses(used map[string]time.Time) *fakeUses { return &fakeUses{used: used, since: usesSince} }

func (f *fakeUses) Last(_ context.Context, accessToken string) (at, since time.Time, err error) {
	if f.during != nil {
		f.during()
	}
	if f.single++; f.err != nil {
		return time.Time{}, time.Time{}, f.err
	}
	return f.used[accessToken], f.since, nil
}

func (f *fakeUses) All(context.Context) (func(accessToken string) (at, since time.Time), error) {
	if f.all++; f.err != nil {
		return nil, f.err
	}
	return func(accessToken string) (at, since time.Time) { return f.used[accessToken], f.since }, nil
}

func TestAnswersSayWhenACredentialWasLastUsed(t *testing.T) {
	t.Parallel()
	// After the creation, whatever minute that is in.
	now := time.Now().Add(time.Hour).Truncate(time.Minute)
	uses := newFakeUses(map[string]time.Time{"used": now})
	b := newBench(t, func(_ *Config, d *Dependencies) {
		d.LastUsed = uses
		d.Explain = func(error) string { return "it is sealed" }
	})
	b.must(201, b.form("POST", "/vault-auth", vaultForm))
	b.must(201, b.form("POST", "/consumers", "username=alice"))
	const path = "/vault-auth/kong-auth/credentials"
	for _, token := range []string{"used", "unused"} {
		if a := b.must(201, b.form("POST", path+"/alice", "access_token="+token)); strings.Contains(a.raw, "last_used") {
			t.Errorf("the answer to a creation tells of a last use: %s", a.raw)
		}
	}
	const unused = `"last_used_at":null,`
	used := fmt.Sprintf(`"last_used_at":%d,`, now.Unix())
	for _, call := range []struct {
		answer answer
		has    []string
	}{
		{b.get(path + "/token/used"), []string{used, `"uses_known_since":1542762000`}},
		{b.get(path + "/token/unused"), []string{unused, `"uses_known_since":1542762000`}},
		{b.json("PATCH", path+"/token/used", `{"ttl": 30}`), []string{used}},
		{b.get(path), []string{used, unused}},
		{b.get("/consumers/alice/credentials"), []string{used, unused}},
	} {
		b.must(200, call.answer)
		for _, has := range call.has {
			if !strings.Contains(call.answer.raw, has) {
				t.Errorf("no %s in %s", has, call.answer.raw)
			}
		}
	}
	if uses.single != 3 || uses.all != 2 {
		t.Errorf("%d and %d reads for 3 credentials and 2 lists", uses.single, uses.all)
	}

	uses.err = authz.ErrUnavailable
	for _, call := range []answer{b.get(path + "/token/used"), b.get(path)} {
		b.must(200, call)
		if w := call.header.Get("Warning"); !strings.Contains(call.raw, unused) || !strings.Contains(call.raw, `"uses_known_since":null`) || !strings.Contains(w, "last used cannot be told: it is sealed") {
			t.Errorf("with the warning %q: %s", w, call.raw)
		}
	}
}

func TestAUseOfADeletedCredentialIsNotOneOfItsSuccessor(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.api.deps.LastUsed = newFakeUses(map[string]time.Time{"again": time.Now().Add(-2 * time.Minute).Truncate(time.Minute)})
	b.must(201, b.form("POST", credentials+"/alice", "access_token=again"))
	for _, path := range []string{credentials + "/token/again", credentials} {
		if a := b.must(200, b.get(path)); !strings.Contains(a.raw, `"last_used_at":null,`) {
			t.Errorf("%s has a use from before the creation: %s", path, a.raw)
		}
	}
}

func TestWhileNothingIsRecordedNoUseIsSaidToBeKnown(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	b.api.deps.LastUsed = &fakeUses{}
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo"))
	for _, path := range []string{credentials + "/token/foo", credentials} {
		a := b.must(200, b.get(path))
		if !strings.Contains(a.raw, `"uses_known_since":null`) {
			t.Errorf("%s: %s", path, a.raw)
		}
	}
}

// TestNothingIsLockedWhileTheLastUseIsRead: it may take as long as Vault does.
func TestNothingIsLockedWhileTheLastUseIsRead(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	uses, leases := newFakeUses(nil), oneLease{make(chan struct{}, 1)}
	b.api.deps.LastUsed, b.api.deps.Leases = uses, leases
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo"))
	called := false
	uses.during = func() {
		if called = true; len(leases.taken) > 0 {
			t.Error("the lease is held")
		}
		for i := range b.api.tokens {
			if l := &b.api.tokens[i]; l.TryLock() {
				l.Unlock()
			} else {
				t.Error("the credential is locked")
			}
		}
	}
	if b.must(200, b.json("PATCH", credentials+"/token/foo", `{"ttl": 30}`)); !called {
		t.Error("the last use was not read")
	}
}
