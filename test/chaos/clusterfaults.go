package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A clusterFault is a fault of a cluster. Replica A prefers the leader, B a standby.
type clusterFault struct {
	name   string
	always bool
	// elects says that the fault leads to an election.
	elects bool
	// lasts is the minimum duration.
	lasts time.Duration
	// breakIt causes the fault, mend ends it.
	breakIt, mend func(ctx context.Context, c *parts.Cluster, leader, standby *parts.Node) error
}

// healthLooks is longer than the interval at which a replica checks the health of an
// address that it has left.
const healthLooks = 18 * time.Second

func clusterFaults() []clusterFault {
	heal := func(_ context.Context, c *parts.Cluster, _, _ *parts.Node) error {
		c.Heal()
		return nil
	}
	none := func(context.Context, *parts.Cluster, *parts.Node, *parts.Node) error { return nil }
	isolate := func(which func(leader, standby *parts.Node) *parts.Node, how func(*parts.Link)) func(context.Context, *parts.Cluster, *parts.Node, *parts.Node) error {
		return func(_ context.Context, c *parts.Cluster, leader, standby *parts.Node) error {
			c.Isolate(which(leader, standby), how)
			return nil
		}
	}
	theLeader := func(leader, _ *parts.Node) *parts.Node { return leader }
	theStandby := func(_, standby *parts.Node) *parts.Node { return standby }
	restart := func(ctx context.Context, _ *parts.Cluster, leader, _ *parts.Node) error { return leader.Start(ctx) }
	return []clusterFault{
		{name: "step-down", always: true, elects: true, breakIt: func(ctx context.Context, c *parts.Cluster, _, _ *parts.Node) error {
			_, err := c.StepDown(ctx)
			return err
		}, mend: none},
		{name: "leader killed", always: true, elects: true, breakIt: func(_ context.Context, _ *parts.Cluster, leader, _ *parts.Node) error {
			leader.Kill()
			return nil
		}, mend: restart},
		{name: "leader stopped (SIGSTOP)", always: true, elects: true, breakIt: func(_ context.Context, _ *parts.Cluster, leader, _ *parts.Node) error {
			return leader.Signal(syscall.SIGSTOP)
		}, mend: func(_ context.Context, _ *parts.Cluster, leader, _ *parts.Node) error {
			return leader.Signal(syscall.SIGCONT)
		}},
		{name: "leader sealed", elects: true, breakIt: func(ctx context.Context, _ *parts.Cluster, leader, _ *parts.Node) error {
			return leader.Seal(ctx)
		}, mend: restart},
		{name: "all restarted", always: true, elects: true, breakIt: func(ctx context.Context, c *parts.Cluster, _, _ *parts.Node) error {
			return c.Restart(ctx)
		}, mend: none},
		{name: "standby killed", breakIt: func(_ context.Context, _ *parts.Cluster, _, standby *parts.Node) error {
			standby.Kill()
			return nil
		}, mend: func(ctx context.Context, _ *parts.Cluster, _, standby *parts.Node) error { return standby.Start(ctx) }},
		{name: "leader isolated, links cut", always: true, elects: true, lasts: healthLooks, breakIt: isolate(theLeader, (*parts.Link).Cut), mend: heal},
		{name: "leader isolated, links silent", elects: true, breakIt: isolate(theLeader, (*parts.Link).Silence), mend: heal},
		{name: "standby isolated, links cut", always: true, breakIt: isolate(theStandby, (*parts.Link).Cut), mend: heal},
		{name: "standby isolated, links silent", breakIt: isolate(theStandby, (*parts.Link).Silence), mend: heal},
		{name: "standby cut off from the clients", breakIt: func(_ context.Context, _ *parts.Cluster, _, standby *parts.Node) error {
			standby.Clients.SetReset(true)
			return nil
		}, mend: heal},
	}
}

// A faultRow is the result of a clusterFault.
type faultRow struct {
	name, reads string
	elects      bool
	// elected is when the cluster had another leader, and works when admin calls
	// succeeded again on each replica, both since the beginning of the fault.
	elected time.Duration
	works   []time.Duration
	// held is for how long the other replica allowed each credential after it was
	// revoked during the fault.
	held []time.Duration
	// The outcomes of the requests during the fault, as in [row].
	wrongAllows, lost, goodDenied, unanswered, requests int
	stall                                               time.Duration
	// wrong lists the requests with a wrong outcome, and when they were due after the
	// beginning of the fault.
	wrong []string
}

