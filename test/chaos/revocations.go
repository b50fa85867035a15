package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// revocationLimit is the time after which a revocation holds on another replica,
	// since its answer or since Vault answers again.
	revocationLimit = 2500 * time.Millisecond
	// goodRate is the number of requests per second with one of goodPairs.
	goodPairs, goodRate = 100, 200
	// revocationPause is the pause between two revocations.
	revocationPause = 250 * time.Millisecond
	// outageLasts is the duration of an outage, longer than a replica decides without the
	// log.
	outageLasts = 6 * time.Second
	// reloads is how often the replica falls behind the log.
	reloads = 5
)

// A revocationResult is the result of revocations while a replica is busy.
type revocationResult struct {
	records, reloads, outages int
	// reload covers revocations while the replica reads all records, during those in an
	// outage, and after those at the end of one.
	reload, during, after lag
	// reading is the longest time until all records were read, and closed the time of
	// the last 503, both since Vault answered again.
	reading, closed time.Duration
	// beside are the good requests during reloads, outside those during outages.
	beside, outside tally
	stall           time.Duration
}

// A lag is the time until revocations held.
type lag struct {
	n        int
	p50, max time.Duration
}

func newLag(held []time.Duration) lag {
	return lag{len(held), quantile(held, 0.5), quantile(held, 1)}
}

func (l lag) String() string {
	return fmt.Sprintf("%d: %s / %s", l.n, formatDuration(l.p50), formatDuration(l.max))
}

func (l lag) cell() cell { return cell{l.String(), l.n == 0 || l.max > revocationLimit} }

// revocations makes a replica read all records again, and go through outages, while another
// one revokes credentials that it has in its cache.
func revocations(ctx context.Context, dir string, b binaries, records, outages int) (*revocationResult, error) {
	s, err := startReplicaTestbed(ctx, dir, b)
	if err != nil {
		return nil, err
	}
	defer s.close()
	// This many pairs can be revoked at most.
	spare := goodPairs + 500
	if err := s.newConsumers(ctx, 0, max(records, spare)); err != nil {
		return nil, err
	}
	pairs, err := s.newPairs(ctx, 0, spare)
	if err != nil {
		return nil, err
	}
	v := &observer{bed: s, good: pairs[:goodPairs], spare: pairs[goodPairs:]}
	if v.checker, err = newGRPCClient(s.watched.GRPC); err != nil {
		return nil, err
	}
	defer func() { _ = v.checker.close() }()
	ctx, stop := context.WithCancel(ctx)
	var flows sync.WaitGroup
	defer flows.Wait()
	defer stop()
	d := &revocationResult{records: max(records, spare), reloads: reloads, outages: outages}
	if err := v.awaitAllowed(ctx, v.good); err != nil {
		return nil, err
	}
	var heart heartbeat
	flows.Go(func() { _ = heart.run(ctx) })
	began := time.Now()
	if err := v.reload(ctx, d); err != nil {
		return nil, fmt.Errorf("a reload: %w", err)
	}
	if err := v.revokeDuringOutages(ctx, d); err != nil {
		return nil, fmt.Errorf("an outage: %w", err)
	}
	d.stall = heart.worst(began, time.Now())
	return d, nil
}

// An observer asks one replica while another one revokes.
type observer struct {
	bed         *replicaTestbed
	checker     checker
	good, spare []pair
}

// awaitAllowed waits until the replica allows pairs.
func (v *observer) awaitAllowed(ctx context.Context, pairs []pair) error {
	return awaitAllowed(ctx, v.bed.watched, v.checker, pairs)
}

// sendGood asks about good pairs until stop is called.
func (v *observer) sendGood(ctx context.Context) (stop func() []request) {
	ctx, cancel := context.WithCancel(ctx)
	t := &traffic{checkers: []checker{v.checker}}
	var flow sync.WaitGroup
	flow.Go(func() {
		t.flow(ctx, cached, goodRate, func(i int) (pair, bool) { return v.good[i%len(v.good)], true })
	})
	return func() []request {
		cancel()
		flow.Wait()
		return t.made()
	}
}

// next returns a pair that was not revoked, and waits until it is allowed.
func (v *observer) next(ctx context.Context) (pair, error) {
	if len(v.spare) == 0 {
		return pair{}, errors.New("ran out of credentials to revoke")
	}
	p := v.spare[0]
	v.spare = v.spare[1:]
	return p, v.awaitAllowed(ctx, []pair{p})
}

// awaitDenied waits until a pair is denied, and returns when the last allowed request was
// sent, since a moment.
func (v *observer) awaitDenied(ctx context.Context, p pair, since time.Time) (held time.Duration, err error) {
	for {
		asked := time.Now()
		bounded, cancel := context.WithTimeout(ctx, envoyTimeout)
		got := v.checker.check(bounded, p)
		cancel()
		if got != allowed && got != wrongConsumer {
			return held, ctx.Err()
		}
		if held = asked.Sub(since); held > 10*revocationLimit {
			return held, fmt.Errorf("a revoked credential is %s %s after it was revoked", got, held)
		}
		sleepUntil(ctx, asked.Add(10*time.Millisecond))
	}
}

