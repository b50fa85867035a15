package authz

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	toldID = "9beb9db794820928ab425992fd5d01b0"
	sentID = "9beb9db7-9482-0928-ab42-5992fd5d01b0"
)

// told sets the id that a client was told, as the writer of an answer does.
func told(d Decision, id string) *Decision {
	d.RequestID, _ = RequestID(id)
	return &d
}

func TestADenialIsExplained(t *testing.T) {
	t.Parallel()
	orders := func(p *Policy) {
		p.Hosts, p.Paths = []string{"*.example.com"}, []string{"/orders"}
	}
	tests := []struct {
		name    string
		policy  func(*Policy)
		prepare func(*bench)
		request *Request
		want    Denial
	}{
		{"a wrong secret", orders, nil, get("/orders/7?q=private", "access-token", "foo", "secret_token", "wrongsecretvalue"), Denial{
			Status: 401, Reason: "wrong_secret", Policy: "default", Vault: "kong-auth", Path: "/orders/7", Credential: Fingerprint("foo"),
			Matching:      []Match{{Policy: "default", Host: "*.example.com", Path: "/orders"}},
			AccessTokenIn: []string{"header access-token"}, SecretTokenIn: []string{"header secret_token"},
		}},
		{"a token in two places", nil, nil, get("/?access_token=bar&secret%5Ftoken=x", "access_token", "foo"), Denial{
			Status: 401, Reason: "duplicate_token", Policy: "default", Vault: "kong-auth", Path: "/",
			AccessTokenIn: []string{"header access_token", "query access_token"}, SecretTokenIn: []string{"query secret%5Ftoken"},
		}},
		{"a token in the body", func(p *Policy) {
			p.TokensInBody, p.BodyCredentialsVisible = true, true
		}, nil, &Request{
			HTTP: true, Method: "POST", Path: "/", Host: "api.example.com", Body: []byte(`{"access_token":"bar"}`),
			Headers: []Header{{"content-type", "application/json"}, {"secret-token", "x"}},
		}, Denial{
			Status: 401, Reason: "unknown_token", Policy: "default", Vault: "kong-auth", Method: "POST", Path: "/", Credential: Fingerprint("bar"),
			AccessTokenIn: []string{"body"}, SecretTokenIn: []string{"header secret-token"},
		}},
		{"no tokens", nil, nil, get("/"), Denial{Status: 401, Reason: "missing_token", Policy: "default", Vault: "kong-auth", Path: "/"}},
		{"a basic Authorization header", func(p *Policy) { p.AuthorizationScheme = SchemeBasic }, nil, get("/", "authorization", "Basic Zm9vOmJhcg=="), Denial{
			Status: 401, Reason: "wrong_secret", Policy: "default", Vault: "kong-auth", Path: "/", Credential: Fingerprint("foo"),
			AccessTokenIn: []string{"header authorization"}, SecretTokenIn: []string{"header authorization"},
		}},
		{"the acl", func(p *Policy) { p.Deny = []string{"gold"} }, nil, good(), Denial{
			Status: 403, Reason: "acl", Policy: "default", Vault: "kong-auth", Path: "/", Credential: Fingerprint("foo"), Consumer: aliceID, Username: "alice",
			AccessTokenIn: []string{"header access_token"}, SecretTokenIn: []string{"header secret_token"},
		}},
		{"a store that fails", nil, func(b *bench) { b.source.err = errors.New("it is sealed") }, good(), Denial{
			Status: 503, Reason: "unavailable", Error: "it is sealed", Policy: "default", Vault: "kong-auth", Path: "/", Credential: Fingerprint("foo"),
			AccessTokenIn: []string{"header access_token"}, SecretTokenIn: []string{"header secret_token"},
		}},
		{"a policy that only observes", func(p *Policy) { p.Shadow = true }, nil, get("/"), Denial{
			Reason: "missing_token", Shadow: true, Policy: "default", Vault: "kong-auth", Path: "/",
		}},
		{"a route with a policy that does not exist", nil, nil, &Request{HTTP: true, Method: "GET", Host: "api.example.com", Path: "/", PolicyName: "gone"}, Denial{
			Status: 403, Reason: "no_policy", RoutePolicy: new("gone"), Path: "/",
		}},
		{"what is no HTTP request", nil, nil, &Request{Source: "10.0.0.3"}, Denial{Status: 403, Reason: "not_http", Source: "10.0.0.3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.policy)
			if test.prepare != nil {
				test.prepare(b)
			}
			n := NewDenials(b.Authorizer)
			test.request.Received = time.Unix(1_550_538_920, 250_000_000)
			d := b.Check(t.Context(), test.request)
			n.started = test.request.Received.Add(-time.Hour)
			var kept keptDenial
			kept.keep(test.request, told(d, toldID), 31*time.Microsecond, n.policyOf(&d))
			got := n.explain(&kept)
			want := test.want
			want.At, want.Duration, want.RequestID = 1_550_538_920.25, 31, toldID
			if want.Meaning = d.Reason.Meaning(); want.Meaning == "" {
				t.Error("the reason has no meaning")
			}
			if test.request.HTTP {
				want.Host = "api.example.com"
			}
			if want.Method == "" && test.request.HTTP {
				want.Method = "GET"
			}
			if want.Matching == nil && want.Policy != "" {
				want.Matching = []Match{{Policy: "default", Default: true}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, never := range []string{"supersecretvalue", "wrongsecretvalue", "private", "Zm9vOmJhcg"} {
				if strings.Contains(fmt.Sprintf("%+v", got), never) || strings.Contains(string(kept.texts[:]), never) {
					t.Errorf("%s is remembered", never)
				}
			}
		})
	}
}

func TestADenialIsFoundByWhatTheClientKnows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	tests := []struct {
		name, told, sent, by string
		found                bool
	}{
		{"what it was told", toldID, "", toldID, true},
		{"what it was told, with dashes and capitals", toldID, "", strings.ToUpper(sentID), true},
		{"the header", toldID, sentID, sentID, true},
		{"the header where the answer has no id", "", sentID, toldID, true},
		{"an id of its own", toldID, "order-7", "order-7", true},
		{"an id of its own that is long", toldID, long, long, true},
		{"an id of odd bytes", toldID, "\x00\xff\n\x1b[31m", "\x00\xff\n\x1b[31m", true},
		{"another id", toldID, sentID, strings.Replace(toldID, "9", "8", 1), false},
		{"a part of the id", toldID, sentID, toldID[:31], false},
		{"nothing", "", "", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := NewDenials(newBench(t, nil).Authorizer)
			r := get("/", "x-request-id", test.sent)
			n.Record(r, told(Decision{Reason: ReasonNoPolicy}, test.told), 0)
			if got := n.Find(test.by); (got.Total == 1) != test.found || len(got.Denials) != got.Total {
				t.Errorf("got %d, want found: %t", got.Total, test.found)
			}
		})
	}
}

