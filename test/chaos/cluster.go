package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// owner is the consumer of all credentials.
const owner = "alice"

// A clusterTestbed is a cluster and replicas of vault-authz that share a state.
type clusterTestbed struct {
	dir      string
	binary   string
	cluster  *parts.Cluster
	home     parts.Home
	consumer string
	// started counts the replicas so far.
	started int
	mu      sync.Mutex
}

// A replica is one vault-authz of a [clusterTestbed].
type replica struct {
	*parts.Service
	grpcClient *grpcClient
}

func newClusterTestbed(ctx context.Context, dir string, b binaries) (*clusterTestbed, error) {
	c, err := parts.StartCluster(ctx, parts.ClusterConfig{Binary: b.bao, Dir: dir})
	if err != nil {
		return nil, err
	}
	return &clusterTestbed{dir: dir, binary: b.service, cluster: c}, nil
}

// settle repairs everything, creates empty mounts, and returns the leader.
func (bed *clusterTestbed) settle(ctx context.Context) (leader *parts.Node, err error) {
	bed.cluster.Heal()
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	if err := bed.cluster.Await(ctx); err != nil {
		return nil, err
	}
	if bed.home, err = bed.cluster.Furnish(ctx, "1h"); err != nil {
		return nil, err
	}
	return bed.cluster.Leader(ctx)
}

// A preference is the nodes that a replica asks first, for credentials and for the state.
type preference struct{ credentials, state *parts.Node }

func prefers(n *parts.Node) preference { return preference{n, n} }

// replicas starts a replica for each preference and creates the owner of all credentials.
func (bed *clusterTestbed) replicas(ctx context.Context, preferences ...preference) (all []*replica, stop func(), err error) {
	stop = func() {
		var ends sync.WaitGroup
		for _, r := range all {
			ends.Go(func() {
				r.Stop(5 * time.Second)
				_ = r.grpcClient.close()
			})
		}
		ends.Wait()
	}
	for _, p := range preferences {
		r, err := bed.replica(ctx, p)
		if err != nil {
			stop()
			return nil, nil, err
		}
		all = append(all, r)
	}
	if err := bed.makeOwner(ctx, all); err != nil {
		stop()
		return nil, nil, err
	}
	return all, stop, nil
}

func (bed *clusterTestbed) replica(ctx context.Context, p preference) (*replica, error) {
	bed.started++
	own := filepath.Join(bed.dir, "replica-"+strconv.Itoa(bed.started))
	if err := os.Mkdir(own, 0o700); err != nil {
		return nil, err
	}
	s, err := parts.StartReplica(ctx, parts.ReplicaConfig{
		Binary: bed.binary, Dir: own, Home: bed.home, Nodes: bed.cluster.From(p.credentials), StateNodes: bed.cluster.From(p.state),
	})
	if err != nil {
		return nil, err
	}
	d, err := newGRPCClient(s.GRPC)
	if err != nil {
		s.Kill()
		return nil, err
	}
	return &replica{s, d}, nil
}

// makeOwner creates the consumer and waits until all replicas know it.
func (bed *clusterTestbed) makeOwner(ctx context.Context, all []*replica) error {
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	if _, err := all[0].callUntil(ctx, []int{201, 409}, "POST", "/consumers", "username="+owner); err != nil {
		return err
	}
	for _, r := range all {
		raw, err := r.callUntil(ctx, []int{200}, "GET", "/consumers/"+owner)
		if err != nil {
			return err
		}
		var c struct{ ID string }
		if err := json.Unmarshal(raw, &c); err != nil {
			return err
		}
		bed.consumer = c.ID
	}
	// A replica uses the consumer for decisions only after its next poll of the log.
	p, err := bed.createWithRetry(ctx, all[0])
	if err != nil {
		return err
	}
	for _, r := range all {
		if _, err := r.awaitOutcome(ctx, p, allowed); err != nil {
			return err
		}
	}
	return nil
}

// callUntil repeats an admin call until it is answered with one of the statuses.
func (r *replica) callUntil(ctx context.Context, statuses []int, method, path string, form ...string) (raw []byte, err error) {
	err = parts.Await(ctx, r.Process, func(ctx context.Context) error {
		var status int
		if status, raw, err = r.Call(ctx, method, path, form...); err != nil {
			return err
		}
		for _, s := range statuses {
			if status == s {
				return nil
			}
		}
		return fmt.Errorf("%s %s: status %d: %s", method, path, status, raw)
	})
	return raw, err
}

const credentials = "/vault-auth/" + parts.ReplicaVaultV1 + "/credentials"

// create creates a credential with one call.
func (bed *clusterTestbed) create(ctx context.Context, r *replica) (pair, error) {
	p := pair{access: token("access"), secret: token("secret"), consumer: bed.consumer}
	status, raw, err := r.Call(ctx, "POST", credentials+"/"+owner, "access_token="+p.access, "secret_token="+p.secret)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("creating a credential: status %d: %s", status, raw)
	}
	return p, err
}

