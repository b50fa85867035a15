package main

import (
	"context"
	"time"
)

// burst is 10 000 requests at once for what is not in the cache.
func burst(ctx context.Context, b *bench) error {
	if err := burstOfOne(ctx, b); err != nil {
		return err
	}
	for _, bound := range []struct{ name, vault string }{
		{"1000/s", ""},
		{"none", "cache: {misses_per_second: 0}"},
	} {
		if err := burstOfMany(ctx, b, bound.name, bound.vault); err != nil {
			return err
		}
	}
	return nil
}

// crowd is 10 000 calls in flight, with as many streams as a connection may have, see
// internal/server.
func crowd() level { return level{10, 1000} }

// burstOfOne asks for one credential that has never been asked for, with all calls in flight
// before Vault answers the first. One read is what there should be.
func burstOfOne(ctx context.Context, b *bench) error {
	l := crowd()
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

// burstOfMany asks for as many different credentials, each for the first time. Vault must not
// get all of them at once, what is answered must be right, and memory must be bounded: some
// are answered 503.
func burstOfMany(ctx context.Context, b *bench, bound, vault string) error {
	l := crowd()
	requests := l.connections * l.perConnection
	ours, err := b.startProduct(ctx, product{vault: vault})
	if err != nil {
		return err
	}
	defer b.stop(ours)
	used, err := usage(ours)
	if err != nil {
		return err
	}
	reads := b.store.watchReads()
	start := time.Now()
	err = load(ctx, ours.GRPC, l, requests, func(i int) question {
		q := among(requests)(i)
		q.refused = true
		return q
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	all, most := reads()
	cpu, err := used()
	if err != nil {
		return err
	}
	peak, err := peakResident(ours.PID())
	b.add(result{name: "FirstRequestsOfDifferentCredentials", n: requests, keys: []string{"bound", bound}, figures: []figure{
		{float64(all), "reads-of-Vault"},
		{float64(most), "reads-at-once"},
		duration(took, "all-ns"),
		{cpu[0] / float64(requests), "authorizer-CPU-ns"},
		{float64(peak), "peak-resident-B"},
	}})
	return err
}
