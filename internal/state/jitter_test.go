package state

import (
	"testing"
	"time"
)

func TestJitterIsWithinItsBoundsAndReachesThem(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 1000 {
		seen[jitter(10, 2)] = true
	}
	if len(seen) != 3 || !seen[10] || !seen[11] || !seen[12] {
		t.Errorf("got %v, want each of 10, 11 and 12", seen)
	}
}
