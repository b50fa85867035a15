package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEveryReasonToAllowAndToDeny(t *testing.T) {
	t.Parallel()
	anonymous := func(p *Policy) { p.Anonymous = "visitor" }
	tests := []struct {
		name    string
		policy  func(*Policy)
		prepare func(*bench)
		request *Request
		want    Reason
		status  int // 0: allowed
	}{
		{name: "good pair in headers", request: good(), want: ReasonAuthenticated},
		{name: "good pair with dashes for underscores", request: get("/", "access-token", "foo", "secret-token", "supersecretvalue"), want: ReasonAuthenticated},
		{name: "good pair in the query", request: get("/a?access_token=foo&x=1&secret_token=supersecretvalue"), want: ReasonAuthenticated},
		{name: "one token in a header, the other in the query", request: get("/?secret_token=supersecretvalue", "access_token", "foo"), want: ReasonAuthenticated},
		{name: "same token in header and query is no duplicate", request: get("/?access_token=foo", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonAuthenticated},
		{name: "replaced secret within its grace", prepare: func(b *bench) {
			b.put("new", func(c *Credential) {
				c.Previous, c.PreviousExpiresAt = b.digester.Digest("kong-auth", "foo", "supersecretvalue"), time.Now().Add(hour)
			})
		}, request: good(), want: ReasonAuthenticated},
		{name: "replaced secret after its grace", prepare: func(b *bench) {
			b.put("new", func(c *Credential) {
				c.Previous, c.PreviousExpiresAt = b.digester.Digest("kong-auth", "foo", "supersecretvalue"), time.Now().Add(-time.Second)
			})
		}, request: good(), want: ReasonWrongSecret, status: 401},
		{name: "replaced secret without an end to its grace", prepare: func(b *bench) {
			b.put("new", func(c *Credential) { c.Previous = b.digester.Digest("kong-auth", "foo", "supersecretvalue") })
		}, request: good(), want: ReasonWrongSecret, status: 401},

		{name: "no tokens", request: get("/"), want: ReasonMissingToken, status: 401},
		{name: "no secret token", request: get("/", "access_token", "foo"), want: ReasonMissingToken, status: 401},
		{name: "empty header blocks the query", request: get("/?access_token=foo&secret_token=supersecretvalue", "access_token", ""), want: ReasonDuplicateToken, status: 401},
		{name: "empty header", request: get("/", "access_token", "", "secret_token", "supersecretvalue"), want: ReasonMissingToken, status: 401},
		{name: "query name without a value is no token", request: get("/?access_token&secret_token=supersecretvalue"), want: ReasonMissingToken, status: 401},
		{name: "query name without a value beside the header", request: get("/?access_token", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonAuthenticated},
		{name: "query parameter twice, the first of them as in the header", request: get("/?access_token=foo&access_token=bar", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "plus in a query is a space, which no token has", request: get("/?access_token=fo+o&secret_token=supersecretvalue"), want: ReasonMalformedToken, status: 401},
		{name: "encoded plus in a query is a plus", prepare: func(b *bench) { b.put("super+secret", nil) }, request: get("/?access_token=foo&secret_token=super%2Bsecret"), want: ReasonAuthenticated},
		{name: "plus for a space in a query where a secret has a plus", prepare: func(b *bench) { b.put("super+secret", nil) }, request: get("/?access_token=foo&secret_token=super+secret"), want: ReasonMalformedToken, status: 401},
		{name: "names longer than that of any token", request: get("/?"+strings.Repeat("x", 128)+"=1&"+strings.Repeat("y", 500)+"=1", "access_token", "foo", "secret_token", "supersecretvalue", strings.Repeat("a", 128)+"n", "1", strings.Repeat("a", 127)+"n", "1"), want: ReasonAuthenticated},
		{name: "a name that cannot be decoded is no token's", request: get("/?access_toke%zz=bar", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonAuthenticated},
		{name: "a name that is all escapes", request: get("/?%%%=1&%=1&%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonAuthenticated},
		{name: "NUL in the query is a value that disagrees", request: get("/?access_token=%00", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "header twice", request: get("/", "access_token", "foo", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "header in two spellings", request: get("/", "access_token", "foo", "access-token", "foo", "secret_token", "supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "header joined by a comma", request: get("/", "access_token", "foo,foo", "secret_token", "supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "header that begins with a comma", request: get("/", "access_token", ",foo", "secret_token", "supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "query parameter twice", request: get("/?access_token=foo&secret_token=supersecretvalue&secret_token=supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "query parameter twice, once encoded", request: get("/?access_token=foo&%61ccess_token=foo&secret_token=supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "header and query disagree", request: get("/?access_token=bar", "access_token", "foo", "secret_token", "supersecretvalue"), want: ReasonDuplicateToken, status: 401},
		{name: "broken escape in a token", request: get("/?access_token=fo%zz&secret_token=supersecretvalue"), want: ReasonMalformedToken, status: 401},
		{name: "access token that is a path", request: get("/", "access_token", "../sys", "secret_token", "x"), want: ReasonMalformedToken, status: 401},
		{name: "unknown access token", request: get("/", "access_token", "nobody", "secret_token", "x"), want: ReasonUnknownToken, status: 401},
		{name: "wrong secret", request: get("/", "access_token", "foo", "secret_token", "x"), want: ReasonWrongSecret, status: 401},
		{name: "wrong secret in a header beats the right one in the query", request: get("/?secret_token=supersecretvalue", "access_token", "foo", "secret_token", "x"), want: ReasonDuplicateToken, status: 401},
		{name: "record without a secret", prepare: func(b *bench) { b.put("", nil) }, request: good(), want: ReasonWrongSecret, status: 401},
		{name: "expired", prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.ExpiresAt = time.Now().Add(-time.Second) })
		}, request: good(), want: ReasonExpired, status: 401},
		{name: "not yet valid", prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.NotBefore = time.Now().Add(hour) })
		}, request: good(), want: ReasonNotYetValid, status: 401},
		{name: "within both of its limits", prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) {
				c.NotBefore, c.ExpiresAt = time.Now().Add(-hour), time.Now().Add(hour)
			})
		}, request: good(), want: ReasonAuthenticated},
		{name: "disabled", prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.Disabled = true })
		}, request: good(), want: ReasonDisabled, status: 401},
		{name: "record of another access token", prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.AccessToken = "FOO" })
		}, request: good(), want: ReasonMalformedRecord, status: 401},
		{name: "malformed record", prepare: func(b *bench) { b.source.err = fmt.Errorf("consumer: %w", ErrMalformed) }, request: good(), want: ReasonMalformedRecord, status: 401},
		{name: "consumer that is not known", prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.ConsumerID = "00000000-0000-0000-0000-000000000000" })
		}, request: good(), want: ReasonUnknownConsumer, status: 401},
		{name: "record without a consumer", prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.ConsumerID = "" })
		}, request: good(), want: ReasonUnknownConsumer, status: 401},

		{name: "group allowed", policy: func(p *Policy) { p.Allow = []string{"gold"} }, request: good(), want: ReasonAuthenticated},
		{name: "group not allowed", policy: func(p *Policy) { p.Allow = []string{"Gold"} }, request: good(), want: ReasonACL, status: 403},
		{name: "group denied", policy: func(p *Policy) { p.Deny = []string{"eu"} }, request: good(), want: ReasonACL, status: 403},
		{name: "group not denied", policy: func(p *Policy) { p.Deny = []string{"us"} }, request: good(), want: ReasonAuthenticated},
		{name: "no groups pass deny", policy: func(p *Policy) { p.Deny = []string{"us"} }, prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.ConsumerID = bobID })
		}, request: good(), want: ReasonAuthenticated},
		{name: "no groups do not pass allow", policy: func(p *Policy) { p.Allow = []string{"us"} }, prepare: func(b *bench) {
			b.put("supersecretvalue", func(c *Credential) { c.ConsumerID = bobID })
		}, request: good(), want: ReasonACL, status: 403},

		{name: "anonymous for missing tokens", policy: anonymous, request: get("/"), want: ReasonAnonymous},
		{name: "anonymous for a wrong secret", policy: anonymous, request: get("/", "access_token", "foo", "secret_token", "x"), want: ReasonAnonymous},
		{name: "anonymous for a duplicate", policy: anonymous, request: get("/?access_token=a&access_token=b"), want: ReasonAnonymous},
		{name: "anonymous by id", policy: func(p *Policy) { p.Anonymous = visitorID }, request: get("/"), want: ReasonAnonymous},
		{name: "anonymous never for an unavailable store", policy: anonymous, prepare: func(b *bench) { b.source.err = ErrUnavailable }, request: good(), want: ReasonUnavailable, status: 503},
		{name: "anonymous without groups and an allow list", policy: func(p *Policy) { p.Anonymous, p.Allow = "visitor", []string{"gold"} }, request: get("/"), want: ReasonAnonymousACL, status: 401},
		{name: "good pair beats anonymous", policy: anonymous, request: good(), want: ReasonAuthenticated},

		{name: "store unavailable", prepare: func(b *bench) { b.source.err = ErrUnavailable }, request: good(), want: ReasonUnavailable, status: 503},
		{name: "an error of no known kind is unavailable", prepare: func(b *bench) { b.source.err = errors.New("odd") }, request: good(), want: ReasonUnavailable, status: 503},
		{name: "not an HTTP request", request: &Request{}, want: ReasonNotHTTP, status: 403},
		{name: "policy that does not exist", request: &Request{HTTP: true, PolicyName: "nope"}, want: ReasonNoPolicy, status: 403},
		{name: "preflight is authenticated by default", request: preflight(), want: ReasonMissingToken, status: 401},
		{name: "preflight passes", policy: func(p *Policy) { p.RunOnPreflight = false }, request: preflight(), want: ReasonPreflight},
		{name: "OPTIONS that is no preflight does not pass", policy: func(p *Policy) { p.RunOnPreflight = false }, request: &Request{HTTP: true, Method: "OPTIONS", Path: "/"}, want: ReasonMissingToken, status: 401},
		{name: "any OPTIONS passes as in Kong", policy: func(p *Policy) { p.RunOnPreflight, p.Preflight = false, PreflightAny }, request: &Request{HTTP: true, Method: "OPTIONS", Path: "/"}, want: ReasonPreflight},
		{name: "preflight with a repeated origin does not pass, joined or not", policy: func(p *Policy) { p.RunOnPreflight = false }, request: func() *Request {
			r := preflight()
			r.Headers[0].Value += ",https://b.example"
			return r
		}(), want: ReasonMissingToken, status: 401},
		{name: "GET with a preflight's headers does not pass", policy: func(p *Policy) { p.RunOnPreflight = false }, request: get("/", "origin", "https://a", "access-control-request-method", "PUT"), want: ReasonMissingToken, status: 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.policy)
			if test.prepare != nil {
				test.prepare(b)
			}
			d := b.Check(t.Context(), test.request)
			if d.Reason != test.want || d.Allowed != (test.status == 0) {
				t.Fatalf("got allowed=%t reason=%s err=%v, want allowed=%t reason=%s", d.Allowed, d.Reason, d.Err, test.status == 0, test.want)
			}
			if !d.Allowed && d.Status() != test.status {
				t.Errorf("status: got %d, want %d", d.Status(), test.status)
			}
			if !d.Allowed && (len(set(d.Upstream)) != 0 || d.Upstream.Remove != nil) {
				t.Errorf("a denial changes the request: %+v", d.Upstream)
			}
		})
	}
}

