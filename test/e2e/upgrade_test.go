package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestVersionsRunSideBySideDuringAnUpgrade replaces a replica of the version that kept each
// record in an entry of its own. EARLIER_VAULT_AUTHZ names its binary; without it the test
// is skipped.
//
// It measures times, so no test runs in parallel with it.
//
//nolint:paralleltest // see above
func TestVersionsRunSideBySideDuringAnUpgrade(t *testing.T) {
	earlier := os.Getenv("EARLIER_VAULT_AUTHZ")
	if earlier == "" {
		t.Skip("EARLIER_VAULT_AUTHZ is not set: `make upgrade` builds the earlier version and runs this")
	}
	for _, bao := range []bool{false, true} {
		name := "Vault"
		if bao {
			name = "OpenBao"
		}
		t.Run(name, func(t *testing.T) {
			partstest.Need(t, "BAO_BIN")
			upgrade(t, earlier, newDeploymentWith(t, 0, setup{durable: !bao, openBao: bao, entities: nothingButTheState}))
		})
	}
}

func upgrade(t *testing.T, earlier string, s *deployment) {
	t.Helper()
	old := s.start(t, earlier)
	s.createEntities(t, mountV1, parts.KVv1)
	for i := range 100 {
		old.admin(t, 201, "POST", "/consumers", fmt.Sprintf("username=user-%d", i), "tags=all")
	}
	old.admin(t, 201, "POST", "/consumers/"+operator+"/acls", "group=staff")

	binary, err := suite.service.Build()
	must(t, err)
	began := time.Now()
	now := s.start(t, binary)
	t.Logf("the new replica was ready after %s", time.Since(began).Round(time.Millisecond))
	if got := now.admin(t, 200, "GET", "/consumers?tags=all&size=1000"); len(got.body["data"].([]any)) != 100 {
		t.Fatalf("the new replica has %d consumers by their tag, want 100", len(got.body["data"].([]any)))
	}
	pairs := s.putPairs(t, 60)
	for _, r := range []*replica{old, now} {
		parallel(len(pairs), 8, func(i int) { r.awaitAllowed(t, pairs[i]) })
	}
	s.revocations(t, "old to new", old, now, pairs[:25])
	s.revocations(t, "new to old", now, old, pairs[25:50])
	kept := pairs[50]
	for name, two := range map[string][2]*replica{"old to new": {old, now}, "new to old": {now, old}} {
		s.entities(t, name, two[0], two[1], kept)
	}
	s.folder(t, now, old, kept)

	// The last old replica stops, another new one starts, and the old one starts again.
	old.Stop(5 * time.Second)
	now.admin(t, 201, "POST", "/consumers", "username=after the old one")
	other := s.start(t, binary)
	other.awaitAllowed(t, kept)
	other.admin(t, 200, "GET", "/consumers/after%20the%20old%20one")
	s.revocations(t, "new to new", now, other, pairs[51:55])
	back := s.start(t, earlier)
	back.admin(t, 200, "GET", "/consumers/after%20the%20old%20one")
	back.awaitAllowed(t, kept)
	s.revocations(t, "new to old that was put back", other, back, pairs[55:])
}

// revocations revokes pairs through one replica and measures for how long another one still
// allows them.
func (s *deployment) revocations(t *testing.T, name string, through, on *replica, pairs []pair) {
	t.Helper()
	held := make([]time.Duration, len(pairs))
	for i, p := range pairs {
		on.awaitAllowed(t, p)
		must(t, through.revoke(t.Context(), p))
		held[i] = awaitWithinLimit(t, fmt.Sprintf("%s: a revoked pair is denied", name), func(ctx context.Context) bool {
			a, err := on.ask(ctx, p)
			return err == nil && !a.Allowed
		})
	}
	slices.Sort(held)
	t.Logf("%s: %d revocations hold after %s (median), %s at the latest", name, len(held), held[len(held)/2].Round(time.Millisecond), held[len(held)-1].Round(time.Millisecond))
}

