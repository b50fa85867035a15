package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/lastused"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/vaults"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A simulation is one replica while changes are made elsewhere, at random, in a store that is
// slow, loses its log and fails for a while.
type simulation struct {
	t      *testing.T
	by     *rand.Rand
	kv     *memkv.Engine
	engine *memkv.Engine
	check  func(access string) authz.Decision
	// other is another replica's store.
	other *state.Store
	// How long it takes to read everything, to look at the log, and to open a vault object.
	reading, looking, opening time.Duration
	// down: the store fails for every replica. cut: it fails for this one.
	down, cut atomic.Bool

	fillers int

	mu sync.Mutex
	// revoked is when each pair was revoked, and back when the last outage ended.
	revoked map[int]time.Time
	back    time.Time
	told    []string
}

// paced is the state as the replica sees it.
type paced struct {
	*memkv.Engine
	d *simulation
}

func (p paced) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	takes := p.d.looking
	if path == "checkpoint" {
		takes = p.d.reading
	}
	raw, version, found, err := p.Engine.ReadVersion(ctx, path)
	if p.d.cut.Load() {
		err = authz.ErrUnavailable
	}
	if err == nil {
		// What it says may be out of date by the time that it is heard.
		err = p.d.pause(ctx, takes)
	}
	return raw, version, found, err
}

func (p paced) Sync(ctx context.Context) error {
	if p.d.cut.Load() {
		return authz.ErrUnavailable
	}
	return p.Engine.Sync(ctx)
}

func (d *simulation) pause(ctx context.Context, takes time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(takes):
		return nil
	}
}

func pairOf(n int) (consumer, access string) {
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", n), fmt.Sprintf("access-%d", n)
}

// newPairs makes so many consumers with a pair each.
func (d *simulation) newPairs(n int) {
	for i := range n {
		consumer, access := pairOf(i)
		d.put(state.KindConsumers, consumer, map[string]any{"id": consumer, "username": fmt.Sprint("user-", i)})
		credential, err := json.Marshal(map[string]any{"access_token": access, "secret_token": "secret", "consumer": map[string]any{"id": consumer}})
		if err != nil {
			d.t.Fatal(err)
		}
		d.engine.Put(access, credential)
	}
}

