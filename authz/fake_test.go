package authz

import (
	"context"
	"testing"
	"time"
)

// fakeSource is a store in memory.
type fakeSource struct {
	records map[string]Credential
	err     error
	before  func()
	asked   []string
}

func (f *fakeSource) Lookup(_ context.Context, accessToken string) (Credential, error) {
	f.asked = append(f.asked, accessToken)
	if f.before != nil {
		f.before()
	}
	if f.err != nil {
		return Credential{}, f.err
	}
	c, ok := f.records[accessToken]
	if !ok {
		return Credential{}, ErrNotFound
	}
	return c, nil
}

const (
	aliceID   = "ce67c25e-2168-4a09-81e5-e06187a2384f"
	bobID     = "7f853474-7b70-439d-ad59-2481a0a9a904"
	visitorID = "64063284-e3b5-48e7-9bca-802251c32138"
)

func testConsumers() []Consumer {
	return []Consumer{
		{ID: aliceID, Username: "alice", CustomID: "c-1", Groups: []string{"gold", "eu"}},
		{ID: bobID, Username: "bob"},
		{ID: visitorID, Username: "visitor"},
	}
}

// bench is an authorizer on one vault object, with its store.
type bench struct {
	*Authorizer
	source   *fakeSource
	digester *Digester
}

// newBench makes an authorizer with one policy, changed as the test says, and
// the credential foo / supersecretvalue of alice.
func newBench(tb testing.TB, change func(*Policy)) *bench {
	tb.Helper()
	p := DefaultPolicy()
	p.Name, p.Vault, p.Default = "default", "kong-auth", true
	if change != nil {
		change(&p)
	}
	b := &bench{source: &fakeSource{records: map[string]Credential{}}, digester: NewDigester()}
	s, err := NewSnapshot([]Policy{p}, testConsumers(), map[string]Source{"kong-auth": b.source})
	if err != nil {
		tb.Fatalf("NewSnapshot: %v", err)
	}
	b.Authorizer = New(s, b.digester, DefaultGrammar())
	b.put("supersecretvalue", nil)
	return b
}

func (b *bench) put(secret string, change func(*Credential)) {
	const access = "foo"
	c := Credential{AccessToken: access, Secret: b.digester.Digest("kong-auth", access, secret), ConsumerID: aliceID}
	if change != nil {
		change(&c)
	}
	b.source.records[access] = c
}

// get is a GET request for a target with headers given as name, value, ….
func get(target string, headers ...string) *Request {
	r := &Request{HTTP: true, Method: "GET", Path: target, Host: "api.example.com", Scheme: "https"}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, Header{headers[i], headers[i+1]})
	}
	return r
}

func good() *Request { return get("/", "access_token", "foo", "secret_token", "supersecretvalue") }

var hour = time.Hour
