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

	// Denied for want of a good credential: 401, or the anonymous consumer.

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

// reasons has the name of each reason, and the status and message of its denial. The
// status of a reason to allow is 0.
var reasons = [reasonCount]struct {
	name    string
	status  int
	message string
}{
	ReasonUnset:            {"unset", http.StatusForbidden, "Forbidden"},
	ReasonAuthenticated:    {"authenticated", 0, ""},
	ReasonAnonymous:        {"anonymous", 0, ""},
	ReasonPreflight:        {"preflight", 0, ""},
	ReasonNotHTTP:          {"not_http", http.StatusForbidden, "Forbidden"},
	ReasonNoPolicy:         {"no_policy", http.StatusForbidden, "Forbidden"},
	ReasonAmbiguousPath:    {"ambiguous_path", http.StatusBadRequest, "Ambiguous request path"},
	ReasonAmbiguousHost:    {"ambiguous_host", http.StatusBadRequest, "Ambiguous request host"},
	ReasonAmbiguousPolicy:  {"ambiguous_policy", http.StatusForbidden, "Forbidden"},
	ReasonMissingToken:     {"missing_token", http.StatusUnauthorized, "No access token and secret token found in request"},
	ReasonDuplicateToken:   {"duplicate_token", http.StatusUnauthorized, "Duplicate access token or secret token found"},
	ReasonMalformedToken:   {"malformed_token", http.StatusUnauthorized, unauthorized},
	ReasonUnknownToken:     {"unknown_token", http.StatusUnauthorized, unauthorized},
	ReasonWrongSecret:      {"wrong_secret", http.StatusUnauthorized, unauthorized},
	ReasonExpired:          {"expired", http.StatusUnauthorized, unauthorized},
	ReasonNotYetValid:      {"not_yet_valid", http.StatusUnauthorized, unauthorized},
	ReasonDisabled:         {"disabled", http.StatusUnauthorized, unauthorized},
	ReasonMalformedRecord:  {"malformed_record", http.StatusUnauthorized, unauthorized},
	ReasonUnknownConsumer:  {"unknown_consumer", http.StatusUnauthorized, unauthorized},
	ReasonACL:              {"acl", http.StatusForbidden, "You cannot consume this service"},
	ReasonAnonymousACL:     {"anonymous_acl", http.StatusUnauthorized, unauthorized},
	ReasonUnavailable:      {"unavailable", http.StatusServiceUnavailable, "Service unavailable"},
	ReasonCanceled:         {"canceled", http.StatusServiceUnavailable, "Service unavailable"},
	ReasonAnonymousMissing: {"anonymous_missing", http.StatusInternalServerError, "An unexpected error occurred"},
	ReasonInternal:         {"internal", http.StatusInternalServerError, "An unexpected error occurred"},
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

// withoutPolicy says whether a decision that no policy governs can have the reason.
func (r Reason) withoutPolicy() bool {
	return r >= ReasonNotHTTP && r <= ReasonAmbiguousPolicy || r == ReasonUnavailable || r == ReasonCanceled || r == ReasonInternal
}

func (r Reason) info() (info struct {
	name    string
	status  int
	message string
},
) {
	if r >= reasonCount {
		return reasons[ReasonUnset]
	}
	return reasons[r]
}
