package app

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// serving is an admin API that is served as serve does it.
type serving struct {
	*replica
	address string
	log     *observer.ObservedLogs
	// audit is the file with the audit log.
	audit string
}

// audited are the lines of the audit log about changes by somebody.
func (s *serving) audited(t *testing.T, who string) (lines []map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(s.audit)
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(raw)) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["who"] == who {
			lines = append(lines, line)
		}
	}
	return lines
}

func serveAdminOf(t *testing.T, c *config.Config) *serving {
	t.Helper()
	if err := c.Admin.Validate(); err != nil {
		t.Fatal(err)
	}
	c.Log.Audit.Target = filepath.Join(t.TempDir(), "audit")
	core, log := observer.New(zapcore.DebugLevel)
	r := startReplicaLogging(t, newShared(), c, zap.New(core))
	ln, err := server.Listen(t.Context(), c.Admin.Address, server.DefaultSocket())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveAdmin(ctx, r.admin, r.tls.admin, c.Admin.Timeout, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &serving{r, server.Address(ln), log, c.Log.Audit.Target}
}

// refused is how many calls the metrics count as refused for a cause.
func (s *serving) refused(t *testing.T, cause string) string {
	t.Helper()
	rec := httptest.NewRecorder()
	s.metrics.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	_, after, _ := strings.Cut(rec.Body.String(), `vault_authz_admin_refused_calls_total{cause="`+cause+`"} `)
	n, _, _ := strings.Cut(after, "\n")
	return n
}

func TestOperatorsByClientCertificate(t *testing.T) {
	t.Parallel()
	ours, err := parts.NewAuthority("ours")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := parts.NewAuthority("theirs")
	if err != nil {
		t.Fatal(err)
	}
	f := partstest.NewPEMFiles(t)
	f.Put("ca.pem", ours.PEM)
	f.Issue(ours, "service", "127.0.0.1")
	c := DevConfig()
	c.Admin.Address, c.Admin.Listener = "127.0.0.1:0", f.Listener()
	c.Admin.ClientNames = []authn.ClientName{
		{Name: "ops.example.com", Role: authn.RoleWrite},
		{Name: "spiffe://example.org/ops", Role: authn.RoleWrite},
		{Name: "spiffe://example.org/*", Role: authn.RoleRead},
	}
	s := serveAdminOf(t, &c)
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	ofServer := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	commonName := func(c *x509.Certificate) { c.Subject.CommonName = "ops.example.com" }
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ours.PEM)
	for _, test := range []struct {
		name        string
		by          *parts.Authority
		edit        func(*x509.Certificate)
		names       []string
		read, write int // 0 for no handshake
		who, role   string
	}{
		{"a DNS name", ours, nil, []string{"ops.example.com"}, 200, 201, "ops.example.com", "write"},
		{"a SPIFFE id", ours, nil, []string{"spiffe://example.org/ops"}, 200, 201, "spiffe://example.org/ops", "write"},
		{"another of the trust domain", ours, nil, []string{"spiffe://example.org/dashboard"}, 200, 403, "spiffe://example.org/dashboard", "read"},
		{"another trust domain", ours, commonName, []string{"spiffe://example.com/ops"}, 403, 403, "", ""},
		{"the common name alone", ours, commonName, nil, 403, 403, "", ""},
		{"a DNS name of somebody else", ours, commonName, []string{"www.example.com"}, 403, 403, "", ""},
		{"another authority", theirs, nil, []string{"ops.example.com"}, 0, 0, "", ""},
		{"expired", ours, expired, []string{"ops.example.com"}, 0, 0, "", ""},
		{"the certificate of a server", ours, ofServer, []string{"ops.example.com"}, 0, 0, "", ""},
		{"none", nil, nil, nil, 0, 0, "", ""},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
			config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(2)}
			if test.by != nil {
				issued, err := test.by.Issue(test.edit, test.names...)
				if err != nil {
					t.Fatal(err)
				}
				pair, err := tls.X509KeyPair(issued.Certificate, issued.Key)
				if err != nil {
					t.Fatal(err)
				}
				// Shown whatever authorities the server asks for.
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &pair, nil
				}
			}
			transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: protocol == "HTTP/2.0"}
			t.Cleanup(transport.CloseIdleConnections)
			for i, method := range []string{"GET", "POST", "GET"} {
				want := []int{test.read, test.write, test.read}[i]
				form := url.Values{"custom_id": {test.name + protocol}}.Encode()
				req, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.address+"/consumers", strings.NewReader(form))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				resp, err := transport.RoundTrip(req)
				got := 0
				if err == nil {
					got = resp.StatusCode
					raw, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if resp.Proto != protocol || got == 403 && !strings.Contains(string(raw), `"message"`) {
						t.Errorf("%s, %s: got %s %s", test.name, method, resp.Proto, raw)
					}
				}
				if got != want {
					t.Errorf("%s, %s, %s: got %d, %v, want %d", test.name, protocol, method, got, err, want)
				}
				transport.CloseIdleConnections() // the next one may resume the session
			}
			line := s.audited(t, test.who)
			if test.role == "write" && (len(line) == 0 || line[0]["role"] != "write" || line[0]["authenticated_by"] != "certificate") {
				t.Errorf("%s: the audit log has %v", test.name, line)
			}
		}
	}
	for cause, want := range map[string]string{"tls": "24", "certificate": "18", "role": "2", "token": "0"} {
		partstest.Eventually(t, cause+" refusals are counted: "+want, func() bool { return s.refused(t, cause) == want })
	}
	if lines := s.log.FilterMessage("admin call refused").All(); len(lines) == 0 || len(lines) > 30 {
		t.Errorf("got %d lines about what was refused, want some", len(lines))
	}
}

