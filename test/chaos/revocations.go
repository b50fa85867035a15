package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

const (
	// lateLimit is how long after it was answered, or after Vault is back, a
	// revocation may take to hold on another replica.
	lateLimit = 2500 * time.Millisecond
	// goodRate is how often one of goodPairs is asked about in a second.
	goodPairs, goodRate = 100, 200
	// revocationPause is between two revocations.
	revocationPause = 250 * time.Millisecond
	// outageLasts is an outage, longer than a replica goes without the log.
	outageLasts = 6 * time.Second
	// reloads is how often the replica falls behind.
	reloads = 5
)

// A lateness is what came out of revocations on a replica that is busy with
// something else.
type lateness struct {
	records, reloads, outages int
	// reload are those beside the reading of all records, during those beside an
	// outage, and after those right after one.
	reload, during, after lag
	// reading is how long all records were read at most, and closed when the last 503
	// came, both after Vault was back.
	reading, closed time.Duration
	// beside are the good requests meanwhile, outside those while Vault was away
	// and came back.
	beside, outside tally
	stall           time.Duration
}

// A lag is for how long revocations did not hold.
type lag struct {
	n        int
	p50, max time.Duration
}

func newLag(held []time.Duration) lag {
	return lag{len(held), quantile(held, 0.5), quantile(held, 1)}
}

func (l lag) String() string { return fmt.Sprintf("%d: %s / %s", l.n, brief(l.p50), brief(l.max)) }

func (l lag) cell() cell { return cell{l.String(), l.n == 0 || l.max > lateLimit} }

// revocations has a replica read so many records again, and sees so many outages
// end, while another one revokes what it holds.
func revocations(ctx context.Context, dir string, b binaries, records, outages int) (lateness, error) {
	s, err := startSite(ctx, dir, b)
	if err != nil {
		return lateness{}, err
	}
	defer s.close()
	// So many can be revoked at most.
	spare := goodPairs + 500
	if err := s.newConsumers(ctx, 0, max(records, spare)); err != nil {
		return lateness{}, err
	}
	pairs, err := s.newPairs(ctx, 0, spare)
	if err != nil {
		return lateness{}, err
	}
	v := &vigil{site: s, good: pairs[:goodPairs], spare: pairs[goodPairs:]}
	if v.asker, err = newDirect(s.watched.GRPC); err != nil {
		return lateness{}, err
	}
	defer func() { _ = v.asker.close() }()
	ctx, stop := context.WithCancel(ctx)
	var flows sync.WaitGroup
	defer flows.Wait()
	defer stop()
	d := lateness{records: max(records, spare), reloads: reloads, outages: outages}
	if err := v.hold(ctx, v.good); err != nil {
		return lateness{}, err
	}
	var heart heartbeat
	flows.Go(func() { _ = heart.run(ctx) })
	began := time.Now()
	if err := v.reload(ctx, &d); err != nil {
		return lateness{}, fmt.Errorf("a reload: %w", err)
	}
	if err := v.blackouts(ctx, &d); err != nil {
		return lateness{}, fmt.Errorf("an outage: %w", err)
	}
	d.stall = heart.worst(began, time.Now())
	return d, nil
}

// A vigil looks at one replica while another one revokes.
type vigil struct {
	site        *site
	asker       asker
	good, spare []pair
}

