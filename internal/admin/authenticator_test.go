package admin

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/vault-authz/vault-authz/internal/admin/authn"
)

func hashOf(token string) string {
	hash := sha256.Sum256([]byte(token))
	return hex.EncodeToString(hash[:])
}

// What callers without a good token may cost, see the package authn.
const (
	failuresAtOnce = 20
	failureWait    = 10 * time.Second
	loggedAtOnce   = 10
)

// refusedFor is how many calls the counter has that were refused for a cause.
func (b *bench) refusedFor(cause string) float64 {
	b.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "vault_authz_admin_refused_calls_total" && m.GetLabel()[0].GetValue() == cause {
				return m.GetCounter().GetValue()
			}
		}
	}
	b.Fatalf("there is no counter of calls that were refused for the cause %q", cause)
	return 0
}

// forgetFailures makes the authenticator forget who has failed to authenticate.
func (b *bench) forgetFailures() {
	b.Helper()
	fresh, err := authn.New(b.api.cfg.Config, b.api.deps.Log, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	b.api.authenticator = fresh
}

func authenticating(c *Config, _ *Dependencies) {
	c.Tokens = []authn.Token{{Name: "olga", SHA256: hashOf("first"), Role: authn.RoleWrite}, {Name: "ci", SHA256: hashOf("second"), Role: authn.RoleWrite}, {Name: "eve", SHA256: hashOf("reads"), Role: authn.RoleRead}}
}

func TestOnlyKnownHostNamesAreServed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config, _ *Dependencies) { c.Hosts = append(c.Hosts, "admin.internal:9192", "kube.internal") })
	for host, want := range map[string]int{
		"localhost": 200, "localhost:80": 200, "LOCALHOST:9192": 200, "localhost.:1": 200, "127.0.0.1:9192": 200, "[::1]:9192": 200, "[::1]": 200,
		"admin.internal:9192": 200, "admin.internal": 421, "admin.internal:80": 421,
		"evil.example.com": 421, "localhost.evil.example.com": 421, "127.0.0.1.evil.example.com:9192": 421, "127.0.0.2": 421, "::1": 421, "": 421, "localhost:": 421, "local host": 421, "kube.internal": 200, "\u212aube.internal": 421, "kube.\u0130nternal": 421,
	} {
		b.headers["Host"] = host
		if got := b.get("/consumers").status; got != want {
			t.Errorf("Host %q: got %d, want %d", host, got, want)
		}
	}
}

func TestAWebPageOfAnotherOriginCannotPostAForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		headers map[string]string
		want    int
	}{
		{"curl", nil, 201},
		{"another origin", map[string]string{"Origin": "https://evil.example.com"}, 403},
		{"no origin to speak of", map[string]string{"Origin": "null"}, 403},
		{"what the browser says", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a page of another port", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"our own page", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:9192"}, 201},
	} {
		b := newBench(t)
		if tt.headers != nil {
			b.headers = tt.headers
		}
		a := b.form("POST", "/consumers", "username=x")
		if a.status != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, a.status, tt.want)
		}
		if cors := a.header.Get("Access-Control-Allow-Origin"); cors != "" {
			t.Errorf("%s: got CORS for %q, want none", tt.name, cors)
		}
	}
}

func TestBearerTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	for header, want := range map[string]int{
		"Bearer first": 200, "bearer second": 200, "Bearer  first ": 200,
		"": 401, "Bearer": 401, "Bearer ": 401, "Basic first": 401, "first": 401, "Bearer third": 401, "Bearer firs": 401, "Bearer " + hashOf("first"): 401,
	} {
		b.headers["Authorization"] = header
		a := b.get("/consumers")
		if a.status != want {
			t.Errorf("Authorization %q: got %d, want %d", header, a.status, want)
		}
		if challenge := a.header.Get("WWW-Authenticate"); (challenge != "") != (want == 401) {
			t.Errorf("Authorization %q: got the challenge %q", header, challenge)
		}
	}
}

func TestEverythingButTheAnswerIsBehindTheGuard(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	for _, path := range []string{"/", "/openapi.yaml", "/consumers", "/none", "//"} {
		if got := b.get(path).status; got != 401 {
			t.Errorf("GET %s without a token: got %d, want 401", path, got)
		}
	}
}

