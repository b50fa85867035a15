package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// curl runs curl, as the announcement does, and returns the status and the body.
func curl(ctx context.Context, args ...string) (int, []byte, error) {
	cmd := exec.CommandContext(ctx, "curl", append([]string{"--silent", "--show-error", "--max-time", "20", "--write-out", `\n%{http_code}`}, args...)...)
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return 0, nil, fmt.Errorf("curl: %w: %s", err, problem.String())
	}
	at := strings.LastIndexByte(string(out), '\n')
	status, err := strconv.Atoi(string(out[at+1:]))
	return status, out[:at], err
}

// adminCurl calls the admin API with curl and expects a status.
func adminCurl(t *testing.T, want int, args ...string) reply {
	t.Helper()
	status, raw, err := curl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReply(status, raw)
	if err != nil || status != want {
		t.Fatalf("curl %q: status = %d, want %d; %v, body %s", args, status, want, err, raw)
	}
	return r
}

// TestTheAnnouncementsFiveSteps runs the announcement of Kong's plugin as it is
// written there: plain curl to the admin API, and then to the gateway.
func TestTheAnnouncementsFiveSteps(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		partstest.Missing(t, "curl is not installed: %v", err)
	}
	for _, test := range []struct{ name, mount, kv string }{
		{"KV version 1", mountV1, parts.KVv1},
		{"KV version 2", mountV2, parts.KVv2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newDeployment(t, 1)
			s.withEnvoy(t)
			s.walkTheFiveSteps(t, test.mount, test.kv)
		})
	}
}

func (s *deployment) walkTheFiveSteps(t *testing.T, mount, kv string) {
	t.Helper()
	kong := "http://" + s.replicas[0].Admin

	// 1. Create a Vault Object. The field kv is ours: the announcement knows version 1
	// of the engine only.
	host, port, _ := strings.Cut(s.proxy.Address(), ":")
	token := s.managerToken(t)
	step := []string{
		"-X", "POST", kong + "/vaults",
		"--data", "name=kong-auth", "--data", "mount=" + mount,
		"--data", "protocol=http", "--data", "host=" + host, "--data", "port=" + port,
		"--data", "token=" + token,
	}
	if kv != parts.KVv1 {
		step = append(step, "--data", "kv="+kv)
	}
	vault := adminCurl(t, 201, step...)
	if vault.text("name") != "kong-auth" || strings.Contains(vault.raw, token) {
		t.Errorf("the vault object is %s, want its name and no token", vault.raw)
	}

	// 2. Create a Consumer.
	consumer := adminCurl(t, 201, "-X", "POST", kong+"/consumers/", "--data", "username=jane", "--data", "custom_id=jane-1")

	// 3. Create an Access/Secret Token Pair.
	made := s.makePair(t, consumer.text("id"))

	// 4. Integrating Vault objects with Vault-Auth plugins.
	s.denied(t, "before the plugin is created", made)
	plugin := adminCurl(t, 201, "-X", "POST", kong+"/plugins", "--data", "name=vault-auth", "--data", "config.vault.id="+vault.text("id"))
	if got := plugin.text("config.vault.id"); got != vault.text("id") {
		t.Errorf("config.vault.id = %q, want %q", got, vault.text("id"))
	}

	// 5. Using Vault credentials.
	s.checkUse(t, made, consumer.text("id"))
	s.denied(t, "a wrong secret", pair{made.access, unique("wrong")})

	t.Run("deleted", func(t *testing.T) {
		p := s.makePair(t, consumer.text("id"))
		s.checkUse(t, p, consumer.text("id"))
		if gone := adminCurl(t, 204, "-X", "DELETE", kong+"/vaults/kong-auth/credentials/token/"+p.access); gone.raw != "" {
			t.Errorf("204 with a body: %q", gone.raw)
		}
		s.denied(t, "at once after the deletion", p)
		adminCurl(t, 404, kong+"/vaults/kong-auth/credentials/token/"+p.access)
		s.checkUse(t, made, consumer.text("id"))
	})
	t.Run("made in Vault", func(t *testing.T) {
		p := pair{unique("foo"), unique("supersecretvalue")}
		must(t, s.vault.Put(t.Context(), mount, kv, p.access, map[string]any{
			"access_token": p.access, "secret_token": p.secret,
			"consumer": map[string]any{"id": consumer.text("id")}, "ttl": 86400,
		}))
		s.checkUse(t, p, consumer.text("id"))
		read := adminCurl(t, 200, kong+"/vaults/kong-auth/credentials/token/"+p.access)
		if strings.Contains(read.raw, p.secret) || read.text("data.consumer.id") != consumer.text("id") {
			t.Errorf("the credential is %s, want its consumer and no secret", read.raw)
		}
		adminCurl(t, 204, "-X", "DELETE", kong+"/vaults/kong-auth/credentials/token/"+p.access)
		s.denied(t, "at once after the deletion", p)
	})
	t.Run("with a ttl", func(t *testing.T) {
		p := s.makePair(t, consumer.text("id"), "--data", "ttl=1")
		s.checkUse(t, p, consumer.text("id"))
		changed := pair{p.access, unique("changed")}
		must(t, s.vault.Put(t.Context(), mount, kv, p.access, map[string]any{
			"access_token": p.access, "secret_token": changed.secret,
			"consumer": map[string]any{"id": consumer.text("id")}, "ttl": 1,
		}))
		partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
			if status, err := s.requestStatus(ctx, p); err != nil || status != http.StatusUnauthorized {
				return fmt.Errorf("the previous secret is answered with %d, %w, want 401", status, err)
			}
			return nil
		})
		s.checkUse(t, changed, consumer.text("id"))
	})
}

