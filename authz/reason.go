package authz

import "net/http"

// A Reason says why a decision came out as it did. The set is closed: it labels
// metrics. Clients never see it; unknown, wrong, expired and disabled look
// alike to them.
type Reason uint8

// The reasons. The zero Reason denies.
const (
	ReasonUnset Reason = iota

	// Allowed.

	ReasonAuthenticated
	ReasonAnonymous
	ReasonPreflight

	// Denied before any credential was looked at.

	ReasonNotHTTP
	ReasonNoPolicy
	ReasonAmbiguousPath
	ReasonAmbiguousHost
	ReasonAmbiguousPolicy

	// Denied because there is no good credential: 401, or the anonymous consumer.

	ReasonMissingToken
	ReasonDuplicateToken
	ReasonMalformedToken
	ReasonUnknownToken
	ReasonWrongSecret
	ReasonExpired
	ReasonNotYetValid
	ReasonDisabled
	ReasonMalformedRecord
	ReasonUnknownConsumer

	// Denied although the credential is good.

	ReasonACL
	ReasonAnonymousACL

	// Denied because this service could not decide.

	ReasonUnavailable
	ReasonCanceled
	ReasonAnonymousMissing
	ReasonInternal

	reasonCount
)

// A reasonInfo has the name of a reason, the status and message of its denial, and what it
// means to an operator. The status of a reason to allow is 0.
type reasonInfo struct {
	name    string
	status  int
	message string
	meaning string
}

var reasons = [reasonCount]reasonInfo{
	ReasonUnset:            {"unset", http.StatusForbidden, "Forbidden", "nothing was decided; this is a bug"},
	ReasonAuthenticated:    {"authenticated", 0, "", "the token pair is good"},
	ReasonAnonymous:        {"anonymous", 0, "", "the credentials are missing or bad, and the anonymous consumer stands in"},
	ReasonPreflight:        {"preflight", 0, "", "it is a CORS preflight"},
	ReasonNotHTTP:          {"not_http", http.StatusForbidden, "Forbidden", "it was no HTTP request, or it could not be read"},
	ReasonNoPolicy:         {"no_policy", http.StatusForbidden, "Forbidden", "no policy applies, or the route names one that does not exist"},
	ReasonAmbiguousPath:    {"ambiguous_path", http.StatusBadRequest, "Ambiguous request path", "two programs may read the path differently"},
	ReasonAmbiguousHost:    {"ambiguous_host", http.StatusBadRequest, "Ambiguous request host", "two programs may read the host differently"},
	ReasonAmbiguousPolicy:  {"ambiguous_policy", http.StatusForbidden, "Forbidden", "policies tie"},
	ReasonMissingToken:     {"missing_token", http.StatusUnauthorized, "No access token and secret token found in request", "one or both tokens are missing or empty"},
	ReasonDuplicateToken:   {"duplicate_token", http.StatusUnauthorized, "Duplicate access token or secret token found", "a token is given twice, or differently in header and query"},
	ReasonMalformedToken:   {"malformed_token", http.StatusUnauthorized, unauthorized, "a token has a form that no credential has"},
	ReasonUnknownToken:     {"unknown_token", http.StatusUnauthorized, unauthorized, "there is no record for the access token"},
	ReasonWrongSecret:      {"wrong_secret", http.StatusUnauthorized, unauthorized, "there is a record, with another secret"},
	ReasonExpired:          {"expired", http.StatusUnauthorized, unauthorized, "the secret is right, and the record has expired"},
	ReasonNotYetValid:      {"not_yet_valid", http.StatusUnauthorized, unauthorized, "the secret is right, and the record is not valid yet"},
	ReasonDisabled:         {"disabled", http.StatusUnauthorized, unauthorized, "the secret is right, and the record is disabled"},
	ReasonMalformedRecord:  {"malformed_record", http.StatusUnauthorized, unauthorized, "there is a record, and it cannot be used"},
	ReasonUnknownConsumer:  {"unknown_consumer", http.StatusUnauthorized, unauthorized, "the secret is right, and the consumer of the record does not exist"},
	ReasonACL:              {"acl", http.StatusForbidden, "You cannot consume this service", "the credential is good, and the consumer's groups do not pass the acl"},
	ReasonAnonymousACL:     {"anonymous_acl", http.StatusUnauthorized, unauthorized, "the anonymous consumer has no groups, and the acl requires one"},
	ReasonUnavailable:      {"unavailable", http.StatusServiceUnavailable, "Service unavailable", "the store of credentials could not answer, or there was no room for the request"},
	ReasonCanceled:         {"canceled", http.StatusServiceUnavailable, "Service unavailable", "the caller gave up, or its deadline passed"},
	ReasonAnonymousMissing: {"anonymous_missing", http.StatusInternalServerError, "An unexpected error occurred", "the anonymous consumer of the policy does not exist"},
	ReasonInternal:         {"internal", http.StatusInternalServerError, "An unexpected error occurred", "this is a bug; the log says more"},
}

// unauthorized is Kong's text since Gateway 3.5 for every credential that is
// not good.
const unauthorized = "Unauthorized"

// String returns the reason's name in logs, metrics and dynamic metadata.
func (r Reason) String() string { return r.info().name }

// Status returns the HTTP status of a denial for this reason, 0 for a reason to
// allow.
func (r Reason) Status() int { return r.info().status }

// Message returns the text that a denied client sees.
func (r Reason) Message() string { return r.info().message }

// Meaning says in a few words what the reason tells of the request, its record and its
// consumer. It is for operators.
func (r Reason) Meaning() string { return r.info().meaning }

// Reasons returns every reason.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// badCredential says whether the request is not authenticated. With these reasons the
// anonymous consumer is used, if the policy has one.
func (r Reason) badCredential() bool {
	return r >= ReasonMissingToken && r <= ReasonUnknownConsumer
}

// isOurs says whether a denial for the reason is due to this service or its store, whatever the
// policy makes of its status.
func (r Reason) isOurs() bool { return r.Status() >= http.StatusInternalServerError }

// withoutPolicy says whether a decision that no policy governs can have the reason.
func (r Reason) withoutPolicy() bool {
	return r >= ReasonNotHTTP && r <= ReasonAmbiguousPolicy || r == ReasonUnavailable || r == ReasonCanceled || r == ReasonInternal
}

func (r Reason) info() *reasonInfo {
	if r >= reasonCount {
		return &reasons[ReasonUnset]
	}
	return &reasons[r]
}
