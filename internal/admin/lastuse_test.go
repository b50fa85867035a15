package admin

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

// fakeUses is what is known of the last uses.
type fakeUses struct {
	used map[string]time.Time
	err  error
	// single and all count the calls.
	single, all int
}

var usesSince = time.Unix(1_542_762_000, 0)

func (f *fakeUses) Last(_ context.Context, accessToken string) (at, since time.Time, err error) {
	if f.single++; f.err != nil {
		return time.Time{}, time.Time{}, f.err
	}
	return f.used[accessToken], usesSince, nil
}

func (f *fakeUses) All(context.Context) (func(accessToken string) (at, since time.Time), error) {
	if f.all++; f.err != nil {
		return nil, f.err
	}
	return func(accessToken string) (at, since time.Time) { return f.used[accessToken], usesSince }, nil
}

func TestAnswersSayWhenACredentialWasLastUsed(t *testing.T) {
	t.Parallel()
	uses := &fakeUses{used: map[string]time.Time{"used": time.Unix(1_550_539_860, 0)}}
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
	const used, unused = `"last_used_at":1550539860,`, `"last_used_at":null,`
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
