package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

const (
	// crowd is how many good credentials are in use during the flood, and
	// crowdRate how often one of them is used in a second.
	floodPairs, floodPairRate = 1000, 500
	// floodRatio is by how much cached allows may become slower.
	floodRatio = 1.5
	// floodPrefix is how the access tokens of a flood begin.
	floodPrefix = "flood"
	// overflow is by how much a flood that is measured exceeds what the service
	// reads of it: enough for some to be refused.
	overflow = 1.1
	// quiet is how long cached allows are measured before.
	quiet = 10 * time.Second
)

// A deluge is what came out of a flood.
type floodResult struct {
	tokens                 int
	wrongAllows, lost      int
	evictions, rereads     int
	answered               tally
	unanswered             int
	reads, allowance, peak int
	took                   time.Duration
	stall                  time.Duration

	// What cached allows took: with nothing else going on, with as many denials
	// from the cache, in the flood, and in one that costs no CPU in a Vault.
	quiet, busy, flood, isolated pace
	// measured is how many came in a second of the last one, and of the denials.
	measured float64
}

// A pace is how fast cached allows were in a span of time.
type pace struct {
	from, to time.Time
	p50, p99 time.Duration
}

func (p pace) String() string { return formatDuration(p.p50) + " / " + formatDuration(p.p99) }

// flood has so many random tokens come, so many a second, while a thousand good
// credentials are in use. The limits are the service's defaults. Then half as many
// come once more, somewhat faster than the service reads them, with Vault's part
// taken over: Vault has a machine of its own in real life, while here it takes the
// CPUs away from the service, which is what is measured.
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
	calm, err := newTraffic(ctx, bed)
	if err != nil {
		return nil, err
	}
	defer func() { _ = calm.close() }()
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
	// It may save up two seconds of them.
	d.allowance = int(limits.MissesPerSecond * (2 + d.took.Seconds()))
	for _, p := range pairs {
		d.rereads += bed.front.count.matching("/"+p.access, d.flood.from, d.isolated.to)
	}
	d.judge(calm.made(), append(requests, isolated...), d.quiet.from)
	for _, p := range []*pace{&d.quiet, &d.busy, &d.flood, &d.isolated} {
		p.p50, p.p99 = latency(calm.made(), p.from, p.to)
	}
	return d, nil
}

// storm makes so many requests at a rate, over connections of its own, and notes
// from when to when. It ends when what came late is over.
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

// judge counts what must not be, of the good ones since all were held.
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

// latency returns that of the requests in a span of time.
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

// ratio is by how much cached allows became slower.
func (d *floodResult) ratio(p pace) float64 { return float64(p.p99) / float64(d.quiet.p99) }

func (d *floodResult) paced(p pace) cell { return cell{text: fmt.Sprintf("%s; %.2f", p, d.ratio(p))} }

// lines are the results, and whether each is as it must be.
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
		{"cached allows, p50 / p99: quiet", cell{text: d.quiet.String()}},
		{"… beside denials from the cache; p99 ÷ quiet", d.paced(d.busy)},
		{fmt.Sprintf("… beside a flood of %.0f/s, Vault's part taken over; p99 ÷ quiet", d.measured), judged},
		{"… beside the flood above, Vault on the same CPUs; p99 ÷ quiet", d.paced(d.flood)},
		{"reads of these from Vault, and what the limiter allows", cell{fmt.Sprintf("%d of %d", d.reads, d.allowance), d.reads > d.allowance}},
		{"requests to Vault in the worst second", cell{text: fmt.Sprint(d.peak)}},
		{"longest stall of the machine", cell{text: formatDuration(d.stall)}},
	}
}

func (d *floodResult) title() string { return "flood" }
