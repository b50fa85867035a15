package e2e

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestATooLargeCheckRequestIsDeniedWithFailureModeAllow shows that a client cannot bypass a
// gateway with failure_mode_allow by a large body.
func TestATooLargeCheckRequestIsDeniedWithFailureModeAllow(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	for _, p := range protocols() {
		good := bed.credential(t, aliceID, nil)
		for _, size := range []int{10 << 20, 70 << 20} {
			r := request{method: "POST", policy: "default", target: "/too-large", header: good.headers(), body: strings.Repeat("x", size)}
			if a := bed.send(t, onLarge, p, r); a.status != http.StatusForbidden || a.echo != nil {
				t.Errorf("%s, %d bytes: status = %d, want 403; body %.200s", p.name, size, a.status, a.body)
			}
			// The connection to vault-authz still works.
			r.body = "x"
			if a := bed.send(t, onLarge, p, r); a.status != http.StatusOK {
				t.Errorf("%s, a small one after %d bytes: status = %d, want 200", p.name, size, a.status)
			}
		}
	}
}

// TestManyLargeCheckRequestsAtOnceAreEachDecidedOrDenied sends more large requests at once
// than vault-authz accepts.
func TestManyLargeCheckRequestsAtOnceAreEachDecidedOrDenied(t *testing.T) {
	t.Parallel()
	bed := sharedTestbed(t)
	good := bed.credential(t, aliceID, nil)
	bad := pair{good.access, unique("wrong")}
	body := strings.Repeat("x", 8<<20)
	var all sync.WaitGroup
	for i := range 12 {
		tokens, want := good, http.StatusOK
		if i%2 == 1 {
			tokens, want = bad, http.StatusUnauthorized
		}
		all.Go(func() {
			r := request{method: "POST", policy: "default", target: "/large", header: tokens.headers(), body: body}
			a, err := bed.try(t.Context(), onLarge, protocols()[i%len(protocols())], r)
			switch {
			case err != nil:
				t.Error(err)
			case a.status != want && a.status != http.StatusServiceUnavailable:
				t.Errorf("status = %d, want %d, or 503 beyond the limit", a.status, want)
			case a.echo != nil && a.echo.Headers["x-envoy-auth-failure-mode-allowed"] != nil:
				t.Error("the call failed and the gateway allowed the request")
			}
		})
	}
	all.Wait()
}
