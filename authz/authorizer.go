package authz

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// An Authorizer decides. It is safe for concurrent use.
type Authorizer struct {
	snapshot atomic.Pointer[Snapshot]
	digester *Digester
	grammar  Grammar
	strip    *stripper
}

// New returns an Authorizer that decides by snapshot; with nil every request is
// denied as unavailable until [Authorizer.Replace]. digester is the one that the
// sources made their credentials with.
func New(snapshot *Snapshot, digester *Digester, grammar Grammar) *Authorizer {
	a := &Authorizer{digester: digester, grammar: grammar, strip: newStripper()}
	a.snapshot.Store(snapshot)
	return a
}

// Replace makes later decisions go by another snapshot. Decisions under way
// finish by the one they began with.
func (a *Authorizer) Replace(snapshot *Snapshot) { a.snapshot.Store(snapshot) }

// Check decides about one request: which policy governs it, which consumer
// makes it, and whether that consumer may. It always returns a decision; every failure denies.
func (a *Authorizer) Check(ctx context.Context, r *Request) Decision {
	s := a.snapshot.Load()
	if r.trial != nil {
		r.trial.snapshot = s
	}
	if s == nil {
		return Decision{Reason: ReasonUnavailable, Err: errNoSnapshot, RetryAfter: retryAfter}
	}
	chosen := s.choose(r)
	p := chosen.policy
	if p == nil {
		return chosen.denial(s, r)
	}
	if !p.RunOnPreflight && p.isPreflight(r) {
		return a.preflight(s, p, r)
	}
	d := Decision{Matching: s.explain(r)}
	x := p.extract(r, a.grammar)
	who := a.authenticate(ctx, s, p, r, &x, &d)
	if d.Reason.badCredential() && p.Anonymous != "" {
		who = s.anonymousFallback(p, &d)
	}
	if d.Allowed {
		d.Reason, d.Allowed = p.admit(&d, who)
	}
	if ctx.Err() != nil {
		// The caller has gone, so the result does not count.
		d = Decision{
			Reason: ReasonCanceled, Matching: d.Matching, AccessToken: d.AccessToken, Places: d.Places, Lookup: d.Lookup, Reread: d.Reread,
			Err: context.Cause(ctx), RetryAfter: retryAfter,
		}
	}
	d.Policy = &p.Policy
	if p.Shadow {
		// A policy that only observes asserts no identity.
		d.Allowed, d.Shadow, who = true, true, nil
	}
	if d.Allowed {
		a.upstream(&d.Upstream, p, &d, who, &x)
	}
	return d
}

// errNoSnapshot means that no snapshot has been loaded yet.
var errNoSnapshot = errors.New("policies and consumers are not loaded yet")

// retryAfter is the Retry-After of an unavailable answer.
const retryAfter = time.Second

func (a *Authorizer) preflight(s *Snapshot, p *policy, r *Request) Decision {
	d := Decision{Allowed: true, Reason: ReasonPreflight, Policy: &p.Policy, Shadow: p.Shadow, Matching: s.explain(r)}
	x := extraction{}
	_, x.nonCanonical = p.searchHeaders(r)
	_, x.parameters = p.names.searchQuery(r.Path)
	a.upstream(&d.Upstream, p, &d, nil, &x)
	return d
}

// authenticate finds the consumer that makes the request. It allows d, or gives it the
// reason to deny.
func (a *Authorizer) authenticate(ctx context.Context, s *Snapshot, p *policy, r *Request, x *extraction, d *Decision) *consumer {
	d.Places = x.places
	if x.reason != ReasonUnset {
		d.Reason = x.reason
		return nil
	}
	d.AccessToken = x.access
	now := r.Received
	if now.IsZero() {
		now = time.Now()
	}
	presented := a.digester.Digest(p.Vault, x.access, x.secret)
	credential, how, err := p.source.Report(ctx, x.access)
	d.Lookup = how
	who := a.identify(s, r.trial, d, &presented, &credential, now, err)
	if err != nil || !d.Reason.badCredential() || p.rechecker == nil {
		return who
	}
	// The answer may come from memory. It must not differ from that for an access token
	// that is not in memory.
	again, fresh, err := p.rechecker.Recheck(ctx, x.access, now)
	if fresh || err != nil {
		d.Reread = true
		who = a.identify(s, r.trial, d, &presented, &again, now, err)
	}
	return who
}

