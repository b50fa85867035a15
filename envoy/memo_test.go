package envoy

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/vault-authz/vault-authz/authz"
)

// oneCredential is a source with one credential.
type oneCredential struct{ credential authz.Credential }

func (s oneCredential) Lookup(_ context.Context, accessToken string) (authz.Credential, error) {
	if accessToken != s.credential.AccessToken {
		return authz.Credential{}, authz.ErrNotFound
	}
	return s.credential, nil
}

// deciding returns an authorizer with one policy and the credential of alice.
func deciding(tb testing.TB, change func(*authz.Policy)) *authz.Authorizer {
	tb.Helper()
	const id, visitor = "c0ffee00-0000-4000-8000-000000000001", "c0ffee00-0000-4000-8000-000000000002"
	p := authz.DefaultPolicy()
	p.Name, p.Vault, p.Default = "orders", "main", true
	if change != nil {
		change(&p)
	}
	digester := authz.NewDigester()
	source := oneCredential{authz.Credential{
		AccessToken: "alice-access", ConsumerID: id, Secret: digester.Digest("main", "alice-access", "alice-secret"),
	}}
	snapshot, err := authz.NewSnapshot([]authz.Policy{p}, []authz.Consumer{
		{ID: id, Username: "alice", CustomID: "c-1", Groups: []string{"gold", "eu"}}, {ID: visitor, Username: "visitor"},
	}, map[string]authz.Source{"main": source})
	if err != nil {
		tb.Fatal(err)
	}
	return authz.New(snapshot, digester, authz.DefaultGrammar())
}

// A remembered encoding must equal a new one, for every kind of allow, in the first answer and in
// later ones.
func TestRememberedListsAreEncodedAsTheyAre(t *testing.T) {
	t.Parallel()
	pair := []authz.Header{{Name: "access_token", Value: "alice-access"}, {Name: "secret_token", Value: "alice-secret"}}
	with := func(names ...string) *authz.Request {
		r := getRequest(pair...)
		for _, name := range names {
			r.Headers = append(r.Headers, authz.Header{Name: name, Value: "spoofed"})
		}
		return r
	}
	requests := []*authz.Request{with(), with("x.consumer.id"), with("x-consumer-id", "access.token"), getRequest(), with()}
	policies := map[string]func(*authz.Policy){
		"default":    nil,
		"shown":      func(p *authz.Policy) { p.HideCredentials = false },
		"less":       func(p *authz.Policy) { p.HideCredentialIdentifier, p.HideGroupsHeader = true, true },
		"anonymous":  func(p *authz.Policy) { p.Anonymous = "visitor" },
		"shadow":     func(p *authz.Policy) { p.Shadow = true },
		"long names": func(p *authz.Policy) { p.AccessTokenNames = []string{"access_token", "a_b_c_d_e_f_g"} },
	}
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := deciding(t, policy)
			for i, r := range append(requests, requests...) {
				d := a.Check(t.Context(), r)
				want, err := respondGenerated(r, &d)
				if err != nil {
					t.Fatal(err)
				}
				w := &writer{}
				if err := respond(w, r, &d); err != nil {
					t.Fatal(err)
				}
				got := decodedAnswer(t, w)
				hideRequestID(want)
				hideRequestID(got)
				if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
					t.Errorf("request %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

// BenchmarkRespondToHit measures the most frequent allow.
func BenchmarkRespondToHit(b *testing.B) {
	a := deciding(b, nil)
	r := getRequest(authz.Header{Name: "access_token", Value: "alice-access"}, authz.Header{Name: "secret_token", Value: "alice-secret"})
	remembered := a.Check(b.Context(), r)
	anew := remembered
	anew.ConsumerMemo, anew.Upstream.SetMemo, anew.Upstream.RemoveMemo, anew.Upstream.RemoveAlsoMemo = nil, nil, nil, nil
	for name, d := range map[string]*authz.Decision{"remembered": &remembered, "anew": &anew} {
		b.Run(name, func(b *testing.B) {
			w := &writer{}
			b.ReportAllocs()
			for b.Loop() {
				w.drop()
				if err := respond(w, r, d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