func preflight() *Request {
	r := get("/", "origin", "https://a.example", "access-control-request-method", "PUT")
	r.Method = "OPTIONS"
	return r
}

func TestZeroValuesDeny(t *testing.T) {
	t.Parallel()
	var d Decision
	if d.Allowed || d.Status() != 403 || d.Message() == "" {
		t.Errorf("the zero Decision: allowed=%t status=%d message=%q", d.Allowed, d.Status(), d.Message())
	}
	if (Secret{}).Equal(Secret{}) {
		t.Error("the zero Secret equals itself")
	}
	for _, r := range append(Reasons(), reasonCount, Reason(200)) {
		denied := Decision{Reason: r}
		if s := denied.Status(); s < 400 {
			t.Errorf("denied for %s: status %d", r, s)
		}
		if denied.Message() == "" || r.String() == "" {
			t.Errorf("denied for %d: message %q name %q", r, denied.Message(), r)
		}
	}
}

func TestOnlyADenialThatIsDueToUsIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, r := range Reasons() {
		want := r == ReasonUnavailable || r == ReasonCanceled
		if d := (Decision{Reason: r}); d.Unavailable() != want {
			t.Errorf("denied for %s: unavailable %t, want %t", r, d.Unavailable(), want)
		}
		if d := (Decision{Allowed: true, Shadow: true, Reason: r}); d.Unavailable() {
			t.Errorf("let through in spite of %s: unavailable", r)
		}
	}
}