// hold waits until pairs are allowed.
func (v *vigil) hold(ctx context.Context, pairs []pair) error {
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	for _, p := range pairs {
		if err := parts.Await(ctx, v.site.watched.Process, func(ctx context.Context) error {
			if got := v.asker.ask(ctx, p); got != allowed {
				return fmt.Errorf("a good credential is %s", got)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// besides asks about good pairs until what it returns is called.
func (v *vigil) besides(ctx context.Context) (stop func() []shot) {
	ctx, cancel := context.WithCancel(ctx)
	t := &traffic{askers: []asker{v.asker}}
	var flow sync.WaitGroup
	flow.Go(func() {
		t.flow(ctx, hot, goodRate, func(i int) (pair, bool) { return v.good[i%len(v.good)], true })
	})
	return func() []shot {
		cancel()
		flow.Wait()
		return t.made()
	}
}

// next takes a pair that has not been revoked, and waits until it is allowed.
func (v *vigil) next(ctx context.Context) (pair, error) {
	if len(v.spare) == 0 {
		return pair{}, errors.New("ran out of credentials to revoke")
	}
	p := v.spare[0]
	v.spare = v.spare[1:]
	return p, v.hold(ctx, []pair{p})
}

// gone waits until a pair is not allowed, and returns how long after a moment it was
// asked about last and still allowed.
func (v *vigil) gone(ctx context.Context, p pair, since time.Time) (held time.Duration, err error) {
	for {
		asked := time.Now()
		bounded, cancel := context.WithTimeout(ctx, patience)
		got := v.asker.ask(bounded, p)
		cancel()
		if got != allowed && got != mistaken {
			return held, ctx.Err()
		}
		if held = asked.Sub(since); held > 10*lateLimit {
			return held, fmt.Errorf("a revoked credential is %s %s after it was revoked", got, held)
		}
		until(ctx, asked.Add(10*time.Millisecond))
	}
}

// reload has the replica fall behind the log a few times, so that it reads everything
// again, while pairs are revoked.
func (v *vigil) reload(ctx context.Context, d *lateness) error {
	var held []time.Duration
	var shots []shot
	for i := range d.reloads {
		const each = 12
		doomed := v.spare[:each]
		v.spare = v.spare[each:]
		if err := v.hold(ctx, doomed); err != nil {
			return err
		}
		v.site.front.link().set(resets)
		if err := v.site.outrun(ctx); err != nil {
			return err
		}
		good := v.besides(ctx)
		v.site.front.link().set(passes)
		back := time.Now()
		for j, p := range doomed {
			if err := v.site.revoke(ctx, p, (i+j)%2 == 1); err != nil {
				return err
			}
			took, err := v.gone(ctx, p, time.Now())
			if err != nil {
				return err
			}
			held = append(held, took)
			until(ctx, time.Now().Add(revocationPause))
		}
		took := v.site.front.count.last("/checkpoint-").Sub(back)
		d.reading = max(d.reading, took)
		for _, s := range good() {
			shots = append(shots, s)
			if s.outcome == unavailable {
				d.closed = max(d.closed, s.due.Sub(back))
			}
		}
		if took <= 0 {
			return errors.New("the replica did not read everything again: it did not fall behind")
		}
	}
	d.reload, d.beside = newLag(held), count(shots)
	return ctx.Err()
}

// blackouts takes Vault away from the replica, a few times, while the other one
// revokes.
func (v *vigil) blackouts(ctx context.Context, d *lateness) error {
	var during, after []time.Duration
	var shots []shot
	for i := range d.outages {
		// All is dropped once more some time after everything was read, and entries are
		// not read again all at once after an outage.
		calm := v.besides(ctx)
		until(ctx, time.Now().Add(ttl+2*time.Second))
		calm()
		if err := v.hold(ctx, v.good); err != nil {
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
		good := v.besides(ctx)
		v.site.front.link().set([]state{resets, vanishes}[i%2])
		until(ctx, time.Now().Add(outageLasts/2))
		if err := v.site.revoke(ctx, one, i%4 < 2); err != nil {
			return err
		}
		until(ctx, time.Now().Add(outageLasts/2))
		v.site.front.link().set(passes)
		back := time.Now()
		if err := v.site.revoke(ctx, two, i%4 >= 2); err != nil {
			return err
		}
		answered := time.Now()
		var both sync.WaitGroup
		var errs [2]error
		var took [2]time.Duration
		both.Go(func() { took[0], errs[0] = v.gone(ctx, one, back) })
		both.Go(func() { took[1], errs[1] = v.gone(ctx, two, answered) })
		both.Wait()
		shots = append(shots, good()...)
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		during, after = append(during, took[0]), append(after, took[1])
	}
	d.during, d.after, d.outside = newLag(during), newLag(after), count(shots)
	return ctx.Err()
}

// lines are what came out, and whether it is as it must be.
func (d *lateness) lines() [][2]cell {
	fact := func(s string) cell { return cell{text: s} }
	answered := func(t tally, lost int) cell {
		return cell{fmt.Sprintf("%d / %d / %d / %d", t.allowed, t.unavailable, t.denied, t.silent), t.allowed == 0 || lost > 0}
	}
	return [][2]cell{
		{fact("reloads after a replica fell behind: how many, of how many records; read after, max"), {fmt.Sprintf("%d, %d; %s", d.reloads, d.records, brief(d.reading)), d.reading == 0}},
		{fact("… revocations meanwhile: how many; held after, p50 / max"), d.reload.cell()},
		{fact("… good credentials: allowed / 503 / said to be bad / no answer"), answered(d.beside, d.beside.denied+d.beside.silent)},
		{fact("… the last 503 came after"), {brief(d.closed), d.closed > d.reading+lateLimit}},
		{fact(fmt.Sprintf("outages of %s that end", brief(outageLasts))), {fmt.Sprint(d.outages), d.outages == 0}},
		{fact("… revocations during one: how many; held after its end, p50 / max"), d.during.cell()},
		{fact("… revocations at its end: how many; held after, p50 / max"), d.after.cell()},
		{fact("… good credentials: allowed / 503 / said to be bad / no answer"), answered(d.outside, d.outside.unavailable+d.outside.denied+d.outside.silent)},
		{fact("longest stall of the machine"), fact(brief(d.stall))},
	}
}

func (d *lateness) bad() bool {
	for _, l := range d.lines() {
		if l[1].bad {
			return true
		}
	}
	return false
}

func (d *lateness) print(to io.Writer) {
	fmt.Fprint(to, "| revocations through another replica | |\n|---|---|\n")
	for _, l := range d.lines() {
		fmt.Fprintf(to, "| %s | %s |\n", l[0], l[1])
	}
}

// last returns when something with that in its path was asked for last.
func (c *counter) last(part string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.asks) - 1; i >= 0; i-- {
		if strings.Contains(c.asks[i].path, part) {
			return c.asks[i].at
		}
	}
	return time.Time{}
}
