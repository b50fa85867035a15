package authz

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Explanation tells how a request is decided, for operators. It has neither tokens nor
// secrets.
type Explanation struct {
	Allowed bool `json:"allowed"`
	// Denial has what is told of a denial, and of an allow likewise.
	Denial
	// InsteadOf is the reason that would have denied without the anonymous consumer.
	InsteadOf string `json:"instead_of,omitempty"`
	// Policies are those that select the request, in the order in which they would govern it,
	// and then the others, unless there are very many.
	Policies []Weighed `json:"policies"`
	// Record is the record of the access token, nil if none was found.
	Record *RecordState `json:"record"`
	// Consumer makes the request, nil if it is not known.
	Consumer *Identity `json:"consumer"`
	// Headers are the changes that are made to a request that is allowed.
	Headers HeaderNames `json:"headers"`
	// Steps are those of the decision, in order. The first one that is not ok ends it.
	Steps []Step `json:"steps"`
}

// A Weighed is a policy and why it governs a request or not.
type Weighed struct {
	Name  string `json:"name"`
	Order int    `json:"order"`
	// Matches says that the hosts and paths of the policy select the request, Governs that
	// it decides.
	Matches bool   `json:"matches"`
	Governs bool   `json:"governs"`
	Why     string `json:"why"`
}

// A RecordState is a record without its tokens and secrets. Times are Unix seconds, nil for no
// limit.
type RecordState struct {
	// State is "good", "rotating" if the previous secret is good too, or the reason why a
	// request with the secret is denied.
	State             string `json:"state"`
	NotBefore         *int64 `json:"not_before"`
	ExpiresAt         *int64 `json:"expires_at"`
	PreviousExpiresAt *int64 `json:"previous_expires_at"`
}

// An Identity is a consumer.
type Identity struct {
	ID       string   `json:"id"`
	Username string   `json:"username"`
	CustomID string   `json:"custom_id"`
	Groups   []string `json:"groups"`
}

// HeaderNames are the names of headers that are set, and of those headers and query parameters
// of the request that are removed.
type HeaderNames struct {
	Set         []string `json:"set"`
	Remove      []string `json:"remove"`
	RemoveQuery []string `json:"remove_query"`
}

// A Step is one of the questions of a decision with its answer.
type Step struct {
	Name   string `json:"step"`
	OK     bool   `json:"ok"`
	Result string `json:"result"`
}

// A trial keeps what the decision about a request is based on that no client makes. Such a
// request does not count as a use of its credential.
type trial struct {
	snapshot *Snapshot
	// record is what was read, and outcome the [ReadOutcome], "" if nothing was.
	record  Credential
	outcome string
}

func (t *trial) found(c *Credential, err error) { t.record, t.outcome = *c, ReadOutcome(err) }

// Explain explains what decide decides about a request. decide ends in [Authorizer.Check]. The
// request counts as no use of its credential.
func (a *Authorizer) Explain(ctx context.Context, r *Request, decide func(context.Context, *Request) Decision) Explanation {
	t, tried := &trial{}, *r
	tried.trial, tried.Received = t, time.Now()
	d := decide(ctx, &tried)
	took := time.Since(tried.Received)
	var p *policy
	if d.Policy != nil {
		p = t.snapshot.named(d.Policy.Name)
	}
	var kept keptDenial
	kept.keep(&tried, &d, took, p)
	e := Explanation{
		Allowed: d.Allowed, Denial: kept.denial(), Policies: t.snapshot.weigh(&tried, &d),
		Record: t.state(tried.Received), Headers: d.Upstream.names(&tried),
	}
	if d.InsteadOf != ReasonUnset {
		e.InsteadOf = d.InsteadOf.String()
	}
	if c := d.Consumer; c != nil {
		e.Consumer = &Identity{ID: c.ID, Username: c.Username, CustomID: c.CustomID, Groups: append([]string{}, c.Groups...)}
	}
	e.Steps = e.steps(&d)
	return e
}

// stateGood and stateRotating are the states of a record that is let in.
const (
	stateGood     = "good"
	stateRotating = "rotating"
)

// state returns the state of the record that was found.
func (t *trial) state(now time.Time) *RecordState {
	seconds := func(at time.Time) *int64 {
		if at.IsZero() {
			return nil
		}
		return new(at.Unix())
	}
	switch t.outcome {
	case ReadFound:
	case ReadMalformed:
		return &RecordState{State: ReasonMalformedRecord.String()}
	default:
		return nil
	}
	c := &t.record
	s := &RecordState{State: stateGood, NotBefore: seconds(c.NotBefore), ExpiresAt: seconds(c.ExpiresAt)}
	if !c.Previous.IsZero() {
		s.PreviousExpiresAt = seconds(c.PreviousExpiresAt)
	}
	switch reason := c.unusable(now); {
	case reason != ReasonUnset:
		s.State = reason.String()
	case !c.Previous.IsZero() && c.acceptsPrevious(now):
		s.State = stateRotating
	}
	return s
}