func TestEveryRouteIsBehindTheAuthenticator(t *testing.T) {
	t.Parallel()
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	for _, vaults := range []bool{true, false} {
		b := newBench(t, authenticating, func(c *Config, _ *Dependencies) { c.Vaults = vaults })
		for _, r := range b.api.routes() {
			reads := r.method == http.MethodGet
			for _, test := range []struct {
				caller  string
				headers map[string]string
				want    int
				skip    bool
			}{
				{"nobody", nil, 401, false},
				{"an unknown token", map[string]string{"Kong-Admin-Token": "none"}, 401, false},
				{"two callers", map[string]string{"Kong-Admin-Token": "first", "Authorization": "Bearer second"}, 401, false},
				{"another host", map[string]string{"Kong-Admin-Token": "first", "Host": "evil.example.com"}, 421, false},
				{"a token that reads", map[string]string{"Kong-Admin-Token": "reads", "User-Agent": "decK/1.0"}, 403, reads},
				{"a web page", map[string]string{"Kong-Admin-Token": "first", "Sec-Fetch-Site": "cross-site"}, 403, false},
				{"a page of another port", map[string]string{"Kong-Admin-Token": "first", "Sec-Fetch-Site": "same-site"}, 403, false},
			} {
				if test.skip {
					continue
				}
				b.headers = test.headers
				for _, prefix := range []string{"", "/" + workspace} {
					target := prefix + parameter.ReplaceAllString(r.pattern, "x")
					b.forgetFailures()
					if got := b.json(r.method, target, `{"username":"x"}`).status; got != test.want {
						t.Errorf("%s: %s %s: got %d, want %d", test.caller, r.method, target, got, test.want)
					}
				}
			}
		}
		if n := b.audit.Len(); n > 0 {
			t.Errorf("%d changes were made", n)
		}
	}
}

// A certificate that TLS has verified, as the authenticator sees it.
func presenting(dnsNames []string, uris ...string) *tls.ConnectionState {
	certificate := &x509.Certificate{Raw: []byte("raw"), Subject: pkix.Name{CommonName: "ops.example.com"}, DNSNames: dnsNames}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		certificate.URIs = append(certificate.URIs, u)
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}, VerifiedChains: [][]*x509.Certificate{{certificate}}}
}

func byCertificate(names ...authn.ClientName) option {
	return func(c *Config, _ *Dependencies) {
		c.CertFile, c.KeyFile, c.ClientCAFile, c.ClientNames = "c", "k", "ca", names
	}
}

func TestACertificateOpensTheAPIByItsAlternativeNamesAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, byCertificate(
		authn.ClientName{Name: "ops.example.com", Role: authn.RoleWrite}, authn.ClientName{Name: "audit.example.com", Role: authn.RoleRead},
		authn.ClientName{Name: "spiffe://example.org/*", Role: authn.RoleRead}, authn.ClientName{Name: "spiffe://example.org/ops", Role: authn.RoleWrite},
	))
	unverified := presenting([]string{"ops.example.com"})
	unverified.VerifiedChains = nil
	for _, tt := range []struct {
		name        string
		state       *tls.ConnectionState
		read, write int
		who         string
	}{
		{"no TLS", nil, 401, 401, ""},
		{"no certificate", &tls.ConnectionState{}, 401, 401, ""},
		{"one that was not verified", unverified, 401, 401, ""},
		{"its common name", presenting(nil), 403, 403, ""},
		{"a name that is not listed", presenting([]string{"www.example.com"}, "spiffe://example.com/ops"), 403, 403, ""},
		{"a listed name", presenting([]string{"ops.example.com"}), 200, 201, "ops.example.com"},
		{"a listed name that reads", presenting([]string{"audit.example.com"}), 200, 403, "audit.example.com"},
		{"two listed names, one of which reads", presenting([]string{"ops.example.com", "audit.example.com"}), 200, 403, "audit.example.com"},
		{"the same, in the other order", presenting([]string{"audit.example.com", "ops.example.com"}), 200, 403, "audit.example.com"},
		{"a trust domain that reads", presenting(nil, "spiffe://example.org/x"), 200, 403, "spiffe://example.org/x"},
		{"an id of the trust domain that writes", presenting(nil, "spiffe://example.org/ops"), 200, 201, "spiffe://example.org/ops"},
	} {
		for method, want := range map[string]int{"GET": tt.read, "POST": tt.write} {
			r := httptest.NewRequest(method, "https://localhost/consumers", strings.NewReader("custom_id="+url.QueryEscape(tt.name)))
			r.Header.Set("Content-Type", typeForm)
			if method == "GET" {
				r.Body = http.NoBody
			}
			r.TLS = tt.state
			w := httptest.NewRecorder()
			b.api.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s, %s: got %d, want %d: %s", tt.name, method, w.Code, want, w.Body)
			}
			if c, err := b.api.authenticator.Admit(r); err == nil && (c.Name != tt.who || c.By != "certificate") {
				t.Errorf("%s, %s: got %+v, want %q by certificate", tt.name, method, c, tt.who)
			}
		}
	}
}

