package vaultkv_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv"
)

// wantReadState reads a credential, and wants an error that says the state; StateOK is
// for no error.
func wantReadState(t *testing.T, v *vaultkv.Vault, want vaultkv.State) {
	t.Helper()
	_, _, err := v.Read(t.Context(), "key")
	got := vaultkv.StateOK
	if problem := (*vaultkv.Error)(nil); errors.As(err, &problem) {
		got = problem.State
	}
	if got != want || v.State() != want {
		t.Errorf("Read = %v, and State() = %s, want %s", err, v.State(), want)
	}
}

func TestCredentialsAreNotReadFromAClusterThatIsNotKnownToBeCurrent(t *testing.T) {
	t.Parallel()
	eachKind(t, func(c *fakeCluster) {
		t := c.t
		v, state, _ := c.replica(nil, 2)
		wantReadState(t, v, vaultkv.StateOK)
		mustSync(t, state)
		c.put("kong-auth/key", `{"a":1}`)
		time.Sleep(time.Second)
		c.isolate(2)
		_ = state.Sync(t.Context()) // in vain
		time.Sleep(vaultkv.DefaultProofAge)
		for range 20 {
			wantReadState(t, v, vaultkv.StateNotCurrent)
		}
		if err := v.EachKey(t.Context(), func(string) {}); err == nil {
			t.Error("EachKey = nil, want an error")
		}
		if b := v.Breaker(); b.Open || b.Rejected > 0 {
			t.Errorf("Breaker() = %+v, want reads that were not sent to leave it alone", b)
		}
		c.set(func() { c.nodes[2].cut = false })
		c.put("kong-auth/key", `{"a":2}`)
		time.Sleep(syncLag)
		mustSync(t, state)
		wantReadState(t, v, vaultkv.StateOK)
	})
}

func TestIsolatedNodeAnswersNoLongerThanTheProofIsGood(t *testing.T) {
	t.Parallel()
	eachKind(t, func(c *fakeCluster) {
		t := c.t
		v, state, _ := c.replica(nil, 2)
		c.put("kong-auth/key", `{"a":1}`)
		time.Sleep(syncLag)
		cut := time.Now().Add(10 * time.Second)
		time.AfterFunc(10*time.Second, func() {
			c.isolate(2)
			c.put("kong-auth/key", "")
		})
		every(t, time.Second, func() { _ = state.Sync(t.Context()) })
		var last time.Duration
		for time.Since(cut) < time.Minute {
			if _, found, err := v.Read(t.Context(), "key"); err == nil && found {
				last = time.Since(cut)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if last > vaultkv.DefaultProofAge {
			t.Errorf("the record was still found %s after its deletion, want at most %s", last, vaultkv.DefaultProofAge)
		}
	})
}

// TestProofIsOfOneClusterAndForAllOfItsVaultObjects: those that share nothing but
// the cluster, and nothing but the process.
func TestProofIsOfOneClusterAndForAllOfItsVaultObjects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
		two := newFakeCluster(t, &fakeCluster{ID: "cluster-two", Indexes: true, Lag: syncLag})
		clusters := vaultkv.NewClusters(vaultkv.DefaultProofAge)
		v, state, _ := one.replica(clusters, 2)
		same, _, _ := one.replica(clusters, 1)
		other, _, _ := two.replica(clusters, 2)
		for _, vault := range []*vaultkv.Vault{v, same, other} {
			vault.Maintain(t.Context())
		}
		one.put("kong-auth/key", `{"a":1}`)
		mustSync(t, state)
		if document, _, err := same.Read(t.Context(), "key"); string(document) != `{"a":1}` || err != nil {
			t.Errorf("Read through another vault object of the cluster = %s, %v, want what was there before the sync", document, err)
		}
		time.Sleep(time.Minute)
		wantReadState(t, v, vaultkv.StateNotCurrent)
		wantReadState(t, same, vaultkv.StateNotCurrent)
		wantReadState(t, other, vaultkv.StateOK)
	})
}

