package authn

import (
	"fmt"
	"testing"
	"time"
)

func TestFailuresOfOneNetworkAreNotThoseOfOthers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFailures()
	for range failureBurst {
		f.allow("[2001:db8:1::1]:1", now)
	}
	if f.allow("[2001:db8:1:0:2::2]:9", now) {
		t.Error("another address of the /64 is counted apart")
	}
	others := 0
	for i := range 8 { // two networks may share a slot, all eight hardly
		if f.allow(fmt.Sprintf("[2001:db8:2:%d::1]:1", i), now) {
			others++
		}
	}
	if others == 0 {
		t.Error("the failures of one network count against all others")
	}
}

func TestFailuresOfAllNetworksAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFailures()
	allowed := 0
	for i := range 1 << 16 {
		if f.allow(fmt.Sprintf("[2001:db8:%x::1]:1", i), now) {
			allowed++
		}
	}
	if allowed != 10*allFailures {
		t.Errorf("got %d failures of 65536 networks answered as such, want %d", allowed, 10*allFailures)
	}
}
