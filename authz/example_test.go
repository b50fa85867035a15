package authz_test

import (
	"context"
	"fmt"
	"time"

	"github.com/vault-authz/vault-authz/authz"
)

const aliceID = "ce67c25e-2168-4a09-81e5-e06187a2384f"

// credentials is the simplest Source: a map.
type credentials map[string]authz.Credential

func (c credentials) Lookup(_ context.Context, accessToken string) (authz.Credential, error) {
	found, ok := c[accessToken]
	if !ok {
		return authz.Credential{}, authz.ErrNotFound
	}
	return found, nil
}

// newAuthorizer returns an Authorizer with one policy, one consumer and one credential.
func newAuthorizer(change func(*authz.Policy)) *authz.Authorizer {
	digester := authz.NewDigester()
	source := credentials{"foo": {AccessToken: "foo", Secret: digester.Digest("kong-auth", "foo", "supersecretvalue"), ConsumerID: aliceID}}
	policy := authz.DefaultPolicy()
	policy.Name, policy.Vault, policy.Default = "orders", "kong-auth", true
	change(&policy)
	snapshot, err := authz.NewSnapshot(
		[]authz.Policy{policy},
		[]authz.Consumer{{ID: aliceID, Username: "alice", Groups: []string{"gold"}}},
		map[string]authz.Source{"kong-auth": source},
	)
	if err != nil {
		panic(err)
	}
	return authz.New(snapshot, digester, authz.DefaultGrammar())
}

func ExampleAuthorizer_Check() {
	authorizer := newAuthorizer(func(*authz.Policy) {})
	for _, secret := range []string{"supersecretvalue", "guess"} {
		d := authorizer.Check(context.Background(), &authz.Request{
			HTTP: true, Method: "GET", Host: "api.example.com", Path: "/orders",
			Headers: []authz.Header{{Name: "access_token", Value: "foo"}, {Name: "secret_token", Value: secret}},
		})
		fmt.Println(d.Allowed, d.Reason)
		for _, h := range d.Upstream.Set {
			fmt.Printf("  %s: %s\n", h.Name, h.Value)
		}
	}
	// Output:
	// true authenticated
	//   x-consumer-id: ce67c25e-2168-4a09-81e5-e06187a2384f
	//   x-consumer-username: alice
	//   x-consumer-groups: gold
	// false wrong_secret
}

// A policy can require a group of its consumers.
func ExamplePolicy() {
	authorizer := newAuthorizer(func(p *authz.Policy) { p.Allow = []string{"platinum"} })
	d := authorizer.Check(context.Background(), &authz.Request{
		HTTP: true, Method: "GET", Host: "api.example.com", Path: "/orders?access_token=foo&secret_token=supersecretvalue",
	})
	fmt.Println(d.Allowed, d.Reason, d.Status(), d.Message())
	// Output:
	// false acl 403 You cannot consume this service
}

// A snapshot is checked as a whole, and all mistakes are reported at once.
func ExampleNewSnapshot() {
	policy := authz.DefaultPolicy()
	policy.Name, policy.Vault, policy.Anonymous = "orders", "kong-auth", "guest"
	_, err := authz.NewSnapshot([]authz.Policy{policy}, []authz.Consumer{{ID: "1"}}, nil)
	fmt.Println(err)
	// Output:
	// consumers[0] "": id: "1" is not a lower-case UUID
	// at least one of username and custom_id must be set
	// policies[0] "orders": vault: there is no vault object "kong-auth"; there are: none
	// anonymous: there is no consumer with the id or username "guest"
}

// Secrets are compared as keyed digests, which never show in output.
func ExampleDigester() {
	digester := authz.NewDigester()
	stored := digester.Digest("kong-auth", "foo", "supersecretvalue")
	fmt.Println(stored)
	fmt.Println(stored.Equal(digester.Digest("kong-auth", "foo", "supersecretvalue")))
	fmt.Println(stored.Equal(digester.Digest("kong-auth", "bar", "supersecretvalue")))
	// Output:
	// [redacted]
	// true
	// false
}

// A forecast tells what becomes of a credential without its secret.
func ExampleAuthorizer_Forecast() {
	authorizer := newAuthorizer(func(p *authz.Policy) { p.Deny = []string{"gold"} })
	forecast := authorizer.Forecast("kong-auth")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fmt.Println(forecast.Of(&authz.Credential{ConsumerID: aliceID}, nil, now).Reason)
	fmt.Println(forecast.Of(&authz.Credential{ConsumerID: aliceID, Disabled: true}, nil, now).Reason)
	// Output:
	// acl
	// disabled
}
