package authz

import (
	"testing"
	"time"
)

// uses are what a Usage was told.
type uses []struct {
	at       time.Time
	replaced bool
}

// Used implements [Usage].
func (u *uses) Used(at time.Time, replaced bool) {
	*u = append(*u, struct {
		at       time.Time
		replaced bool
	}{at, replaced})
}

func TestAUseSaysWhichSecretItWasWith(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	var told uses
	b := newBench(t, nil)
	b.put("new", func(c *Credential) {
		c.Usage = &told
		c.Previous, c.PreviousExpiresAt = b.digester.Digest("kong-auth", "foo", "old"), now.Add(time.Second)
	})
	for _, secret := range []string{"new", "old", "neither"} {
		r := get("/", "access_token", "foo", "secret_token", secret)
		r.Received = now
		b.Check(t.Context(), r)
	}
	if len(told) != 2 || told[0].replaced || !told[1].replaced {
		t.Errorf("told %v, want a use of the current secret, and one of the replaced one", told)
	}
}

func TestAUseIsARequestThatTheCredentialAuthenticated(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	tests := []struct {
		name       string
		policy     func(*Policy)
		credential func(*Credential)
		request    *Request
		want       int
	}{
		{"allowed", nil, nil, good(), 1},
		{"refused by the acl", func(p *Policy) { p.Deny = []string{"gold"} }, nil, good(), 1},
		{"observed", func(p *Policy) { p.Shadow = true }, nil, good(), 1},
		{"with a wrong secret", nil, nil, get("/", "access_token", "foo", "secret_token", "x"), 0},
		{"with a wrong secret, anonymous", func(p *Policy) { p.Anonymous = "visitor" }, nil, get("/", "access_token", "foo", "secret_token", "x"), 0},
		{"disabled", nil, func(c *Credential) { c.Disabled = true }, good(), 0},
		{"expired", nil, func(c *Credential) { c.ExpiresAt = now }, good(), 0},
		{"without a consumer", nil, func(c *Credential) { c.ConsumerID = bobID[:35] + "0" }, good(), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var told uses
			b := newBench(t, test.policy)
			b.put("supersecretvalue", func(c *Credential) {
				c.Usage = &told
				if test.credential != nil {
					test.credential(c)
				}
			})
			test.request.Received = now
			d := b.Check(t.Context(), test.request)
			if len(told) != test.want || test.want == 1 && !told[0].at.Equal(now) {
				t.Errorf("%s: told %v, want %d uses at %s", d.Reason, told, test.want, now)
			}
		})
	}
}

// TestASecretThatWasReplacedInTheStoreIsAUseOfTheNewRecord: the record in memory is not the one
// that authenticated the request.
func TestASecretThatWasReplacedInTheStoreIsAUseOfTheNewRecord(t *testing.T) {
	t.Parallel()
	var before, after uses
	b := newBench(t, nil)
	b.put("supersecretvalue", func(c *Credential) { c.Usage = &after })
	replaced := b.source.records["foo"]
	b.put("old", func(c *Credential) { c.Usage = &before })
	m := b.withMemory(t, nil)
	m.answer, m.news = replaced, true
	if d := b.Check(t.Context(), good()); !d.Allowed || len(before) != 0 || len(after) != 1 {
		t.Errorf("%s: %d uses of the record in memory, %d of that in the store", d.Reason, len(before), len(after))
	}
}