// A server tells its cluster_id itself, so the server of one vault object can give that of
// the cluster in which the state and other vault objects are. What it answers must not
// change what those ask for and get.
func TestServerThatClaimsTheIDOfAnotherClusterChangesNothingThere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		boast int
		early bool
	}{
		{"an index far ahead", 1 << 40, false},
		{"an index far ahead, from before its id was known", 1 << 40, true},
		{"an index far behind", -1 << 40, false},
		{"an index far behind, from before its id was known", -1 << 40, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				real := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
				hostile := newFakeCluster(t, &fakeCluster{Indexes: true, Boast: tt.boast})
				clusters := vaultkv.NewClusters(vaultkv.DefaultProofAge)
				v, state, _ := real.replica(clusters, 2)
				v.Maintain(t.Context())
				write := func() {
					if err := other(t, hostile, clusters, tt.early).Write(t.Context(), "key", []byte(`{"a":1}`)); err != nil {
						t.Fatal(err)
					}
				}
				for range 3 {
					time.Sleep(2 * vaultkv.DefaultProofAge)
					real.put("kong-auth/key", `{"a":1}`)
					mustSync(t, state)
					write()
					if document, _, err := v.Read(t.Context(), "key"); string(document) != `{"a":1}` || err != nil {
						t.Errorf("Read = %s, %v, want what was written before the sync", document, err)
					}
					time.Sleep(syncLag) // the standby has it
					real.put("kong-auth/key", "")
					mustSync(t, state)
					write()
					if document, found, err := v.Read(t.Context(), "key"); found || err != nil {
						t.Errorf("Read = %s, %t, %v, want that it was deleted before the sync", document, found, err)
					}
				}
			})
		})
	}
}

// other returns a vault object of another cluster. It has written once before it asks
// the server for its cluster_id, if it is early.
func other(t *testing.T, c *fakeCluster, clusters *vaultkv.Clusters, early bool) *vaultkv.Vault {
	t.Helper()
	v, _, _ := c.replica(clusters, 0)
	if early {
		if err := v.Write(t.Context(), "key", []byte(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	v.Maintain(t.Context())
	return v
}

// TestClusterBehindTheAddressesIsAnotherOneNow: restored from a backup, say. What
// was known of the old one says nothing of it.
func TestClusterBehindTheAddressesIsAnotherOneNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
		clusters := vaultkv.NewClusters(vaultkv.DefaultProofAge)
		v, state, _ := c.replica(clusters, 2)
		same, _, _ := c.replica(clusters, 1)
		replicas := []*vaultkv.Vault{v, same}
		for _, vault := range replicas {
			vault.Maintain(t.Context())
		}
		mustSync(t, state)
		c.set(func() { c.ID = "restored" })
		time.Sleep(time.Minute)
		for _, vault := range replicas {
			vault.Maintain(t.Context())
		}
		mustSync(t, state)
		for i := range 20 {
			key := fmt.Sprintf("key-%d", i)
			c.put("kong-auth/"+key, `{"a":1}`)
			mustSync(t, state)
			for _, vault := range replicas {
				if _, found, err := vault.Read(t.Context(), key); !found || err != nil {
					t.Errorf("Read = %t, %v, want found", found, err)
				}
			}
		}
		if got := clusters.Known(); got != 1 {
			t.Errorf("%d clusters are remembered, want the one in use", got)
		}
	})
}

func TestFirstUseOnAnotherReplicaFindsWhatWasMadeAMomentAgo(t *testing.T) {
	t.Parallel()
	eachKind(t, func(c *fakeCluster) {
		t := c.t
		if c.Lag > 0 && !c.Indexes && !c.ForwardReads {
			t.Skip("without indexes a standby is not told from the active node: see docs/explanation/decisions/state.md")
		}
		v, state, _ := c.replica(nil, 2)
		mustSync(t, state)
		for i := range 100 {
			key := fmt.Sprintf("key-%d", i)
			c.put("kong-auth/"+key, `{"a":1}`)
			if _, found, err := v.Read(t.Context(), key); !found || err != nil {
				t.Errorf("Read = %t, %v, want found", found, err)
			}
			if _, found, err := v.Read(t.Context(), "no-"+key); found || err != nil {
				t.Errorf("Read of what there is not = %t, %v, want not found", found, err)
			}
			mustSync(t, state)
			time.Sleep(syncLag) // the standby has got the sync, and answers itself again
		}
	})
}