func TestTheLatestDenialsAreToldTheNewestFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewDenials(newBench(t, nil).Authorizer)
		record := func(path string) {
			r := get(path)
			r.Received = time.Now()
			n.Record(r, told(Decision{Reason: ReasonNoPolicy}, toldID), 0)
		}
		expect := func(count int, want ...string) {
			t.Helper()
			got := []string{}
			for _, d := range n.Latest(count) {
				got = append(got, d.Path)
				if d.Matching != nil {
					t.Errorf("%s: told the policies that match, of which there may be very many", d.Path)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the latest %d (-want +got):\n%s", count, diff)
			}
		}
		expect(2, []string{}...)
		record("/1")
		expect(2, "/1")
		time.Sleep(time.Minute)
		record("/2")
		record("/3")
		expect(2, "/3", "/2")
		time.Sleep(denialAge)
		expect(3, "/3", "/2")
		time.Sleep(time.Second)
		expect(3, []string{}...)
	})
}

func TestTextsOfTheClientAreCut(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	n := NewDenials(b.Authorizer)
	long := strings.Repeat("é", 10_000)
	r := &Request{HTTP: true, Method: long, Path: "/" + long, Host: long, Source: long, PolicyName: long, Headers: []Header{{"x-request-id", long}}}
	for range 100 {
		r.Headers = append(r.Headers, Header{"access_token", "x"})
	}
	d := b.Check(t.Context(), r)
	d.Policy = &n.authorizer.snapshot.Load().byName["default"].Policy
	n.Record(r, told(d, toldID), 0)
	found := n.Find(toldID)
	if found.Total != 1 {
		t.Fatalf("got %d denials", found.Total)
	}
	got := found.Denials[0]
	for name, text := range map[string]string{"method": got.Method, "host": got.Host, "path": got.Path, "source": got.Source, "route": *got.RoutePolicy, "id": got.SentID} {
		if len(text) > 256+len("…") || len(text) < 10 || !strings.HasSuffix(text, "…") {
			t.Errorf("%s has %d bytes: %q", name, len(text), text)
		}
	}
	if len(got.AccessTokenIn) != maxTokens {
		t.Errorf("%d places of the access token, want %d", len(got.AccessTokenIn), maxTokens)
	}
}

