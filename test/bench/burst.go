package main

import (
	"context"
	"time"
)

// burst makes 10 000 requests of one credential that has never been asked for,
// all in flight before Vault answers the first. One read is what there should be.
func burst(ctx context.Context, b *bench) error {
	// As many streams as a connection may have, see internal/server.
	l := level{10, 1000}
	requests := l.connections * l.perConnection
	// On a machine that is busy, 10 000 calls can keep the store from answering
	// within the usual 2 s.
	ours, err := b.startProduct(ctx, product{vault: "timeout: 30s"})
	if err != nil {
		return err
	}
	defer b.stop(ours)
	before := b.store.slowReads()
	start := time.Now()
	err = load(ctx, ours.GRPC, l, requests, func(int) question {
		return question{access: slowPrefix + "credential", secret: secretToken, allowed: true}
	})
	if err != nil {
		return err
	}
	b.add(result{name: "FirstRequestsOfOneCredential", n: requests, keys: []string{"vault-takes", slowness.String()}, figures: []figure{
		{float64(b.store.slowReads() - before), "reads-of-Vault"}, duration(time.Since(start), "all-ns"),
	}})
	return nil
}
