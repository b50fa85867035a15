// Package poll looks at something again and again. Files are polled by their content: that
// also sees the symlinks of Kubernetes change, on every file system.
package poll

import (
	"context"
	"time"
)

// Every calls look at each interval until ctx ends.
func Every(ctx context.Context, interval time.Duration, look func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			look()
		}
	}
}