func TestTwoDenialsWithOneIDAreBothTold(t *testing.T) {
	t.Parallel()
	n := NewDenials(newBench(t, nil).Authorizer)
	for _, path := range []string{"/first", "/second"} {
		n.Record(get(path, "x-request-id", sentID), told(Decision{Reason: ReasonNoPolicy}, toldID), 0)
	}
	got := n.Find(toldID)
	if got.Total != 2 || got.Denials[0].Path != "/second" || got.Denials[1].Path != "/first" {
		t.Errorf("got %+v, want the second and the first", got)
	}
}

// TestDenialsAreNotHiddenByLaterOnesWithTheSameID: a client may choose the id, and send it again
// and again.
func TestDenialsAreNotHiddenByLaterOnesWithTheSameID(t *testing.T) {
	t.Parallel()
	for _, total := range []int{1, maxFound/2 - 1, maxFound / 2, maxFound/2 + 1, maxFound - 1, maxFound, maxFound + 1, maxFound*3/2 + 7, 5 * maxFound} {
		n := NewDenials(newBench(t, nil).Authorizer)
		for i := range total {
			n.Record(get(fmt.Sprintf("/%d", i)), told(Decision{Reason: ReasonNoPolicy}, toldID), 0)
		}
		var want []string
		for i := total - 1; i >= 0; i-- {
			if i >= total-maxFound/2 || i < maxFound/2 {
				want = append(want, fmt.Sprintf("/%d", i))
			}
		}
		found := n.Find(toldID)
		var got []string
		for _, d := range found.Denials {
			got = append(got, d.Path)
		}
		if diff := cmp.Diff(want, got); diff != "" || found.Total != total {
			t.Errorf("of %d denials %d are counted, and told (-want +got):\n%s", total, found.Total, diff)
		}
	}
}

func TestAnAllowIsNotRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(p *Policy) { p.Anonymous = "visitor" })
	n := NewDenials(b.Authorizer)
	for _, r := range []*Request{good(), get("/")} {
		d := b.Check(t.Context(), r)
		n.Record(r, &d, 0)
	}
	if got := n.recorded.Load(); got != 0 {
		t.Errorf("%d are remembered", got)
	}
}

