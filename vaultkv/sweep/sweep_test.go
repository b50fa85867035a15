package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/sweep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unable is an error of a vault object in a state.
func unable(s vaultkv.State) error {
	return fmt.Errorf("the state is %s: %w", s, &vaultkv.Error{State: s})
}

// held is a cache that notes what it is told.
type held struct {
	mu      sync.Mutex
	keys    []string
	dropped []string
}

func (h *held) Keys() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.keys)
}

func (h *held) Invalidate(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = slices.DeleteFunc(h.keys, func(k string) bool { return k == key })
	h.dropped = append(h.dropped, key)
}

func (h *held) hold(keys ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = append(h.keys, keys...)
}

func (h *held) gone() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(slices.Values(h.dropped))
}

// mount is an engine whose list can be slow or short, and which can keep keys of
// what was deleted.
type mount struct {
	*memkv.Engine
	mu     sync.Mutex
	lists  int
	reads  []string
	before func() // called within a list, before it is complete
	slow   time.Duration
	ended  error
	ghosts map[string]bool
	broken string
}

func newMount(keys ...string) *mount {
	m := &mount{Engine: memkv.New(), ghosts: map[string]bool{}}
	for _, key := range keys {
		m.Put(key, []byte(`{"a":1}`))
	}
	return m
}

func (m *mount) EachKey(ctx context.Context, each func(string)) error {
	m.mu.Lock()
	m.lists++
	before, slow, ended := m.before, m.slow, m.ended
	m.mu.Unlock()
	var keys []string
	if err := m.Engine.EachKey(ctx, func(key string) { keys = append(keys, key) }); err != nil {
		return err
	}
	if before != nil {
		before()
	}
	time.Sleep(slow)
	for i, key := range keys {
		if ended != nil && i == len(keys)/2 {
			break
		}
		each(key)
	}
	return ended
}

func (m *mount) Read(ctx context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	m.reads = append(m.reads, key)
	ghost, broken := m.ghosts[key], m.broken == key
	m.mu.Unlock()
	if broken {
		return nil, false, errors.New("the server fails at this one")
	}
	document, found, err := m.Engine.Read(ctx, key)
	return document, found && !ghost, err
}

func (m *mount) listed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lists
}

// sweeping lets a sweeper with intervals of a minute run on the fake clock.
func sweeping(t *testing.T, m *mount, h *held, edit func(*sweep.Config)) (*sweep.Sweeper, func() []string) {
	t.Helper()
	c := sweep.DefaultConfig()
	if edit != nil {
		edit(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	s := sweep.New("main", m, h, c, zap.New(core))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	return s, func() (lines []string) {
		for _, e := range logs.All() {
			lines = append(lines, fmt.Sprintf("%s %s %v", e.Level, e.Message, e.ContextMap()))
		}
		return lines
	}
}

func TestSweepDropsWhatWasDeletedWithinAnInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, h := newMount("a", "b", "c"), &held{}
		h.hold("a", "b", "c")
		s, _ := sweeping(t, m, h, nil)
		time.Sleep(time.Minute)
		if got := h.gone(); len(got) != 0 {
			t.Fatalf("dropped %q, which are in the mount", got)
		}
		for _, key := range []string{"b", "a"} {
			if err := m.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if got := h.gone(); !slices.Contains(got, key) {
				t.Errorf("dropped %q a minute after %q was deleted", got, key)
			}
		}
		if got := s.Stats(); got.Dropped != 2 || got.Failed != 0 || got.Complete < 3 || got.Bound != time.Minute || time.Since(got.LastComplete) > time.Minute {
			t.Errorf("Stats = %+v", got)
		}
	})
}

func TestSweepOfAnEmptyMountDropsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, h := newMount(), &held{}
		h.hold("a", "b")
		sweeping(t, m, h, nil)
		time.Sleep(time.Minute)
		if got := h.gone(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("dropped %q, want a and b", got)
		}
	})
}

// What is loaded while the list is on its way is not in the list, and is good.
func TestSweepKeepsWhatCameWhileItListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, h := newMount("a"), &held{}
		h.hold("a")
		m.before = func() {
			m.before = nil
			m.Put("new", []byte(`{"a":1}`))
			h.hold("new")
		}
		s, _ := sweeping(t, m, h, nil)
		time.Sleep(3 * time.Minute)
		if got := h.gone(); len(got) != 0 || s.Stats().Complete < 2 {
			t.Errorf("dropped %q in %d sweeps, want none", got, s.Stats().Complete)
		}
	})
}

func TestSweepThatFailsDropsNothingAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		fail func(*mount)
		mend func(*mount)
	}{
		{"the list is refused", func(m *mount) { m.Fail(errors.New("forbidden")) }, func(m *mount) { m.Fail(nil) }},
		{"the list ends halfway", func(m *mount) { m.ended = errors.New("cut") }, func(m *mount) { m.ended = nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, h := newMount("a", "b", "c", "d"), &held{}
				h.hold("a", "b", "c", "d", "deleted")
				test.fail(m)
				s, logged := sweeping(t, m, h, func(c *sweep.Config) { c.Reads = 2 })
				time.Sleep(10 * time.Minute)
				if got := h.gone(); len(got) != 0 {
					t.Errorf("dropped %q by a list that failed", got)
				}
				if got := s.Stats(); got.Failed < 9 || got.Complete != 0 || got.Bound != 0 || !got.LastComplete.IsZero() {
					t.Errorf("Stats = %+v, want failures only and no bound", got)
				}
				if got := logged(); len(got) != 1 || !strings.Contains(got[0], "sweep failed") {
					t.Errorf("%d lines, want one: %q", len(got), got)
				}
				m.mu.Lock()
				test.mend(m)
				m.mu.Unlock()
				time.Sleep(2 * time.Minute)
				if got := h.gone(); !slices.Equal(got, []string{"deleted"}) {
					t.Errorf("dropped %q once the list is there, want the deleted one", got)
				}
				if got := strings.Join(logged()[1:], "\n"); !strings.Contains(got, "sweeps work again") {
					t.Errorf("lines after it works again: %s", got)
				}
			})
		})
	}
}

// TestOnlyASweepThatIsRefusedAdvisesToTurnSweepsOff: whatever passes by itself is no reason to.
func TestOnlyASweepThatIsRefusedAdvisesToTurnSweepsOff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		err     error
		advises bool
	}{
		{"the policy lacks a line", unable(vaultkv.StateForbidden), true},
		{"sealed", unable(vaultkv.StateSealed), false},
		{"unreachable", unable(vaultkv.StateUnreachable), false},
		{"the token is rejected", unable(vaultkv.StateTokenRejected), false},
		{"the login is refused", unable(vaultkv.StateLoginRefused), false},
		{"a quota", unable(vaultkv.StateLimited), false},
		{"any other failure", errors.New("cut"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m, h := newMount("a"), &held{}
				h.hold("a")
				m.Fail(test.err)
				_, logged := sweeping(t, m, h, nil)
				time.Sleep(2 * time.Minute)
				if got := strings.Join(logged(), "\n"); !strings.Contains(got, "sweep failed") || strings.Contains(got, "cache.sweep: 0") != test.advises {
					t.Errorf("the log says %q, want the advice to turn sweeps off: %t", got, test.advises)
				}
			})
		})
	}
}

func TestSweepWithNothingHeldAsksForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, h := newMount("a"), &held{}
		s, _ := sweeping(t, m, h, nil)
		time.Sleep(10 * time.Minute)
		if m.listed() != 0 || s.Stats().Complete == 0 {
			t.Errorf("%d lists, %d complete sweeps, want none and some", m.listed(), s.Stats().Complete)
		}
	})
}

func TestSweepThatIsOffDoesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, h := newMount(), &held{}
		h.hold("a")
		s, _ := sweeping(t, m, h, func(c *sweep.Config) { c.Interval = 0 })
		time.Sleep(24 * time.Hour)
		if got := s.Stats(); m.listed() != 0 || got != (sweep.Stats{}) {
			t.Errorf("%d lists, %+v, want nothing", m.listed(), got)
		}
	})
}

// A mount that takes long to list is listed the less often.
func TestListsTakeATenthOfTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, h := newMount("a"), &held{}
		m.slow = 20 * time.Second
		h.hold("a")
		s, _ := sweeping(t, m, h, nil)
		time.Sleep(time.Hour)
		if got := m.listed(); got < 16 || got > 20 {
			t.Errorf("%d lists of 20s in an hour, want no more than 20", got)
		}
		if got, want := s.Stats().Bound, 220*time.Second; got != want {
			t.Errorf("Bound = %s, want %s", got, want)
		}
	})
}

