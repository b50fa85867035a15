package cache

import (
	"fmt"
	"testing"
	"time"
)

// outage takes a ramp through an outage that so many different keys found, with a usual
// rate of so many loads a second before. It returns when the store is back.
func outage(r *ramp, usual, keys int) (back time.Duration) {
	for second := range 60 {
		for i := range usual {
			r.began(time.Duration(second)*time.Second + time.Duration(i)*time.Microsecond)
		}
	}
	back = time.Minute
	for i := range keys {
		r.ended(fmt.Sprint(i), false, back)
	}
	r.ended("0", true, back)
	return back
}

// allowed counts the loads that may begin at one moment, of more than could be usual.
func allowed(r *ramp, now time.Duration) (n int) {
	for range manyLoads {
		if r.allows(now) {
			n++
		}
	}
	return n
}

const manyLoads = 100_000

func TestRampHoldsNothingUpWithoutAnOutage(t *testing.T) {
	t.Parallel()
	for _, now := range []time.Duration{0, time.Second, time.Hour} {
		var r ramp
		if got := allowed(&r, now); got != manyLoads {
			t.Errorf("%s after the beginning: %d of %d loads may begin, want all", now, got, manyLoads)
		}
	}
}

func TestRampTakesFailuresOfSeveralKeysForAnOutage(t *testing.T) {
	t.Parallel()
	for keys, want := range map[int]bool{1: false, rampPatience - 1: false, rampPatience: true} {
		var r ramp
		if got := allowed(&r, outage(&r, 100, keys)) < manyLoads; got != want {
			t.Errorf("after failures of %d keys: held up %t, want %t", keys, got, want)
		}
	}
}

func TestRampBeginsWithOneLoadAndIsOverAfterItsTime(t *testing.T) {
	t.Parallel()
	var r ramp
	back := outage(&r, 100, rampPatience)
	if got := allowed(&r, back); got != 1 {
		t.Errorf("when the store is back: %d loads may begin at once, want 1", got)
	}
	if got := allowed(&r, back+rampTime); got != manyLoads {
		t.Errorf("after the ramp: %d of %d loads may begin, want all", got, manyLoads)
	}
}

// What a quiet time saves up is not asked for at once.
func TestRampAllowsNoBurstAfterAPause(t *testing.T) {
	t.Parallel()
	const usual = 100
	var r ramp
	back := outage(&r, usual, rampPatience)
	if got := allowed(&r, back+rampDoubling); got < usual/10 || got > usual/5 {
		t.Errorf("%d loads may begin at once, want about a tenth of the rate of %d a second", got, usual)
	}
}

// A ramp is as slow after a second outage as after the first.
func TestRampRemembersWhatWasUsualOverAnOutage(t *testing.T) {
	t.Parallel()
	const usual = 100
	var r ramp
	// spread counts the loads that may begin in the first second, tried every millisecond.
	spread := func(back time.Duration) (n int) {
		for i := range 1000 {
			if now := back + time.Duration(i)*time.Millisecond; r.allows(now) {
				r.began(now)
				n++
			}
		}
		return n
	}
	back := outage(&r, usual, rampPatience)
	first := spread(back)
	back += rampTime
	for i := range rampPatience {
		r.ended(fmt.Sprint(i), false, back)
	}
	r.began(back)
	back += rampTime
	r.ended("0", true, back)
	if second := spread(back); first < usual/2 || first > usual || second != first {
		t.Errorf("in the first second after the first outage %d loads may begin, after the second %d, want the same, below the usual %d", first, second, usual)
	}
}