func TestAnyCertificateOfTheAuthorityOperatesOnlyWhereTheFileSaysSo(t *testing.T) {
	t.Parallel()
	const head = `
vaults: [{name: kong-auth, address: "https://vault.example:8200", mount: kong-auth, token: {file: /run/token}}]
state: {vault: kong-auth}
admin: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem`
	if _, err := config.Parse([]byte(head+"}"), nil); err == nil || !strings.Contains(err.Error(), "admin.client_names: say which certificates of client_ca_file may call") {
		t.Errorf("got %v, want to be told what to write", err)
	}
	c, err := config.Parse([]byte(head+`, client_names: [{name: "*"}, {name: ops.example.com, role: read}], tokens: [{name: x, sha256: `+strings.Repeat("0", 64)+`, role: read}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []authn.ClientName{{Name: "*", Role: authn.RoleWrite}, {Name: "ops.example.com", Role: authn.RoleRead}}
	if len(c.Admin.ClientNames) != 2 || c.Admin.ClientNames[0] != want[0] || c.Admin.ClientNames[1] != want[1] || c.Admin.Tokens[0].Role != authn.RoleRead {
		t.Errorf("got %+v, %+v, want %+v", c.Admin.ClientNames, c.Admin.Tokens, want)
	}
	if _, err := config.Parse([]byte(head+`, client_names: [{name: "*", role: ""}]}`), nil); err == nil || !strings.Contains(err.Error(), "is neither read nor write") {
		t.Errorf("got %v, want a word about the role", err)
	}
}

func TestAGoodTokenGetsInThroughASocketThatOthersFloodWithBadOnes(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	c.Admin.Address = "unix:" + filepath.Join(t.TempDir(), "admin.sock")
	hash := sha256.Sum256([]byte("good"))
	c.Admin.Tokens = []authn.Token{{Name: "olga", SHA256: hex.EncodeToString(hash[:]), Role: authn.RoleWrite}}
	s := serveAdminOf(t, &c)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(s.address, "unix:"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	call := func(token string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/consumers", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	seen := map[int]int{}
	for range 300 {
		seen[call("bad")]++
		if got := call("good"); got != http.StatusOK {
			t.Fatalf("a good token after %v: got %d, want 200", seen, got)
		}
	}
	if seen[http.StatusUnauthorized] == 0 || seen[http.StatusTooManyRequests] == 0 {
		t.Errorf("got %v for bad tokens, want them slowed", seen)
	}
	if got := s.refused(t, "token"); got != "300" {
		t.Errorf("counted %s, want 300", got)
	}
}