func TestOfATokenAndACertificateTheWeakerRoleCounts(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating, byCertificate(authn.ClientName{Name: "ops.example.com", Role: authn.RoleWrite}, authn.ClientName{Name: "audit.example.com", Role: authn.RoleRead}))
	for _, tt := range []struct {
		dns, token  string
		read, write int
		who         string
	}{
		{"ops.example.com", "first", 200, 201, "olga (ops.example.com)"},
		{"ops.example.com", "reads", 200, 403, "eve (ops.example.com)"},
		{"audit.example.com", "first", 200, 403, "olga (audit.example.com)"},
		{"audit.example.com", "reads", 200, 403, "eve (audit.example.com)"},
		{"ops.example.com", "guess", 401, 401, ""},
		{"ops.example.com", "", 401, 401, ""},
		{"www.example.com", "first", 403, 403, ""},
	} {
		for method, want := range map[string]int{"GET": tt.read, "POST": tt.write} {
			r := httptest.NewRequest(method, "https://localhost/consumers", strings.NewReader("username="+tt.dns+tt.token))
			r.Header.Set("Content-Type", typeForm)
			if tt.token != "" {
				r.Header.Set("Authorization", "Bearer "+tt.token)
			}
			r.TLS = presenting([]string{tt.dns})
			w := httptest.NewRecorder()
			b.api.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s with %q, %s: got %d, want %d: %s", tt.dns, tt.token, method, w.Code, want, w.Body)
			}
			if c, err := b.api.authenticator.Admit(r); err == nil && (c.Name != tt.who || c.By != "token and certificate") {
				t.Errorf("%s with %q: got %+v, want %q by both", tt.dns, tt.token, c, tt.who)
			}
		}
	}
}

// Whatever a route is called by, and whatever a header says of the method.
func TestAReaderChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	b.headers["Authorization"] = "Bearer first"
	b.must(201, b.form("POST", "/vault-auth", vaultForm))
	b.must(201, b.form("POST", "/consumers", "username=alice"))
	b.must(201, b.form("POST", credentials+"/alice", "access_token=foo&secret_token=bar"))
	before, audited := mustJSON(t, b.store.all()), b.audit.Len()
	b.headers["Authorization"] = "Bearer reads"
	for _, header := range []string{"", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"} {
		for _, route := range b.api.routes() {
			path := strings.NewReplacer("{vault}", "kong-auth", "{id}", "alice", "{access_token}", "foo", "{consumer}", "alice", "{plugin}", "p", "{acl}", "a").Replace(route.pattern)
			for _, at := range []string{path, path + "/", "/default" + path, strings.ToUpper(path), path + "?_method=DELETE"} {
				for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get", "QUERY"} {
					delete(b.headers, header)
					if header != "" {
						b.headers[header] = "DELETE"
					}
					a := b.do(method, at, typeForm, "username=eve&name=eve")
					safe := method == "GET" || method == "HEAD" || method == "OPTIONS"
					if !safe && (a.status != 403 || !strings.Contains(a.raw, `"message":"eve, you do not have permissions to `)) {
						t.Fatalf("%s %s: got %d %s, want 403 and Kong's words", method, at, a.status, a.raw)
					}
					if safe && (a.status == 403 || a.status == 401) {
						t.Fatalf("%s %s: got %d, want a reader to be let in", method, at, a.status)
					}
				}
			}
			if route.changes == (route.method == "GET") {
				t.Errorf("%s %s: changes = %t, and the method decides what a reader may call", route.method, route.pattern, route.changes)
			}
		}
		delete(b.headers, header)
		b.headers["Authorization"] = "Bearer reads"
	}
	if after := mustJSON(t, b.store.all()); len(after) != len(before) || b.audit.Len() != audited {
		t.Errorf("a reader has changed something:\n%s\n%s", before, after)
	}
	b.must(200, b.get(credentials+"/token/foo"))
}

