package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/test/parts"
)

const (
	// crowd is how many good credentials are in use during the flood, and
	// crowdRate how often one of them is used in a second.
	crowd, crowdRate = 1000, 500
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
type deluge struct {
	tokens                 int
	wrongAllows, lost      int
	evictions, again       int
	answered               tally
	silent                 int
	reads, allowance, peak int
	took                   time.Duration
	stall                  time.Duration

	// What cached allows took: with nothing else going on, with as many denials
	// from the cache, in the flood, and in one that costs no CPU in a Vault.
	quiet, busy, flood, apart pace
	// measured is how many came in a second of the last one, and of the denials.
	measured float64
}

// A pace is how fast cached allows were in a span of time.
type pace struct {
	from, to time.Time
	p50, p99 time.Duration
}

func (p pace) String() string { return brief(p.p50) + " / " + brief(p.p99) }

// flood has so many random tokens come, so many a second, while a thousand good
// credentials are in use. The limits are the service's defaults. Then half as many
// come once more, somewhat faster than the service reads them, with Vault's part
// taken over: Vault has a machine of its own in real life, while here it takes the
// CPUs away from the service, which is what is measured.
func flood(ctx context.Context, dir string, b binaries, tokens int, perSecond float64) (deluge, error) {
	bed, err := startTestbed(ctx, dir, b, fault{lifelong: true})
	if err != nil {
		return deluge{}, err
	}
	defer bed.close()
	pairs, err := bed.writeMany(ctx, crowd, nil)
	if err != nil {
		return deluge{}, err
	}
	calm, err := newTraffic(ctx, bed)
	if err != nil {
		return deluge{}, err
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
		calm.flow(ctx, hot, crowdRate, func(i int) (pair, bool) { return pairs[i%crowd], true })
	})
	if err := calm.hold(ctx, bed, pairs); err != nil {
		return deluge{}, err
	}
	if err := bed.vault.Yield(); err != nil {
		return deluge{}, err
	}

	limits := cache.DefaultConfig()
	random := func(int) pair { return pair{access: token(floodPrefix), secret: token("secret")} }
	wrong := func(i int) pair {
		p := pairs[i%crowd]
		p.secret = "wrong"
		return p
	}
	d := deluge{measured: min(perSecond, overflow*limits.MissesPerSecond)}
	d.quiet.from = time.Now()
	until(ctx, d.quiet.from.Add(quiet))
	d.quiet.to = time.Now()
	if _, err := storm(ctx, bed, &d.busy, d.measured, int(quiet.Seconds()*d.measured), wrong); err != nil {
		return deluge{}, err
	}
	evicted, err := bed.metric(ctx, "vault_authz_cache_evictions_total")
	if err != nil {
		return deluge{}, err
	}
	shots, err := storm(ctx, bed, &d.flood, perSecond, tokens, random)
	if err != nil {
		return deluge{}, err
	}
	bed.front.answerWith(bed.front.withoutFlood)
	apart, err := storm(ctx, bed, &d.apart, d.measured, tokens/2, random)
	if err != nil {
		return deluge{}, err
	}
	evictedAfter, err := bed.metric(ctx, "vault_authz_cache_evictions_total")
	if err != nil {
		return deluge{}, err
	}
	stop()
	flows.Wait()

	d.tokens, d.evictions, d.answered = len(shots), int(evictedAfter-evicted), count(shots)
	d.silent = d.answered.silent + count(apart).silent
	d.reads, d.peak = bed.front.count.matching("/"+floodPrefix, d.flood.from, d.flood.to), bed.front.count.worst(d.flood.from, d.flood.to)
	d.took, d.stall = d.flood.to.Sub(d.flood.from), heart.worst(d.flood.from, d.flood.to)
	// It may save up two seconds of them.
	d.allowance = int(limits.MissesPerSecond * (2 + d.took.Seconds()))
	for _, p := range pairs {
		d.again += bed.front.count.matching("/"+p.access, d.flood.from, d.apart.to)
	}
	d.judge(calm.made(), append(shots, apart...), d.quiet.from)
	for _, p := range []*pace{&d.quiet, &d.busy, &d.flood, &d.apart} {
		p.p50, p.p99 = latency(calm.made(), p.from, p.to)
	}
	return d, nil
}

