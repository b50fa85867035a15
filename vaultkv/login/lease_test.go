package login

import (
	"testing"
	"time"
)

func TestLeaseIsDueAtTwoThirdsOfItsLifeOrSomewhatEarlier(t *testing.T) {
	t.Parallel()
	var earliest, latest time.Duration
	for range 1000 {
		l := lease{}.granted(time.Now(), time.Hour, true)
		if l.due < 36*time.Minute || l.due > 40*time.Minute {
			t.Fatalf("due after %s of an hour, want 36m to 40m", l.due)
		}
		if earliest == 0 || l.due < earliest {
			earliest = l.due
		}
		latest = max(latest, l.due)
	}
	if latest-earliest < 3*time.Minute {
		t.Errorf("due between %s and %s, want them spread over 4 minutes", earliest, latest)
	}
}

func TestLeaseIsFinalOnceItShrinks(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := lease{}.granted(now, time.Hour, true)
	tests := []struct {
		name string
		ttl  time.Duration
		want bool
	}{
		{"renewed in full", time.Hour, false},
		{"a second lost on the way", time.Hour - time.Second, false},
		{"longer than before", 2 * time.Hour, false},
		{"near the max TTL", 50 * time.Minute, true},
	}
	for _, tt := range tests {
		if got := l.granted(now, tt.ttl, true).final; got != tt.want {
			t.Errorf("%s: final = %t, want %t", tt.name, got, tt.want)
		}
	}
}

// A clock that is set, and a machine that sleeps: the wall clock moves without
// the monotonic one, or the other way round.
func TestLeaseCountsTheClockThatWentFurther(t *testing.T) {
	t.Parallel()
	at := time.Now()
	l := lease{}.granted(at, time.Hour, true)
	wall := at.Round(0) // without the monotonic clock
	tests := []struct {
		name    string
		now     time.Time
		expired bool
		elapsed time.Duration
	}{
		{"both clocks", at.Add(30 * time.Minute), false, 30 * time.Minute},
		{"set forward, or asleep", wall.Add(2 * time.Hour), true, 2 * time.Hour},
		{"ended", at.Add(time.Hour), true, time.Hour},
	}
	for _, tt := range tests {
		if got := l.expired(tt.now); got != tt.expired || l.elapsed(tt.now) != tt.elapsed {
			t.Errorf("%s: expired = %t after %s, want %t after %s", tt.name, got, l.elapsed(tt.now), tt.expired, tt.elapsed)
		}
	}
	// Set back by an hour, half an hour later: what the monotonic clock says.
	l.at = at.Add(-30 * time.Minute)
	if got := l.elapsed(at); got != 30*time.Minute {
		t.Errorf("elapsed = %s, want 30m", got)
	}
	if l := (lease{}).granted(at, 0, false); l.expired(at.Add(1000*time.Hour)) || !l.known {
		t.Error("a token with a TTL of 0 ends, want it to live for ever")
	}
}

func TestSecondsDoNotOverflow(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]time.Duration{-1: 0, 0: 0, 60: time.Minute, 1 << 62: maxLease} {
		if got := seconds(n); got != want {
			t.Errorf("seconds(%d) = %s, want %s", n, got, want)
		}
	}
}
