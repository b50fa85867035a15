package authz

import "net/http"

// A Decision is the answer to one request. The zero Decision denies.
type Decision struct {
	// Allowed lets the request through.
	Allowed bool
	// Reason says why. With a shadow policy it is the reason that would count without
	// shadow, although Allowed is true.
	Reason Reason
	// Shadow says that the policy only observes: Allowed is true whatever
	// Reason says.
	Shadow bool

	// Policy governs the request, nil when none was found. It belongs to the
	// snapshot: read only.
	Policy *Policy
	// Matching are the names of the policies that select the request by host and
	// path, see [Snapshot.Matching], if [Request.Explain] asks for them.
	Matching []string
	// Consumer makes the request. It is nil if it is unknown. Read only. ConsumerMemo is
	// for the encoder, as the Memos of [Upstream].
	Consumer     *Consumer
	ConsumerMemo *Memo
	// Anonymous says that Consumer is the policy's anonymous consumer, since credentials
	// were missing or bad. InsteadOf is the reason that would have denied.
	Anonymous bool
	InsteadOf Reason
	// AccessToken is the well-formed access token that was presented, for the
	// credential header on an allow and for a fingerprint in the log.
	AccessToken string
	// Places says where each token was taken from, Lookup how the source found its answer,
	// in the words of a [Reporter], and Reread that the decision is by what the store
	// said for this request, see [Rechecker].
	Places [tokenCount]Place
	Lookup string
	Reread bool
	// RequestID is the id that a denied client was told, as [RequestID] has it. Whoever
	// writes the answer sets it; it is zero where the answer has none.
	RequestID [32]byte
	// Err is an error of this service or its store, for the log, or nil. It contains no
	// token and no secret, and none of the memory of the request.
	Err error

	// Upstream is how the request is changed on its way, on an allow.
	Upstream Upstream
}

// Upstream lists the changes that are made to a request before it is sent on.
// Its slices are shared between decisions: read only. The encoder keeps the encoded form of
// a list in the [Memo] beside it, which is nil for a list of this decision alone.
type Upstream struct {
	// Set replaces every value of each header, and so does SetAlso, unless its name is
	// empty. SetAlso is separate because it differs between the credentials of one
	// consumer. Names are in lower case. No name that is set is in a list to remove.
	Set     []Header
	SetMemo *Memo
	SetAlso Header
	// Remove and RemoveAlso drop every value of each header. Remove is the same for all
	// policies; RemoveAlso depends on this policy and this request.
	Remove, RemoveAlso         []string
	RemoveMemo, RemoveAlsoMemo *Memo
	// RemoveQuery drops query parameters by their names as they stand in the request
	// target, before decoding. It has only names that are there.
	RemoveQuery []string
}

// Deny returns the denial that takes the place of d, with what d tells of the request and of the
// look-up.
func (d *Decision) Deny(reason Reason, err error) Decision {
	return Decision{
		Reason: reason, Policy: d.Policy, Matching: d.Matching,
		AccessToken: d.AccessToken, Places: d.Places, Lookup: d.Lookup, Reread: d.Reread, Err: err,
	}
}

// denied says whether the request is denied, or would be if its policy did not only observe.
func (d *Decision) denied() bool { return !d.Allowed || d.Reason.Status() != 0 }

// Status returns the HTTP status that a denied client gets.
func (d *Decision) Status() int {
	if own := d.answer(); own != nil && own.Status != 0 {
		return own.Status
	}
	return d.denial().status
}

// Message returns the text that a denied client sees.
func (d *Decision) Message() string {
	usual := d.denial()
	switch own := d.answer(); {
	case own == nil:
	case own.Message != "":
		return own.Message
	case own.Status != 0 && own.Status != usual.status:
		// A message like Unauthorized would betray a status like 404.
		return http.StatusText(own.Status)
	}
	return usual.message
}

// denial returns the denial for the reason. One for a reason to allow is a contradiction, and
// still a denial.
func (d *Decision) denial() *reasonInfo {
	if r := d.Reason.info(); r.status != 0 {
		return r
	}
	return ReasonUnset.info()
}

// answer returns what the policy says about denials of the reason's class, or nil.
func (d *Decision) answer() *DenialAnswer {
	if d.Policy == nil || d.Policy.Templates == nil {
		return nil
	}
	return d.Policy.Denial.answer(d.Reason.Class())
}

// Challenges says whether a denial names the way to authenticate
// (WWW-Authenticate, which RFC 9110 section 11.6.1 requires with a 401, and which would
// betray another status). Kong's acl sends its own 401 without.
func (d *Decision) Challenges() bool {
	return !d.Allowed && d.Reason.badCredential() && d.Status() == http.StatusUnauthorized
}

// Unavailable says whether a denial is due to this service or its store, not to the client.
func (d *Decision) Unavailable() bool {
	return !d.Allowed && (d.Reason == ReasonUnavailable || d.Reason == ReasonCanceled)
}
