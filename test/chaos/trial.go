package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// binaries are the programs of a test.
type binaries struct{ vault, bao, service, envoy string }

// A plan has the durations of a trial, and the factor for the rates below.
type plan struct {
	steady, fault, recovery time.Duration
	load                    float64
}

// The requests of each class per second. Each cached or expiring pair is used once a
// second, each revoked one every revokedRound.
const (
	cachedRate              = 200
	uncachedRate            = 15
	cachedWrongSecretRate   = 6
	uncachedWrongSecretRate = 6
	unknownRate             = 8
	revokedRate             = 4
	expiringRate            = 4
	revokedRound            = 3 * time.Second

	settle = time.Second
	// mendLimit is how long ending a fault may take. Nothing can be written during that
	// time, so there must be enough uncached pairs.
	mendLimit       = 20 * time.Second
	goroutinesSlack = 10
)

// pairs returns how many pairs a flow uses in a time, at least one.
func (p plan) pairs(rate float64, d time.Duration) int {
	return max(1, int(rate*p.load*d.Seconds()))
}

// warmUp spreads the first use of the cached pairs over a ttl, so that they do not expire
// all at once, and is long enough for revoked pairs to expire.
const warmUp = ttl + settle

// timestamps are the moments of a trial.
type timestamps struct {
	// steady is when the measurement began, broken when the fault began, mending when
	// it was being ended, mended when Vault answered again, and over when the trial
	// ended.
	steady, broken, mending, mended, over time.Time
}

// A trial is one fault under traffic.
type trial struct {
	fault      fault
	plan       plan
	testbed    *testbed
	traffic    *traffic
	timestamps timestamps

	cached, uncached, uncachedWrongSecret, revoked, expiring []pair
	// short is set if there were not enough pairs.
	short  atomic.Bool
	before footprint
	after  footprint

	heart    heartbeat
	heartErr error
}

// A footprint is what an idle service uses.
type footprint struct{ goroutines, connections int }

// try runs one fault and returns the result.
func try(ctx context.Context, dir string, b binaries, p plan, f fault, logs string) (row, error) {
	bed, err := startTestbed(ctx, dir, b, f)
	if err != nil {
		return row{}, err
	}
	defer bed.close()
	t := &trial{fault: f, plan: p, testbed: bed}
	if err := errors.Join(t.run(ctx), keepLog(logs, f.name, bed.service.Log())); err != nil {
		return row{}, fmt.Errorf("%w\n%s", err, strings.Join(stateLines(bed.service.Log()), "\n"))
	}
	r := t.row()
	r.states = states(bed.service.Log())
	return r, nil
}