// entities changes consumers, groups and policies through one replica and measures when
// another one knows the changes.
func (s *deployment) entities(t *testing.T, name string, through, on *replica, p pair) {
	t.Helper()
	var worst time.Duration
	holds := func(what string, is func(ctx context.Context) bool) {
		worst = max(worst, awaitWithinLimit(t, name+": "+what, is))
	}
	answers := func(path string, status int) func(context.Context) bool {
		return func(ctx context.Context) bool {
			got, err := on.do(ctx, "GET", path)
			return err == nil && got.status == status
		}
	}
	status := func(want int) func(context.Context) bool {
		return func(ctx context.Context) bool {
			a, err := on.ask(ctx, p)
			return err == nil && (a.Allowed && want == 200 || !a.Allowed && a.Status == want)
		}
	}
	user := "side-" + rand.Text()
	id := through.admin(t, 201, "POST", "/consumers", "username="+user).text("id")
	holds("a consumer is there", answers("/consumers/"+user, 200))
	through.admin(t, 200, "PATCH", "/consumers/"+id, "username="+user+"-renamed")
	holds("a renamed consumer is there", answers("/consumers/"+user+"-renamed", 200))
	// The other replica must refuse the name.
	if got, err := on.do(t.Context(), "POST", "/consumers", "username="+user+"-renamed"); err != nil || got.status != http.StatusConflict {
		t.Errorf("%s: a name that is taken is not refused: %d, %v", name, got.status, err)
	}
	through.admin(t, 204, "DELETE", "/consumers/"+id)
	holds("a deleted consumer is gone", answers("/consumers/"+id, 404))

	plugin := through.admin(t, 201, "POST", "/plugins", "name=acl", "config.allow=chiefs").text("id")
	holds("a group is required", status(403))
	group := on.admin(t, 201, "POST", "/consumers/"+operator+"/acls", "group=chiefs").text("id")
	through.awaitAllowed(t, p)
	through.admin(t, 204, "DELETE", "/consumers/"+operator+"/acls/"+group)
	holds("a group was taken away", status(403))
	through.admin(t, 200, "PATCH", "/plugins/"+plugin, "config.allow=staff")
	holds("another group is required", status(200))
	through.admin(t, 204, "DELETE", "/plugins/"+plugin)
	holds("no group is required", answers("/plugins/"+plugin, 404))
	t.Logf("%s: changes of consumers, groups and policies hold after %s at the latest", name, worst.Round(time.Millisecond))
}

// folder creates a vault object with a folder of a mount, and asks both versions about a pair
// outside of the folder. The earlier version does not know folders.
func (s *deployment) folder(t *testing.T, now, old *replica, beside pair) {
	t.Helper()
	now.admin(t, 201, "POST", "/vault-auth", append(s.vaultForm(t, "folder", mountV1, parts.KVv1), "prefix=team-a")...)
	now.admin(t, 201, "POST", "/policies", "name=folder", "hosts=folder.test", "vault=folder")
	for _, r := range []*replica{now, old} {
		var got envoy.Answer
		awaitWithinLimit(t, r.name+": a policy is there", func(ctx context.Context) bool {
			a, err := envoy.Ask(ctx, r.conn, envoy.Question{
				Method: http.MethodGet, URL: "http://folder.test/",
				Headers: []authz.Header{{Name: "access_token", Value: beside.access}, {Name: "secret_token", Value: beside.secret}},
			})
			got = a
			return err == nil && a.Policy == "folder"
		})
		t.Logf("%s: a pair outside of the folder: allowed is %t, reason %s", r.name, got.Allowed, got.Reason)
		if got.Allowed {
			t.Errorf("%s: a pair outside of the folder is allowed", r.name)
		}
	}
}

// awaitWithinLimit waits until a condition holds, and fails the test if that takes longer
// than [parts.RevocationLimit].
func awaitWithinLimit(t *testing.T, what string, is func(context.Context) bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !is(t.Context()) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%s: not within 10 s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	took := time.Since(began)
	if took > parts.RevocationLimit {
		t.Errorf("%s after %s, want at most %s", what, took, parts.RevocationLimit)
	}
	return took
}
