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
	// quiet is how long cached allows are measured before.
	quiet = 10 * time.Second
)

// A deluge is what came out of a flood.
type deluge struct {
	tokens                 int
	wrongAllows, lost      int
	evictions, again       int
	quietP50, quietP99     time.Duration
	busyP50, busyP99       time.Duration
	floodP50, floodP99     time.Duration
	answered               tally
	reads, allowance, peak int
	took                   time.Duration
	stall                  time.Duration
}

// flood has so many random tokens come, so many a second, while a thousand good credentials are in
// use. The rates are those of the service's defaults.
func flood(ctx context.Context, dir string, b binaries, tokens int, perSecond float64) (deluge, error) {
	w, err := startWorld(ctx, dir, b, fault{lifelong: true})
	if err != nil {
		return deluge{}, err
	}
	defer w.close()
	pairs, err := w.writeMany(ctx, crowd, nil)
	if err != nil {
		return deluge{}, err
	}
	calm, err := newTraffic(ctx, w)
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
	if err := calm.hold(ctx, w, pairs); err != nil {
		return deluge{}, err
	}
	// Vault has a machine of its own in real life: what it does must not slow
	// down the service here.
	if err := w.vault.Yield(); err != nil {
		return deluge{}, err
	}

	began := time.Now()
	until(ctx, began.Add(quiet))
	busy := time.Now()
	if _, err := storm(ctx, w, perSecond, int(quiet.Seconds()*perSecond), func(i int) pair {
		p := pairs[i%crowd]
		p.secret = "wrong"
		return p
	}); err != nil {
		return deluge{}, err
	}
	// What came late is not the flood's.
	until(ctx, time.Now().Add(time.Second))
	flooded := time.Now()
	evicted, err := w.metric(ctx, "vault_authz_cache_evictions_total")
	if err != nil {
		return deluge{}, err
	}
	shots, err := storm(ctx, w, perSecond, tokens, func(int) pair { return pair{access: token("flood"), secret: token("secret")} })
	if err != nil {
		return deluge{}, err
	}
	over := time.Now()
	evictedAfter, err := w.metric(ctx, "vault_authz_cache_evictions_total")
	if err != nil {
		return deluge{}, err
	}
	stop()
	flows.Wait()
	d := deluge{
		tokens: len(shots), evictions: int(evictedAfter - evicted), answered: count(shots),
		reads: w.front.count.between(flooded, over), peak: w.front.count.worst(flooded, over), took: over.Sub(flooded),
		stall: heart.worst(began, over),
	}
	limits := cache.DefaultConfig()
	d.allowance = limits.MissBurst + int(limits.MissesPerSecond*d.took.Seconds())
	for _, p := range pairs {
		d.again += w.front.count.matching("/"+p.access, flooded, over)
	}
	d.judge(calm.made(), shots, began)
	d.quietP50, d.quietP99 = latency(calm.made(), began, busy)
	d.busyP50, d.busyP99 = latency(calm.made(), busy, flooded.Add(-time.Second))
	d.floodP50, d.floodP99 = latency(calm.made(), flooded, over)
	return d, nil
}

// hold waits until each pair has been allowed, and so is in the cache.
func (t *traffic) hold(ctx context.Context, w *world, pairs []pair) error {
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	for _, p := range pairs {
		err := parts.Await(ctx, w.service.Process, func(ctx context.Context) error {
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

// storm makes so many requests at a rate, over connections of its own.
func storm(ctx context.Context, w *world, perSecond float64, n int, next func(i int) pair) ([]shot, error) {
	t, err := newTraffic(ctx, w)
	if err != nil {
		return nil, err
	}
	t.flow(ctx, unknown, perSecond, func(i int) (pair, bool) {
		if i >= n {
			return pair{}, false
		}
		return next(i), true
	})
	shots := t.made()
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
func (d *deluge) ratio() float64 { return float64(d.floodP99) / float64(d.quietP99) }

// lines are what came out, and whether it is as it must be.
func (d *deluge) lines() [][2]cell {
	fact := func(s string) cell { return cell{text: s} }
	return [][2]cell{
		{fact("random tokens, and how fast they came"), {fmt.Sprintf("%d, %.0f/s", d.tokens, float64(d.tokens)/d.took.Seconds()), d.tokens == 0}},
		{fact("of these allowed"), {fmt.Sprint(d.wrongAllows), d.wrongAllows != 0}},
		{fact("of these answered 401 / 503 / not"), {fmt.Sprintf("%d / %d / %d", d.answered.denied, d.answered.unavailable, d.answered.silent), d.answered.silent != 0}},
		{fact("1000 good credentials at 500/s: not allowed"), {fmt.Sprint(d.lost), d.lost != 0}},
		{fact("good credentials evicted"), {fmt.Sprint(d.evictions), d.evictions != 0}},
		{fact("good credentials read from Vault again"), {fmt.Sprint(d.again), d.again != 0}},
		{fact("cached allows, p50 / p99, quiet"), fact(fmt.Sprintf("%s / %s", brief(d.quietP50), brief(d.quietP99)))},
		{fact("cached allows, p50 / p99, with as many cached denials"), fact(fmt.Sprintf("%s / %s", brief(d.busyP50), brief(d.busyP99)))},
		{fact("cached allows, p50 / p99, in the flood"), fact(fmt.Sprintf("%s / %s", brief(d.floodP50), brief(d.floodP99)))},
		{fact("p99 in the flood ÷ quiet"), {fmt.Sprintf("%.2f", d.ratio()), d.ratio() > floodRatio}},
		{fact("p99 in the flood ÷ as many cached denials"), fact(fmt.Sprintf("%.2f", float64(d.floodP99)/float64(d.busyP99)))},
		{fact("reads from Vault, and what the limiter allows"), {fmt.Sprintf("%d of %d", d.reads, d.allowance), d.reads > d.allowance}},
		{fact("reads from Vault in the worst second"), fact(fmt.Sprint(d.peak))},
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
