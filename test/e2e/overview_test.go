package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// The admin tokens of those who look after credentials, and of those who only look.
const (
	writersToken = "e2e-admin-token-of-a-writer"
	readersToken = "e2e-admin-token-of-a-reader"
)

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// withAdminTokens is a configuration with a consumer, and an admin API that asks for tokens.
func withAdminTokens(kv string) string {
	tokens := fmt.Sprintf("tokens: [{name: writer, sha256: %s}, {name: reader, sha256: %s, role: read}]", sha256Of(writersToken), sha256Of(readersToken))
	return strings.NewReplacer(
		`vaults_path: true`, tokens,
		`mount: kong-auth,`, `mount: kong-auth, kv: `+kv+`,`,
	).Replace(aDeclaredConsumer)
}

// TestThoseWhoLookAfterCredentialsSeeWhatThereIs makes the calls of the overview, the searches,
// the try of a connection and the explanation, with a Vault token that has exactly the policies
// of deploy/vault, also with an admin token that may only read, and while Vault is down.
func TestThoseWhoLookAfterCredentialsSeeWhatThereIs(t *testing.T) {
	t.Parallel()
	onBothServers(t, func(t *testing.T, openBao bool) {
		t.Helper()
		for _, kv := range []string{parts.KVv1, parts.KVv2} {
			t.Run("KV "+kv, func(t *testing.T) {
				t.Parallel()
				s := newDeploymentWith(t, 0, setup{openBao: openBao, entities: withAdminTokens(kv)})
				if kv == parts.KVv2 {
					must(t, s.vault.Unmount(t.Context(), mountV1))
					must(t, s.vault.Mount(t.Context(), mountV1, kv))
				}
				s.useShippedPolicies(t, "kv-"+kv, "manage-"+kv, "state")
				o := &onlookers{deployment: s, r: s.start(t, suite.service.Binary(t))}
				o.writer, o.reader = o.client(t, writersToken), o.client(t, readersToken)
				o.run(t)
			})
		}
	})
}

// onlookers look at one replica.
type onlookers struct {
	*deployment
	r              *replica
	writer, reader *api.Client
}

func (o *onlookers) client(t *testing.T, token string) *api.Client {
	t.Helper()
	suite.secrets.add(token)
	c, err := api.NewClient("http://"+o.r.Admin, token, &http.Client{Timeout: 20 * time.Second})
	must(t, err)
	return c
}

func (o *onlookers) run(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	used, tried := o.create(t, "alice"), o.create(t, "alice")
	_, err := o.writer.Consumers.Create(ctx, api.Consumer{Username: new("Robert"), CustomID: new("crm-17")})
	must(t, err)
	_, err = o.writer.AddToGroup(ctx, "Robert", api.ACL{Group: "gold-eu"})
	must(t, err)
	o.r.awaitAllowed(t, used)
	if a, err := o.r.ask(ctx, pair{used.access, "another-secret"}); err != nil || a.Allowed {
		t.Fatalf("a wrong secret: %+v, %v", a, err)
	}

	before := o.overview(t)
	o.checkOverview(t, &before, used)
	o.checkSearches(t, used)
	status, err := o.reader.VaultStatus(ctx, "home")
	must(t, err)
	for name, got := range map[string]*bool{"reachable": status.Reachable, "authenticated": status.Authenticated, "can_read": status.CanRead, "can_list": status.CanList} {
		if got == nil || !*got {
			t.Errorf("%s is not true: %+v", name, status)
		}
	}
	if *status.Sealed || *status.Standby || status.TokenTTL == nil || *status.TokenTTL <= 0 || *status.TokenTTL > 3600 || status.Latency == nil || status.Problem != "" {
		t.Errorf("the status is %+v", status)
	}
	o.checkExplanations(t, used, tried, &before)
	o.checkOutage(t)
}

func (o *onlookers) create(t *testing.T, consumer string) pair {
	t.Helper()
	c, err := o.writer.CreateCredential(t.Context(), "home", consumer, api.Credential{})
	must(t, err)
	suite.secrets.add(c.AccessToken)
	suite.secrets.add(c.SecretToken)
	return pair{c.AccessToken, c.SecretToken}
}

func (o *onlookers) overview(t *testing.T) api.Overview {
	t.Helper()
	got, err := o.reader.Overview(t.Context())
	must(t, err)
	return got
}

// decisions are those of the last hour with a reason.
func decisions(o *api.Overview, reason string) (n uint64) {
	for _, in := range o.Decisions.Reasons[reason] {
		n += in
	}
	return n
}

