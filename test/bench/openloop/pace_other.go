//go:build !linux

package openloop

import (
	"context"
	"time"
)

func pace(ctx context.Context, start time.Time, requests int, rate float64, send func(time.Time)) {
	paced(time.Sleep)(ctx, start, requests, rate, send)
}
