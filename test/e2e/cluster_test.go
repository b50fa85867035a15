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

// A clusterDeployment is a cluster with replicas of vault-authz, each of which has
// its own order of the nodes.
type clusterDeployment struct {
	deployment
	dir     string
	cluster *parts.Cluster
	home    parts.Home
	// leader and standbys are the roles of the nodes when the scenario began.
	leader   *parts.Node
	standbys []*parts.Node
}

// A scenario is a sequence of events on a cluster.
type scenario struct {
	name string
	run  func(t *testing.T, s *clusterDeployment)
}

// TestTheStateHoldsOnACluster runs each scenario, with replicas of its own, on one
// cluster of three nodes whose standbys answer reads. The scenarios measure times, so
// no test runs in parallel with them.
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
				// The cluster outlives this scenario.
				cluster, err = parts.StartCluster(context.Background(), parts.ClusterConfig{Binary: suite.bao, Dir: suite.dir})
				must(t, err)
				suite.secrets.add(cluster.RootToken)
			}
			home, err := cluster.Furnish(t.Context(), "1h")
			must(t, err)
			suite.secrets.add(home.SecretID)
			s := &clusterDeployment{dir: t.TempDir(), cluster: cluster, home: home}
			t.Cleanup(func() { s.end(t) })
			s.leader = s.awaitLeader(t)
			s.standbys = cluster.Others(s.leader)
			sc.run(t, s)
		})
	}
}

// end stops the replicas and repairs the cluster.
func (s *clusterDeployment) end(t *testing.T) {
	t.Helper()
	logs := map[string]string{}
	for _, r := range s.replicas {
		_ = r.conn.Close()
		r.Stop(10 * time.Second)
		logs[r.name] = r.Log()
	}
	checkLogs(t, logs)
	s.cluster.Heal()
	// The context of the test has ended.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	must(t, s.cluster.Await(ctx))
}

// awaitLeader waits until one node leads the others.
func (s *clusterDeployment) awaitLeader(t *testing.T) (leader *parts.Node) {
	t.Helper()
	partstest.Await(t, 30*time.Second, func(ctx context.Context) (err error) {
		leader, err = s.cluster.Leader(ctx)
		return err
	})
	return leader
}

// start starts a replica that prefers a node.
func (s *clusterDeployment) start(t *testing.T, first *parts.Node) *replica {
	t.Helper()
	return s.startSplit(t, first, first)
}

// startSplit starts a replica that prefers one node for credentials and one for the
// state.
func (s *clusterDeployment) startSplit(t *testing.T, first, firstOfState *parts.Node) *replica {
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

// consumer creates a consumer and waits until all replicas know it.
func (s *clusterDeployment) consumer(t *testing.T, username string) {
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

// pairs creates n pairs through a replica and waits until all replicas have them in
// their caches.
func (s *clusterDeployment) pairs(t *testing.T, n int, through *replica) []pair {
	t.Helper()
	s.consumer(t, operator)
	pairs := make([]pair, n)
	for i := range pairs {
		pairs[i] = s.newPair(t, through)
		for _, r := range s.replicas {
			r.awaitAllowed(t, pairs[i])
		}
	}
	return pairs
}

// revokeRetrying revokes a pair, repeats the call until it succeeds, and returns when
// it succeeded.
func (r *replica) revokeRetrying(t *testing.T, p pair) time.Time {
	t.Helper()
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error { return r.revoke(ctx, p) })
	return time.Now()
}

// allowedFor returns for how long after a moment a replica still allowed a pair, at
// most about 10 seconds.
func (r *replica) allowedFor(t *testing.T, p pair, since time.Time) time.Duration {
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

// checkDenied fails the test unless a replica denies a pair within the limit.
func (r *replica) checkDenied(t *testing.T, p pair, since time.Time) {
	t.Helper()
	held := r.allowedFor(t, p, since)
	t.Logf("%s denies %s after the revocation was answered", r.name, held.Round(time.Millisecond))
	if held > parts.RevocationLimit {
		t.Errorf("%s still allows the pair %s after the revocation, want at most %s", r.name, held, parts.RevocationLimit)
	}
}

// keepUsing uses a pair on all replicas until stop is called. A denial fails the
// test.
func (s *clusterDeployment) keepUsing(t *testing.T, p pair) (stop func()) {
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
		// On a busy machine 20 requests take longer than what is done beside them.
		partstest.Await(t, 20*time.Second, func(context.Context) error {
			if n := asked.Load(); n < 20 {
				return fmt.Errorf("%d requests with a cached pair, want at least 20", n)
			}
			return nil
		})
		cancel()
		all.Wait()
		if lost.Load() > 0 {
			t.Errorf("%d of %d requests with a cached pair were not allowed", lost.Load(), asked.Load())
		}
	}
}

// A stopwatch keeps the duration of the longest call. It is safe for concurrent use.
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

// recoveryTime returns how long a replica takes to create a consumer.
func (r *replica) recoveryTime(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	name := "recovered-" + rand.Text()
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
		got, err := r.do(ctx, "POST", "/consumers", "username="+name)
		// A call that may have succeeded is answered with 503, and the next one with 409.
		if err == nil && got.status != http.StatusCreated && got.status != http.StatusConflict {
			err = fmt.Errorf("%s: status %d: %s", r.name, got.status, got.raw)
		}
		return err
	})
	return time.Since(began)
}
