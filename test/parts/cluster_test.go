package parts_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// startTestCluster starts a cluster with mounts, and ends it with the test.
func startTestCluster(t *testing.T) (*parts.Cluster, parts.Home) {
	t.Helper()
	began := time.Now()
	c, err := parts.StartCluster(t.Context(), parts.ClusterConfig{Binary: partstest.Binary(t, "BAO_BIN"), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	h, err := c.Furnish(t.Context(), "1h")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the cluster started within %s", time.Since(began).Round(100*time.Millisecond))
	return c, h
}

// The steps depend on each other and use one cluster.
func TestAClusterBreaksAndRecoversAsAsked(t *testing.T) {
	t.Parallel()
	c, home := startTestCluster(t)
	ctx := t.Context()
	leader := leads(t, c)
	standby := c.Others(leader)[0]
	put := func(through *parts.Node, key string) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return through.Put(ctx, home.V1, parts.KVv1, key, map[string]any{"is": "there"})
	}
	// written writes through the leader, also if that changes, and returns it.
	written := func(key string) (by *parts.Node) {
		t.Helper()
		eventually(t, "a write, "+key, func(ctx context.Context) error {
			short, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			n, err := c.Leader(short)
			if err != nil {
				return err
			}
			by = n
			return put(n, key)
		})
		return by
	}
	has := func(n *parts.Node, key string) func(context.Context) error {
		return func(ctx context.Context) error { return n.Do(ctx, "GET", home.V1+"/"+key, nil, nil) }
	}
	for name, cut := range map[string]func(*parts.Link){"cut": (*parts.Link).Cut, "silent": (*parts.Link).Silence} {
		c.Isolate(standby, cut)
		written(name)
		if err := put(standby, name); err == nil {
			t.Errorf("%s: an isolated standby forwarded a write", name)
		}
		if has(standby, name)(ctx) == nil {
			t.Errorf("%s: an isolated standby has a write of another node", name)
		}
		if err := standby.Do(ctx, "GET", "sys/health?standbyok=true", nil, nil); err != nil {
			t.Errorf("%s: clients do not reach an isolated standby: %v", name, err)
		}
		c.Heal()
		eventually(t, name+": the standby catches up", has(standby, name))
	}

	// A standby that recovers may start an election.
	leader = written("before the late one")
	standby = c.Others(leader)[0]
	const delay = 300 * time.Millisecond
	c.Link(leader, standby).SetDelay(delay)
	if err := put(leader, "late"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, "a late write arrives", has(standby, "late"))
	if late := time.Since(began); late < delay {
		t.Errorf("a write arrived %s later, want at least %s", late, delay)
	}
	c.Heal()

	c.Isolate(leader, (*parts.Link).Cut)
	next := leads(t, c)
	if next == leader {
		t.Fatal("an isolated leader still leads the others")
	}
	written("under the next leader")
	c.Heal()
	eventually(t, "the previous leader catches up", has(leader, "under the next leader"))

	if _, err := c.StepDown(ctx); err != nil {
		t.Fatal(err)
	}
	leader = leads(t, c)
	if err := leader.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	leads(t, c)
	if written("while the leader is stopped") == leader {
		t.Error("a stopped leader takes a write")
	}
	if err := leader.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node that was stopped catches up", has(leader, "while the leader is stopped"))

	// The recovered node may start an election, and a standby cannot be sealed.
	next = leads(t, c)
	if err := next.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := next.Do(ctx, "GET", home.V1+"/late", nil, nil); err == nil {
		t.Error("a sealed node answers")
	}
	if err := next.Start(ctx); err != nil {
		t.Fatal(err)
	}
	leads(t, c).Kill()
	written("while one is dead")

	if err := c.SetStandbyReads(ctx, false); err != nil {
		t.Fatal(err)
	}
	leader = leads(t, c)
	standby = c.Others(leader)[0]
	eventually(t, "a standby forwards a read", has(standby, "while one is dead"))
	c.Isolate(standby, (*parts.Link).Cut)
	if err := has(standby, "late")(ctx); err == nil {
		t.Error("an isolated standby that forwards reads answers")
	}
}

func TestAClusterLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	c, _ := startTestCluster(t)
	c.Nodes[0].Kill()
	if err := c.Nodes[1].Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, p := range c.Processes() {
		select {
		case <-p.Exited():
		default:
			t.Errorf("%s still runs", p.Name())
		}
	}
}

func leads(t *testing.T, c *parts.Cluster) *parts.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), parts.StartLimit)
	defer cancel()
	n, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func eventually(t *testing.T, what string, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), parts.StartLimit)
	defer cancel()
	if err := parts.Await(ctx, nil, condition); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", what, err))
	}
}
