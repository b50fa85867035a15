package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const denialConsumers = `
consumers:
  - {id: ` + aliceID + `, username: alice, groups: [staff]}
  - {id: ` + bobID + `, username: bob}
`

// documentedDenials is the example of docs/how-to/customise-denials.md, for a host of the test and
// the vault object of the state.
func documentedDenials(t *testing.T, host string) string {
	t.Helper()
	found := regexp.MustCompile("(?ms)^```yaml\n(policies:\n.*?)^```$").FindStringSubmatch(readText(t, "../../docs/how-to/customise-denials.md"))
	if found == nil {
		t.Fatal("docs/how-to/customise-denials.md has no example of a policy")
	}
	return strings.NewReplacer("orders.example.com", host, "vault: kong-auth", "vault: home").Replace(found[1])
}

// A wanted is what a client should get. ID stands for the request id.
type wanted struct {
	status            int
	contentType, body string
}

var anyID = regexp.MustCompile(`[0-9a-f]{32}`)

// TestADenialIsAnsweredAsItsPolicySays sends requests of each class through Envoy to the policy of
// the documentation, and then changes it: in the file, and another one through the admin API.
func TestADenialIsAnsweredAsItsPolicySays(t *testing.T) {
	t.Parallel()
	onBothServers(t, func(t *testing.T, openBao bool) {
		t.Helper()
		host := parts.PolicyHost("orders")
		s := newDeploymentWith(t, 1, setup{openBao: openBao, entities: nothingButTheState + denialConsumers + documentedDenials(t, host)})
		s.withEnvoy(t)
		alice, bob := s.credential(t, aliceID, nil), s.credential(t, bobID, nil)
		if a := s.send(t, onClosed, protocols()[0], request{policy: "orders", target: "/", header: alice.headers()}); a.status != http.StatusOK {
			t.Fatalf("alice is denied: %d %s", a.status, a.body)
		}
		t.Run("each class in each form", func(t *testing.T) { s.testDocumentedDenials(t, pair{alice.access, unique("wrong")}, bob) })
		t.Run("to gRPC clients", func(t *testing.T) { s.testDenialsOfGRPC(t, bob) })
		t.Run("changed in the file", func(t *testing.T) { s.testDenialsInTheFile(t) })
		t.Run("changed through the admin API", func(t *testing.T) { s.testDenialsThroughTheAPI(t, bob) })

		must(t, s.proxy.Close())
		s.testOutage(t)
	})
}

// wants sends a request over HTTP/1.1 and HTTP/2.
func (s *deployment) wants(t *testing.T, r request, want wanted) http.Header {
	t.Helper()
	var last http.Header
	r.target = cmp.Or(r.target, "/")
	for _, p := range protocols() {
		a := s.send(t, onClosed, p, r)
		last = a.header
		got := wanted{a.status, a.header.Get("content-type"), anyID.ReplaceAllString(a.body, "ID")}
		if got != want {
			t.Errorf("over %s: got %+v, want %+v", p.name, got, want)
		}
		if a.echo != nil {
			t.Errorf("over %s: the upstream got the request", p.name)
		}
	}
	return last
}

func accepting(mediaType string, header ...field) []field {
	return append([]field{{"accept", mediaType}}, header...)
}