func TestOnlyADenialForWantOfAGoodCredentialChallenges(t *testing.T) {
	t.Parallel()
	for _, r := range Reasons() {
		want := r.Status() == 401 && r != ReasonAnonymousACL
		if d := (Decision{Reason: r}); d.Challenges() != want {
			t.Errorf("denied for %s: challenges %t, want %t", r, d.Challenges(), want)
		}
		if d := (Decision{Allowed: true, Shadow: true, Reason: r}); d.Challenges() {
			t.Errorf("let through in spite of %s: challenges", r)
		}
	}
}

func TestCancelledContextDenies(t *testing.T) {
	t.Parallel()
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if d := newBench(t, nil).Check(ctx, good()); d.Allowed || d.Reason != ReasonCanceled {
			t.Errorf("got allowed=%t reason=%s", d.Allowed, d.Reason)
		}
	})
	t.Run("during the look-up", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, func(p *Policy) { p.Anonymous = "visitor" })
		ctx, cancel := context.WithCancel(t.Context())
		b.source.before = cancel
		if d := b.Check(ctx, good()); d.Allowed || d.Reason != ReasonCanceled || d.Consumer != nil {
			t.Errorf("got allowed=%t reason=%s consumer=%v", d.Allowed, d.Reason, d.Consumer)
		}
	})
}

