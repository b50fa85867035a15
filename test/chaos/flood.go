package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

const (
	// floodPairs is the number of good credentials in use during the flood,
	// floodPairRate the requests with them per second.
	floodPairs, floodPairRate = 1000, 500
	// floodRatio is the limit for the p99 of cached allows during the flood, relative
	// to the p99 before.
	floodRatio = 1.5
	// floodPrefix is the prefix of the access tokens of the flood.
	floodPrefix = "flood"
	// overflow is the rate of the flood during a measurement, relative to the rate at
	// which the service reads unknown tokens: some requests must be refused.
	overflow = 1.1
	// quiet is how long cached allows are measured before the flood.
	quiet = 10 * time.Second
	// newcomers is the number of good credentials that are not cached and are first asked
	// for during the flood, newcomerRate the requests with them per second. Each is asked
	// for newcomerTries times, a second apart, like a client that tries again.
	newcomers, newcomerRate, newcomerTries = 100, 10, 3
)

// A floodResult is the result of a flood.
type floodResult struct {
	tokens             int
	wrongAllows, lost  int
	evictions, rereads int
	answered           tally
	unanswered         int
	// let counts the newcomers that were allowed by each of their tries.
	let                    [newcomerTries]int
	reads, allowance, peak int
	took                   time.Duration
	stall                  time.Duration

	// The latencies of cached allows: alone, with as many denials from the cache, during
	// the flood, and during a flood that uses no CPU in Vault.
	quiet, busy, flood, isolated pace
	// measured is the rate of the last flood and of the denials, per second.
	measured float64
}

// A pace is the latency of cached allows in a period.
type pace struct {
	from, to time.Time
	p50, p99 time.Duration
}

func (p pace) String() string { return formatDuration(p.p50) + " / " + formatDuration(p.p99) }

// flood sends requests with random tokens while a thousand good credentials are in use.
// The service has its default limits. Then half as many random tokens follow, somewhat
// faster than the service reads them, and the front answers for Vault: in production Vault
// runs on another machine, but here it would take CPU from the service that is measured.
func flood(ctx context.Context, dir string, b binaries, tokens int, perSecond float64) (*floodResult, error) {
	bed, err := startTestbed(ctx, dir, b, fault{defaultTTL: true})
	if err != nil {
		return nil, err
	}
	defer bed.close()
	pairs, err := bed.writeMany(ctx, floodPairs, nil)
	if err != nil {
		return nil, err
	}
	unused, err := bed.writeMany(ctx, newcomers, nil)
	if err != nil {
		return nil, err
	}
	calm, err := newTraffic(ctx, bed)
	if err != nil {
		return nil, err
	}
	defer func() { _ = calm.close() }()
	fresh, err := newTraffic(ctx, bed)
	if err != nil {
		return nil, err
	}
	defer func() { _ = fresh.close() }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var flows sync.WaitGroup
	defer flows.Wait()
	defer stop()
	var heart heartbeat
	flows.Go(func() { _ = heart.run(ctx) })
	flows.Go(func() {
		calm.flow(ctx, cached, floodPairRate, func(i int) (pair, bool) { return pairs[i%floodPairs], true })
	})
	if err := awaitAllowed(ctx, bed.service, calm.checkers[0], pairs); err != nil {
		return nil, err
	}
	if err := bed.vault.Yield(); err != nil {
		return nil, err
	}

	limits := cache.DefaultConfig()
	random := func(int) pair { return pair{access: token(floodPrefix), secret: token("secret")} }
	wrong := func(i int) pair {
		p := pairs[i%floodPairs]
		p.secret = "wrong"
		return p
	}
	d := &floodResult{measured: min(perSecond, overflow*limits.MissesPerSecond)}
	d.quiet.from = time.Now()
	sleepUntil(ctx, d.quiet.from.Add(quiet))
	d.quiet.to = time.Now()
	if _, err := sendBurst(ctx, bed, &d.busy, d.measured, int(quiet.Seconds()*d.measured), wrong); err != nil {
		return nil, err
	}
	evicted, err := bed.metric(ctx, "vault_authz_cache_evictions_total")
	if err != nil {
		return nil, err
	}
	flows.Go(func() {
		fresh.flow(ctx, uncached, newcomerRate, func(i int) (pair, bool) { return newcomer(unused, i) })
	})
	requests, err := sendBurst(ctx, bed, &d.flood, perSecond, tokens, random)
	if err != nil {
		return nil, err
	}
	bed.front.answerWith(bed.front.withoutFlood)
	isolated, err := sendBurst(ctx, bed, &d.isolated, d.measured, tokens/2, random)
	if err != nil {
		return nil, err
	}
	evictedAfter, err := bed.metric(ctx, "vault_authz_cache_evictions_total")
	if err != nil {
		return nil, err
	}
	stop()
	flows.Wait()

	d.tokens, d.evictions, d.answered = len(requests), int(evictedAfter-evicted), count(requests)
	d.unanswered = d.answered.unanswered + count(isolated).unanswered
	d.reads, d.peak = bed.front.count.matching("/"+floodPrefix, d.flood.from, d.flood.to), bed.front.count.worst(d.flood.from, d.flood.to)
	d.took, d.stall = d.flood.to.Sub(d.flood.from), heart.worst(d.flood.from, d.flood.to)
	// The limiter may save up two seconds.
	d.allowance = int(limits.MissesPerSecond * (2 + d.took.Seconds()))
	for _, p := range pairs {
		d.rereads += bed.front.count.matching("/"+p.access, d.flood.from, d.isolated.to)
	}
	d.judge(calm.made(), append(requests, isolated...), d.quiet.from)
	d.admit(fresh.made())
	for _, p := range []*pace{&d.quiet, &d.busy, &d.flood, &d.isolated} {
		p.p50, p.p99 = latency(calm.made(), p.from, p.to)
	}
	return d, nil
}