// put makes a record elsewhere.
func (d *simulation) put(kind, id string, fields map[string]any) {
	document, err := json.Marshal(fields)
	if err == nil {
		_, err = d.other.Update(d.t.Context(), func(tx *state.Tx) error { return tx.Put(state.Record{Kind: kind, ID: id, Document: document}) })
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// revoke revokes a pair in one of two ways.
func (d *simulation) revoke(n int) {
	consumer, access := pairOf(n)
	kind := state.KindCredentials
	var err error
	if d.by.IntN(2) == 0 {
		kind = state.KindConsumers
		_, err = d.other.Update(d.t.Context(), func(tx *state.Tx) error { return tx.Delete(kind, consumer) })
	} else {
		err = d.other.LeaseCredential(d.t.Context(), access, func(commit func(context.Context, func(context.Context) error) error) error {
			return commit(d.t.Context(), func(ctx context.Context) error {
				if err := d.pause(ctx, time.Duration(d.by.Int64N(int64(1500*time.Millisecond)))); err != nil {
					return err
				}
				return d.engine.Delete(ctx, access)
			})
		})
	}
	if err != nil {
		d.t.Fatalf("revoking pair %d: %v", n, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revoked[n] = time.Now()
	d.told = append(d.told, fmt.Sprintf("%s: pair %d revoked by its %s", time.Now().Format("05.000"), n, kind))
}

func (d *simulation) say(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, time.Now().Format("05.000")+": "+what)
}

// outage takes the store away for a while.
func (d *simulation) outage(lasts time.Duration) {
	d.say("outage")
	d.down.Store(true)
	d.kv.Fail(authz.ErrUnavailable)
	d.engine.Fail(authz.ErrUnavailable)
	time.Sleep(lasts)
	d.kv.Fail(nil)
	d.engine.Fail(nil)
	d.over(&d.down)
}

func (d *simulation) over(what *atomic.Bool) {
	what.Store(false)
	d.mu.Lock()
	d.back = time.Now()
	d.mu.Unlock()
	d.say("it is over")
}

// fallBehind cuts the replica off until the log does not go on from where it was.
func (d *simulation) fallBehind(revoke func()) {
	d.say("cut off")
	d.cut.Store(true)
	revoke()
	large := make([]byte, 12<<10)
	for i := range large {
		large[i] = 'x'
	}
	for range 150 {
		d.fillers++
		d.put("fillers", fmt.Sprintf("00000000-0000-4000-9000-%012x", d.fillers), map[string]any{"x": string(large)})
	}
	d.over(&d.cut)
}

// newVault makes a vault object, which takes long to be opened.
func (d *simulation) newVault() {
	d.say("a vault object")
	d.fillers++
	id := fmt.Sprintf("00000000-0000-4000-a000-%012x", d.fillers)
	d.put(state.KindVaults, id, map[string]any{
		"id": id, "name": fmt.Sprint("vault-", d.fillers), "protocol": "https", "host": "vault.test", "port": 8200, "mount": fmt.Sprint("mount-", d.fillers), "vault_token": "t",
	})
}

// watch asks about every pair all the time until ctx ends. A revoked one may be
// allowed for as long as the log says nothing of it, and for the promise after
// that.
func (d *simulation) watch(ctx context.Context, pairs int) {
	bound := 2*time.Second + 500*time.Millisecond + 3*d.looking
	for ctx.Err() == nil {
		for n := range pairs {
			_, access := pairOf(n)
			d.mu.Lock()
			since, is := d.revoked[n]
			if d.back.After(since) {
				since = d.back
			}
			d.mu.Unlock()
			asked := time.Now()
			down := d.down.Load() || d.cut.Load()
			got := d.check(access)
			if late := asked.Sub(since); is && !down && got.Allowed && late > bound {
				d.mu.Lock()
				d.t.Errorf("pair %d is allowed %s after it was revoked; %q", n, late, d.told)
				d.mu.Unlock()
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// backendsOf makes the simulation's engines those of a replica.
type backendsOf struct{ *simulation }

// Engine implements [vaults.Opener].
func (b backendsOf) Engine(v *config.Vault, _ *zap.Logger) (vaultkv.Engine, error) {
	if v.Name != demoVault {
		time.Sleep(b.opening)
	}
	return b.engine, nil
}

// seeds is how many simulations are run: REVOCATION_SEEDS, or a few.
func seeds(t *testing.T) uint64 {
	t.Helper()
	text := cmp.Or(os.Getenv("REVOCATION_SEEDS"), "4")
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < 1 {
		t.Fatalf("REVOCATION_SEEDS=%q is not a number of seeds", text)
	}
	return n
}

func (b backendsOf) state(vaultkv.Engine, string, *zap.Logger) (state.Engine, func(context.Context) error, error) {
	return paced{b.kv, b.simulation}, nil, nil
}

// TestARevocationHoldsWithinItsBoundThroughOutages is the promise: two seconds
// and a bit after it was made, or after the store is back, nobody is allowed by
// what was revoked, whatever is read again meanwhile. And in the end nobody is
// denied who is not revoked.
func TestARevocationHoldsWithinItsBoundThroughOutages(t *testing.T) {
	t.Parallel()
	for seed := range seeds(t) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { play(t, seed) })
		})
	}
}

func play(t *testing.T, seed uint64) {
	t.Helper()
	const pairs = 40
	by := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...time.Duration) time.Duration { return of[by.IntN(len(of))] }
	d := &simulation{
		t: t, by: by, kv: memkv.New(), engine: memkv.New(), revoked: map[int]time.Time{},
		reading: pick(0, 700*time.Millisecond, 3*time.Second, 10*time.Second),
		looking: pick(0, 20*time.Millisecond, 200*time.Millisecond, 400*time.Millisecond),
		opening: pick(0, 2*time.Second, 5*time.Second),
	}
	c := DevConfig()
	var err error
	none := state.Watcher{Drop: func(string) {}, DropAll: func() {}, Changed: func([]state.Change, *state.View) {}}
	if d.other, err = state.New(d.kv, state.DefaultConfig(), none, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	d.newPairs(pairs)

	// As in build, without the servers: they wait for more than time.
	s := &service{registry: prometheus.NewRegistry(), logs: testLogs(t, &c, zap.NewNop()), uses: lastused.New(zap.NewNop())}
	digester := authz.NewDigester()
	if s.vaults, err = vaults.New(vaults.Dependencies{From: backendsOf{d}, Digester: digester, Metrics: s.registry, Log: zap.NewNop(), Uses: s.uses}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.vaults.Replace(c.Vaults); err != nil {
		t.Fatal(err)
	}
	s.authorizer = authz.New(nil, digester, c.Grammar)
	s.runs = append(s.runs, s.vaults.Run)
	if err := s.wireState(&c, backendsOf{d}); err != nil {
		t.Fatal(err)
	}
	s.decider = s.current
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, run := range s.runs {
		running.Go(func() { _ = run(ctx) })
	}
	defer running.Wait()
	defer stop()
	d.check = func(access string) authz.Decision {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		return s.decider.Check(ctx, &authz.Request{HTTP: true, Method: "GET", Path: "/", Host: "x", Scheme: "http", Headers: []authz.Header{
			{Name: "access-token", Value: access}, {Name: "secret-token", Value: "secret"},
		}})
	}
	time.Sleep(5*d.reading + 10*time.Second)
	everyone := func(when string) {
		for n := range pairs {
			_, access := pairOf(n)
			_, is := d.revoked[n]
			if got := d.check(access); got.Allowed == is {
				t.Errorf("%s: pair %d is allowed: %t, revoked: %t (%v); %q", when, n, got.Allowed, is, got.Err, d.told)
			}
		}
	}
	everyone("at first")
	watching, enough := context.WithCancel(ctx)
	running.Go(func() { d.watch(watching, pairs) })
	next := 0
	revoke := func() {
		if next < pairs-5 {
			d.revoke(next)
			next++
		}
	}
	for range 40 {
		time.Sleep(time.Duration(by.Int64N(int64(2 * time.Second))))
		switch by.IntN(10) {
		case 6:
			d.outage(time.Duration(by.Int64N(int64(15 * time.Second))))
		case 7:
			d.fallBehind(revoke)
		case 8:
			d.newVault()
		case 9:
		default:
			revoke()
		}
	}
	time.Sleep(6*d.reading + 30*time.Second)
	enough()
	everyone("in the end")
}
