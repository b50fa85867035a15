package vaultkv_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
	"github.com/vault-authz/vault-authz/vaultkv"
)

func byAgent(c *vaultkv.Config) { c.Token, c.Agent = "", true }

// What an agent adds is its own to look up, renew and revoke.
func TestBehindAnAgentNoTokenIsSentAndNoneIsLookedAfter(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var paths []string
	address := fake(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
		if token, sent := r.Header["X-Vault-Token"]; sent {
			t.Errorf("%s %s: the token %q is sent", r.Method, r.URL.Path, token)
		}
		if r.Header.Get("X-Vault-Request") != "true" {
			t.Errorf("%s %s: X-Vault-Request is missing, which agents may ask for", r.Method, r.URL.Path)
		}
		answer(200, `{"data":`+string(recordWith())+`}`)(w, r)
	})
	v, s, logs := open(t, address, byAgent)
	wantLookup(t, s, logs, nil, "")
	v.Maintain(t.Context())
	runAndStop(t, v)
	if life := v.TokenLife(); life.Method != "agent" || life.Known || life.Logins != 0 || life.Trouble != "" {
		t.Errorf("TokenLife() = %+v, want nothing but that there is an agent", life)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, path := range paths {
		if strings.Contains(path, "/auth/") {
			t.Errorf("%s is asked for", path)
		}
	}
}

// Where it does, a vault object of the admin API with any token has the agent's rights.
func TestTheCheckNamesAnAgentThatPutsItsTokenInThePlaceOfOthers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		withAnother http.HandlerFunc
		mistake     string
	}{
		"the token of a request counts":                      {answer(403, `{"errors":["permission denied"]}`), ""},
		"it is replaced":                                     {answer(200, `{"data":{"ttl":3600}}`), `instead of "force"`},
		"it is replaced by one that must not look at itself": {answer(403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`), `instead of "force"`},
		"the server does not answer":                         {answer(503, `{"errors":["Vault is sealed"]}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, _, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Vault-Token") == "" {
					t.Errorf("%s is asked for without a token", r.URL.Path)
				}
				test.withAnother(w, r)
			}), byAgent)
			err := v.CheckToken(t.Context())
			if test.mistake == "" && err != nil || test.mistake != "" && (err == nil || !strings.Contains(err.Error(), test.mistake)) {
				t.Errorf("CheckToken = %v, want %q", err, test.mistake)
			}
		})
	}
}

func TestARefusalBehindAnAgentIsUnavailableAndNamesTheAgent(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]http.HandlerFunc{
		"permission denied": answer(403, `{"errors":["permission denied"]}`),
		"no token at all":   answer(400, `{"errors":["missing client token"]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, s, logs := open(t, fake(t, refusal), byAgent)
			wantLookup(t, s, logs, authz.ErrUnavailable, "the Vault token that the agent at http://")
			wantState(t, v, vaultkv.StateTokenRejected)
		})
	}
}

// TestAnAgentOnRealServers has the proxy of OpenBao add the token, in front of both
// products. Its token has what deploy/vault allows, and nothing else.
func TestAnAgentOnRealServers(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		agent := partstest.Binary(t, "BAO_BIN")
		srv.mount("one", "v1")
		srv.do(http.MethodPost, "one/"+accessToken, json.RawMessage(recordWith()))
		policy, err := os.ReadFile("../deploy/vault/kv-v1.hcl")
		if err != nil {
			t.Fatal(err)
		}
		token, _ := srv.token(strings.ReplaceAll(string(policy), "kong-auth/", "one/"))
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "token"), token)
		address := startAgent(t, agent, srv, dir, "true")
		v, s, logs := open(t, "http://"+address, func(c *vaultkv.Config) {
			byAgent(c)
			c.Mount, c.Timeout = "one", 20*time.Second
		})
		wait(t, "the proxy to have its token", func() error { return v.Check(t.Context()) })
		wantLookup(t, s, logs, nil, "")
		if err := v.EachKey(t.Context(), func(string) {}); err != nil {
			t.Errorf("EachKey = %v, want nil", err)
		}
		if err := v.CheckToken(t.Context()); err != nil {
			t.Errorf("CheckToken = %v, want nil", err)
		}
		madeUp := func(c *vaultkv.Config) { c.Token, c.Mount, c.Timeout = "made-up", "one", 20*time.Second }
		_, other, otherLogs := open(t, "http://"+address, madeUp)
		wantLookup(t, other, otherLogs, authz.ErrUnavailable, "the server does not accept the Vault token")

		forced := "http://" + startAgent(t, agent, srv, dir, `"force"`)
		w, _, _ := open(t, forced, func(c *vaultkv.Config) { byAgent(c); c.Mount, c.Timeout = "one", 20*time.Second })
		wait(t, "the proxy to have its token", func() error { return w.Check(t.Context()) })
		if err := w.CheckToken(t.Context()); err == nil || !strings.Contains(err.Error(), `instead of "force"`) {
			t.Errorf("CheckToken of an agent that replaces tokens = %v", err)
		}
		_, other, otherLogs = open(t, forced, madeUp)
		wantLookup(t, other, otherLogs, nil, "") // this is why

		runAndStop(t, v)
		if status := srv.status(token, http.MethodGet, "auth/token/lookup-self", nil); status != 200 {
			t.Errorf("after the stop the token of the agent is answered %d, want 200: it is not ours to revoke", status)
		}
		wantNoTokens(t, nil, logs, token)

		srv.do(http.MethodPost, "auth/token/revoke", map[string]string{"token": token})
		v, s, logs = open(t, "http://"+address, func(c *vaultkv.Config) {
			byAgent(c)
			c.Mount, c.Timeout = "one", 20*time.Second
		})
		wantLookup(t, s, logs, authz.ErrUnavailable, "the Vault token that the agent at")
		wantState(t, v, vaultkv.StateTokenRejected)
	})
}

// startAgent starts the proxy of OpenBao in front of a server, with the token in dir.
func startAgent(t *testing.T, binary string, srv *server, dir, use string) (address string) {
	t.Helper()
	address = freeAddress(t)
	config := filepath.Join(dir, address+".hcl")
	writeFile(t, config, `
vault { address = "`+srv.Address+`" }
auto_auth { method "token_file" { config = { token_file_path = "`+filepath.Join(dir, "token")+`" } } }
api_proxy { use_auto_auth_token = `+use+` }
listener "tcp" {
  address = "`+address+`"
  tls_disable = true
  require_request_header = true
}
`)
	run(t, parts.Command{Name: "the proxy of OpenBao", Path: binary, Args: []string{"proxy", "-config=" + config}, Env: append(os.Environ(), "HOME="+dir)})
	return address
}
