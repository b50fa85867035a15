package authz

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a Source that answers from memory, in front of another one.
type memory struct {
	*fakeSource
	// answer is what the source behind it says, unless nothing is news.
	answer    Credential
	err       error
	news      bool
	rechecked int
	since     time.Time
}

func (m *memory) Recheck(_ context.Context, _ string, since time.Time) (Credential, bool, error) {
	m.rechecked++
	m.since = since
	return m.answer, m.news, m.err
}

// withMemory puts a memory in front of the source of a bench.
func (b *bench) withMemory(t *testing.T, change func(*Policy)) *memory {
	t.Helper()
	m := &memory{fakeSource: b.source}
	p := DefaultPolicy()
	p.Name, p.Vault, p.Default = "default", "kong-auth", true
	if change != nil {
		change(&p)
	}
	s, err := NewSnapshot([]Policy{p}, testConsumers(), map[string]Source{"kong-auth": m})
	if err != nil {
		t.Fatal(err)
	}
	b.Replace(s)
	return m
}

// TestBadCredentialsOutOfMemoryAreAnsweredLikeUnknownOnes: whatever is bad about them,
// and whatever would become of an access token that is not in memory.
func TestBadCredentialsOutOfMemoryAreAnsweredLikeUnknownOnes(t *testing.T) {
	t.Parallel()
	for name, remembered := range map[string]func(*Credential){
		"wrong secret":         func(c *Credential) { c.Secret = Secret{set: true} },
		"no secret":            func(c *Credential) { c.Secret = Secret{} },
		"expired":              func(c *Credential) { c.ExpiresAt = time.Now().Add(-hour) },
		"not yet valid":        func(c *Credential) { c.NotBefore = time.Now().Add(hour) },
		"disabled":             func(c *Credential) { c.Disabled = true },
		"unknown consumer":     func(c *Credential) { c.ConsumerID = "" },
		"another access token": func(c *Credential) { c.AccessToken = "FOO" },
	} {
		for _, anonymous := range []string{"", "visitor"} {
			t.Run(name+" "+anonymous, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, nil)
				b.put("supersecretvalue", remembered)
				bad := b.source.records["foo"]
				m := b.withMemory(t, func(p *Policy) { p.Anonymous = anonymous })
				unavailable := errors.New("too much is being read")
				for _, then := range []struct {
					what string
					memory
					unknown error
				}{
					{"it is read anew", memory{news: true, answer: bad}, ErrNotFound},
					{"it was read anew a moment ago", memory{}, ErrNotFound},
					{"it is gone", memory{err: ErrNotFound}, ErrNotFound},
					{"nothing can be read", memory{err: unavailable}, unavailable},
				} {
					m.answer, m.news, m.err, m.rechecked = then.answer, then.news, then.err, 0
					b.source.err = nil
					r := good()
					r.Received = time.Now()
					got := b.Check(t.Context(), r)
					if m.rechecked != 1 || !m.since.Equal(r.Received) {
						t.Fatalf("%s: rechecked %d times, since %s; want once, since %s", then.what, m.rechecked, m.since, r.Received)
					}
					b.source.err = then.unknown
					want := b.Check(t.Context(), r)
					if got.Allowed != want.Allowed || got.Anonymous != want.Anonymous || got.Status() != want.Status() ||
						got.Message() != want.Message() || got.Challenges() != want.Challenges() {
						t.Errorf("%s: %+v\nan unknown access token: %+v", then.what, got, want)
					}
				}
			})
		}
	}
}

// TestWhatWasReadForARequestIsNotReadTwice: neither for one that does not say when it arrived.
func TestWhatWasReadForARequestIsNotReadTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.put("another", nil)
		m := b.withMemory(t, nil)
		b.source.before = func() { time.Sleep(time.Second) }
		r, began := good(), time.Now()
		r.Received = time.Time{}
		if d := b.Check(t.Context(), r); d.Reason != ReasonWrongSecret || m.rechecked != 1 || !m.since.Equal(began) {
			t.Errorf("%s, rechecked %d times, since %s; want once, since %s, before the look-up", d.Reason, m.rechecked, m.since, began)
		}
	})
}

func TestGoodCredentialOutOfMemoryIsNotRechecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Policy){
		"allowed":           nil,
		"denied by the acl": func(p *Policy) { p.Deny = []string{"gold"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			m := b.withMemory(t, change)
			m.err = ErrUnavailable
			if d := b.Check(t.Context(), good()); m.rechecked != 0 || d.Reason == ReasonUnavailable {
				t.Errorf("rechecked %d times, reason %s", m.rechecked, d.Reason)
			}
		})
	}
}

// TestCredentialKnownToBeBadIsNotLeftToTheGateway: an unavailable answer would be.
func TestCredentialKnownToBeBadIsNotLeftToTheGateway(t *testing.T) {
	t.Parallel()
	for _, onError := range []OnError{OnErrorResponse, OnErrorGRPC} {
		b := newBench(t, nil)
		b.put("another", nil)
		m := b.withMemory(t, func(p *Policy) { p.OnError = onError })
		m.err = ErrUnavailable
		if d := b.Check(t.Context(), good()); d.Reason != ReasonWrongSecret {
			t.Errorf("%s: reason %s, want %s", onError, d.Reason, ReasonWrongSecret)
		}
	}
}

// TestWhatIsNotInMemoryIsNotRechecked: it was asked for just now, or is known as absent.
func TestWhatIsNotInMemoryIsNotRechecked(t *testing.T) {
	t.Parallel()
	for _, err := range []error{ErrNotFound, ErrMalformed, ErrUnavailable} {
		b := newBench(t, nil)
		m := b.withMemory(t, nil)
		b.source.err = err
		if d := b.Check(t.Context(), good()); m.rechecked != 0 || d.Allowed {
			t.Errorf("%v: rechecked %d times, allowed %t", err, m.rechecked, d.Allowed)
		}
	}
}

func TestSecretThatWasReplacedInTheStoreIsGoodAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	replaced := b.source.records["foo"]
	b.put("old", nil)
	m := b.withMemory(t, nil)
	m.answer, m.news = replaced, true
	if d := b.Check(t.Context(), good()); !d.Allowed || d.Reason != ReasonAuthenticated || d.Err != nil {
		t.Errorf("got %+v", d)
	}
}
