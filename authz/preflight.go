package authz

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
	return r.Header("origin") != "" && r.Header("access-control-request-method") != ""
}