func TestDuplicatesAndBadTokensNeverReachTheStore(t *testing.T) {
	t.Parallel()
	for _, r := range []*Request{
		get("/", "access_token", "foo", "access_token", "bar", "secret_token", "s"),
		get("/?access_token=foo&access_token=foo&secret_token=s"),
		get("/", "access_token", "a/b", "secret_token", "s"),
		get("/", "access_token", "foo"),
	} {
		b := newBench(t, nil)
		if d := b.Check(t.Context(), r); d.Allowed || len(b.source.asked) != 0 {
			t.Errorf("%v: allowed=%t asked=%q", r, d.Allowed, b.source.asked)
		}
	}
}

func TestBadCredentialsLookAlike(t *testing.T) {
	t.Parallel()
	for _, r := range Reasons() {
		if r < ReasonMalformedToken || r > ReasonUnknownConsumer {
			continue
		}
		d := Decision{Reason: r}
		if d.Status() != 401 || d.Message() != "Unauthorized" || !d.Challenges() {
			t.Errorf("%s: status %d, message %q, challenges %t", r, d.Status(), d.Message(), d.Challenges())
		}
	}
}

func TestShadowLetsThroughWithoutAnIdentity(t *testing.T) {
	t.Parallel()
	for _, r := range []*Request{good(), get("/", "x-consumer-id", "spoofed"), preflight()} {
		b := newBench(t, func(p *Policy) { p.Shadow = true })
		d := b.Check(t.Context(), r)
		if !d.Allowed || !d.Shadow || len(set(d.Upstream)) != 0 {
			t.Errorf("got %+v", d)
		}
		if !slices.Contains(d.Upstream.Remove, "x-consumer-id") || slices.Contains(d.Upstream.RemoveAlso, "access_token") {
			t.Errorf("got removals %q %q, want identity headers and no credentials", d.Upstream.Remove, d.Upstream.RemoveAlso)
		}
	}
}

func TestErrorsAndDecisionsNeverPrintSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	c := b.source.records["foo"]
	text := fmt.Sprintf("%v %+v %#v %s %x %q", c, c, c, c.Secret, c.Secret, c.Secret)
	if strings.Contains(text, "supersecretvalue") || !strings.Contains(text, redacted) {
		t.Errorf("printed: %s", text)
	}
	digest := fmt.Sprintf("%x", c.Secret.digest)
	if strings.Contains(text, digest[:8]) {
		t.Errorf("printed part of the digest: %s", text)
	}
}

func TestEverythingIsUnavailableUntilTheFirstSnapshot(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(p *Policy) { p.Shadow, p.Anonymous = true, "visitor" })
	b.Replace(nil)
	if d := b.Check(t.Context(), good()); d.Allowed || d.Reason != ReasonUnavailable || !d.Unavailable() {
		t.Errorf("got %+v", d)
	}
}
