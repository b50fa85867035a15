package vaultkv_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv"
)

func TestChoiceOfTheNodeToAskFirst(t *testing.T) {
	t.Parallel()
	var (
		active  = vaultkv.Node{Answers: true, Active: true}
		standby = vaultkv.Node{Answers: true}
		gone    = vaultkv.Node{}
		left    = func(n vaultkv.Node, ago time.Duration) vaultkv.Node { n.LeftAgo = ago; return n }
	)
	tests := []struct {
		name  string
		inUse int
		nodes []vaultkv.Node
		want  int
	}{
		{"the active one", 0, []vaultkv.Node{standby, standby, active}, 2},
		{"the active one in use, whatever others say", 2, []vaultkv.Node{active, standby, active}, 2},
		{"without an active one the first that answers", 0, []vaultkv.Node{gone, standby, standby}, 1},
		{"the one in use while nobody answers", 2, []vaultkv.Node{gone, gone, gone}, 2},
		{"not the active one that was left a moment ago", 1, []vaultkv.Node{left(active, time.Second), standby}, 1},
		{"the active one that was left long ago", 1, []vaultkv.Node{left(active, 16*time.Second), standby}, 0},
		{"the active one that was left, if the one in use is gone", 1, []vaultkv.Node{left(active, time.Second), gone}, 0},
		{"the standby in use, be it not the first", 1, []vaultkv.Node{standby, standby}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := vaultkv.Choose(tt.nodes, tt.inUse); got != tt.want {
				t.Errorf("choose = %d, want %d", got, tt.want)
			}
		})
	}
}

// running lets a replica do what it does all the time: look at the nodes, and sync.
func running(t *testing.T, v, state *vaultkv.Vault) {
	t.Helper()
	every(t, time.Second, func() { v.Maintain(t.Context()) })
	every(t, time.Second, func() { _ = state.Sync(t.Context()) })
}

// TestAddressChangesOnceForAFault: and not at all for what passes by itself.
func TestAddressChangesOnceForAFault(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		nodes []int
		fault func(*fakeCluster)
		// most is far below one for each request or each look at the nodes.
		most int
	}{
		{"none", []int{0, 1, 2}, func(*fakeCluster) {}, 0},
		{"a standby is first", []int{2, 1, 0}, func(*fakeCluster) {}, 1},
		{"the leader steps down", []int{0, 1, 2}, func(c *fakeCluster) { c.elect(1) }, 1},
		{"the leader dies", []int{0, 1, 2}, func(c *fakeCluster) {
			c.set(func() { c.nodes[0].down, c.nodes[0].active, c.leader = true, false, -1 })
			time.AfterFunc(9*time.Second, func() { c.elect(2) })
		}, 3}, // to a standby, to another one that has more, and to the new leader
		{"the leader dies and comes back as a standby", []int{0, 1, 2}, func(c *fakeCluster) {
			c.set(func() { c.nodes[0].down, c.nodes[0].active, c.leader = true, false, -1 })
			time.AfterFunc(9*time.Second, func() { c.elect(1) })
			time.AfterFunc(12*time.Second, func() { c.set(func() { c.nodes[0].down = false }) })
		}, 3},
		{"the leader is cut off", []int{0, 1, 2}, func(c *fakeCluster) {
			c.isolate(0)
			time.AfterFunc(9*time.Second, func() { c.elect(2) })
		}, 3},
		{"a standby in use is cut off, the leader is not in the list", []int{1, 2}, func(c *fakeCluster) { c.isolate(1) }, 1},
		{"the health of the leader is not told", []int{0, 1, 2}, func(c *fakeCluster) { c.set(func() { c.nodes[0].mute = true }) }, 1},
		{"all are slow for a while", []int{0, 1, 2}, func(c *fakeCluster) {
			for _, n := range c.nodes {
				c.set(func() { n.slow = 300 * time.Millisecond })
			}
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
				v, state, logs := c.replica(nil, tt.nodes...)
				running(t, v, state)
				every(t, 20*time.Millisecond, func() { _, _, _ = v.Read(t.Context(), "key") })
				every(t, 700*time.Millisecond, func() { _ = v.Write(t.Context(), "other", []byte(`{"a":1}`)) })
				time.Sleep(5 * time.Second)
				tt.fault(c)
				time.Sleep(time.Minute)
				if got := switches(logs); got > tt.most {
					t.Errorf("%d changes of the address in a minute, want at most %d", got, tt.most)
				}
				wantReadState(t, v, vaultkv.StateOK)
			})
		})
	}
}

// TestRequestInFlightDoesNotBringAnAddressBack: it began when another one was in
// use, and what it learned is old.
func TestRequestInFlightDoesNotBringAnAddressBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
		v, _, logs := c.replica(nil, 0, 1, 2)
		v.Maintain(t.Context())
		c.set(func() { c.nodes[0].deaf = true })
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			go func() { _, _, _ = v.Read(ctx, "key") }() // ends at node 1 in a second
		}
		synctest.Wait()
		c.elect(2)
		v.Maintain(t.Context())
		time.Sleep(5 * time.Second)
		cancel()
		synctest.Wait()
		if got := switches(logs); got != 1 {
			t.Errorf("%d changes of the address, want one, to the new leader", got)
		}
	})
}

// TestAdminWorksAgainSoonAfterAnElection: with the first address cut off.
func TestAdminWorksAgainSoonAfterAnElection(t *testing.T) {
	t.Parallel()
	eachKind(t, func(c *fakeCluster) {
		t := c.t
		v, state, _ := c.replica(nil, 0, 1, 2)
		running(t, v, state)
		time.Sleep(5 * time.Second)
		c.isolate(0)
		time.Sleep(9 * time.Second)
		c.elect(2)
		elected := time.Now()
		for i := 0; ; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			err := v.Write(ctx, "key", []byte(`{"a":1}`))
			cancel()
			if err == nil {
				break
			}
			if time.Since(elected) > time.Minute {
				t.Fatalf("Write = %v for a minute", err)
			}
			pass(t.Context(), 100*time.Millisecond)
		}
		if took := time.Since(elected); took > 2*time.Second {
			t.Errorf("writes work again %s after the election, want at most 2s", took)
		}
	})
}

// TestCollisionBehindARedirectIsACollision: a node that passed nothing on has not
// done the write, so it was sent once.
func TestCollisionBehindARedirectIsACollision(t *testing.T) {
	t.Parallel()
	active := newNode(t, answer(400, `{"errors":["check-and-set parameter did not match the current version"]}`))
	standby := newNode(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, active.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	sealed := newNode(t, sealed)
	for name, first := range map[string]*node{"redirect": standby, "sealed": sealed} {
		v, _, _ := open(t, fmt.Sprintf("%s,%s", first.URL, active.URL), func(c *vaultkv.Config) { c.KV = vaultkv.KV2 })
		if _, ok, err := v.WriteVersion(t.Context(), "log/00", []byte(`{"a":1}`), 1); ok || err != nil {
			t.Errorf("%s: WriteVersion = %t, %v, want a plain refusal", name, ok, err)
		}
	}
}
