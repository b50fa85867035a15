package login

import (
	"encoding/json"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// A lease is a Vault token and what is known of its life. The zero value has no
// token.
type lease struct {
	token string
	// own is set if the session logged in for the token, and so has to revoke it.
	own bool
	// batch tokens can neither be renewed nor revoked.
	batch bool

	// known is set once the server has answered with the fields below.
	known bool
	// at is when the server said that the token lives for ttl more. A ttl of 0 means
	// that the token does not expire.
	at  time.Time
	ttl time.Duration
	// full is the longest ttl so far. A shorter one means that the max TTL is near.
	full time.Duration
	// due is how long after at the token has to be renewed or replaced.
	due       time.Duration
	renewable bool
	// final is set when renewing the token is of no use any more.
	final bool
	// limited is set for a token with a use limit. Renewing does not lift the limit.
	limited bool
	// dead is set when the server said that it does not accept the token.
	dead bool
}

// shrunk is the part of the full ttl below which the max TTL of a renewed token is
// near.
const shrunk = 0.9

// granted returns l after the server granted it ttl more.
func (l lease) granted(now time.Time, ttl time.Duration, renewable bool) lease {
	l.known, l.at, l.ttl, l.renewable = true, now, ttl, renewable
	l.full = max(l.full, ttl)
	l.final = float64(ttl) < shrunk*float64(l.full)
	// Two thirds, and up to a tenth of that earlier, so that replicas that started
	// together do not renew together.
	l.due = backoff.Jitter(ttl/5*3, ttl/15)
	return l
}

// elapsed is the time since at, by the wall clock or the monotonic clock, whichever
// went further. The wall clock includes the time that a machine slept; the monotonic
// clock is not affected if the wall clock is set back.
func (l lease) elapsed(now time.Time) time.Duration {
	return max(now.Sub(l.at), now.Round(0).Sub(l.at.Round(0)))
}

// remaining is how long the token still lives. It is never negative.
func (l lease) remaining(now time.Time) time.Duration { return max(0, l.ttl-l.elapsed(now)) }

// expired reports whether the token is certainly invalid.
func (l lease) expired(now time.Time) bool {
	return l.dead || l.known && l.ttl > 0 && l.remaining(now) == 0
}

// authAnswer is the answer to a login or a renewal.
type authAnswer struct {
	Token     string `json:"client_token"`
	Lease     int64  `json:"lease_duration"`
	Renewable bool   `json:"renewable"`
	Type      string `json:"token_type"`
	Uses      int64  `json:"num_uses"`
	// MFA takes the place of the token if the server asks for a second factor.
	MFA json.RawMessage `json:"mfa_requirement"`
}

// selfAnswer is the answer to lookup-self.
type selfAnswer struct {
	TTL       int64   `json:"ttl"`
	Expires   *string `json:"expire_time"`
	Renewable bool    `json:"renewable"`
	Type      string  `json:"type"`
	// Uses is the number of requests left: 0 means any number, and a negative number
	// that this was the last one.
	Uses int64 `json:"num_uses"`
}

// maxLease keeps a number of seconds from overflowing a duration.
const maxLease = 100 * 365 * 24 * time.Hour

func seconds(n int64) time.Duration {
	if n <= 0 {
		return 0
	}
	return time.Duration(min(n, int64(maxLease/time.Second))) * time.Second
}

// ended returns l once the server has said that it does not renew the token.
func (l lease) ended() lease {
	l.renewable, l.final = false, true
	return l
}

// end is the time at which the token ends, as text.
func (l lease) end() string { return l.at.Add(l.ttl).UTC().Format(time.RFC3339) }
