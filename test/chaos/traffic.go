package main

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// patience is what Envoy waits for an answer.
const patience = time.Second

// A pair is a credential, as a client has it.
type pair struct {
	access, secret string
	// consumer is whose it is.
	consumer string
	// expires is when it must not be taken any more, zero for never.
	expires time.Time
}

// record is what Vault has of it.
func (p pair) record() map[string]any {
	return parts.Record(p.access, p.secret, p.consumer)
}

// token returns a token that there was never before.
func token(prefix string) string { return prefix + "-" + rand.Text() }

// A class is a kind of request.
type class string

const (
	// hot: good credentials that are in use all the time, so they are cached
	// and refreshed.
	hot class = "cached"
	// fresh: good credentials, each asked about once.
	fresh class = "uncached"
	// stolen: hot ones with a wrong secret.
	stolen class = "cached, wrong secret"
	// guessed: uncached ones with a wrong secret, each asked about once.
	guessed class = "uncached, wrong secret"
	// unknown: tokens that there are none of.
	unknown class = "unknown token"
	// revoked: hot once, then deleted in Vault, longer ago than they live.
	revoked class = "revoked"
	// expiring: hot, with an expires_at that passes while Vault is away.
	expiring class = "expiring"
)

// An outcome is what became of a request.
type outcome string

const (
	allowed outcome = "allowed"
	// mistaken is allowed, as another consumer.
	mistaken    outcome = "allowed as another consumer"
	denied      outcome = "denied"
	unavailable outcome = "unavailable"
	// silent is no answer within patience, or a failed call: Envoy's
	// failure_mode_allow decides.
	silent outcome = "no answer"
)

// A shot is a request that was made.
type shot struct {
	class   class
	pair    pair
	due     time.Time
	took    time.Duration
	outcome outcome
}

// An asker makes one request, and says what became of it. ctx ends when nobody
// waits for the answer any more.
type asker interface {
	ask(ctx context.Context, p pair) outcome
	close() error
}

// Traffic is requests at fixed rates, each leaving when it is due. It is safe
// for concurrent use.
type traffic struct {
	askers []asker
	flying sync.WaitGroup

	mu    sync.Mutex
	shots []shot
}

// newTraffic connects to what answers in a testbed. It must be closed.
func newTraffic(ctx context.Context, bed *testbed) (*traffic, error) {
	askers, err := bed.askers()
	if err != nil {
		return nil, err
	}
	// So that no request is the first on its connection.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, a := range askers {
		a.ask(ctx, pair{})
	}
	return &traffic{askers: askers}, nil
}

func (t *traffic) close() error {
	var errs []error
	for _, a := range t.askers {
		errs = append(errs, a.close())
	}
	return errors.Join(errs...)
}

// flow makes requests of one class at a rate until ctx ends or next, which is
// called for each in turn, has no more. Requests under way are not given up.
func (t *traffic) flow(ctx context.Context, c class, perSecond float64, next func(i int) (pair, bool)) {
	began := time.Now()
	for i := 0; ; i++ {
		due := began.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		if !until(ctx, due) {
			return
		}
		p, ok := next(i)
		if !ok {
			return
		}
		by := t.askers[i%len(t.askers)]
		t.flying.Go(func() { t.fire(context.WithoutCancel(ctx), by, shot{class: c, pair: p, due: due}) })
	}
}

// until sleeps until a moment, and says whether ctx has not ended before.
func until(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (t *traffic) fire(ctx context.Context, by asker, s shot) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.outcome = by.ask(ctx, s.pair)
	s.took = time.Since(s.due)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shots = append(t.shots, s)
}

// made waits for the requests under way and returns all that were made.
func (t *traffic) made() []shot {
	t.flying.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shots
}