func (r *faultRow) cells() []cell {
	zero := func(n int) cell { return cell{fmt.Sprint(n), n != 0} }
	works := func(i int) cell { return cell{formatDuration(r.works[i]), r.works[i] > r.elected+parts.RecoveryLimit} }
	held := quantile(r.held, 1)
	elected := cell{"", false}
	if r.elects {
		elected = cell{formatDuration(r.elected), false}
	}
	return []cell{
		{r.name, false},
		{r.reads, false},
		elected, works(0), works(1),
		{fmt.Sprintf("%s (%d)", formatDuration(held), len(r.held)), held > parts.RevocationLimit || len(r.held) == 0},
		zero(r.wrongAllows), zero(r.lost), zero(r.goodDenied), zero(r.unanswered),
		{fmt.Sprint(r.requests), r.requests == 0},
		{formatDuration(r.stall), false},
	}
}

func faultHeads() []string {
	return []string{
		"fault", "standby reads", "another leader after", "admin works on A after", "on B after", "revoked meanwhile, denied elsewhere after: max (n)",
		"wrong allows", "cached lost", "good denied", "no answer", "requests", "longest stall of the machine",
	}
}

// revokedPairs are credentials that must be denied, now or within [parts.RevocationLimit]. It is
// safe for concurrent use.
type revokedPairs struct {
	mu    sync.Mutex
	pairs []pair
}

// add adds a pair that was revoked now.
func (g *revokedPairs) add(p pair) {
	p.expires = time.Now().Add(parts.RevocationLimit)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pairs = append(g.pairs, p)
}

func (g *revokedPairs) pick(i int) (pair, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pairs[i%len(g.pairs)], true
}

// tryFault breaks the cluster under traffic and revokes credentials during the fault.
func (bed *clusterTestbed) tryFault(ctx context.Context, f clusterFault, mode, logs string) (*faultRow, error) {
	leader, err := bed.settle(ctx)
	if err != nil {
		return nil, err
	}
	standby := bed.cluster.Others(leader)[0]
	all, stop, err := bed.replicas(ctx, prefers(leader), prefers(standby))
	if err != nil {
		return nil, err
	}
	defer stop()

	const cachedPairs, toRevoke = 20, 6
	pairs := make([]pair, cachedPairs+toRevoke+1)
	for i := range pairs {
		if pairs[i], err = bed.put(ctx, leader); err != nil {
			return nil, err
		}
		for _, r := range all {
			if _, err := r.awaitOutcome(ctx, pairs[i], allowed); err != nil {
				return nil, err
			}
		}
	}
	var revokedSoFar revokedPairs
	revokedBefore := pairs[cachedPairs+toRevoke]
	if err := parts.Await(ctx, nil, func(ctx context.Context) error { return all[0].revoke(ctx, revokedBefore) }); err != nil {
		return nil, err
	}
	revokedSoFar.add(revokedBefore)

	ctx, watched := watch(ctx)
	t := &traffic{checkers: []checker{all[0].grpcClient, all[1].grpcClient}}
	flows := clusterTraffic(ctx, t, pairs[:cachedPairs], &revokedSoFar)
	r := &faultRow{name: f.name, reads: mode, elects: f.elects}
	began := time.Now()
	broken, err := bed.phases(ctx, f, r, all, pairs[cachedPairs:cachedPairs+toRevoke], &revokedSoFar, leader, standby)
	heart, errHeart := watched()
	flows.Wait()
	r.count(t.made(), broken)
	r.stall = heart.worst(began, time.Now())
	for i, by := range all {
		err = errors.Join(err, keepLog(logs, fmt.Sprintf("%s %d", f.name, i+1), by.Log()))
	}
	return r, errors.Join(err, errHeart)
}