func TestUnknownKeysCostFewSyncsAndNoneWhereNothingIsStale(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		c        fakeClusterKind
		nodes    []int
		most     int
		confirms bool
	}{
		{"a standby that answers itself", fakeClusterKind{indexes: true}, []int{2}, 63, true},
		{"the active node", fakeClusterKind{indexes: true}, []int{0, 1, 2}, 0, false},
		{"Vault Community", fakeClusterKind{forward: true}, []int{2}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCluster(t, &fakeCluster{Indexes: tt.c.indexes, ForwardReads: tt.c.forward, Lag: syncLag})
				v, state, _ := c.replica(nil, tt.nodes...)
				before, reads := 0, 0
				every(t, time.Second, func() { v.Maintain(t.Context()) })
				for range 3 {
					mustSync(t, state)
					synctest.Wait()
					before++
					var wg sync.WaitGroup
					for i := range 500 {
						reads++
						wg.Go(func() {
							time.Sleep(time.Duration(i) * 2 * time.Millisecond)
							if _, found, err := v.Read(t.Context(), fmt.Sprintf("unknown-%d", i)); found || err != nil {
								t.Errorf("Read = %t, %v, want not found", found, err)
							}
						})
					}
					wg.Wait()
				}
				if got := c.syncs() - before; got > tt.most {
					t.Errorf("%d syncs for 1,500 unknown keys in three seconds, want at most %d", got, tt.most)
				}
				if got := c.askedFor(tt.nodes[0], "kong-auth/"); !tt.confirms && got != reads {
					t.Errorf("%d requests for %d reads, want one each", got, reads)
				}
			})
		})
	}
}

type fakeClusterKind struct{ indexes, forward bool }

func TestUnknownKeyThatCannotBeConfirmedIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
		v, state, _ := c.replica(nil, 2)
		mustSync(t, state)
		time.Sleep(time.Second)
		c.isolate(2) // which is not known yet
		if _, found, err := v.Read(t.Context(), "unknown"); found || err == nil {
			t.Errorf("Read = %t, %v, want unavailable", found, err)
		}
	})
}

// TestOldAnswerOfAFormerLeaderIsNotUsed: it was stopped, did not notice that
// there is another one, and does not heed an index.
func TestOldAnswerOfAFormerLeaderIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{Indexes: true, Lag: syncLag})
		clusters := vaultkv.NewClusters(vaultkv.DefaultProofAge)
		_, state, _ := c.replica(clusters, 1)
		v, other, _ := c.replica(clusters, 0)
		v.Maintain(t.Context())
		mustSync(t, other)
		c.put("kong-auth/key", `{"a":1}`)
		c.set(func() { c.nodes[0].cut = true }) // and active
		c.elect(1)
		c.put("kong-auth/key", "")
		state.Maintain(t.Context())
		mustSync(t, state)
		if document, found, err := v.Read(t.Context(), "key"); found || err == nil {
			t.Errorf("Read = %s, %v, want unavailable", document, err)
		}
	})
}

func TestRefusedForwardingIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, &fakeCluster{Indexes: true, RefuseForwarding: true, Lag: syncLag})
		_, state, _ := c.replica(nil, 0)
		before := c.askedFor(0, "state/")
		for range 50 {
			mustSync(t, state)
		}
		// The first has no index to send, and the second learns.
		if got := c.askedFor(0, "state/") - before; got != 51 {
			t.Errorf("%d requests for 50 syncs, want one more", got)
		}
	})
}

// TestIndexIsSentOnlyToAServerThatNamedOne: Vault Community refuses the other
// header.
func TestIndexIsSentOnlyToAServerThatNamedOne(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	v, _, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Index") != "" || r.Header.Get("X-Vault-Inconsistent") != "" {
			sent.Add(1)
		}
		answer(204, "")(w, r)
	}), nil)
	for range 3 {
		if err := v.Write(t.Context(), "key", []byte(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	if sent.Load() > 0 {
		t.Errorf("%d requests had headers of consistency, want none", sent.Load())
	}
}

func TestIndexOfAReadIsNotKept(t *testing.T) {
	t.Parallel()
	var sent atomic.Value
	v, _, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
		sent.Store(r.Header.Get("X-Vault-Index"))
		w.Header().Set("X-Vault-Index", strings.ToLower(r.Method))
		answer(200, `{"data":{"a":1}}`)(w, r)
	}), nil)
	for _, step := range []struct {
		do   func(context.Context) error
		want string
	}{
		{func(ctx context.Context) error { _, _, err := v.Read(ctx, "key"); return err }, ""},
		{func(ctx context.Context) error { return v.Write(ctx, "key", []byte(`{"a":1}`)) }, ""},
		{func(ctx context.Context) error { _, _, err := v.Read(ctx, "key"); return err }, "put"},
		{func(ctx context.Context) error { return v.Delete(ctx, "key") }, "put"},
		{func(ctx context.Context) error { _, _, err := v.Read(ctx, "key"); return err }, "delete"},
		{func(ctx context.Context) error { _, _, err := v.Read(ctx, "key"); return err }, "delete"},
	} {
		if err := step.do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := sent.Load(); got != step.want {
			t.Errorf("X-Vault-Index = %q, want %q", got, step.want)
		}
	}
}