func TestATokenThatIsGoodGetsInWhateverOthersFail(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"192.0.2.1:1", "[2001:db8::1]:1", "@", ""} {
		b := newBench(t, authenticating)
		call := func(from, token string) int {
			r := httptest.NewRequest("GET", "http://localhost/consumers", nil)
			r.RemoteAddr = from
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			b.api.ServeHTTP(w, r)
			return w.Code
		}
		for range 10 * failuresAtOnce {
			call(from, "guess")
		}
		for i := range 4096 {
			call(fmt.Sprintf("198.51.%d.%d:1", i>>8, i&255), "guess")
		}
		if got := call(from, "guess"); got != 429 {
			t.Errorf("from %q: a failure after many: got %d, want 429", from, got)
		}
		for _, at := range []string{from, "203.0.113.9:1"} {
			for range 3 {
				if got := call(at, "first"); got != 200 {
					t.Errorf("from %q: a good token after many failures: got %d, want 200", at, got)
				}
			}
		}
	}
}

func TestFailuresAreSlowedUntilTimeHasPassed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, authenticating)
		b.headers["Authorization"] = "Bearer guess"
		for range failuresAtOnce {
			b.must(401, b.get("/consumers"))
		}
		if a := b.must(429, b.get("/consumers")); a.header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		time.Sleep(failureWait)
		b.must(401, b.get("/consumers"))
		b.must(429, b.get("/consumers"))
	})
}

func TestThePageMayAskWhetherItNeedsAToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	refused := func() float64 { return b.refusedFor("token") }
	call := func(headers map[string]string) int {
		b.headers = headers
		return b.get("/overview").status
	}
	for range 2 * failuresAtOnce {
		if got := call(map[string]string{"Sec-Fetch-Site": "same-origin"}); got != 401 {
			t.Fatalf("without a token: got %d, want 401", got)
		}
	}
	if n := refused(); n != 0 {
		t.Errorf("%v of them count as failures", n)
	}
	for range failuresAtOnce {
		call(map[string]string{"Sec-Fetch-Site": "same-origin", "Authorization": "Bearer guess"})
	}
	if got := call(map[string]string{"Sec-Fetch-Site": "same-origin", "Authorization": "Bearer guess"}); got != 429 {
		t.Errorf("a token that is guessed through the page: got %d, want 429", got)
	}
	if n := refused(); n != failuresAtOnce+1 {
		t.Errorf("%v refused calls are counted, want %d", n, failuresAtOnce+1)
	}
}

func TestWhatIsRefusedIsCountedAndLoggedAtABoundedRateWithoutTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, authenticating)
		const calls = 100
		b.headers["Authorization"] = "Bearer s3cret-guess"
		for range calls {
			b.get(credentials + "/token/access-token")
		}
		lines := b.log.FilterMessage("admin call refused").All()
		if len(lines) != loggedAtOnce {
			t.Errorf("got %d lines, want %d", len(lines), loggedAtOnce)
		}
		time.Sleep(time.Second)
		b.headers["Authorization"] = "Bearer reads"
		b.must(403, b.do("DELETE", credentials+"/token/access-token", "", ""))
		b.headers["Host"] = "evil.example.com"
		b.must(421, b.get("/consumers"))
		delete(b.headers, "Host")
		b.headers["Origin"] = "https://evil.example.com"
		b.must(403, b.form("POST", "/consumers", "username=x"))
		last := b.log.FilterMessage("admin call refused").All()[loggedAtOnce].ContextMap()
		for name, want := range map[string]any{
			"cause": "role", "from": "192.0.2.1:1234", "method": "DELETE", "who": "eve", "authenticated_by": "token", "suppressed": uint64(calls - loggedAtOnce),
		} {
			if last[name] != want {
				t.Errorf("the line has %s=%v, want %v: %v", name, last[name], want, last)
			}
		}
		for _, line := range b.log.All() {
			if raw := mustJSON(t, line.ContextMap()); strings.Contains(raw, "s3cret") || strings.Contains(raw, "access-token") {
				t.Errorf("a line has what was sent: %s", raw)
			}
		}
		for cause, want := range map[string]float64{"token": calls, "role": 1, "host": 1, "origin": 1, "tls": 0, "certificate": 0} {
			if got := b.refusedFor(cause); got != want {
				t.Errorf("%s: counted %v, want %v", cause, got, want)
			}
		}
		if n, err := testutil.GatherAndCount(b.registry, "vault_authz_admin_refused_calls_total"); err != nil || n != 6 {
			t.Errorf("got %d series, %v, want one of each cause", n, err)
		}
	})
}

