package state_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// interval is the longest time between the beginnings of two polls.
const interval = 1100 * time.Millisecond

// paced does something before each read and Sync.
type paced struct {
	*memkv.Engine
	before func(ctx context.Context, path string) error
}

func (p paced) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	if err := p.before(ctx, path); err != nil {
		return nil, 0, false, err
	}
	return p.Engine.ReadVersion(ctx, path)
}

func (p paced) Sync(ctx context.Context) error {
	if err := p.before(ctx, "sync"); err != nil {
		return err
	}
	return p.Engine.Sync(ctx)
}

func takes(ctx context.Context, d time.Duration) error {
	sleep(ctx, d)
	return ctx.Err()
}

// follow opens a store and follows it until its test ends.
func follow(t *testing.T, kv state.Engine, edit ...func(*state.Watcher)) (n *node, logs *observer.ObservedLogs, stop func()) {
	t.Helper()
	n = &node{dropped: map[string]int{}}
	w := n.watcher()
	for _, e := range edit {
		e(&w)
	}
	core, logs := observer.New(zap.InfoLevel)
	s, err := state.New(kv, state.DefaultConfig(), w, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	n.Store = s
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Follow(ctx); err != nil {
			t.Errorf("Follow = %v, want nil", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return n, logs, stop
}

// isOpen says whether Current returns nil at once.
func isOpen(n *node) bool {
	past, cancel := context.WithCancel(context.Background())
	cancel()
	return n.Current(past) == nil
}

func (n *node) dropsOfAll() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all
}

// replaceLog replaces the log with another one that has one consumer.
func replaceLog(t *testing.T, kv *memkv.Engine) {
	t.Helper()
	other := memkv.New()
	create(t, open(t, other), consumer(1))
	for _, folder := range []string{"log", "checkpoint-a", "checkpoint-b"} {
		names, _ := other.ListUnder(t.Context(), folder)
		for _, name := range names {
			raw, _, _ := other.Read(t.Context(), folder+"/"+name)
			kv.Put(folder+"/"+name, raw)
		}
	}
	raw, _, _ := other.Read(t.Context(), "checkpoint")
	kv.Put("checkpoint", raw)
}

// This holds for each length of the outage, and each way in which the store fails.
func TestRevocationDuringAnOutageIsDroppedWithinAnIntervalOfItsEnd(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 20 * time.Second} {
		for _, silent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, without an answer: %t", outage, silent), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					const reading = 50 * time.Millisecond
					kv := memkv.New()
					var down atomic.Bool
					n, _, stop := follow(t, paced{kv, func(ctx context.Context, _ string) error {
						switch {
						case !down.Load():
							return takes(ctx, reading)
						case silent:
							<-ctx.Done()
						}
						return errServer
					}})
					near := open(t, kv)
					for i := range 10 {
						time.Sleep(7 * time.Second)
						down.Store(true)
						time.Sleep(outage)
						if !isOpen(n) {
							t.Fatal("the gate is closed in an outage: what is cached has limits of its own then")
						}
						down.Store(false)
						token := fmt.Sprint("token-", i)
						if err := near.LeaseCredential(t.Context(), token, func(func(context.Context, func(context.Context) error) error) error { return nil }); err != nil {
							t.Fatal(err)
						}
						within := interval + 2*reading
						if silent {
							// The poll that waits for an answer times out first.
							within = 2*time.Second + interval/10 + 2*reading
						}
						time.Sleep(within)
						synctest.Wait()
						if n.drops(token) == 0 {
							t.Errorf("%s was not dropped within %s of the end of the outage", token, within)
						}
						if !isOpen(n) {
							t.Error("the gate is closed after the outage")
						}
					}
					stop()
				})
			})
		}
	}
}

func TestFollowLogsAnOutageAndItsEndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		_, logs, stop := follow(t, kv)
		for outages := 1; outages <= 3; outages++ {
			time.Sleep(10 * time.Second)
			kv.Fail(errServer)
			time.Sleep(10 * time.Second)
			kv.Fail(nil)
			time.Sleep(10 * time.Second)
			begun, ended := logs.FilterMessageSnippet("are not seen").Len(), logs.FilterMessageSnippet("are seen again").Len()
			if begun != outages || ended != outages {
				t.Errorf("%d lines say that changes are not seen, and %d that they are again, want %d each", begun, ended, outages)
			}
		}
		stop()
	})
}

func TestFollowPollsOnceInAnInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var readings atomic.Int64
		_, _, stop := follow(t, paced{memkv.New(), func(ctx context.Context, path string) error {
			if path == "sync" {
				readings.Add(1)
			}
			return takes(ctx, 100*time.Millisecond)
		}})
		time.Sleep(10 * time.Second)
		before := readings.Load()
		time.Sleep(time.Minute)
		if got := readings.Load() - before; got < 54 || got > 67 {
			t.Errorf("%d readings in a minute, want one each second, give or take a tenth", got)
		}
		stop()
	})
}

// After that it is not dropped any more.
func TestLeasedCredentialIsDroppedUntilItsWriteMustBeOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		n, _, stop := follow(t, kv)
		time.Sleep(3 * time.Second)
		err := open(t, kv).LeaseCredential(t.Context(), "token", writing(errServer))
		if !errors.Is(err, errServer) {
			t.Fatal(err)
		}
		began, last := time.Now(), time.Time{}
		for drops := 0; time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
			if now := n.drops("token"); now > drops {
				drops, last = now, time.Now()
			}
		}
		if after := last.Sub(began); after < writeWithin+2*time.Second || after > writeWithin+2*time.Second+2*interval {
			t.Errorf("the credential was dropped for the last time after %s, want that soon after %s", after, writeWithin+2*time.Second)
		}
		stop()
	})
}

func TestLagIsTheTimeSinceTheLastProof(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		n, _, stop := follow(t, kv)
		time.Sleep(10 * time.Second)
		if got := n.Lag(); got < 0 || got > interval {
			t.Errorf("Lag = %s while the server answers, want at most %s", got, interval)
		}
		kv.Fail(errServer)
		time.Sleep(10 * time.Second)
		if got := n.Lag(); got < 10*time.Second || got > 10*time.Second+interval {
			t.Errorf("Lag = %s after 10s without an answer, want that and at most %s more", got, interval)
		}
		stop()
	})
}

// Requests are not decided by the old state for longer than the promise.
func TestReloadMayTakeLongAndDecisionsWaitForIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// each reading of the checkpoint takes that long.
		takes time.Duration
		// closes says that it takes longer than the promise.
		closes bool
	}{
		{"soon", 0, false},
		{"longer than the log may take to be read", 4 * time.Second, true},
		{"long", 20 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := memkv.New()
				create(t, open(t, kv), consumer(7))
				n, logs, stop := follow(t, paced{kv, func(ctx context.Context, path string) error {
					if path == "checkpoint" {
						return takes(ctx, tt.takes)
					}
					return nil
				}})
				time.Sleep(40 * time.Second)
				if v, err := n.View(); err != nil || v.Len(state.KindConsumers) != 1 {
					t.Fatalf("the state is not read in the first place: %v", err)
				}
				before := n.dropsOfAll()
				replaceLog(t, kv)
				time.Sleep(interval)
				synctest.Wait()
				if n.dropsOfAll() == before {
					t.Error("the credentials are not dropped as soon as it is known that changes were missed")
				}
				if !isOpen(n) {
					t.Error("the gate is closed before the promise is over")
				}
				time.Sleep(limit)
				if tt.closes == isOpen(n) {
					t.Errorf("the gate is open after the promise: %t, want %t", isOpen(n), !tt.closes)
				}
				time.Sleep(max(0, tt.takes-limit) + interval)
				if !isOpen(n) {
					t.Error("the gate is closed after all was read")
				}
				if v, err := n.View(); err != nil || v.Len(state.KindConsumers) != 1 {
					t.Errorf("the new state is not there: %v", err)
				} else if _, err := v.Get(state.KindConsumers, id(1)); err != nil {
					t.Errorf("the new state is not there: %v", err)
				}
				time.Sleep(interval)
				stop()
				said := 0
				for _, l := range logs.All() {
					if strings.Contains(l.Message, "answered with 503 until") || strings.Contains(l.Message, "decided again") {
						said++
					}
				}
				if tt.takes > 10*time.Second && said != 2 {
					t.Errorf("%d lines say that requests are not decided and that they are again, want one for each: %v", said, logs.All())
				}
			})
		})
	}
}

func TestReloadIsRepeatedAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprint("a panic: ", panics), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := memkv.New()
				create(t, open(t, kv), consumer(7))
				var broken atomic.Bool
				n, _, stop := follow(t, paced{kv, func(_ context.Context, path string) error {
					switch {
					case path != "checkpoint" || !broken.Load():
						return nil
					case panics:
						panic("boom")
					}
					return errServer
				}})
				time.Sleep(10 * time.Second)
				broken.Store(true)
				replaceLog(t, kv)
				time.Sleep(interval + limit)
				for range 600 {
					time.Sleep(100 * time.Millisecond)
					if isOpen(n) {
						t.Fatal("the gate is open although this replica is behind")
					}
				}
				broken.Store(false)
				time.Sleep(interval)
				if !isOpen(n) {
					t.Error("the gate is closed after all was read")
				}
				stop()
			})
		})
	}
}

// A consumer that is deleted is allowed until decisions are made by the new state, but for
// no longer than the promise.
func TestDecisionsWaitForADeferredViewToBeInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		n, _, stop := follow(t, kv, func(w *state.Watcher) { w.Deferred = true })
		using := func() {
			v, err := n.View()
			if err != nil {
				t.Fatal(err)
			}
			n.Using(v)
		}
		time.Sleep(time.Second)
		using()
		other := open(t, kv)
		time.Sleep(10 * time.Second)
		if !isOpen(n) {
			t.Fatal("the gate is closed at first")
		}
		create(t, other, consumer(1))
		time.Sleep(interval)
		if !isOpen(n) {
			t.Error("the gate is closed before the promise is over")
		}
		for range 20 {
			time.Sleep(limit)
			if isOpen(n) {
				t.Fatal("the gate is open although the change is not in use")
			}
		}
		using()
		if !isOpen(n) {
			t.Error("the gate is closed although the change is in use")
		}

		// A stop leaves no time at all.
		create(t, other, consumer(2))
		state.Pause(n.Store)
		passed := make(chan error, 1)
		go func() { passed <- n.Current(t.Context()) }()
		time.Sleep(interval)
		if len(passed) > 0 {
			t.Error("the gate is open after a stop although what was found is not in use")
		}
		using()
		if err := <-passed; err != nil {
			t.Errorf("Current = %v", err)
		}
		stop()
	})
}

// A caller that joins a reload that is under way needs what was committed before its call.
func TestRefreshShowsWhatWasCommittedDuringAReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		near := open(t, kv)
		create(t, near, consumer(1))
		var first atomic.Bool
		first.Store(true)
		slow := open(t, lateReader{kv, &first})
		began := make(chan error, 1)
		go func() { began <- slow.Refresh(t.Context()) }()
		time.Sleep(time.Second)
		position := create(t, near, consumer(2))
		if err := slow.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v, err := slow.View(); err != nil || v.Position() < position {
			t.Errorf("the view does not show what was committed before Refresh was called: %v", err)
		}
		if err := <-began; err != nil {
			t.Error(err)
		}
	})
}

// lateReader answers the first read of the first segment late, with what was there when it
// was asked.
type lateReader struct {
	*memkv.Engine
	first *atomic.Bool
}

func (l lateReader) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	raw, version, found, err := l.Engine.ReadVersion(ctx, path)
	if path == "log/00" && l.first.CompareAndSwap(true, false) {
		err = errors.Join(err, takes(ctx, 5*time.Second))
	}
	return raw, version, found, err
}

func TestReloadGoesOnWithoutItsCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		create(t, open(t, kv), consumer(1))
		var readings atomic.Int64
		n := open(t, paced{kv, func(ctx context.Context, path string) error {
			if path == "checkpoint" {
				readings.Add(1)
				return takes(ctx, 5*time.Second)
			}
			return nil
		}})
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := n.Refresh(ctx); err == nil {
				t.Error("Refresh came to an end before everything was read")
			}
			cancel()
		}
		time.Sleep(1500 * time.Millisecond)
		if _, err := n.View(); err != nil || readings.Load() != 1 {
			t.Errorf("the state is there: %v; it was read %d times, want once", err, readings.Load())
		}
	})
}

func TestFollowEndsWithItsContextWhateverItDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		create(t, open(t, kv), consumer(1))
		_, _, stop := follow(t, paced{kv, func(ctx context.Context, path string) error {
			if path == "checkpoint" {
				return takes(ctx, time.Minute)
			}
			return nil
		}})
		time.Sleep(5 * time.Second)
		begin := time.Now()
		stop()
		if took := time.Since(begin); took > 0 {
			t.Errorf("Follow ended %s after its context", took)
		}
		time.Sleep(2 * time.Minute) // for what goes on in the background
	})
}