func (o *onlookers) checkOverview(t *testing.T, got *api.Overview, used pair) {
	t.Helper()
	if want := (api.Caller{Name: "reader", Role: "read"}); got.Caller != want {
		t.Errorf("the caller is %+v, want %+v", got.Caller, want)
	}
	if v := got.Vaults; len(v) != 1 || v[0].Name != "home" || v[0].Source != api.SourceFile || !v[0].Ready || v[0].Cause != "" || *v[0].Breaker != api.BreakerClosed {
		t.Errorf("the vault objects are %+v", v)
	}
	if !got.State.Current || got.State.Lag > 5 || got.State.Problem != "" {
		t.Errorf("the state is %+v", got.State)
	}
	if c := got.Config; c == nil || len(c.Hash) != 64 || !c.Success || c.Error != "" || c.LoadedAt < got.StartedAt-1 {
		t.Errorf("the configuration is %+v", c)
	}
	if want := (api.EntityCounts{Consumers: 2, ACLs: 1, Policies: 1, Vaults: 1}); *got.Counts != want {
		t.Errorf("the counts are %+v, want %+v", got.Counts, want)
	}
	if decisions(got, "authenticated") == 0 || decisions(got, "wrong_secret") != 1 {
		t.Errorf("the decisions are %+v", got.Decisions)
	}
	if d := got.DeniedLatest; len(d) == 0 || d[0].Reason != "wrong_secret" || d[0].Credential != authz.Fingerprint(used.access) {
		t.Errorf("the latest denials are %+v", d)
	}
}

func (o *onlookers) checkSearches(t *testing.T, used pair) {
	t.Helper()
	for _, text := range []string{"robe", "CRM-17", "gold"} {
		found, err := o.reader.SearchConsumers(t.Context(), text)
		if err != nil || len(found) != 1 || *found[0].Username != "Robert" {
			t.Errorf("%s: found %+v, %v", text, found, err)
		}
	}
	found, err := o.reader.CredentialsByFingerprint(t.Context(), "home", authz.Fingerprint(used.access))
	if err != nil || len(found) != 1 || found[0].AccessToken != used.access || found[0].SecretToken != "" {
		t.Errorf("found %d credentials, %v", len(found), err)
	}
}

func (o *onlookers) checkExplanations(t *testing.T, used, tried pair, before *api.Overview) {
	t.Helper()
	ctx := t.Context()
	request := func(p pair) api.Request {
		return api.Request{Host: "api.example.com", Path: "/orders?page=7", Headers: [][2]string{{"Access-Token", p.access}, {"Secret-Token", p.secret}}}
	}
	var refused *api.Problem
	if _, err := o.reader.Explain(ctx, request(tried)); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("a reader gets %v, want 403", err)
	}
	for _, test := range []struct {
		name, reason, last string
		pair               pair
	}{
		{"a good pair", "authenticated", "consumer", tried},
		{"a wrong secret", "wrong_secret", "secret", pair{tried.access, "another-secret"}},
		{"an unknown token", "unknown_token", "record", pair{"nobody-has-this", "another-secret"}},
		{"tokens of another form", "malformed_token", "tokens", pair{"a b", "x"}},
	} {
		e, err := o.writer.Explain(ctx, request(test.pair))
		must(t, err)
		last := e.Steps[len(e.Steps)-1]
		if e.Reason != test.reason || e.Allowed != last.OK || last.Name != test.last || e.Policy != "default" || !e.Policies[0].Governs {
			t.Errorf("%s: got %+v", test.name, e)
		}
	}
	after := o.overview(t)
	for _, reason := range []string{"authenticated", "wrong_secret", "unknown_token", "malformed_token"} {
		if was, is := decisions(before, reason), decisions(&after, reason); was != is {
			t.Errorf("%d decisions are counted for %s, and %d before the explanations", is, reason, was)
		}
	}
	if len(after.DeniedLatest) != len(before.DeniedLatest) {
		t.Errorf("an explanation is among the denials: %+v", after.DeniedLatest)
	}
	partstest.Await(t, time.Minute, func(ctx context.Context) error {
		c, err := o.reader.Credential(ctx, "home", used.access)
		if err == nil && c.LastUsedAt == nil {
			err = errors.New("the use of another credential is not known yet")
		}
		return err
	})
	if c, err := o.reader.Credential(ctx, "home", tried.access); err != nil || c.LastUsedAt != nil {
		t.Errorf("an explanation counts as a use: %+v, %v", c, err)
	}
	log := o.r.Log()
	if n := strings.Count(log, `"action":"explain"`); n != 8 {
		t.Errorf("the audit log has %d lines about explanations, want two of each", n)
	}
	if strings.Contains(log, "page=7") || strings.Contains(log, "another-secret") || strings.Contains(log, "nobody-has-this") {
		t.Error("the log has a part of an explained request that it must not have")
	}
}

func (o *onlookers) checkOutage(t *testing.T) {
	t.Helper()
	must(t, o.proxy.Close())
	status, err := o.reader.VaultStatus(t.Context(), "home")
	if err != nil || status.Reachable == nil || *status.Reachable || status.CanRead == nil || *status.CanRead || status.CanList != nil || status.Problem == "" {
		t.Errorf("without Vault the status is %+v, %v", status, err)
	}
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		if v := o.overview(t).Vaults[0]; v.Ready || v.Cause == "" {
			return fmt.Errorf("the vault object is %+v", v)
		}
		return nil
	})
	e, err := o.writer.Explain(t.Context(), api.Request{Host: "api.example.com", Path: "/", Headers: [][2]string{{"access-token", "nobody-has-this-either"}, {"secret-token", "x"}}})
	if err != nil || e.Reason != "unavailable" || e.Error == "" {
		t.Errorf("without Vault: %+v, %v", e, err)
	}
}