// sendBurst sends n requests at a rate over its own connections and records the period in
// p. It returns one second after the last answer.
func sendBurst(ctx context.Context, bed *testbed, p *pace, perSecond float64, n int, next func(i int) pair) ([]request, error) {
	t, err := newTraffic(ctx, bed)
	if err != nil {
		return nil, err
	}
	p.from = time.Now()
	t.flow(ctx, unknown, perSecond, func(i int) (pair, bool) {
		if i >= n {
			return pair{}, false
		}
		return next(i), true
	})
	p.to = time.Now()
	requests := t.made()
	sleepUntil(ctx, p.to.Add(time.Second))
	return requests, errors.Join(ctx.Err(), t.close())
}

// judge counts the wrong outcomes: of good requests since a moment, and of bad ones.
func (d *floodResult) judge(good, bad []request, since time.Time) {
	for _, s := range good {
		if !s.due.Before(since) && s.outcome != allowed {
			d.lost++
		}
	}
	for _, s := range bad {
		if s.outcome == allowed || s.outcome == wrongConsumer {
			d.wrongAllows++
		}
	}
}

// newcomer returns the pair of request i: as many pairs in turn as requests in a second, and
// each turn newcomerTries times.
func newcomer(pairs []pair, i int) (pair, bool) {
	at := i/(newcomerRate*newcomerTries)*newcomerRate + i%newcomerRate
	if at >= len(pairs) {
		return pair{}, false
	}
	return pairs[at], true
}

// admit counts by which try the newcomers were allowed.
func (d *floodResult) admit(requests []request) {
	slices.SortFunc(requests, func(a, b request) int { return a.due.Compare(b.due) })
	tries := make(map[string][]outcome)
	for _, s := range requests {
		tries[s.pair.access] = append(tries[s.pair.access], s.outcome)
	}
	for _, outcomes := range tries {
		if first := slices.Index(outcomes, allowed); first >= 0 {
			for try := first; try < newcomerTries; try++ {
				d.let[try]++
			}
		}
	}
}

// latency returns the latency of the requests that were due in [from, to).
func latency(requests []request, from, to time.Time) (p50, p99 time.Duration) {
	var chosen []request
	for _, s := range requests {
		if !s.due.Before(from) && s.due.Before(to) {
			chosen = append(chosen, s)
		}
	}
	t := count(chosen)
	return t.p50, t.p99
}

// ratio is the p99 of a pace relative to the p99 before the flood.
func (d *floodResult) ratio(p pace) float64 { return float64(p.p99) / float64(d.quiet.p99) }

func (d *floodResult) paced(p pace) cell { return cell{text: fmt.Sprintf("%s; %.2f", p, d.ratio(p))} }

// lines returns the results.
func (d *floodResult) lines() []fact {
	judged := d.paced(d.isolated)
	judged.bad = d.quiet.p99 <= 0 || d.isolated.p99 <= 0 || d.ratio(d.isolated) > floodRatio
	return []fact{
		{"random tokens, and how fast they came", cell{fmt.Sprintf("%d, %.0f/s", d.tokens, float64(d.tokens)/d.took.Seconds()), d.tokens == 0}},
		{"of these allowed", cell{fmt.Sprint(d.wrongAllows), d.wrongAllows != 0}},
		{"of these answered 401 / 503 / not", cell{fmt.Sprintf("%d / %d / %d", d.answered.denied, d.answered.unavailable, d.answered.unanswered), d.unanswered != 0}},
		{"1000 good credentials at 500/s: not allowed", cell{fmt.Sprint(d.lost), d.lost != 0}},
		{"good credentials evicted", cell{fmt.Sprint(d.evictions), d.evictions != 0}},
		{"good credentials read from Vault again", cell{fmt.Sprint(d.rereads), d.rereads != 0}},
		{fmt.Sprintf("%d good credentials that are not cached: allowed at the first / second / third try", newcomers), cell{fmt.Sprintf("%d / %d / %d", d.let[0], d.let[1], d.let[2]), d.let[2] < newcomers*95/100}},
		{"cached allows, p50 / p99: quiet", cell{text: d.quiet.String()}},
		{"… beside denials from the cache; p99 ÷ quiet", d.paced(d.busy)},
		{fmt.Sprintf("… beside a flood of %.0f/s, the front answers for Vault; p99 ÷ quiet", d.measured), judged},
		{"… beside the flood above, Vault on the same CPUs; p99 ÷ quiet", d.paced(d.flood)},
		{"reads of these from Vault, and what the limiter allows", cell{fmt.Sprintf("%d of %d", d.reads, d.allowance), d.reads > d.allowance}},
		{"requests to Vault in the worst second", cell{text: fmt.Sprint(d.peak)}},
		{"longest stall of the machine", cell{text: formatDuration(d.stall)}},
	}
}

func (d *floodResult) title() string { return "flood" }