// put writes a credential directly to a node and waits until all nodes have it. Unlike a
// credential that a replica creates, it is in no cache.
func (bed *clusterTestbed) put(ctx context.Context, leader *parts.Node) (pair, error) {
	p := pair{access: token("access"), secret: token("secret"), consumer: bed.consumer}
	err := leader.Put(ctx, bed.home.V1, parts.KVv1, p.access, p.record())
	if err != nil {
		return p, err
	}
	for _, n := range bed.cluster.Nodes {
		err = errors.Join(err, parts.Await(ctx, nil, func(ctx context.Context) error {
			return n.Do(ctx, "GET", bed.home.V1+"/"+p.access, nil, nil)
		}))
	}
	return p, err
}

// createWithRetry creates a credential and repeats the call until it succeeds.
func (bed *clusterTestbed) createWithRetry(ctx context.Context, r *replica) (p pair, err error) {
	err = parts.Await(ctx, r.Process, func(ctx context.Context) error {
		p, err = bed.create(ctx, r)
		return err
	})
	return p, err
}

// revoke deletes a credential with one call.
func (r *replica) revoke(ctx context.Context, p pair) error {
	status, raw, err := r.Call(ctx, "DELETE", credentials+"/token/"+p.access)
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("revoking a credential: status %d: %s", status, raw)
	}
	return err
}

// awaitOutcome asks about a pair until the outcome is the wanted one. It returns when the
// last request with another outcome was sent, the zero time if there was none.
func (r *replica) awaitOutcome(ctx context.Context, p pair, want outcome) (time.Time, error) {
	last := time.Time{}
	for {
		asked := time.Now()
		got := r.grpcClient.check(ctx, p)
		if got == want {
			return last, nil
		}
		if ctx.Err() != nil {
			return asked, fmt.Errorf("%s, not %s: %w", got, want, ctx.Err())
		}
		if last = asked; !sleepUntil(ctx, asked.Add(10*time.Millisecond)) {
			return last, ctx.Err()
		}
	}
}

// breakCluster runs everything on a cluster, first with standbys that answer reads, then
// with standbys that do not.
func breakCluster(ctx context.Context, dir string, b binaries, o options) error {
	bed, err := newClusterTestbed(ctx, dir, b)
	if err != nil {
		return err
	}
	defer bed.cluster.Close()
	var tables clusterTables
	for _, reads := range []bool{true, false} {
		if !reads {
			bed.cluster.Heal()
			if restarted := bed.cluster.SetStandbyReads(ctx, false); restarted != nil {
				err = errors.Join(err, restarted)
				break
			}
		}
		err = errors.Join(err, bed.tryAll(ctx, &tables, o, reads))
	}
	tables.print(os.Stdout)
	if tables.bad() {
		err = errors.Join(err, errors.New("cluster: a result is not as it must be"))
	}
	return err
}

// tryAll runs everything that was chosen, also after errors.
func (bed *clusterTestbed) tryAll(ctx context.Context, tables *clusterTables, o options, reads bool) error {
	mode := map[bool]string{true: "on", false: "off"}[reads]
	var errs []error
	try := func(name string, always bool, do func() ([]cell, error)) {
		if !o.only.MatchString(name) || !reads && !always || ctx.Err() != nil {
			return
		}
		began := time.Now()
		cells, err := do()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		fmt.Fprintf(os.Stderr, "chaos: standby reads %s: %s: %s: %s\n", mode, name, time.Since(began).Round(time.Second), cells)
	}
	for _, t := range topologies() {
		try(t.name, t.always, func() ([]cell, error) {
			r, err := bed.measure(ctx, t, mode, o.rounds, o.cap)
			return keep(&tables.topologies, r, err)
		})
	}
	for _, race := range races() {
		try(race.name, race.always, func() ([]cell, error) {
			r, err := bed.race(ctx, race, mode, o.rounds, o.cap)
			return keep(&tables.races, r, err)
		})
	}
	for _, f := range clusterFaults() {
		try(f.name, f.always, func() ([]cell, error) {
			r, err := bed.tryFault(ctx, f, mode, o.logs)
			if err == nil {
				for _, wrong := range r.wrong {
					fmt.Fprintf(os.Stderr, "chaos: %s: %s\n", f.name, wrong)
				}
			}
			return keep(&tables.faults, r, err)
		})
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// keep adds a row to a table unless there is an error, and returns its cells.
func keep[R line](table *[]R, row R, err error) ([]cell, error) {
	if err != nil {
		return nil, err
	}
	*table = append(*table, row)
	return row.cells(), nil
}

// repeat calls do up to n times, width calls at a time, and starts no call after a while.
func repeat(ctx context.Context, n, width int, while time.Duration, do func(ctx context.Context)) {
	end := time.Now().Add(while)
	// Calls that have started may take as long again.
	ctx, cancel := context.WithDeadline(ctx, end.Add(while))
	defer cancel()
	var all sync.WaitGroup
	slots := make(chan struct{}, width)
	for range n {
		if time.Now().After(end) || ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(ctx)
		})
	}
	all.Wait()
}