func (t *trial) run(ctx context.Context) error {
	if err := t.prepare(ctx); err != nil {
		return err
	}
	var err error
	if t.traffic, err = newTraffic(ctx, t.testbed); err != nil {
		return err
	}
	defer func() { _ = t.traffic.close() }()
	if t.before, err = t.footprint(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	flows := t.start(ctx)
	err = t.phases(ctx)
	stop()
	flows.Wait()
	t.traffic.made()
	if t.short.Load() {
		err = errors.Join(err, errors.New("ran out of uncached credentials: the fault took too long to mend"))
	}
	if err = errors.Join(err, t.heartErr); err != nil {
		return err
	}
	return t.takeStock(context.WithoutCancel(ctx))
}

// prepare writes the credentials.
func (t *trial) prepare(ctx context.Context) error {
	whole := warmUp + revokedRound + t.plan.steady + t.plan.fault + mendLimit + t.plan.recovery
	// Late enough in the fault for them to be cached.
	expires := time.Now().Add(warmUp + revokedRound + t.plan.steady + t.plan.fault/2).Truncate(time.Second).Add(time.Second)
	for _, wanted := range []struct {
		pairs *[]pair
		n     int
		more  map[string]any
	}{
		{&t.cached, t.plan.pairs(cachedRate, time.Second), nil},
		{&t.uncached, t.plan.pairs(uncachedRate, whole), nil},
		{&t.uncachedWrongSecret, t.plan.pairs(uncachedWrongSecretRate, whole), nil},
		{&t.revoked, t.plan.pairs(revokedRate, revokedRound), nil},
		{&t.expiring, t.plan.pairs(expiringRate, time.Second), map[string]any{"expires_at": expires.Format(time.RFC3339)}},
	} {
		var err error
		if *wanted.pairs, err = t.testbed.writeMany(ctx, wanted.n, wanted.more); err != nil {
			return fmt.Errorf("writing credentials: %w", err)
		}
	}
	for i := range t.expiring {
		t.expiring[i].expires = expires
	}
	return nil
}

// start starts all traffic.
func (t *trial) start(ctx context.Context) *sync.WaitGroup {
	var flows sync.WaitGroup
	began := time.Now()
	each := func(pairs []pair) func(int) (pair, bool) {
		return func(i int) (pair, bool) { return pairs[i%len(pairs)], true }
	}
	once := func(pairs []pair) func(int) (pair, bool) {
		return func(i int) (pair, bool) {
			if i >= len(pairs) {
				t.short.Store(true)
				return pair{}, false
			}
			return pairs[i], true
		}
	}
	wrong := func(next func(int) (pair, bool)) func(int) (pair, bool) {
		return func(i int) (pair, bool) {
			p, ok := next(i)
			p.secret = token("wrong")
			return p, ok
		}
	}
	for _, f := range []struct {
		class class
		rate  float64
		next  func(int) (pair, bool)
	}{
		{cached, cachedRate, func(i int) (pair, bool) {
			// During the warm-up pairs are added one by one.
			n := min(len(t.cached), 1+int(float64(len(t.cached))*float64(time.Since(began))/float64(ttl)))
			return t.cached[i%n], true
		}},
		{uncached, uncachedRate, once(t.uncached)},
		{cachedWrongSecret, cachedWrongSecretRate, wrong(each(t.cached))},
		{uncachedWrongSecret, uncachedWrongSecretRate, wrong(once(t.uncachedWrongSecret))},
		{unknown, unknownRate, func(int) (pair, bool) { return pair{access: token("unknown"), secret: token("secret")}, true }},
		{revoked, revokedRate, each(t.revoked)},
		{expiring, expiringRate, each(t.expiring)},
	} {
		flows.Go(func() { t.traffic.flow(ctx, f.class, f.rate*t.plan.load, f.next) })
	}
	flows.Go(func() { t.heartErr = t.heart.run(ctx) })
	return &flows
}

// phases runs the phases of a trial.
func (t *trial) phases(ctx context.Context) error {
	bed := t.testbed
	// By then each revoked pair has been used once.
	sleepUntil(ctx, time.Now().Add(revokedRound+settle))
	for _, p := range t.revoked {
		if err := bed.vault.Delete(ctx, mount, parts.KVv1, p.access); err != nil {
			return err
		}
	}
	sleepUntil(ctx, time.Now().Add(ttl))
	if err := t.revokedAreGone(ctx); err != nil {
		return err
	}
	t.timestamps.steady = time.Now()
	sleepUntil(ctx, time.Now().Add(t.plan.steady))
	t.timestamps.broken = time.Now()
	if err := t.fault.breakIt(ctx, bed); err != nil {
		return fmt.Errorf("causing the fault: %w", err)
	}
	if !t.fault.brief {
		sleepUntil(ctx, t.timestamps.broken.Add(t.plan.fault))
	}
	t.timestamps.mending = time.Now()
	if err := t.fault.mend(ctx, bed); err != nil {
		return fmt.Errorf("ending the fault: %w", err)
	}
	if err := bed.awaitVault(ctx); err != nil {
		return fmt.Errorf("no answer from Vault after the end of the fault: %w", err)
	}
	t.timestamps.mended = time.Now()
	sleepUntil(ctx, time.Now().Add(t.plan.recovery))
	t.timestamps.over = time.Now()
	return ctx.Err()
}

// revokedAreGone waits until each revoked pair has been denied: on a slow machine a stale
// entry may be served while a read takes long. After that every allow is wrong.
func (t *trial) revokedAreGone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxStale)
	defer cancel()
	for _, p := range t.revoked {
		if err := awaitOutcome(ctx, t.testbed.service, t.traffic.checkers[0], p, denied); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) footprint(ctx context.Context) (footprint, error) {
	n, err := t.testbed.goroutines(ctx)
	return footprint{n, t.testbed.front.openConnections()}, err
}

// takeStock waits up to 5 seconds until the service has as few goroutines as before.
func (t *trial) takeStock(ctx context.Context) error {
	for range 10 {
		var err error
		if t.after, err = t.footprint(ctx); err != nil || !leaked(t.before, t.after) {
			return err
		}
		time.Sleep(500 * time.Millisecond)
	}
	return nil
}

// leaked ignores the two goroutines of each idle connection to Vault, of which more are kept
// after a peak.
func leaked(before, after footprint) bool {
	own := func(c footprint) int { return c.goroutines - 2*c.connections }
	return own(after) > own(before)+goroutinesSlack
}

// stateLines returns the log lines about the state of Vault.
func stateLines(log string) []string {
	var lines []string
	for line := range strings.SplitSeq(log, "\n") {
		if strings.Contains(line, "vault state changed") {
			lines = append(lines, line)
		}
	}
	return lines
}

// states returns the states in the order of the log.
func states(log string) []string {
	var found []string
	for _, line := range stateLines(log) {
		var l struct {
			State string `json:"state"`
		}
		if json.Unmarshal([]byte(line), &l) == nil {
			found = append(found, l.State)
		}
	}
	return found
}

// keepLog writes a log into a folder, unless dir is empty.
func keepLog(dir, name, log string) error {
	if dir == "" {
		return nil
	}
	file := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" (),/", r) {
			return '-'
		}
		return r
	}, name)
	return os.WriteFile(filepath.Join(dir, file+".log"), []byte(log), 0o600)
}
