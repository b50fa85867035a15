package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
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
		body := make([]byte, l.size)
		ask := func(int) question {
			return question{access: accessToken, secret: secretToken, allowed: true, body: body, refused: l.refused}
		}
		err := alternate(contenders, b.rounds, func(c *contender) error {
			pid := c.server.PID()
			if err := resetPeak(pid); err != nil {
				return err
			}
			used, err := usage(c.server)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := load(ctx, c.server.GRPC, l.level, l.calls, ask); err != nil {
				return err
			}
			took := time.Since(began)
			cpu, err := used()
			peak, errPeak := peakResident(pid)
			b.add("Large", l.calls, []string{"body", fmt.Sprintf("%dMiB", l.size>>20), "inflight", l.String(), "server", c.name},
				figure{cpu[0] / float64(l.calls), "authorizer-CPU-ns"}, figure{float64(l.calls) / took.Seconds(), "checks/s"}, figure{float64(peak), "peak-resident-B"})
			return errors.Join(err, errPeak)
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