func TestSweepsOfReplicasThatStartTogetherAreSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []*mount
		for range 20 {
			m, h := newMount("a"), &held{}
			h.hold("a")
			sweeping(t, m, h, nil)
			all = append(all, m)
		}
		time.Sleep(30 * time.Second)
		early := 0
		for _, m := range all {
			early += min(m.listed(), 1)
		}
		// Each with odds of one in two.
		if early == 0 || early == len(all) {
			t.Errorf("%d of %d replicas have swept after half an interval", early, len(all))
		}
	})
}

// KV v2 lists what `vault kv delete` deleted: reading tells.
func TestSweepReadsInTurnWhatAListDoesNotTell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		for i := range 10 {
			keys = append(keys, fmt.Sprintf("k%d", i))
		}
		m, h := newMount(keys...), &held{}
		h.hold(keys...)
		for _, key := range []string{"k0", "k5", "k9"} {
			m.ghosts[key] = true
		}
		s, _ := sweeping(t, m, h, func(c *sweep.Config) { c.Reads = 4 })
		time.Sleep(time.Minute)
		if got := s.Stats().Bound; got != 3*time.Minute {
			t.Errorf("Bound = %s with 10 keys and 4 reads a minute, want 3m", got)
		}
		time.Sleep(2 * time.Minute)
		if got := h.gone(); !slices.Equal(got, []string{"k0", "k5", "k9"}) {
			t.Errorf("dropped %q in three sweeps, want k0, k5 and k9", got)
		}
		if got := s.Stats(); got.Dropped != 3 || got.Reads < 10 {
			t.Errorf("Stats = %+v, want 3 dropped and 10 reads or more", got)
		}
		for _, key := range keys {
			if !slices.Contains(m.reads, key) {
				t.Errorf("%s was not read again", key)
			}
		}
	})
}

func TestARecordThatCannotBeReadDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := []string{"a", "b", "c", "d"}
		m, h := newMount(keys...), &held{}
		h.hold(keys...)
		m.broken, m.ghosts["d"] = "b", true
		sweeping(t, m, h, func(c *sweep.Config) { c.Reads = 10 })
		time.Sleep(3 * time.Minute)
		if got := h.gone(); !slices.Equal(got, []string{"d"}) {
			t.Errorf("dropped %q, want d and not the one that cannot be read", got)
		}
	})
}

// A burst could use up a quota that requests need.
func TestSweepsReadAtAPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		for i := range 2000 {
			keys = append(keys, fmt.Sprintf("k%04d", i))
		}
		m, h := newMount(keys...), &held{}
		h.hold(keys...)
		began := time.Now()
		s, _ := sweeping(t, m, h, func(c *sweep.Config) { c.Reads = sweep.KV2Reads })
		for range 600 {
			time.Sleep(time.Second)
			m.mu.Lock()
			reads := len(m.reads)
			m.mu.Unlock()
			if most := int(time.Since(began)/time.Second+1) * 50; reads > most {
				t.Fatalf("%d reads after %s, want no more than 50 a second", reads, time.Since(began))
			}
		}
		if got := s.Stats(); got.Reads < 8000 || got.Reads > 11*sweep.KV2Reads*10/9 || got.Bound != 2*time.Minute {
			t.Errorf("Stats after 10 minutes = %+v, want about 1000 reads a minute and a bound of 2m", got)
		}
	})
}

func TestSweepConfigIsValidated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		c  sweep.Config
		ok bool
	}{
		{sweep.Config{}, true},
		{sweep.DefaultConfig(), true},
		{sweep.Config{Interval: time.Second, Reads: 1}, true},
		{sweep.Config{Interval: time.Millisecond}, false},
		{sweep.Config{Interval: -time.Minute}, false},
		{sweep.Config{Interval: 48 * time.Hour}, false},
		{sweep.Config{Interval: time.Minute, Reads: -1}, false},
	} {
		if err := test.c.Validate(); (err == nil) != test.ok {
			t.Errorf("%+v: Validate = %v, want ok %t", test.c, err, test.ok)
		}
	}
}