// names returns what is changed of r.
func (u *Upstream) names(r *Request) HeaderNames {
	n := HeaderNames{Set: []string{}, Remove: []string{}, RemoveQuery: append([]string{}, u.RemoveQuery...)}
	for _, h := range u.Set {
		n.Set = append(n.Set, h.Name)
	}
	if u.SetAlso.Name != "" {
		n.Set = append(n.Set, u.SetAlso.Name)
	}
	for _, name := range slices.Concat(u.Remove, u.RemoveAlso) {
		// The others are removed from every request as a precaution.
		if _, count := r.header(name); count > 0 && !slices.Contains(n.Remove, name) {
			n.Remove = append(n.Remove, name)
		}
	}
	return n
}

// The steps of a decision.
const (
	stepState     = "state"
	stepPolicy    = "policy"
	stepPreflight = "preflight"
	stepTokens    = "tokens"
	stepRecord    = "record"
	stepSecret    = "secret"
	stepLimits    = "limits"
	stepConsumer  = "consumer"
	stepAnonymous = "anonymous"
	stepACL       = "acl"
	stepShadow    = "shadow"
)

// step returns the step at which a decision ends for a reason, "" if it passes all of them.
func (r Reason) step() string {
	switch r {
	case ReasonNotHTTP, ReasonNoPolicy, ReasonAmbiguousPath, ReasonAmbiguousHost, ReasonAmbiguousPolicy:
		return stepPolicy
	case ReasonMissingToken, ReasonDuplicateToken, ReasonMalformedToken:
		return stepTokens
	case ReasonUnknownToken, ReasonMalformedRecord, ReasonUnavailable, ReasonCanceled, ReasonInternal, ReasonUnset:
		return stepRecord
	case ReasonWrongSecret:
		return stepSecret
	case ReasonExpired, ReasonNotYetValid, ReasonDisabled:
		return stepLimits
	case ReasonUnknownConsumer:
		return stepConsumer
	case ReasonAnonymousMissing:
		return stepAnonymous
	case ReasonACL, ReasonAnonymousACL:
		return stepACL
	case ReasonAuthenticated, ReasonAnonymous, ReasonPreflight, reasonCount:
	}
	return ""
}

// steps returns the steps of a decision.
func (e *Explanation) steps(d *Decision) (steps []Step) {
	add := func(name string, ok bool, result string) { steps = append(steps, Step{name, ok, result}) }
	fail := func(name string, reason Reason) {
		result := reason.Meaning()
		if e.Error != "" {
			result += ": " + e.Error
		}
		add(name, false, result)
	}
	if d.Policy == nil {
		switch {
		case d.Reason == ReasonUnavailable:
			fail(stepState, d.Reason)
		case d.Reason == ReasonNoPolicy && e.RoutePolicy != nil:
			add(stepPolicy, false, fmt.Sprintf("the route names the policy %q, which does not exist", *e.RoutePolicy))
		default:
			fail(stepPolicy, d.Reason)
		}
		return steps
	}
	for _, w := range e.Policies {
		if w.Governs {
			add(stepPolicy, true, fmt.Sprintf("%s governs: %s", w.Name, w.Why))
		}
	}
	if d.Shadow {
		defer func() {
			steps = append(steps, Step{stepShadow, true, "the policy only observes, so the request is let through"})
		}()
	}
	reason := d.Reason
	if d.InsteadOf != ReasonUnset {
		reason = d.InsteadOf
	}
	if reason == ReasonPreflight {
		add(stepPreflight, true, reason.Meaning())
		return steps
	}
	if reason != ReasonAnonymousMissing {
		for _, s := range []struct{ name, passed string }{
			{stepTokens, fmt.Sprintf("the access token is in %s, the secret token in %s", strings.Join(e.AccessTokenIn, " and "), strings.Join(e.SecretTokenIn, " and "))},
			{stepRecord, "there is a record for the access token"},
			{stepSecret, "the secret is right"},
			{stepLimits, "the record may be used now"},
			{stepConsumer, e.Consumer.text()},
		} {
			if s.name == reason.step() {
				fail(s.name, reason)
				break
			}
			add(s.name, true, s.passed)
		}
	}
	if d.Anonymous {
		add(stepAnonymous, true, "in place of a consumer stands "+e.Consumer.text())
	}
	switch {
	case d.Reason == ReasonAnonymousMissing:
		fail(stepAnonymous, d.Reason)
	case d.Reason.step() == stepACL:
		fail(stepACL, d.Reason)
	case d.Consumer != nil && len(d.Policy.Allow)+len(d.Policy.Deny) > 0:
		add(stepACL, true, "the groups pass the acl")
	}
	return steps
}

// text is a consumer for people.
func (i *Identity) text() string {
	if i == nil {
		return ""
	}
	text := cmp.Or(i.Username, i.CustomID, i.ID)
	if len(i.Groups) > 0 {
		text += " with the groups " + joinGroups(i.Groups)
	}
	return text
}
