package admin

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func hashOf(token string) string {
	hash := sha256.Sum256([]byte(token))
	return hex.EncodeToString(hash[:])
}

func authenticating(c *Config, _ *Dependencies) {
	c.Tokens = []Token{{"olga", hashOf("first")}, {"ci", hashOf("second")}}
}

func TestTrap30OnlyKnownHostNamesAreServed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config, _ *Dependencies) { c.Hosts = append(c.Hosts, "admin.internal:9192") })
	for host, want := range map[string]int{
		"localhost": 200, "localhost:80": 200, "LOCALHOST:9192": 200, "localhost.:1": 200, "127.0.0.1:9192": 200, "[::1]:9192": 200, "[::1]": 200,
		"admin.internal:9192": 200, "admin.internal": 421, "admin.internal:80": 421,
		"evil.example.com": 421, "localhost.evil.example.com": 421, "127.0.0.1.evil.example.com:9192": 421, "127.0.0.2": 421, "::1": 421, "": 421, "localhost:": 421, "local host": 421,
	} {
		b.headers["Host"] = host
		if got := b.get("/consumers").status; got != want {
			t.Errorf("Host %q: got %d, want %d", host, got, want)
		}
	}
}

func TestTrap30AWebPageOfAnotherOriginCannotPostAForm(t *testing.T) {
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

func TestAClientCertificateIsDemandedWhereItIsConfigured(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config, _ *Dependencies) { c.CertFile, c.KeyFile, c.ClientCAFile = "c", "k", "ca" })
	b.must(401, b.get("/consumers"))

	r := httptest.NewRequest("DELETE", "https://localhost/plugins/none", nil)
	certificate := &x509.Certificate{Subject: pkix.Name{CommonName: "olga"}}
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
	if who, err := b.api.guard.admit(r); err == nil {
		t.Errorf("a certificate that was not verified: got %q, want an error", who)
	}
	r.TLS.VerifiedChains = [][]*x509.Certificate{{certificate}}
	if who, err := b.api.guard.admit(r); err != nil || who != "CN=olga" {
		t.Errorf("got %q, %v, want CN=olga", who, err)
	}
}

func TestGuessesAreLimitedUntilTimeHasPassed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, authenticating)
		b.headers["Authorization"] = "Bearer guess"
		for range failureBurst {
			b.must(401, b.get("/consumers"))
		}
		if a := b.must(429, b.get("/consumers")); a.header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		b.headers["Authorization"] = "Bearer first"
		b.must(429, b.get("/consumers"))
		time.Sleep(failureInterval)
		b.must(200, b.get("/consumers"))
	})
}

func TestSuccessesAreNotLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t, authenticating)
	b.headers["Authorization"] = "Bearer first"
	for range 10 * failureBurst {
		b.must(200, b.get("/openapi.yaml"))
	}
}

func TestFailuresFromManyAddressesStayBounded(t *testing.T) {
	t.Parallel()
	var f failures
	now := time.Now()
	for i := range 2 * maxFailing {
		l := f.of("10.0."+string(rune('0'+i%10))+".1:1", now)
		l.AllowN(now, 1)
		f.of("[2001:db8:"+hex.EncodeToString([]byte{byte(i >> 8), byte(i)})+"::1]:1", now).AllowN(now, 1)
	}
	if got := len(f.by); got > maxFailing {
		t.Errorf("got %d addresses, want at most %d", got, maxFailing)
	}
	if f.of("[2001:db8:1::1]:1", now) != f.of("[2001:db8:1::2]:9", now) {
		t.Error("two addresses of one /64 are counted apart")
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
	token := []Token{{"olga", hashOf("t")}}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"the defaults", func(*Config) {}, nil},
		{"loopback, IPv6", func(c *Config) { c.Address = "[::1]:1" }, nil},
		{"a socket", func(c *Config) { c.Address = "unix:/run/x" }, nil},
		{"trap 30: all addresses", func(c *Config) { c.Address = ":9192" }, []string{"give a certificate", "anybody could make credentials"}},
		{"trap 30: TLS alone", func(c *Config) { c.Address, c.CertFile, c.KeyFile = "10.0.0.1:1", "c", "k" }, []string{"anybody could make credentials"}},
		{"trap 30: tokens alone", func(c *Config) { c.Address, c.Tokens = "10.0.0.1:1", token }, []string{"give a certificate"}},
		{"TLS and tokens", func(c *Config) { c.Address, c.CertFile, c.KeyFile, c.Tokens = "10.0.0.1:1", "c", "k", token }, nil},
		{"TLS and client certificates", func(c *Config) { c.Address, c.CertFile, c.KeyFile, c.ClientCAFile = "0.0.0.0:1", "c", "k", "ca" }, nil},
		{"client certificates without TLS", func(c *Config) { c.ClientCAFile = "ca" }, []string{"client_ca_file"}},
		{"a key without a certificate", func(c *Config) { c.KeyFile = "k" }, []string{"tls: give both"}},
		{"the token itself for its hash is not repeated", func(c *Config) { c.Tokens = []Token{{"olga", "my-token"}} }, []string{"sha256: must be"}},
		{"one token twice", func(c *Config) { c.Tokens = []Token{token[0], {"x", strings.ToUpper(hashOf("t"))}} }, []string{"given twice"}},
		{"no name", func(c *Config) { c.Tokens = []Token{{"", hashOf("t")}} }, []string{"name: must be set"}},
		{"hosts", func(c *Config) { c.Hosts = []string{"http://x", "::1", "a:b:c"} }, []string{`"http://x"`, `"::1"`, `"a:b:c"`}},
		{"no hosts", func(c *Config) { c.Hosts = nil }, []string{"hosts: give"}},
		{"all at once", func(c *Config) { *c = Config{} }, []string{"address", "hosts", "max_body_bytes", "timeout", "max_length"}},
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
	c.Tokens = []Token{{"olga", hashOf("t")}}
	if got := c.InsecureSettings(); len(got) != 0 {
		t.Errorf("got %q, want none", got)
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
