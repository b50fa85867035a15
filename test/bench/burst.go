package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// burst makes 10 000 requests of one credential that has never been asked for,
// all in flight before Vault answers the first: section (e).
func burst(ctx context.Context, b *bench) ([]row, error) {
	// As many streams as a connection may have, see internal/server.
	l := level{10, 1000}
	requests := l.connections * l.perConnection
	// On a machine that is busy, 10 000 calls can keep the store from answering
	// within the usual 2 s.
	ours, err := b.startProduct(ctx, product{vault: "timeout: 30s"})
	if err != nil {
		return nil, err
	}
	defer b.stop(ours)
	before := b.store.slowReads()
	start := time.Now()
	err = load(ctx, ours.GRPC, l, requests, func(int) question {
		return question{slowPrefix + "credential", secretToken, true}
	})
	if err != nil {
		return nil, fmt.Errorf("burst: %w", err)
	}
	reads := b.store.slowReads() - before
	r := row{
		group: fmt.Sprintf("(e) %d concurrent first requests of one credential", requests), name: "reads of Vault, all requests allowed",
		value: strconv.Itoa(reads), spread: fmt.Sprintf("answered in %.1f s, of which Vault took %.1f s", time.Since(start).Seconds(), slowness.Seconds()),
	}
	return []row{r.atMost(float64(reads), 1, "%.0f")}, nil
}
