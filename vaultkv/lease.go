package vaultkv

import (
	"encoding/json"
	"time"
)

// A lease is a Vault token and what is known of its life. The zero value is no
// token.
type lease struct {
	token string
	// own is set if we logged in for it, so that it is ours to revoke.
	own bool
	// batch tokens can be neither renewed nor revoked.
	batch bool

	// known is set once the server has told the rest.
	known bool
	// at is when the server said that the token lives for ttl more; a ttl of 0
	// is for ever.
	at  time.Time
	ttl time.Duration
	// full is the longest that ttl has been: less means that the end of all
	// renewal is near.
	full time.Duration
	// due is how long after at the token has to be renewed or replaced.
	due       time.Duration
	renewable bool
	// final is set when renewing it makes no sense any more.
	final bool
	// limited is set for a token that is good for a number of requests only, which
	// no renewal changes.
	limited bool
	// dead is set when the server said that it does not take it.
	dead bool
}

// shrunk is the part of its full life below which a renewed token is taken to be
// near its max TTL.
const shrunk = 0.9

// granted returns l after the server gave it ttl more to live.
func (l lease) granted(now time.Time, ttl time.Duration, renewable bool) lease {
	l.known, l.at, l.ttl, l.renewable = true, now, ttl, renewable
	l.full = max(l.full, ttl)
	l.final = float64(ttl) < shrunk*float64(l.full)
	// Two thirds, and up to a tenth of that earlier: replicas that started
	// together do not stay together.
	l.due = jitter(ttl/5*3, ttl/15)
	return l
}

// elapsed is the time since at. A clock that was set forward counts, lest a
// machine that slept trusts a token for too long; one that was set back does
// not, since the monotonic clock did not follow it.
func (l lease) elapsed(now time.Time) time.Duration {
	return max(now.Sub(l.at), now.Round(0).Sub(l.at.Round(0)))
}

// remaining is how long the token has to live, never below 0.
func (l lease) remaining(now time.Time) time.Duration { return max(0, l.ttl-l.elapsed(now)) }

// expired says that the token is certainly of no use any more.
func (l lease) expired(now time.Time) bool {
	return l.dead || l.known && l.ttl > 0 && l.remaining(now) == 0
}

// Waits between attempts that fail: doubling, with up to a half taken off at
// random.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 30 * time.Second
)

// A backoff is how long to wait for the next attempt. The zero value is ready.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(maxPause, max(firstPause, 2*b.last))
	return jitter(b.last/2, b.last/2)
}

// authAnswer is what logins and renewals answer.
type authAnswer struct {
	Token     string `json:"client_token"`
	Lease     int64  `json:"lease_duration"`
	Renewable bool   `json:"renewable"`
	Type      string `json:"token_type"`
	Uses      int64  `json:"num_uses"`
	// MFA is there instead of a token where a second factor is asked for.
	MFA json.RawMessage `json:"mfa_requirement"`
}

// selfAnswer is what a token says of itself.
type selfAnswer struct {
	TTL       int64   `json:"ttl"`
	Expires   *string `json:"expire_time"`
	Renewable bool    `json:"renewable"`
	Type      string  `json:"type"`
	// Uses is how many requests it is good for, 0 for any number, and below 0
	// when this was the last.
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