func TestDenialsAreForgottenAfterAWhileAndInAFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewDenials(newBench(t, nil).Authorizer)
		began := time.Now()
		record := func(id int) {
			r := get("/")
			r.Received = time.Now()
			n.Record(r, told(Decision{Reason: ReasonNoPolicy}, fmt.Sprintf("%032d", id)), 0)
		}
		found := func(id int) Found { return n.Find(fmt.Sprintf("%032d", id)) }
		record(0)
		time.Sleep(denialAge)
		if got := found(0); got.Total != 1 || !got.Since.Equal(began) {
			t.Errorf("after %s: %+v", denialAge, got)
		}
		time.Sleep(time.Minute)
		if got := found(0); got.Total != 0 || !got.Since.Equal(began.Add(time.Minute)) {
			t.Errorf("a minute later: %+v", got)
		}
		record(1)
		time.Sleep(time.Minute)
		flood := time.Now()
		for i := range maxDenials {
			record(2 + i)
		}
		if got := found(1); got.Total != 0 || !got.Since.Equal(flood) {
			t.Errorf("after a flood: %+v, want nothing since %s", got, flood)
		}
		for _, id := range []int{2, 1 + maxDenials} {
			if found(id).Total != 1 {
				t.Errorf("denial %d of the flood is forgotten", id)
			}
		}
	})
}

func TestPoliciesThatHaveChangedSinceAreSaid(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	n := NewDenials(b.Authorizer)
	r := get("/")
	d := b.Check(t.Context(), r)
	n.Record(r, told(d, toldID), 0)
	p := DefaultPolicy()
	p.Name, p.Vault, p.Default = "other", "kong-auth", true
	s, err := NewSnapshot([]Policy{p}, testConsumers(), map[string]Source{"kong-auth": b.source})
	if err != nil {
		t.Fatal(err)
	}
	b.Replace(s)
	n.Record(r, told(d, toldID), 0) // by the policy before, at the moment of the change
	for _, got := range n.Find(toldID).Denials {
		if !got.MatchingChanged || got.Policy != "default" || got.Matching[0].Policy != "other" {
			t.Errorf("got %+v", got)
		}
	}
}

func TestDenialsAreRecordedAndFoundAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	n := NewDenials(b.Authorizer)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r := get("/", "access_token", "bar", "secret_token", "x")
			d := b.Check(t.Context(), get("/"))
			for range maxDenials {
				n.Record(r, told(d, toldID), 0)
			}
		})
	}
	for range 5 {
		for _, d := range n.Find(toldID).Denials {
			if d.Path != "/" || d.Reason != "missing_token" {
				t.Errorf("got %+v", d)
			}
		}
	}
	wg.Wait()
	if got := n.Find(toldID).Total; got != maxDenials {
		t.Errorf("%d are remembered, want %d", got, maxDenials)
	}
}

func TestAllocNothingToRememberADenial(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, w := range pathways() {
		a, d := w.authorizer(t, 10), new(Decision)
		n := NewDenials(a)
		w.check(t, a, d)
		for range maxDenials {
			n.Record(w.request, d, 0)
		}
		if got := testing.AllocsPerRun(200, func() {
			w.check(t, a, d)
			n.Record(w.request, d, time.Microsecond)
		}); got != 0 {
			t.Errorf("%s: %g allocations, want 0", w.name, got)
		}
	}
}

// BenchmarkRemember is what remembering a decision costs, an allow among them.
func BenchmarkRemember(b *testing.B) {
	for _, w := range pathways() {
		b.Run(w.name, func(b *testing.B) {
			a, d := w.authorizer(b, 10), new(Decision)
			n := NewDenials(a)
			w.check(b, a, d)
			b.ReportAllocs()
			for b.Loop() {
				n.Record(w.request, d, 700*time.Nanosecond)
			}
		})
	}
}

// BenchmarkRememberAFlood is what it costs while all processors do it.
func BenchmarkRememberAFlood(b *testing.B) {
	w := pathways()[3]
	a, d := w.authorizer(b, 10), new(Decision)
	n := NewDenials(a)
	w.check(b, a, d)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n.Record(w.request, d, 700*time.Nanosecond)
		}
	})
}

func TestEveryReasonHasAMeaningOfItsOwn(t *testing.T) {
	t.Parallel()
	of := map[string]Reason{}
	for _, r := range Reasons() {
		m := r.Meaning()
		if other, taken := of[m]; taken || m == "" {
			t.Errorf("%s means %q, as does %s", r, m, other)
		}
		of[m] = r
	}
}
