package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A race is two changes through two replicas. One prefers the leader. The other prefers the
// leader for the state, and for credentials a standby behind a slow link.
type race struct {
	name   string
	always bool
	// run runs one round and returns what was wrong, empty if everything was right. An
	// error means that the round did not finish.
	run func(ctx context.Context, bed *clusterTestbed, a, b *replica) (wrong string, err error)
}

func races() []race {
	return []race{
		{name: "disable, then rotate", always: true, run: disableThenRotate},
		{name: "two creators, v1", always: true, run: func(ctx context.Context, _ *clusterTestbed, a, b *replica) (string, error) {
			return twoCreators(ctx, parts.ReplicaVaultV1, a, b)
		}},
		{name: "two creators, v2", run: func(ctx context.Context, _ *clusterTestbed, a, b *replica) (string, error) {
			return twoCreators(ctx, parts.ReplicaVaultV2, a, b)
		}},
	}
}

// disableThenRotate checks that a change through one replica does not undo a change through
// the other.
func disableThenRotate(ctx context.Context, bed *clusterTestbed, a, b *replica) (string, error) {
	p, err := bed.createWithRetry(ctx, a)
	if err != nil {
		return "", err
	}
	// Both replicas must know it.
	if _, err := b.awaitOutcome(ctx, p, allowed); err != nil {
		return "", err
	}
	if _, err := a.callUntil(ctx, []int{200}, "PATCH", credentials+"/token/"+p.access, "disabled=true"); err != nil {
		return "", err
	}
	next := p
	next.secret = token("secret")
	if _, err := b.callUntil(ctx, []int{201}, "POST", credentials+"/token/"+p.access+"/rotate", "secret_token="+next.secret); err != nil {
		return "", err
	}
	sleepUntil(ctx, time.Now().Add(parts.RevocationLimit))
	for _, r := range []*replica{a, b} {
		for _, is := range []pair{p, next} {
			if r.grpcClient.check(ctx, is) == allowed {
				return "allowed", nil
			}
		}
	}
	return "", nil
}

// twoCreators checks that only one of two replicas creates the same access token.
func twoCreators(ctx context.Context, vault string, a, b *replica) (string, error) {
	access := token("twin")
	statuses := make([]int, 2)
	var g errgroup.Group
	for i, r := range []*replica{a, b} {
		g.Go(func() (err error) {
			consumer := fmt.Sprintf("creator-%d", i)
			for again := true; again && err == nil; {
				statuses[i], _, err = r.Call(ctx, "POST", "/vault-auth/"+vault+"/credentials", "access_token="+access, "secret_token=of-"+consumer, "consumer.username="+consumer)
				// The replica does not know yet, and asks for a repetition.
				again = statuses[i] == http.StatusServiceUnavailable && sleepUntil(ctx, time.Now().Add(time.Second))
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	if statuses[0]+statuses[1] == http.StatusCreated+http.StatusConflict {
		return "", nil
	}
	return fmt.Sprint(statuses), nil
}

// A raceRow is the result of a race. It is safe for concurrent use.
type raceRow struct {
	name, reads string

	mu     sync.Mutex
	rounds int
	wrong  map[string]int
	// unfinished counts the rounds that did not finish in time.
	unfinished int
}

func (r *raceRow) cells() []cell {
	return []cell{
		{r.name, false},
		{r.reads, false},
		{ofMany(r.wrong, r.rounds), len(r.wrong) > 0 || r.rounds == 0},
		{fmt.Sprint(r.unfinished), r.unfinished > 0},
	}
}

func raceHeads() []string {
	return []string{"race, 300 ms between leader and standby", "standby reads", "wrong", "not finished"}
}

func (bed *clusterTestbed) race(ctx context.Context, race race, mode string, rounds int, while time.Duration) (*raceRow, error) {
	leader, err := bed.settle(ctx)
	if err != nil {
		return nil, err
	}
	standby := bed.cluster.Others(leader)[0]
	all, stop, err := bed.replicas(ctx, prefers(leader), preference{credentials: standby, state: leader})
	if err != nil {
		return nil, err
	}
	defer stop()
	for i := range all {
		name := fmt.Sprintf("creator-%d", i)
		if _, err := all[0].callUntil(ctx, []int{201, 409}, "POST", "/consumers", "username="+name); err != nil {
			return nil, err
		}
		if _, err := all[1].callUntil(ctx, []int{200}, "GET", "/consumers/"+name); err != nil {
			return nil, err
		}
	}
	bed.slow(leader, standby)
	r := &raceRow{name: race.name, reads: mode, wrong: map[string]int{}}
	repeat(ctx, rounds, 16, while, func(ctx context.Context) {
		wrong, err := race.run(ctx, bed, all[0], all[1])
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err != nil:
			r.unfinished++
			return
		case wrong != "":
			r.wrong[wrong]++
		}
		r.rounds++
	})
	return r, ctx.Err()
}