// clusterTraffic starts all traffic.
func clusterTraffic(ctx context.Context, t *traffic, pairs []pair, revokedSoFar *revokedPairs) *sync.WaitGroup {
	var flows sync.WaitGroup
	flow := func(c class, rate float64, next func(int) (pair, bool)) {
		flows.Go(func() { t.flow(ctx, c, rate, next) })
	}
	// Both replicas are asked about each pair.
	each := func(i int) (pair, bool) { return pairs[i/len(t.checkers)%len(pairs)], true }
	flow(cached, 60, each)
	flow(cachedWrongSecret, 6, func(i int) (pair, bool) {
		p, ok := each(i)
		p.secret = token("wrong")
		return p, ok
	})
	flow(unknown, 6, func(int) (pair, bool) { return pair{access: token("unknown"), secret: token("secret")}, true })
	flow(expiring, 30, func(i int) (pair, bool) { return revokedSoFar.pick(i / len(t.checkers)) })
	return &flows
}

// phases runs the phases of a fault and returns when the fault began.
func (bed *clusterTestbed) phases(ctx context.Context, f clusterFault, r *faultRow, all []*replica, toRevoke []pair, revokedSoFar *revokedPairs, leader, standby *parts.Node) (broken time.Time, err error) {
	sleepUntil(ctx, time.Now().Add(3*time.Second))
	broken = time.Now()
	if err := f.breakIt(ctx, bed.cluster, leader, standby); err != nil {
		return broken, fmt.Errorf("causing the fault: %w", err)
	}
	limit, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	var both sync.WaitGroup
	r.works = make([]time.Duration, len(all))
	errs := make([]error, len(all)+1)
	both.Go(func() {
		if f.elects {
			_, errs[len(all)] = bed.cluster.Leader(limit)
			r.elected = time.Since(broken)
		}
	})
	for i, by := range all {
		both.Go(func() {
			// Each replica revokes some pairs, and the other one must deny them.
			own := toRevoke[i*len(toRevoke)/2 : (i+1)*len(toRevoke)/2]
			r.works[i], errs[i] = bed.revokeMeanwhile(limit, r, by, all[1-i], own[1:], revokedSoFar, broken)
			if errs[i] == nil && sleepUntil(limit, broken.Add(f.lasts)) {
				_, errs[i] = bed.revokeMeanwhile(limit, r, by, all[1-i], own[:1], revokedSoFar, broken)
			}
		})
	}
	both.Wait()
	sleepUntil(ctx, time.Now().Add(parts.RevocationLimit+time.Second))
	if err := f.mend(ctx, bed.cluster, leader, standby); err != nil {
		return broken, fmt.Errorf("ending the fault: %w", err)
	}
	sleepUntil(ctx, time.Now().Add(4*time.Second))
	for _, err := range errs {
		// The row shows what did not happen in time.
		if err != nil && limit.Err() == nil {
			return broken, err
		}
	}
	return broken, ctx.Err()
}

// revokeMeanwhile revokes pairs through one replica, as soon as that succeeds, and measures
// for how long the other one allows them. It returns when the first pair was revoked.
func (bed *clusterTestbed) revokeMeanwhile(ctx context.Context, r *faultRow, by, other *replica, pairs []pair, revokedSoFar *revokedPairs, broken time.Time) (works time.Duration, err error) {
	for i, p := range pairs {
		err := parts.Await(ctx, by.Process, func(ctx context.Context) error { return by.revoke(ctx, p) })
		if i == 0 {
			works = time.Since(broken)
		}
		if err != nil {
			return works, err
		}
		answered := time.Now()
		revokedSoFar.add(p)
		limit, cancel := context.WithTimeout(ctx, 3*parts.RevocationLimit)
		last, _ := other.awaitOutcome(limit, p, denied)
		cancel()
		bed.mu.Lock()
		r.held = append(r.held, max(0, last.Sub(answered)))
		bed.mu.Unlock()
	}
	return works, nil
}

// count counts the outcomes of the requests.
func (r *faultRow) count(requests []request, broken time.Time) {
	for _, s := range requests {
		r.requests++
		wrong := isWrongAllow(s)
		if wrong {
			r.wrongAllows++
		}
		if s.outcome == unanswered {
			r.unanswered++
		}
		lost := s.class == cached && s.outcome != allowed
		if lost {
			r.lost++
		}
		if lost && s.outcome == denied {
			r.goodDenied++
		}
		if wrong || lost || s.outcome == unanswered {
			r.wrong = append(r.wrong, fmt.Sprintf("%s: %s, due %s after the fault began", s.class, s.outcome, s.due.Sub(broken).Round(time.Millisecond)))
		}
	}
}
