package vaultkv_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv"
)

const syncLag = 100 * time.Millisecond

// kinds are the servers that a cluster can be of.
func kinds() map[string]*fakeCluster {
	return map[string]*fakeCluster{
		"OpenBao":                              {Indexes: true, Lag: syncLag},
		"OpenBao without indexes":              {Lag: syncLag},
		"OpenBao with disable_standby_reads":   {Indexes: true, ForwardReads: true, Lag: syncLag},
		"Vault Community":                      {ForwardReads: true, Lag: syncLag},
		"Vault Enterprise":                     {Indexes: true, RefuseForwarding: true, Lag: syncLag},
		"a mount that wants a version, always": {Indexes: true, CASRequired: true, Lag: syncLag},
	}
}

// eachKind runs a test on every kind of cluster, on a fake clock.
func eachKind(t *testing.T, test func(c *fakeCluster)) {
	t.Helper()
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(newFakeCluster(t, kind)) })
		})
	}
}

func mustSync(t *testing.T, state *vaultkv.Vault) {
	t.Helper()
	if err := state.Sync(t.Context()); err != nil {
		t.Fatalf("Sync = %v", err)
	}
}

// wantEntry reads an entry of the state.
func wantEntry(t *testing.T, state *vaultkv.Vault, path, want string) {
	t.Helper()
	got, _, _, err := state.ReadVersion(t.Context(), path)
	if err != nil || string(got) != want {
		t.Fatalf("ReadVersion(%q) = %s, %v, want %s", path, got, err, want)
	}
}

func TestReadAfterASyncShowsWhatWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	eachKind(t, func(c *fakeCluster) {
		t := c.t
		v, state, _ := c.replica(nil, 2) // a standby, and no other address
		for i := range 20 {
			document := fmt.Sprintf(`{"a":%d}`, i)
			c.put("state/data/log/00", document)
			c.put("kong-auth/key", document)
			mustSync(t, state)
			wantEntry(t, state, "log/00", document)
			if got, _, err := v.Read(t.Context(), "key"); err != nil || string(got) != document {
				t.Fatalf("Read = %s, %v, want %s", got, err, document)
			}
		}
	})
}

// TestStandbyIsStaleWithoutASync shows that the test above can fail.
func TestStandbyIsStaleWithoutASync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
		_, state, _ := c.replica(nil, 2)
		c.put("state/data/log/00", `{"a":1}`)
		if _, _, found, err := state.ReadVersion(t.Context(), "log/00"); found || err != nil {
			t.Errorf("ReadVersion = %t, %v, want nothing found", found, err)
		}
	})
}

func TestSyncNeedsTheActiveNode(t *testing.T) {
	t.Parallel()
	eachKind(t, func(c *fakeCluster) {
		t := c.t
		_, state, _ := c.replica(nil, 2)
		mustSync(t, state)
		c.isolate(2)
		began := time.Now()
		if err := state.Sync(t.Context()); err == nil {
			t.Error("Sync = nil through a node that is cut off, and leads elsewhere")
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Sync took %s, want at most the timeout", took)
		}
	})
}

func TestSyncTriesEveryAddress(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*fakeCluster){
		"a node that is cut off":       func(c *fakeCluster) { c.isolate(2) },
		"a node that is gone":          func(c *fakeCluster) { c.set(func() { c.nodes[2].down = true }) },
		"a node that does not answer":  func(c *fakeCluster) { c.set(func() { c.nodes[2].deaf = true }) },
		"a former leader, and another": func(c *fakeCluster) { c.elect(2); c.isolate(2); c.elect(0) },
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(c *fakeCluster) {
				t := c.t
				_, state, logs := c.replica(nil, 2, 1)
				mustSync(t, state)
				time.Sleep(time.Second)
				fault(c)
				for i := range 20 {
					document := fmt.Sprintf(`{"a":%d}`, i)
					c.put("state/data/log/00", document)
					mustSync(t, state)
					wantEntry(t, state, "log/00", document)
				}
				if got := switches(logs); got != 1 {
					t.Errorf("the address was changed %d times, want once", got)
				}
			})
		})
	}
}

// TestSyncsShareAnExchange: but none that had begun before.
func TestSyncsShareAnExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
		_, state, _ := c.replica(nil, 2)
		mustSync(t, state)
		c.set(func() { c.nodes[2].slow = 50 * time.Millisecond })
		before := c.syncs()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond) // two exchanges long
				path := fmt.Sprintf("log/%d", i)
				c.put("state/data/"+path, `{"a":1}`)
				mustSync(t, state)
				wantEntry(t, state, path, `{"a":1}`)
			})
		}
		wg.Wait()
		if got := c.syncs() - before; got > 4 {
			t.Errorf("%d writes for 100 syncs within two exchanges, want at most 4", got)
		}
	})
}

func TestSyncThatNobodyWaitsForAnyMoreStillServesTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
		_, state, _ := c.replica(nil, 2)
		c.set(func() { c.nodes[2].slow = 50 * time.Millisecond })
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := state.Sync(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Sync with too little time = %v, want %v", err, context.DeadlineExceeded)
			}
		})
		mustSync(t, state)
		wg.Wait()
	})
}

func TestSyncSurvivesADeletedEntryAndOtherReplicas(t *testing.T) {
	t.Parallel()
	eachKind(t, func(c *fakeCluster) {
		t := c.t
		_, a, _ := c.replica(nil, 2)
		_, b, _ := c.replica(nil, 1)
		for i := range 20 {
			var wg sync.WaitGroup
			document := fmt.Sprintf(`{"a":%d}`, i)
			c.put("state/data/log/00", document)
			for _, state := range []*vaultkv.Vault{a, b} {
				wg.Go(func() {
					mustSync(t, state)
					wantEntry(t, state, "log/00", document)
				})
			}
			wg.Wait()
			if i%5 == 0 {
				c.put("state/data/sync", "") // deleted by hand
			}
		}
	})
}

func TestServerWithoutHighAvailabilityIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{NoHA: true})
		_, state, _ := c.replica(nil, 0)
		for range 100 {
			mustSync(t, state)
			time.Sleep(time.Second)
		}
		if writes, asked := c.syncs(), c.askedFor(0, "sys/leader"); writes != 0 || asked > 3 {
			t.Errorf("%d writes and %d questions for the leader in 100 s, want none and one a minute", writes, asked)
		}
	})
}