// What net/http says of a connection is all that there is to know of it.
func TestHandshakesThatFailAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, text := range []string{
		"http: TLS handshake error from [2001:db8::1]:50: tls: client didn't provide a certificate\n",
		"http: TLS handshake error from 192.0.2.1:50: EOF\n",
		"http: Accept error: too many open files; retrying in 5ms\n",
	} {
		if n, err := b.api.Server().ErrorLog.Writer().Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	lines := b.log.All()
	if len(lines) != 2 || lines[0].ContextMap()["from"] != "[2001:db8::1]:50" || lines[0].ContextMap()["problem"] != "tls: client didn't provide a certificate" || lines[0].ContextMap()["cause"] != "tls" {
		t.Errorf("got %v, want a line for the certificate and one for the error", lines)
	}
	if got := b.refusedFor("tls"); got != 1 {
		t.Errorf("counted %v, want 1", got)
	}
}

func TestSuccessesAreNotLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	b.headers["Authorization"] = "Bearer first"
	for range 10 * failuresAtOnce {
		b.must(200, b.get("/openapi.yaml"))
	}
}

func TestEveryAnswerForbidsSniffingAndKeeping(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	for _, a := range []answer{b.get("/consumers"), b.get("/none"), b.get("/openapi.yaml"), b.do("DELETE", "/consumers/bob", "", ""), b.do("DELETE", "/acls", "", "")} {
		if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("status %d: got the headers %v", a.status, a.header)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	token := []authn.Token{{Name: "olga", SHA256: hashOf("t"), Role: authn.RoleWrite}}
	names := []authn.ClientName{{Name: "ops.example.com", Role: authn.RoleWrite}}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"the defaults", func(*Config) {}, nil},
		{"loopback, IPv6", func(c *Config) { c.Address = "[::1]:1" }, nil},
		{"a socket", func(c *Config) { c.Address = "unix:/run/x" }, nil},
		{"all addresses", func(c *Config) { c.Address = ":9192" }, []string{"give a certificate", "anybody could make credentials"}},
		{"TLS alone", func(c *Config) { c.Address, c.CertFile, c.KeyFile = "10.0.0.1:1", "c", "k" }, []string{"anybody could make credentials"}},
		{"tokens alone", func(c *Config) { c.Address, c.Tokens = "10.0.0.1:1", token }, []string{"give a certificate"}},
		{"TLS and tokens", func(c *Config) { c.Address, c.CertFile, c.KeyFile, c.Tokens = "10.0.0.1:1", "c", "k", token }, nil},
		{"TLS and client certificates", func(c *Config) {
			c.Address, c.CertFile, c.KeyFile, c.ClientCAFile, c.ClientNames = "0.0.0.0:1", "c", "k", "ca", names
		}, nil},
		{"client certificates without TLS", func(c *Config) { c.ClientCAFile = "ca" }, []string{"client_ca_file"}},
		{"a key without a certificate", func(c *Config) { c.KeyFile = "k" }, []string{"key_file: goes together"}},
		{"the token itself for its hash is not repeated", func(c *Config) { c.Tokens = []authn.Token{{Name: "olga", SHA256: "my-token", Role: authn.RoleWrite}} }, []string{"sha256: must be"}},
		{"one token twice", func(c *Config) {
			c.Tokens = []authn.Token{token[0], {Name: "x", SHA256: strings.ToUpper(hashOf("t")), Role: authn.RoleWrite}}
		}, []string{"given twice"}},
		{"no name", func(c *Config) { c.Tokens = []authn.Token{{Name: "", SHA256: hashOf("t"), Role: authn.RoleWrite}} }, []string{"name: must be set"}},
		{"a token that may do nothing", func(c *Config) { c.Tokens = []authn.Token{{Name: "x", SHA256: hashOf("t")}} }, []string{`tokens[0] "x": role: "" is neither`}},
		{"client certificates without names", func(c *Config) { c.CertFile, c.KeyFile, c.ClientCAFile = "c", "k", "ca" }, []string{"client_names: say which", `[{name: "*"}] stands for every certificate`}},
		{"names without client certificates", func(c *Config) { c.ClientNames = names }, []string{"client_names: these are names in client certificates"}},
		{"names and roles that are none", func(c *Config) {
			c.CertFile, c.KeyFile, c.ClientCAFile = "c", "k", "ca"
			c.ClientNames = []authn.ClientName{{Name: "*.example.com", Role: "admin"}, {Name: "ops.example.com", Role: authn.RoleRead}, {Name: "OPS.example.com", Role: authn.RoleWrite}}
		}, []string{"client_names[0]: name:", `client_names[0] "*.example.com": role: "admin" is neither read nor write`, "given twice"}},
		{"hosts", func(c *Config) { c.Hosts = []string{"http://x", "::1", "a:b:c"} }, []string{`"http://x"`, `"::1"`, `"a:b:c"`}},
		{"no hosts", func(c *Config) { c.Hosts = nil }, []string{"hosts: give"}},
		{"all at once", func(c *Config) { *c = Config{} }, []string{"listen", "hosts", "max_body_bytes", "timeout", "max_length"}},
	} {
		c := DefaultConfig()
		tt.change(&c)
		err := c.Validate()
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%s: got %v", tt.name, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want it to have %q", tt.name, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), "my-token") {
			t.Errorf("%s: the error repeats the token: %v", tt.name, err)
		}
	}
}

