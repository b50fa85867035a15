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

// Binaries are the programs that are tried.
type binaries struct{ vault, bao, service, envoy string }

// A plan says how long things take, and by how much there is more traffic than
// the rates below.
type plan struct {
	steady, fault, recovery time.Duration
	load                    float64
}

// How many requests of each class there are in a second. Hot and expiring pairs
// are each used once a second, revoked ones every revokedRound.
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
	// mendLimit is how long mending may take: nothing can be written then, so
	// there must be enough uncached pairs.
	mendLimit       = 20 * time.Second
	goroutinesSlack = 10
)

// pairs returns how many pairs a flow of a rate uses in some time, at least one.
func (p plan) pairs(rate float64, d time.Duration) int {
	return max(1, int(rate*p.load*d.Seconds()))
}

// warmUp spreads the first use of the hot pairs over a life, so that they do
// not all come due at once, and lets those that are revoked die.
const warmUp = ttl + settle

// Marks are the moments of a trial.
type timestamps struct {
	// steady is when the figures begin, broken when the fault began, mending
	// when its end began, mended when Vault answered again, and over when the
	// trial ended.
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
	// short is set when there are not enough pairs to go on.
	short  atomic.Bool
	before footprint
	after  footprint

	heart    heartbeat
	heartErr error
}

// A census is what the service holds while nobody asks it.
type footprint struct{ goroutines, connections int }

// try runs one fault and says what came out.
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
	// Their second is so late in the fault that they are sure to be cached.
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

// start begins all traffic.
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
			// One more of them at a time during the warm-up.
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

// phases goes through the trial.
func (t *trial) phases(ctx context.Context) error {
	bed := t.testbed
	// Every one of them has been used once by then.
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
		return fmt.Errorf("breaking it: %w", err)
	}
	if !t.fault.brief {
		sleepUntil(ctx, t.timestamps.broken.Add(t.plan.fault))
	}
	t.timestamps.mending = time.Now()
	if err := t.fault.mend(ctx, bed); err != nil {
		return fmt.Errorf("mending it: %w", err)
	}
	if err := bed.awaitVault(ctx); err != nil {
		return fmt.Errorf("mended, and yet no answer from Vault: %w", err)
	}
	t.timestamps.mended = time.Now()
	sleepUntil(ctx, time.Now().Add(t.plan.recovery))
	t.timestamps.over = time.Now()
	return ctx.Err()
}

// revokedAreGone waits until each that was revoked has been denied: on a slow
// machine an old record may stand in for a read that takes long. After that
// nothing excuses an allow.
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

// takeStock waits until the service has as few goroutines as before, but not
// long.
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

// leaked does not count the two goroutines of each connection that is kept to
// Vault: more of them are kept after a time when many were needed.
func leaked(before, after footprint) bool {
	own := func(c footprint) int { return c.goroutines - 2*c.connections }
	return own(after) > own(before)+goroutinesSlack
}

// stateLines returns what the service has said of Vault.
func stateLines(log string) []string {
	var lines []string
	for line := range strings.SplitSeq(log, "\n") {
		if strings.Contains(line, "vault state changed") {
			lines = append(lines, line)
		}
	}
	return lines
}

// states returns the states in the order in which they were told.
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

// keepLog writes a log into a folder, none if that is empty.
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