// reload makes the replica fall behind the log a few times, so that it reads everything
// again, while pairs are revoked.
func (v *observer) reload(ctx context.Context, d *revocationResult) error {
	var held []time.Duration
	var requests []request
	for i := range d.reloads {
		const each = 12
		toRevoke := v.spare[:each]
		v.spare = v.spare[each:]
		if err := v.awaitAllowed(ctx, toRevoke); err != nil {
			return err
		}
		v.bed.front.link().set(resets)
		if err := v.bed.overrunLog(ctx); err != nil {
			return err
		}
		good := v.sendGood(ctx)
		v.bed.front.link().set(passes)
		back := time.Now()
		for j, p := range toRevoke {
			if err := v.bed.revoke(ctx, p, (i+j)%2 == 1); err != nil {
				return err
			}
			took, err := v.awaitDenied(ctx, p, time.Now())
			if err != nil {
				return err
			}
			held = append(held, took)
			sleepUntil(ctx, time.Now().Add(revocationPause))
		}
		took := v.bed.front.count.last("/checkpoint-").Sub(back)
		d.reading = max(d.reading, took)
		for _, s := range good() {
			requests = append(requests, s)
			if s.outcome == unavailable {
				d.closed = max(d.closed, s.due.Sub(back))
			}
		}
		if took <= 0 {
			return errors.New("the replica did not fall behind the log, so it did not read everything again")
		}
	}
	d.reload, d.beside = newLag(held), count(requests)
	return ctx.Err()
}

// revokeDuringOutages disconnects the replica from Vault a few times while the other one
// revokes.
func (v *observer) revokeDuringOutages(ctx context.Context, d *revocationResult) error {
	var during, after []time.Duration
	var requests []request
	for i := range d.outages {
		// The cache is emptied again some time after a reload. Spread the reads after that,
		// so that entries do not expire all at once.
		calm := v.sendGood(ctx)
		sleepUntil(ctx, time.Now().Add(ttl+2*time.Second))
		calm()
		if err := v.awaitAllowed(ctx, v.good); err != nil {
			return err
		}
		one, err := v.next(ctx)
		if err != nil {
			return err
		}
		two, err := v.next(ctx)
		if err != nil {
			return err
		}
		good := v.sendGood(ctx)
		v.bed.front.link().set([]state{resets, blackholes}[i%2])
		sleepUntil(ctx, time.Now().Add(outageLasts/2))
		if err := v.bed.revoke(ctx, one, i%4 < 2); err != nil {
			return err
		}
		sleepUntil(ctx, time.Now().Add(outageLasts/2))
		v.bed.front.link().set(passes)
		back := time.Now()
		if err := v.bed.revoke(ctx, two, i%4 >= 2); err != nil {
			return err
		}
		answered := time.Now()
		var both sync.WaitGroup
		var errs [2]error
		var took [2]time.Duration
		both.Go(func() { took[0], errs[0] = v.awaitDenied(ctx, one, back) })
		both.Go(func() { took[1], errs[1] = v.awaitDenied(ctx, two, answered) })
		both.Wait()
		requests = append(requests, good()...)
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		during, after = append(during, took[0]), append(after, took[1])
	}
	d.during, d.after, d.outside = newLag(during), newLag(after), count(requests)
	return ctx.Err()
}

// lines returns the results.
func (d *revocationResult) lines() []fact {
	answered := func(t tally, lost int) cell {
		return cell{fmt.Sprintf("%d / %d / %d / %d", t.allowed, t.unavailable, t.denied, t.unanswered), t.allowed == 0 || lost > 0}
	}
	return []fact{
		{"reloads after a replica fell behind: how many, of how many records; read after, max", cell{fmt.Sprintf("%d, %d; %s", d.reloads, d.records, formatDuration(d.reading)), d.reading == 0}},
		{"… revocations meanwhile: how many; held after, p50 / max", d.reload.cell()},
		{"… good credentials: allowed / 503 / denied / no answer", answered(d.beside, d.beside.denied+d.beside.unanswered)},
		{"… the last 503 came after", cell{formatDuration(d.closed), d.closed > d.reading+revocationLimit}},
		{fmt.Sprintf("outages of %s that end", formatDuration(outageLasts)), cell{fmt.Sprint(d.outages), d.outages == 0}},
		{"… revocations during one: how many; held after its end, p50 / max", d.during.cell()},
		{"… revocations at its end: how many; held after, p50 / max", d.after.cell()},
		{"… good credentials: allowed / 503 / denied / no answer", answered(d.outside, d.outside.unavailable+d.outside.denied+d.outside.unanswered)},
		{"longest stall of the machine", cell{text: formatDuration(d.stall)}},
	}
}

func (d *revocationResult) title() string { return "revocations through another replica" }

// last returns the time of the last request whose path contains part.
func (c *counter) last(part string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.requests) - 1; i >= 0; i-- {
		if strings.Contains(c.requests[i].path, part) {
			return c.requests[i].at
		}
	}
	return time.Time{}
}
