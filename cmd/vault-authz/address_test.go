package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// awaitAddresses reads the addresses file of a service that is starting, and
// waits until the service is ready.
func awaitAddresses(ctx context.Context, name string) (at addresses, err error) {
	for range 1000 {
		if err = ctx.Err(); err != nil {
			return at, err
		}
		var raw []byte
		if raw, err = os.ReadFile(name); err == nil {
			if err = json.Unmarshal(raw, &at); err != nil {
				return at, err
			}
			if err = healthcheck(ctx, at.GRPC, &clientTLS{}, ""); err == nil {
				return at, nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return at, fmt.Errorf("not ready within 10s: %w", err)
}