func TestAnOpenListenerIsWorthAWarning(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	if got := c.InsecureSettings(); len(got) != 1 {
		t.Errorf("got %q, want one warning", got)
	}
	c.Tokens = []authn.Token{{Name: "olga", SHA256: hashOf("t"), Role: authn.RoleWrite}}
	if got := c.InsecureSettings(); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
	c.Tokens, c.ClientCAFile, c.ClientNames = nil, "ca", []authn.ClientName{{Name: "*", Role: authn.RoleWrite}}
	if got := c.InsecureSettings(); len(got) != 1 || !strings.Contains(got[0], "every certificate") {
		t.Errorf("any certificate: got %q, want one warning", got)
	}
}

func TestNewWantsEverythingItNeeds(t *testing.T) {
	t.Parallel()
	if _, err := New(DefaultConfig(), Dependencies{}); err == nil {
		t.Error("New without dependencies: got no error")
	}
	b := newBench(t)
	if _, err := New(Config{}, b.api.deps); err == nil {
		t.Error("New with the zero Config: got no error")
	}
	if s := b.api.Server(); slices.Contains([]time.Duration{s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout}, 0) {
		t.Errorf("the server has no bound on something: %+v", s)
	}
}

func TestATokenIsTakenFromKongsHeaderToo(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	for _, tt := range []struct {
		name    string
		headers map[string]string
		want    int
	}{
		{"Kong's header", map[string]string{"Kong-Admin-Token": "first"}, 200},
		{"its role", map[string]string{"Kong-Admin-Token": "reads"}, 200},
		{"a wrong one", map[string]string{"Kong-Admin-Token": "guess"}, 401},
		{"an empty one", map[string]string{"Kong-Admin-Token": ""}, 401},
		{"with a scheme", map[string]string{"Kong-Admin-Token": "Bearer first"}, 401},
		{"both headers with one token", map[string]string{"Kong-Admin-Token": "first", "Authorization": "Bearer first"}, 401},
		{"both headers with two tokens", map[string]string{"Kong-Admin-Token": "guess", "Authorization": "Bearer first"}, 401},
		{"beside another scheme", map[string]string{"Kong-Admin-Token": "first", "Authorization": "Basic Og=="}, 401},
	} {
		clear(b.headers)
		maps.Copy(b.headers, tt.headers)
		if a := b.get("/consumers"); a.status != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, a.status, tt.want)
		}
	}
	clear(b.headers)
	b.headers["Kong-Admin-Token"] = "reads"
	b.must(403, b.form("POST", "/consumers", "username=x"))
	twice := httptest.NewRequest("GET", "http://localhost/consumers", nil)
	twice.Header["Kong-Admin-Token"] = []string{"first", "first"}
	if c, err := b.api.authenticator.Admit(twice); err == nil {
		t.Errorf("a header that is there twice: got %+v, want a refusal", c)
	}
}