// identify finds the consumer of what a source has returned. It allows d, or gives it the
// reason to deny.
func (a *Authorizer) identify(s *Snapshot, t *trial, d *Decision, presented *Secret, credential *Credential, now time.Time, err error) *consumer {
	if err == nil && credential.AccessToken != d.AccessToken {
		// A store that folds case or resolves paths found another record.
		err = fmt.Errorf("%w: it belongs to another access token", ErrMalformed)
	}
	if t != nil {
		t.found(credential, err)
	}
	var replaced bool
	if d.Reason, replaced, d.Err = a.prove(presented, credential, now, err); d.Reason != ReasonUnset {
		if d.Reason == ReasonUnavailable {
			d.RetryAfter = retryAfter
		}
		return nil
	}
	who, err := s.consumers.consumer(credential.ConsumerID)
	if err != nil {
		d.Reason, d.Err = ReasonUnknownConsumer, unknownConsumer(credential.ConsumerID, err)
		return nil
	}
	if credential.Usage != nil && t == nil {
		credential.Usage.Used(now, replaced)
	}
	d.Allowed, d.Reason = true, ReasonAuthenticated
	d.Consumer, d.ConsumerMemo = &who.Consumer, &who.memoSelf
	return who
}

func unknownConsumer(id string, err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("the credential belongs to consumer %q, which is not known here", id)
	}
	return fmt.Errorf("the credential belongs to consumer %q, which is not used: %w", id, err)
}

// prove compares the presented secret with those of the credential, and returns
// ReasonUnset if one matches and the credential may be used. replaced says that only the replaced
// one matches. It does the same work without a credential, so that its duration does not reveal
// which access tokens exist.
func (a *Authorizer) prove(presented *Secret, c *Credential, now time.Time, err error) (reason Reason, replaced bool, _ error) {
	if err != nil {
		c = &Credential{}
	}
	current, previous := &c.Secret, &c.Previous
	if current.IsZero() {
		current = &a.digester.dummy
	}
	if previous.IsZero() || !c.acceptsPrevious(now) {
		previous = &a.digester.dummy
	}
	isCurrent, isPrevious := presented.Equal(*current), presented.Equal(*previous)
	switch {
	case err == nil:
	case errors.Is(err, ErrNotFound):
		return ReasonUnknownToken, false, nil
	case errors.Is(err, ErrMalformed):
		return ReasonMalformedRecord, false, err
	default:
		return ReasonUnavailable, false, err
	}
	if c.Secret.IsZero() || !isCurrent && !isPrevious {
		return ReasonWrongSecret, false, nil
	}
	return c.unusable(now), !isCurrent, nil
}

// anonymousFallback allows d as the policy's anonymous consumer.
func (s *Snapshot) anonymousFallback(p *policy, d *Decision) *consumer {
	who := s.consumers.named(p.Anonymous)
	if who == nil {
		*d = Decision{
			Reason: ReasonAnonymousMissing, Matching: d.Matching, Places: d.Places, Lookup: d.Lookup, Reread: d.Reread,
			Err: fmt.Errorf("anonymous consumer %q is configured but does not exist", p.Anonymous),
		}
		return nil
	}
	*d = Decision{
		Allowed: true, Reason: ReasonAnonymous, Anonymous: true, Matching: d.Matching, Places: d.Places, Lookup: d.Lookup, Reread: d.Reread,
		Consumer: &who.Consumer, ConsumerMemo: &who.memoSelf, InsteadOf: d.Reason, Err: d.Err,
	}
	return who
}

// admit applies the acl to an authenticated or anonymous consumer.
func (p *policy) admit(d *Decision, who *consumer) (Reason, bool) {
	if who == nil {
		return ReasonInternal, false
	}
	if reason, ok := p.admits(&who.Consumer, d.Anonymous); !ok {
		return reason, false
	}
	return d.Reason, true
}
