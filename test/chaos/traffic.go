package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// envoyTimeout is how long Envoy waits for an answer.
const envoyTimeout = time.Second

// A pair is the credential of a client.
type pair struct {
	access, secret string
	// consumer is the id of its consumer.
	consumer string
	// expires is when it must no longer be allowed, zero for never.
	expires time.Time
}

// record returns its record in Vault.
func (p pair) record() map[string]any {
	return parts.Record(p.access, p.secret, p.consumer)
}

// token returns a new token.
func token(prefix string) string { return prefix + "-" + rand.Text() }

// A class is a kind of request.
type class string

const (
	// cached: good credentials in constant use, so that they are cached and refreshed.
	cached class = "cached"
	// uncached: good credentials, each used once.
	uncached class = "uncached"
	// cachedWrongSecret: cached credentials with a wrong secret.
	cachedWrongSecret class = "cached, wrong secret"
	// uncachedWrongSecret: uncached credentials with a wrong secret, each used once.
	uncachedWrongSecret class = "uncached, wrong secret"
	// unknown: access tokens that do not exist.
	unknown class = "unknown token"
	// revoked: cached once, then deleted in Vault, longer ago than the ttl.
	revoked class = "revoked"
	// expiring: cached, with an expires_at that passes during the fault.
	expiring class = "expiring"
)

// An outcome is the result of a request.
type outcome string

const (
	allowed outcome = "allowed"
	// wrongConsumer is allowed, but as another consumer.
	wrongConsumer outcome = "allowed as another consumer"
	denied        outcome = "denied"
	unavailable   outcome = "unavailable"
	// unanswered is no answer within envoyTimeout, or a failed call: Envoy's
	// failure_mode_allow decides.
	unanswered outcome = "no answer"
)

// A request is a request that was sent.
type request struct {
	class   class
	pair    pair
	due     time.Time
	took    time.Duration
	outcome outcome
}

// A checker sends a request and returns the outcome. It waits until ctx ends.
type checker interface {
	check(ctx context.Context, p pair) outcome
	close() error
}

// traffic sends requests at fixed rates, each when it is due. It is safe for concurrent use.
type traffic struct {
	checkers []checker
	inFlight sync.WaitGroup

	mu       sync.Mutex
	requests []request
}

// newTraffic connects to a testbed. It must be closed.
func newTraffic(ctx context.Context, bed *testbed) (*traffic, error) {
	checkers, err := bed.checkers()
	if err != nil {
		return nil, err
	}
	// No measured request is the first on its connection.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, a := range checkers {
		a.check(ctx, pair{})
	}
	return &traffic{checkers: checkers}, nil
}

// awaitAllowed waits until each of some pairs has been allowed, so that the
// service has it in its cache.
func awaitAllowed(ctx context.Context, s *parts.Service, c checker, pairs []pair) error {
	ctx, cancel := context.WithTimeout(ctx, parts.StartLimit)
	defer cancel()
	for _, p := range pairs {
		if err := awaitOutcome(ctx, s, c, p, allowed); err != nil {
			return err
		}
	}
	return nil
}

// awaitOutcome waits until the outcome of a request with a pair is the wanted one.
func awaitOutcome(ctx context.Context, s *parts.Service, c checker, p pair, want outcome) error {
	return parts.Await(ctx, s.Process, func(ctx context.Context) error {
		if got := c.check(ctx, p); got != want {
			return fmt.Errorf("a credential is %s, want %s", got, want)
		}
		return nil
	})
}

func (t *traffic) close() error {
	var errs []error
	for _, a := range t.checkers {
		errs = append(errs, a.close())
	}
	return errors.Join(errs...)
}

// flow sends requests of one class at a rate until ctx ends or next, which is called for
// each request in turn, has no more. Requests in flight are not canceled.
func (t *traffic) flow(ctx context.Context, c class, perSecond float64, next func(i int) (pair, bool)) {
	began := time.Now()
	for i := 0; ; i++ {
		due := began.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		if !sleepUntil(ctx, due) {
			return
		}
		p, ok := next(i)
		if !ok {
			return
		}
		by := t.checkers[i%len(t.checkers)]
		t.inFlight.Go(func() { t.send(context.WithoutCancel(ctx), by, request{class: c, pair: p, due: due}) })
	}
}

// sleepUntil sleeps until a moment. It returns false if ctx ends before.
func sleepUntil(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (t *traffic) send(ctx context.Context, by checker, s request) {
	ctx, cancel := context.WithTimeout(ctx, envoyTimeout)
	defer cancel()
	s.outcome = by.check(ctx, s.pair)
	s.took = time.Since(s.due)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests = append(t.requests, s)
}

// made waits for the requests in flight and returns all requests.
func (t *traffic) made() []request {
	t.inFlight.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.requests
}
