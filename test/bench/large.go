package main

import (
	"context"
	"fmt"
	"os"
)

// largeRequests is what requests with large bodies take, as with_request_body sends them:
// CPU and time of one after the other, and the most memory while hundreds come at once.
// Of these many may be refused: that is how memory is bounded.
func largeRequests(ctx context.Context, b *bench) error {
	contenders, stop, err := b.contenders(ctx, product{env: []string{"VAULT_AUTHZ_GRPC_MAX_REQUEST_BYTES=16777216"}})
	defer stop()
	if err != nil {
		return err
	}
	for _, l := range []struct {
		level
		size, calls int
		refused     bool
	}{
		{level{1, 1}, 8 << 20, 20, false},
		{level{2, 250}, 1 << 20, 1000, true},
	} {
		body, calls := make([]byte, l.size), min(l.calls, b.calls)
		ask := func(int) question {
			return question{access: accessToken, secret: secretToken, allowed: true, body: body, refused: l.refused}
		}
		err := b.alternate(contenders, func(c *contender) ([]result, error) {
			pid := c.server.PID()
			if err := resetPeak(pid); err != nil {
				return nil, err
			}
			figures, err := b.busy(ctx, c, l.level, calls, ask)
			if err != nil {
				return nil, err
			}
			peak, err := peakResident(pid)
			return []result{{
				name: "Large", n: calls, keys: []string{"body", fmt.Sprintf("%dMiB", l.size>>20), "inflight", l.String(), "server", c.name},
				figures: append(figures, figure{float64(peak), "peak-resident-B"}),
			}}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// resetPeak makes the peak of the resident memory of a process what it has now, see
// proc_pid_clear_refs(5).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peakResident returns the most bytes of a process that have been in memory.
func peakResident(pid int) (int64, error) { return ofStatus(pid, "VmHWM:") }