// hold waits until each pair has been allowed, and so is in the cache.
func (t *traffic) hold(ctx context.Context, bed *testbed, pairs []pair) error {
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	for _, p := range pairs {
		err := parts.Await(ctx, bed.service.Process, func(ctx context.Context) error {
			if got := t.askers[0].ask(ctx, p); got != allowed {
				return fmt.Errorf("a good credential is %s", got)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// storm makes so many requests at a rate, over connections of its own, and notes
// from when to when. It ends when what came late is over.
func storm(ctx context.Context, bed *testbed, p *pace, perSecond float64, n int, next func(i int) pair) ([]shot, error) {
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
	shots := t.made()
	until(ctx, p.to.Add(time.Second))
	return shots, errors.Join(ctx.Err(), t.close())
}

// judge counts what must not be, of the good ones since all were held.
func (d *deluge) judge(good, bad []shot, since time.Time) {
	for _, s := range good {
		if !s.due.Before(since) && s.outcome != allowed {
			d.lost++
		}
	}
	for _, s := range bad {
		if s.outcome == allowed || s.outcome == mistaken {
			d.wrongAllows++
		}
	}
}

// latency returns that of the requests in a span of time.
func latency(shots []shot, from, to time.Time) (p50, p99 time.Duration) {
	var chosen []shot
	for _, s := range shots {
		if !s.due.Before(from) && s.due.Before(to) {
			chosen = append(chosen, s)
		}
	}
	t := count(chosen)
	return t.p50, t.p99
}

// ratio is by how much cached allows became slower.
func (d *deluge) ratio(p pace) float64 { return float64(p.p99) / float64(d.quiet.p99) }

func (d *deluge) paced(p pace) cell { return cell{text: fmt.Sprintf("%s; %.2f", p, d.ratio(p))} }

// lines are what came out, and whether it is as it must be.
func (d *deluge) lines() [][2]cell {
	fact := func(s string) cell { return cell{text: s} }
	judged := d.paced(d.apart)
	judged.bad = d.quiet.p99 <= 0 || d.apart.p99 <= 0 || d.ratio(d.apart) > floodRatio
	return [][2]cell{
		{fact("random tokens, and how fast they came"), {fmt.Sprintf("%d, %.0f/s", d.tokens, float64(d.tokens)/d.took.Seconds()), d.tokens == 0}},
		{fact("of these allowed"), {fmt.Sprint(d.wrongAllows), d.wrongAllows != 0}},
		{fact("of these answered 401 / 503 / not"), {fmt.Sprintf("%d / %d / %d", d.answered.denied, d.answered.unavailable, d.answered.silent), d.silent != 0}},
		{fact("1000 good credentials at 500/s: not allowed"), {fmt.Sprint(d.lost), d.lost != 0}},
		{fact("good credentials evicted"), {fmt.Sprint(d.evictions), d.evictions != 0}},
		{fact("good credentials read from Vault again"), {fmt.Sprint(d.again), d.again != 0}},
		{fact("cached allows, p50 / p99: quiet"), fact(d.quiet.String())},
		{fact("… beside denials from the cache; p99 ÷ quiet"), d.paced(d.busy)},
		{fact(fmt.Sprintf("… beside a flood of %.0f/s, Vault's part taken over; p99 ÷ quiet", d.measured)), judged},
		{fact("… beside the flood above, Vault on the same CPUs; p99 ÷ quiet"), d.paced(d.flood)},
		{fact("reads of these from Vault, and what the limiter allows"), {fmt.Sprintf("%d of %d", d.reads, d.allowance), d.reads > d.allowance}},
		{fact("requests to Vault in the worst second"), fact(fmt.Sprint(d.peak))},
		{fact("longest stall of the machine"), fact(brief(d.stall))},
	}
}

func (d *deluge) bad() bool {
	for _, l := range d.lines() {
		if l[1].bad {
			return true
		}
	}
	return false
}

func (d *deluge) print(to io.Writer) {
	fmt.Fprint(to, "| flood | |\n|---|---|\n")
	for _, l := range d.lines() {
		fmt.Fprintf(to, "| %s | %s |\n", l[0], l[1])
	}
}
