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

// New returns an Authorizer that uses snapshot; with nil every request is
// denied as unavailable until [Authorizer.Replace]. digester is the one that the
// sources made their credentials with.
func New(snapshot *Snapshot, digester *Digester, grammar Grammar) *Authorizer {
	a := &Authorizer{digester: digester, grammar: grammar, strip: newStripper()}
	a.snapshot.Store(snapshot)
	return a
}

// Replace makes later decisions use another snapshot. Decisions under way
// finish with the one that they began with.
func (a *Authorizer) Replace(snapshot *Snapshot) { a.snapshot.Store(snapshot) }

// Check decides about one request: which policy governs it, which consumer
// makes it, and whether that consumer may. It always returns a decision; every failure denies.
func (a *Authorizer) Check(ctx context.Context, r *Request) Decision {
	s := a.snapshot.Load()
	if r.trial != nil {
		r.trial.snapshot = s
	}
	if s == nil {
		return Decision{Reason: ReasonUnavailable, Err: errNoSnapshot}
	}
	chosen := s.choose(r)
	p := chosen.policy
	if p == nil {
		return chosen.denial(s, r)
	}
	if !p.RunOnPreflight && p.isPreflight(r) {
		return a.preflight(s, p, r)
	}
	x := p.extract(r, a.grammar)
	by := a.authenticate(ctx, s, p, r, &x)
	if by.reason.badCredential() && p.Anonymous != "" {
		// The access token is not the anonymous consumer's.
		by, x.access = s.anonymous(p, by), ""
	}
	d := Decision{
		Reason: by.reason, Policy: &p.Policy, Matching: s.explain(r), Anonymous: by.anonymous(), InsteadOf: by.insteadOf,
		AccessToken: x.access, Places: x.places, Lookup: by.lookup, Reread: by.reread, Err: by.err,
	}
	if by.consumer != nil {
		d.Consumer, d.ConsumerMemo = &by.consumer.Consumer, &by.consumer.memoSelf
		refusal, ok := p.admits(d.Consumer, d.Anonymous)
		if d.Allowed = ok; !ok {
			d.Reason = refusal
		}
	}
	if ctx.Err() != nil {
		// The caller has gone, so the result does not count.
		d = d.Deny(ReasonCanceled, context.Cause(ctx))
	}
	if p.Shadow {
		// A policy that only observes asserts no identity.
		d.Allowed, d.Shadow, by.consumer = true, true, nil
	}
	if d.Allowed {
		a.upstream(&d.Upstream, p, &by, &x)
	}
	return d
}

// errNoSnapshot means that no snapshot has been loaded yet.
var errNoSnapshot = errors.New("policies and consumers are not loaded yet")

func (a *Authorizer) preflight(s *Snapshot, p *policy, r *Request) Decision {
	x := extraction{}
	_, x.nonCanonical = p.searchHeaders(r)
	_, x.parameters = p.names.searchQuery(r.Path)
	d := Decision{Allowed: true, Reason: ReasonPreflight, Policy: &p.Policy, Shadow: p.Shadow, Matching: s.explain(r)}
	a.upstream(&d.Upstream, p, &authentication{}, &x)
	return d
}

// An authentication is the consumer that makes a request, or, without one, the reason to deny it.
type authentication struct {
	consumer *consumer
	reason   Reason
	// insteadOf is the reason that the anonymous consumer stands in, else ReasonUnset.
	insteadOf Reason
	err       error
	// lookup and reread are those of [Decision].
	lookup string
	reread bool
}

func (n *authentication) anonymous() bool { return n.insteadOf != ReasonUnset }

// authenticate finds the consumer that makes the request.
func (a *Authorizer) authenticate(ctx context.Context, s *Snapshot, p *policy, r *Request, x *extraction) authentication {
	if x.reason != ReasonUnset {
		return authentication{reason: x.reason}
	}
	presented, began := a.digester.Digest(p.Vault, x.access, x.secret), r.received()
	credential, how, err := p.source.Report(ctx, x.access)
	by := a.identify(s, r, x, &presented, &credential, err)
	if err == nil && by.reason.badCredential() && p.rechecker != nil {
		// The answer may come from memory. It must not differ from that for an access token
		// that is not in memory.
		again, fresh, err := p.rechecker.Recheck(ctx, x.access, began)
		if fresh || err != nil {
			by = a.identify(s, r, x, &presented, &again, err)
			by.reread = true
		}
	}
	by.lookup = how
	return by
}

// identify finds the consumer of what a source has returned for the access token.
func (a *Authorizer) identify(s *Snapshot, r *Request, x *extraction, presented *Secret, credential *Credential, err error) authentication {
	if err == nil && credential.AccessToken != x.access {
		// A store that folds case or resolves paths found another record.
		err = fmt.Errorf("%w: it belongs to another access token", ErrMalformed)
	}
	if r.trial != nil {
		r.trial.found(credential, err)
	}
	now := r.received()
	reason, replaced, err := a.prove(presented, credential, now, err)
	if reason != ReasonUnset {
		return authentication{reason: reason, err: err}
	}
	who, err := s.consumers.consumer(credential.ConsumerID)
	if err != nil {
		return authentication{reason: ReasonUnknownConsumer, err: unknownConsumer(credential.ConsumerID, err)}
	}
	if credential.Usage != nil && r.trial == nil {
		credential.Usage.Used(now, replaced)
	}
	return authentication{consumer: who, reason: ReasonAuthenticated}
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
	switch reason = reasonOf(err); {
	case reason == ReasonUnknownToken:
		return reason, false, nil // it is no error of the store
	case reason != ReasonUnset:
		return reason, false, err
	case c.Secret.IsZero() || !isCurrent && !isPrevious:
		return ReasonWrongSecret, false, nil
	}
	return c.unusable(now), !isCurrent, nil
}

// anonymous puts the policy's anonymous consumer in place of a bad credential.
func (s *Snapshot) anonymous(p *policy, bad authentication) authentication {
	by := authentication{lookup: bad.lookup, reread: bad.reread}
	if by.consumer = s.consumers.named(p.Anonymous); by.consumer == nil {
		by.reason, by.err = ReasonAnonymousMissing, fmt.Errorf("anonymous consumer %q is configured but does not exist", p.Anonymous)
		return by
	}
	by.reason, by.insteadOf, by.err = ReasonAnonymous, bad.reason, bad.err
	return by
}
