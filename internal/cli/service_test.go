package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/app"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// startDev runs the service in memory, on free ports, until the test ends.
func startDev(t *testing.T, c *config.Config) app.Addresses {
	t.Helper()
	c.Listen.GRPC, c.Listen.Probes, c.Admin.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return partstest.Started(t, func(ctx context.Context, started func(app.Addresses)) error {
		return app.Dev(ctx, c, io.Discard, started)
	})
}

// awaitAddresses reads the addresses file of a service that is starting, and
// waits until the service is ready.
func awaitAddresses(ctx context.Context, name string) (at app.Addresses, err error) {
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
