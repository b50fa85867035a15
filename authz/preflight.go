package authz

import "strings"

// isPreflight says whether a request is a CORS preflight in the policy's sense.
// Preflights carry no credentials (Fetch standard), so authenticating them
// breaks CORS wherever the gateway does not answer them itself.
func (p *policy) isPreflight(r *Request) bool {
	if r.Method != "OPTIONS" {
		return false
	}
	if p.Preflight == PreflightAny {
		return true
	}
	return single(r.Header("origin")) && single(r.Header("access-control-request-method"))
}

// single says whether a header has one value. Repeated ones may have been joined
// by commas on the way.
func single(value string) bool { return value != "" && !strings.Contains(value, ",") }