func (s *deployment) testDocumentedDenials(t *testing.T, wrong, bob pair) {
	t.Helper()
	const challenge = `VaultAuth realm="orders", docs="https://developer.example.com/keys"`
	problem := func(title string, status int, detail string) string {
		return fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"detail":%q,"instance":"urn:request:ID"}`+"\n", title, status, detail)
	}
	const needsTokens, needsStaff = "This needs an access token and a secret token.", "Ask your administrator for the group staff."
	page := func(title, message string) string {
		return "<!doctype html>\n<title>" + title + "</title>\n<h1>" + title + "</h1>\n<p>" + message +
			"\n<p>See <a href=\"https://developer.example.com/keys\">our documentation</a>, or write to us with this number: ID\n"
	}
	const problemType, htmlType, xmlType, textType = "application/problem+json; charset=utf-8", "text/html; charset=utf-8", "application/xml; charset=utf-8", "text/plain; charset=utf-8"
	usualXML := func(message string) string {
		return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>" + message + "</message>\n  <requestid>ID</requestid>\n</error>\n"
	}
	for _, test := range []struct {
		name   string
		header []field
		want   wanted
	}{
		{"no tokens, JSON", accepting("application/json"), wanted{401, problemType, problem("Unauthorized", 401, needsTokens)}},
		{"no tokens, the type of the policy", accepting("application/problem+json, text/html;q=0.9"), wanted{401, problemType, problem("Unauthorized", 401, needsTokens)}},
		{"no tokens, a browser", accepting("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), wanted{401, htmlType, page("Unauthorized", needsTokens)}},
		{"no tokens, XML", accepting("application/xml"), wanted{401, xmlType, usualXML(needsTokens)}},
		{"no tokens, text", accepting("text/plain"), wanted{401, textType, needsTokens + "\nrequest_id: ID\n"}},
		{"a wrong secret", accepting("application/json", wrong.headers()...), wanted{401, problemType, problem("Unauthorized", 401, needsTokens)}},
		{"an unknown token", accepting("application/json", pair{unique("nobody"), "s"}.headers()...), wanted{401, problemType, problem("Unauthorized", 401, needsTokens)}},
		{"a group that is not allowed", accepting("application/json", bob.headers()...), wanted{403, problemType, problem("Forbidden", 403, needsStaff)}},
		{"a group that is not allowed, HTML", accepting("text/html", bob.headers()...), wanted{403, htmlType, page("Forbidden", needsStaff)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := s.wants(t, request{policy: "orders", target: "/orders?q=%3Cscript%3E", header: test.header}, test.want)
			wantChallenge := ""
			if test.want.status == http.StatusUnauthorized {
				wantChallenge = challenge
			}
			for name, want := range map[string]string{"www-authenticate": wantChallenge, "cache-control": "no-store", "x-content-type-options": "nosniff"} {
				if got := header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
	t.Run("HEAD has no body", func(t *testing.T) {
		t.Parallel()
		s.wants(t, request{method: http.MethodHead, policy: "orders", header: accepting("text/html")}, wanted{401, htmlType, ""})
	})
	t.Run("a request that no policy governs", func(t *testing.T) {
		t.Parallel()
		header := s.wants(t, request{host: "elsewhere.test"}, wanted{403, "application/json; charset=utf-8", "{\n  \"message\":\"Forbidden\",\n  \"request_id\":\"ID\"\n}"})
		if header.Get("cache-control") != "" {
			t.Errorf("got the headers of another policy: %v", header)
		}
	})
}

func (s *deployment) testDenialsOfGRPC(t *testing.T, bob pair) {
	t.Helper()
	s.wantsStatus(t, nil, codes.Unauthenticated, "This needs an access token and a secret token.")
	s.wantsStatus(t, bob.headers(), codes.PermissionDenied, "Ask your administrator for the group staff.")
}

func (s *deployment) wantsStatus(t *testing.T, header []field, code codes.Code, message string) {
	t.Helper()
	_, err := s.call(t.Context(), onClosed, "orders", header)
	if got := status.Convert(err); got.Code() != code || got.Message() != message {
		t.Errorf("got %v, want %s %q", err, code, message)
	}
}

// awaits waits for an answer to a request without tokens.
func (s *deployment) awaits(t *testing.T, policy string, status int, body string) {
	t.Helper()
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
		a, err := s.try(ctx, onClosed, protocols()[0], request{policy: policy, target: "/", header: accepting("text/plain")})
		if got := anyID.ReplaceAllString(a.body, "ID"); err == nil && (a.status != status || got != body) {
			err = fmt.Errorf("got %d %q, want %d %q", a.status, got, status, body)
		}
		return err
	})
}

// testDenialsInTheFile changes the file to what is right, and then to what is not.
func (s *deployment) testDenialsInTheFile(t *testing.T) {
	t.Helper()
	path := filepath.Join(s.dir, "1", "vault-authz.yaml")
	raw, err := os.ReadFile(path)
	must(t, err)
	write := func(old, replacement string) {
		t.Helper()
		if !strings.Contains(string(raw), old) {
			t.Fatalf("the file has no %q", old)
		}
		must(t, parts.ReplaceFile(path, []byte(strings.ReplaceAll(string(raw), old, replacement))))
	}
	write("a secret token.", "a secret token, says a reload.")
	s.awaits(t, "orders", 401, "This needs an access token and a secret token, says a reload.\nrequest_id: ID\n")
	write("{{message}}", "{{reason}}")
	partstest.Await(t, 20*time.Second, func(context.Context) error {
		if log := s.replicas[0].Log(); !strings.Contains(log, `there is no field`) {
			return fmt.Errorf("the log does not say what is wrong")
		}
		return nil
	})
	s.awaits(t, "orders", 401, "This needs an access token and a secret token, says a reload.\nrequest_id: ID\n")
	must(t, parts.ReplaceFile(path, raw))
	s.awaits(t, "orders", 401, "This needs an access token and a secret token.\nrequest_id: ID\n")
}

// testDenialsThroughTheAPI hides a policy, takes a template back, and tries one that is wrong.
func (s *deployment) testDenialsThroughTheAPI(t *testing.T, bob pair) {
	t.Helper()
	r := s.replicas[0]
	made := r.admin(t, http.StatusCreated, "POST", "/policies", "name=hidden", "hosts="+parts.PolicyHost("hidden"), "vault.name=home", "acl.allow=staff",
		"denial.unauthenticated.status=404", "denial.forbidden.status=404", "denial.body.text={{status}} {{title}}: {{message}}, {{request_id}}\n")
	if got := made.text("denial.body.text"); got != "{{status}} {{title}}: {{message}}, {{request_id}}\n" {
		t.Errorf("the answer has the template %q", got)
	}
	s.awaits(t, "hidden", 404, "404 Not Found: Not Found, ID\n")
	for _, header := range [][]field{nil, bob.headers()} {
		h := s.wants(t, request{policy: "hidden", header: accepting("text/plain", header...)}, wanted{404, "text/plain; charset=utf-8", "404 Not Found: Not Found, ID\n"})
		if got := h.Get("www-authenticate"); got != "" {
			t.Errorf("www-authenticate: %q tells that there is something", got)
		}
		_, err := s.call(t.Context(), onClosed, "hidden", header)
		if got := status.Convert(err); got.Code() != codes.Unimplemented || got.Message() != "Not Found" {
			t.Errorf("a gRPC client got %v", err)
		}
	}

	wrong := r.admin(t, http.StatusBadRequest, "PATCH", "/policies/hidden", "denial.body.json={\"why\":\"{{reason}}\"}")
	if !strings.Contains(wrong.raw, `there is no field`) || !strings.Contains(wrong.raw, "{{request_id}}") {
		t.Errorf("a wrong template: %s", wrong.raw)
	}
	r.admin(t, http.StatusBadRequest, "PATCH", "/policies/hidden", "denial.forbidden.status=200")
	s.awaits(t, "hidden", 404, "404 Not Found: Not Found, ID\n")

	r.admin(t, http.StatusOK, "PATCH", "/policies/hidden", "denial.body.text=")
	s.awaits(t, "hidden", 404, "Not Found\nrequest_id: ID\n")
	r.admin(t, http.StatusOK, "PATCH", "/policies/hidden", "denial=")
	s.awaits(t, "hidden", 401, "No access token and secret token found in request\nrequest_id: ID\n")
}

// testOutage asks for unknown tokens while Vault is away.
func (s *deployment) testOutage(t *testing.T) {
	t.Helper()
	unknown := pair{unique("nobody"), "s"}.headers()
	header := s.wants(t, request{policy: "orders", header: accepting("text/plain", unknown...)},
		wanted{503, "text/plain; charset=utf-8", "Please try again in a moment.\nrequest_id: ID\n"})
	if header.Get("retry-after") == "" || header.Get("cache-control") != "no-store" {
		t.Errorf("headers: %v", header)
	}
	s.wantsStatus(t, unknown, codes.Unavailable, "Please try again in a moment.")
}
