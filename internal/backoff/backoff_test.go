package backoff_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

func TestJitterReachesBothBoundsAndNothingBeyond(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 1000 {
		seen[backoff.Jitter(10, 2)] = true
	}
	if len(seen) != 3 || !seen[10] || !seen[11] || !seen[12] {
		t.Errorf("got %v, want each of 10, 11 and 12", seen)
	}
}

func TestWaitsDoubleUpToMaxAndStartAgainAfterReset(t *testing.T) {
	t.Parallel()
	e := backoff.Exponential{First: 500 * time.Millisecond, Max: 30 * time.Second}
	for range 2 {
		for most := e.First; ; most = min(e.Max, 2*most) {
			if got := e.Next(); got < most/2 || got > most {
				t.Fatalf("wait of %s, want %s to %s", got, most/2, most)
			}
			if most == e.Max {
				break
			}
		}
		e.Reset()
	}
}

func TestSleepEndsWithItsTimeOrItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := backoff.Sleep(t.Context(), time.Minute); err != nil || time.Since(began) != time.Minute {
			t.Errorf("Sleep = %v after %s, want nil after 1m", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if err := backoff.Sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("Sleep = %v after %s, want the error of its context after 1s", err, time.Since(began))
		}
	})
}
