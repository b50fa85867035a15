package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// recordSource has one credential.
type recordSource struct {
	credential Credential
	err        error
}

func (s recordSource) Lookup(context.Context, string) (Credential, error) { return s.credential, s.err }

// Whatever a forecast says of a credential, a check says of a request with it and its
// secret.
func TestAForecastIsWhatACheckSays(t *testing.T) {
	t.Parallel()
	const member, stranger, gone = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"
	now := time.Now()
	open, staff, banned, observing := DefaultPolicy(), DefaultPolicy(), DefaultPolicy(), DefaultPolicy()
	open.Name = "open"
	staff.Name, staff.Allow = "staff", []string{"staff"}
	banned.Name, banned.Deny = "banned", []string{"staff"}
	observing.Name, observing.Allow, observing.Shadow = "observing", []string{"nobody"}, true
	for _, test := range []struct {
		name      string
		policies  []Policy
		change    func(*Credential)
		err       error
		want      Reason
		refusedBy []string
	}{
		{name: "good", policies: []Policy{open}, want: ReasonAuthenticated},
		{name: "disabled", policies: []Policy{open}, change: func(c *Credential) { c.Disabled = true }, want: ReasonDisabled},
		{name: "expired", policies: []Policy{open}, change: func(c *Credential) { c.ExpiresAt = now.Add(-time.Second) }, want: ReasonExpired},
		{name: "not yet valid", policies: []Policy{open}, change: func(c *Credential) { c.NotBefore = now.Add(time.Hour) }, want: ReasonNotYetValid},
		{name: "of nobody", policies: []Policy{open}, change: func(c *Credential) { c.ConsumerID = gone }, want: ReasonUnknownConsumer},
		{name: "malformed", policies: []Policy{open}, err: fmt.Errorf("a field: %w", ErrMalformed), want: ReasonMalformedRecord},
		{name: "not there", policies: []Policy{open}, err: ErrNotFound, want: ReasonUnknownToken},
		{name: "not read", policies: []Policy{open}, err: errors.New("anything else"), want: ReasonUnavailable},
		{name: "a group is allowed", policies: []Policy{staff}, want: ReasonAuthenticated},
		{name: "a group is denied", policies: []Policy{banned}, want: ReasonACL},
		{name: "no group is allowed", policies: []Policy{staff}, change: func(c *Credential) { c.ConsumerID = stranger }, want: ReasonACL},
		{name: "refused under one policy", policies: []Policy{open, staff, banned}, want: ReasonAuthenticated, refusedBy: []string{"banned"}},
		{name: "refused under two of three", policies: []Policy{open, staff, banned}, change: func(c *Credential) { c.ConsumerID = stranger }, want: ReasonAuthenticated, refusedBy: []string{"staff"}},
		{name: "a policy that only observes refuses nobody", policies: []Policy{observing}, want: ReasonAuthenticated},
		{name: "no policy", want: ReasonNoPolicy},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			digester := NewDigester()
			c := Credential{AccessToken: "a", Secret: digester.Digest("main", "a", "s"), ConsumerID: member}
			if test.change != nil {
				test.change(&c)
			}
			for i := range test.policies {
				test.policies[i].Vault = "main"
			}
			other := DefaultPolicy()
			other.Name, other.Vault, other.Deny = "other", "other", []string{"staff"}
			source := recordSource{c, test.err}
			snapshot, err := NewSnapshot(append(slices.Clone(test.policies), other), []Consumer{
				{ID: member, Username: "member", Groups: []string{"staff"}}, {ID: stranger, Username: "stranger"},
			}, map[string]Source{"main": source, "other": source})
			if err != nil {
				t.Fatal(err)
			}
			a := New(snapshot, digester, DefaultGrammar())
			got := a.Forecast("main").Of(&c, test.err, now)
			if got.Reason != test.want || !slices.Equal(got.RefusedBy, test.refusedBy) {
				t.Fatalf("got %s %q, want %s %q", got.Reason, got.RefusedBy, test.want, test.refusedBy)
			}
			for _, p := range test.policies {
				d := a.Check(t.Context(), &Request{
					HTTP: true, Method: "GET", Scheme: "http", Host: "x", Path: "/", PolicyName: p.Name,
					Headers: []Header{{Name: "access-token", Value: "a"}, {Name: "secret-token", Value: "s"}},
				})
				want := got.Reason
				if slices.Contains(got.RefusedBy, p.Name) {
					want = ReasonACL
				}
				if d.Reason != want && !p.Shadow {
					t.Errorf("under policy %q a check says %s, want %s", p.Name, d.Reason, want)
				}
				if p.Shadow && !d.Allowed {
					t.Errorf("a policy that only observes denies: %s", d.Reason)
				}
			}
		})
	}
}

func TestNothingIsForeseenBeforeThereAreAnyPolicies(t *testing.T) {
	t.Parallel()
	if got := New(nil, NewDigester(), DefaultGrammar()).Forecast("main").Of(&Credential{}, nil, time.Now()); got.Reason != ReasonUnavailable {
		t.Errorf("got %s, want unavailable", got.Reason)
	}
}

func TestAForecastKeepsNothingOfTheConsumersThatItLooksAt(t *testing.T) {
	t.Parallel()
	const id = "11111111-1111-4111-8111-111111111111"
	asked := 0
	d, err := NewDirectory(nil, countingConsumers{Consumer{ID: id, Username: "x"}, &asked})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if c, err := d.peek(id); err != nil || c.Username != "x" {
			t.Fatalf("got %v, %v", c, err)
		}
	}
	if asked != 2 {
		t.Errorf("worked out %d times, want each time", asked)
	}
}

type countingConsumers struct {
	one   Consumer
	asked *int
}

func (c countingConsumers) ByID(string) (Consumer, error) {
	*c.asked++
	return c.one, nil
}
func (countingConsumers) ByUsername(string) (Consumer, error) { return Consumer{}, ErrNotFound }