// ofTheAnnouncement matches tokens as the announcement shows them.
var ofTheAnnouncement = regexp.MustCompile(`^[A-Za-z0-9]{32}$`)

// makePair does the third step of the announcement.
func (s *deployment) makePair(t *testing.T, consumer string, data ...string) pair {
	t.Helper()
	made := adminCurl(t, 201, append([]string{"-X", "POST", "http://" + s.replicas[0].Admin + "/vaults/kong-auth/credentials/jane"}, data...)...)
	p := pair{made.text("data.access_token"), made.text("data.secret_token")}
	suite.secrets.add(p.access, p.secret)
	if !ofTheAnnouncement.MatchString(p.access) || !ofTheAnnouncement.MatchString(p.secret) || p.access == p.secret {
		t.Errorf("the tokens are %q and %q, want 32 letters and digits each", p.access, p.secret)
	}
	if got := made.text("data.consumer.id"); got != consumer {
		t.Errorf("consumer.id = %q, want %q", got, consumer)
	}
	return p
}

// checkUse does the fifth step of the announcement, with the query and with headers.
func (s *deployment) checkUse(t *testing.T, p pair, consumer string) {
	t.Helper()
	gateway := "http://" + s.envoy.Address(onClosed) + "/orders"
	for name, args := range map[string][]string{
		"query":  {gateway + "?" + p.query()},
		"header": {gateway, "-H", "access_token: " + p.access, "-H", "secret_token: " + p.secret},
	} {
		status, raw, err := curl(t.Context(), args...)
		if err != nil || status != http.StatusOK {
			t.Errorf("%s: status = %d, %v, want 200; body %s", name, status, err, raw)
			continue
		}
		if !strings.Contains(string(raw), consumer) || strings.Contains(string(raw), p.secret) {
			t.Errorf("%s: the upstream got %s, want the consumer %s and no secret", name, raw, consumer)
		}
	}
}

// denied expects a denial without any delay.
func (s *deployment) denied(t *testing.T, when string, p pair) {
	t.Helper()
	if status, err := s.requestStatus(t.Context(), p); err != nil || status == http.StatusOK {
		t.Errorf("%s: status = %d, %v, want a denial", when, status, err)
	}
}

// requestStatus sends a request with a pair and returns the status.
func (s *deployment) requestStatus(ctx context.Context, p pair) (int, error) {
	status, _, err := curl(ctx, "http://"+s.envoy.Address(onClosed)+"/orders", "-H", "access_token: "+p.access, "-H", "secret_token: "+p.secret)
	return status, err
}
