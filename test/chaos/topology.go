package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A topology is the nodes that two replicas prefer. Credentials are created and revoked
// through A, and used on B.
type topology struct {
	name string
	// a and b choose among the leader, a standby and the other standby.
	a, b func(leader, standby, other *parts.Node) *parts.Node
	// slow delays everything between the leader and the standby.
	slow bool
	// always says that it also runs without reads by standbys.
	always bool
}

func topologies() []topology {
	leader := func(l, _, _ *parts.Node) *parts.Node { return l }
	standby := func(_, s, _ *parts.Node) *parts.Node { return s }
	other := func(_, _, o *parts.Node) *parts.Node { return o }
	return []topology{
		{name: "A leader, B leader", a: leader, b: leader},
		{name: "A leader, B standby", a: leader, b: standby, always: true},
		{name: "A standby, B leader", a: standby, b: leader},
		{name: "A and B the same standby", a: standby, b: standby},
		{name: "A standby, B another one", a: standby, b: other, always: true},
		{name: "A leader, B standby, slow link", a: leader, b: standby, slow: true, always: true},
	}
}

// A topologyRow is the result of a topology. It is safe for concurrent use.
type topologyRow struct {
	name, reads string

	mu sync.Mutex
	// held is for how long B allowed each credential after its revocation was
	// answered, and late how many credentials A allowed then.
	held []time.Duration
	late int
	// created counts the credentials that were used on B at once, and notAllowed the
	// outcomes of those that B did not allow.
	created    int
	notAllowed map[outcome]int
	// longest is the longest of calls admin calls, and refused how many of them failed.
	longest time.Duration
	calls   int
	refused int
	// unfinished counts the rounds whose credential was never allowed.
	unfinished int
	stall      time.Duration
}

func (r *topologyRow) note(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

// call times an admin call.
func (r *topologyRow) call(do func() error) error {
	began := time.Now()
	err := do()
	r.note(func() {
		r.calls++
		r.longest = max(r.longest, time.Since(began))
		if err != nil {
			r.refused++
		}
	})
	return err
}

func (r *topologyRow) cells() []cell {
	promised := func(d, limit time.Duration) cell { return cell{formatDuration(d), d > limit} }
	return []cell{
		{r.name, false},
		{r.reads, false},
		{fmt.Sprintf("%s / %s", formatDuration(quantile(r.held, 0.5)), formatDuration(quantile(r.held, 0.99))), false},
		promised(quantile(r.held, 1), parts.RevocationLimit),
		{fmt.Sprint(len(r.held)), len(r.held) == 0},
		{fmt.Sprintf("%d of %d", r.late, len(r.held)), r.late > 0},
		{ofMany(r.notAllowed, r.created), len(r.notAllowed) > 0},
		promised(r.longest, parts.CallLimit),
		{fmt.Sprintf("%d of %d", r.refused, r.calls), r.refused > 0},
		{fmt.Sprint(r.unfinished), r.unfinished > 0},
		{formatDuration(r.stall), false},
	}
}

func topologyHeads() []string {
	return []string{
		"first addresses", "standby reads", "revoked on A, denied on B: p50 / p99", "max", "n",
		"allowed on A after its own 204", "created on A, then not allowed on B", "longest admin call", "refused", "never allowed", "longest stall of the machine",
	}
}

// measure creates, uses and revokes credentials.
func (bed *clusterTestbed) measure(ctx context.Context, t topology, mode string, rounds int, while time.Duration) (*topologyRow, error) {
	leader, err := bed.settle(ctx)
	if err != nil {
		return nil, err
	}
	others := bed.cluster.Others(leader)
	all, stop, err := bed.replicas(ctx, prefers(t.a(leader, others[0], others[1])), prefers(t.b(leader, others[0], others[1])))
	if err != nil {
		return nil, err
	}
	defer stop()
	if t.slow {
		bed.slow(leader, others[0])
	}
	r := &topologyRow{name: t.name, reads: mode, notAllowed: map[outcome]int{}}
	ctx, watched := watch(ctx)
	began := time.Now()
	repeat(ctx, rounds, 8, while, func(ctx context.Context) { bed.round(ctx, r, all[0], all[1]) })
	heart, err := watched()
	r.stall = heart.worst(began, time.Now())
	return r, err
}

// round creates a credential, uses it at once, and revokes it once both replicas allow it.
func (bed *clusterTestbed) round(ctx context.Context, r *topologyRow, a, b *replica) {
	var p pair
	err := r.call(func() (err error) {
		p, err = bed.create(ctx, a)
		return err
	})
	if err != nil {
		return
	}
	first := b.grpcClient.check(ctx, p)
	r.note(func() {
		r.created++
		if first != allowed {
			r.notAllowed[first]++
		}
	})
	for _, by := range []*replica{a, b} {
		if _, err := by.awaitOutcome(ctx, p, allowed); err != nil {
			r.note(func() { r.unfinished++ })
			return
		}
	}
	if err := r.call(func() error { return a.revoke(ctx, p) }); err != nil {
		return
	}
	answered := time.Now()
	own := a.grpcClient.check(ctx, p)
	// If it is allowed until ctx ends, that time counts.
	last, _ := b.awaitOutcome(ctx, p, denied)
	r.note(func() {
		if own == allowed {
			r.late++
		}
		r.held = append(r.held, max(0, last.Sub(answered)))
	})
}

// slow delays everything between two nodes.
func (bed *clusterTestbed) slow(one, other *parts.Node) {
	bed.cluster.Link(one, other).SetDelay(parts.SlowLink)
	bed.cluster.Link(other, one).SetDelay(parts.SlowLink)
}

// watch runs a heartbeat until the returned function is called.
func watch(ctx context.Context) (context.Context, func() (*heartbeat, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var h heartbeat
	var err error
	var done sync.WaitGroup
	done.Go(func() { err = h.run(ctx) })
	return ctx, func() (*heartbeat, error) {
		cancel()
		done.Wait()
		return &h, err
	}
}
