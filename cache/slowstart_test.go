package cache

import (
	"fmt"
	"testing"
	"time"
)

// usual is the rate of loads before an outage, per second.
const usual = 100

// outage runs a slow start through an outage that loads of the given number of keys find. It
// returns the end of the outage.
func outage(r *slowStart, keys int) (back time.Duration) {
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

// allowed counts how many of many loads may begin at the same moment.
func allowed(r *slowStart, now time.Duration) (n int) {
	for range manyLoads {
		if r.allows(now) {
			n++
		}
	}
	return n
}

const manyLoads = 100_000

func TestSlowStartDelaysNothingWithoutAnOutage(t *testing.T) {
	t.Parallel()
	for _, now := range []time.Duration{0, time.Second, time.Hour} {
		var r slowStart
		if got := allowed(&r, now); got != manyLoads {
			t.Errorf("%s after the beginning: %d of %d loads may begin, want all", now, got, manyLoads)
		}
	}
}

func TestFailuresForSeveralKeysAreAnOutage(t *testing.T) {
	t.Parallel()
	for keys, want := range map[int]bool{1: false, outageAfter - 1: false, outageAfter: true} {
		var r slowStart
		if got := allowed(&r, outage(&r, keys)) < manyLoads; got != want {
			t.Errorf("after failures of %d keys: delayed %t, want %t", keys, got, want)
		}
	}
}

func TestSlowStartBeginsWithOneLoadAndEnds(t *testing.T) {
	t.Parallel()
	var r slowStart
	back := outage(&r, outageAfter)
	if got := allowed(&r, back); got != 1 {
		t.Errorf("at the end of the outage: %d loads may begin at once, want 1", got)
	}
	if got := allowed(&r, back+slowStartTime); got != manyLoads {
		t.Errorf("after the slow start: %d of %d loads may begin, want all", got, manyLoads)
	}
}

// Unused rate does not add up to a burst.
func TestSlowStartAllowsNoBurstAfterAPause(t *testing.T) {
	t.Parallel()
	var r slowStart
	back := outage(&r, outageAfter)
	if got := allowed(&r, back+slowStartDoubling); got < usual/10 || got > usual/5 {
		t.Errorf("%d loads may begin at once, want about a tenth of the rate of %d a second", got, usual)
	}
}

// The usual rate from before the first outage also applies after a second one.
func TestUsualRateOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	var r slowStart
	// spread counts the loads that may begin in a second, tried every millisecond.
	spread := func(from, length time.Duration) (n int) {
		for now := from; now < from+length; now += time.Millisecond {
			if r.allows(now) {
				r.began(now)
				n++
			}
		}
		return n
	}
	back := outage(&r, outageAfter)
	first := spread(back, time.Second)
	spread(back+time.Second, slowStartTime-time.Second)
	r.began(back + slowStartTime)
	back += slowStartTime + time.Second
	for i := range outageAfter {
		r.ended(fmt.Sprint(i), false, back)
	}
	r.began(back)
	r.ended("0", true, back)
	second := spread(back, time.Second)
	if first < usual/2 || first > usual || second < first/2 || second > first {
		t.Errorf("in the first second after the first outage %d loads may begin, after the second %d, want about as many, below the usual %d", first, second, usual)
	}
}
