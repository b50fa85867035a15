package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// What is promised on a cluster, beside [within] for a revocation.
const (
	// callLimit bounds an admin call while nothing is broken.
	callLimit = 1500 * time.Millisecond
	// recoveryLimit bounds how long admin calls fail after there is a leader
	// that can be reached.
	recoveryLimit = 2 * time.Second
	// slowLink is how late everything arrives on a slow link.
	slowLink = 300 * time.Millisecond
)

// A clusterSite is a cluster with a replica of vault-authz for each order of the
// nodes that a scenario asks for.
type clusterSite struct {
	site
	dir     string
	cluster *parts.Cluster
	home    parts.Home
	// leader and standbys are what the nodes were when the scenario began.
	leader   *parts.Node
	standbys []*parts.Node
}

// A scenario is something that happens on a cluster.
type scenario struct {
	name string
	run  func(t *testing.T, s *clusterSite)
}

// TestTheStateHoldsOnACluster has each scenario on one cluster of three nodes
// whose standbys answer reads, with replicas of its own. They measure, so nothing
// runs beside them.
func TestTheStateHoldsOnACluster(t *testing.T) {
	partstest.Need(t, "BAO_BIN")
	var cluster *parts.Cluster
	t.Cleanup(func() {
		if cluster != nil {
			cluster.Close()
		}
	})
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			if cluster == nil {
				var err error
				// It outlives this scenario.
				cluster, err = parts.StartCluster(context.Background(), parts.ClusterConfig{Binary: suite.bao, Dir: suite.dir})
				must(t, err)
				suite.secrets.add(cluster.RootToken)
			}
			home, err := cluster.Furnish(t.Context(), "1h")
			must(t, err)
			suite.secrets.add(home.SecretID)
			s := &clusterSite{dir: t.TempDir(), cluster: cluster, home: home}
			t.Cleanup(func() { s.end(t) })
			s.leader = s.leads(t)
			s.standbys = cluster.Others(s.leader)
			sc.run(t, s)
		})
	}
}

// end ends the replicas and mends the cluster.
func (s *clusterSite) end(t *testing.T) {
	t.Helper()
	logs := map[string]string{}
	for _, r := range s.replicas {
		_ = r.conn.Close()
		r.Stop(10 * time.Second)
		logs[r.name] = r.Log()
	}
	if found := suite.secrets.leaks(logs); len(found) > 0 {
		t.Errorf("secrets in the logs: %q", found)
	}
	if t.Failed() {
		for name, log := range logs {
			fmt.Fprintf(t.Output(), "---- %s\n%s\n", name, log)
		}
	}
	s.cluster.Heal()
	// The context of the test has ended by now.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	must(t, s.cluster.Await(ctx))
}

// leads waits for a node that leads the others.
func (s *clusterSite) leads(t *testing.T) (leader *parts.Node) {
	t.Helper()
	partstest.Await(t, 30*time.Second, func(ctx context.Context) (err error) {
		leader, err = s.cluster.Leader(ctx)
		return err
	})
	return leader
}

// start starts a replica that asks a node before the others.
func (s *clusterSite) start(t *testing.T, first *parts.Node) *replica {
	t.Helper()
	return s.startSplit(t, first, first)
}

// startSplit starts a replica that asks one node for credentials, and one for the
// state, before the others.
func (s *clusterSite) startSplit(t *testing.T, first, firstOfState *parts.Node) *replica {
	t.Helper()
	number := strconv.Itoa(len(s.replicas) + 1)
	own := filepath.Join(s.dir, number)
	must(t, os.Mkdir(own, 0o700))
	service, err := parts.StartReplica(t.Context(), parts.ReplicaConfig{Binary: suite.service.Binary(t), Dir: own, Home: s.home, Nodes: s.cluster.From(first), StateNodes: s.cluster.From(firstOfState)})
	must(t, err)
	r := newReplica(t, "replica "+number, service)
	s.replicas = append(s.replicas, r)
	return r
}

// consumer makes a consumer that all replicas know.
func (s *clusterSite) consumer(t *testing.T, username string) {
	t.Helper()
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
		got, err := s.replicas[0].do(ctx, "POST", "/consumers", "username="+username)
		if err == nil && got.status != http.StatusCreated && got.status != http.StatusConflict {
			err = fmt.Errorf("status %d: %s", got.status, got.raw)
		}
		return err
	})
	for _, r := range s.replicas {
		partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
			got, err := r.do(ctx, "GET", "/consumers/"+username)
			if err == nil && got.status != http.StatusOK {
				err = fmt.Errorf("%s: status %d: %s", r.name, got.status, got.raw)
			}
			return err
		})
	}
}

// pairs makes so many pairs through a replica, which all replicas then have in
// their caches.
func (s *clusterSite) pairs(t *testing.T, n int, through *replica) []pair {
	t.Helper()
	s.consumer(t, operator)
	pairs := make([]pair, n)
	for i := range pairs {
		pairs[i] = s.newPair(t, through)
		for _, r := range s.replicas {
			r.allows(t, pairs[i])
		}
	}
	return pairs
}

// revokes revokes a pair as soon as a replica can, and returns when it had.
func (r *replica) revokes(t *testing.T, p pair) time.Time {
	t.Helper()
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error { return r.revoke(ctx, p) })
	return time.Now()
}

// held says for how long a replica went on to allow a pair after a moment, and
// gives up after a while.
func (r *replica) held(t *testing.T, p pair, since time.Time) time.Duration {
	t.Helper()
	const patience = 10 * time.Second
	for {
		asked := time.Now()
		a, err := r.ask(t.Context(), p)
		must(t, err)
		if !a.Allowed || asked.Sub(since) > patience {
			return asked.Sub(since)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// denies fails the test unless a replica denies a pair in time.
func (r *replica) denies(t *testing.T, p pair, since time.Time) {
	t.Helper()
	held := r.held(t, p, since)
	t.Logf("%s denies %s after the revocation was answered", r.name, held.Round(time.Millisecond))
	if held > within {
		t.Errorf("%s allows %s after the revocation, want %s at most", r.name, held, within)
	}
}

// uses uses a pair on all replicas all the time, until what it returns is called:
// none of them may deny it.
func (s *clusterSite) uses(t *testing.T, p pair) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var lost, asked atomic.Int64
	for _, r := range s.replicas {
		all.Go(func() {
			for ctx.Err() == nil {
				a, err := r.ask(ctx, p)
				if ctx.Err() != nil {
					return
				}
				if asked.Add(1); err != nil || !a.Allowed {
					lost.Add(1)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
		if lost.Load() > 0 || asked.Load() < 20 {
			t.Errorf("%d of %d requests with a pair in the cache were not allowed, want none of many", lost.Load(), asked.Load())
		}
	}
}

// A stopwatch keeps the longest of the calls that it does. It is safe for
// concurrent use.
type stopwatch struct {
	mu  sync.Mutex
	max time.Duration
}

func (w *stopwatch) time(call func()) {
	began := time.Now()
	call()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.max = max(w.max, time.Since(began))
}

// recovers returns how long a replica takes to make a consumer.
func (r *replica) recovers(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	name := "recovered-" + rand.Text()
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
		got, err := r.do(ctx, "POST", "/consumers", "username="+name)
		// A call that may have done its work says 503, and the next one 409.
		if err == nil && got.status != http.StatusCreated && got.status != http.StatusConflict {
			err = fmt.Errorf("%s: status %d: %s", r.name, got.status, got.raw)
		}
		return err
	})
	return time.Since(began)
}
