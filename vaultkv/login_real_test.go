package vaultkv_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

// leastPolicy is deploy/vault/kv-v1.hcl for the mount of these tests.
const leastPolicy = `
path "one/+" { capabilities = ["read"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }`

// A realLogin sets an auth method up on a real server, and returns a login that
// works and one that does not, with what the refusal has to say. mend makes the
// second one work.
type realLogin struct {
	name string
	// at is where the method is mounted, which is not where it is by default.
	at  string
	set func(t *testing.T, srv *server, at string) (good, bad login.Method, says string, mend func())
}

func (s *server) auth(method, at string) {
	s.t.Helper()
	s.do(http.MethodPost, "sys/auth/"+at, map[string]any{"type": method})
}

// tokenSettings are of every role.
func tokenSettings(more map[string]any) map[string]any {
	all := map[string]any{"token_policies": []string{"least"}, "token_ttl": "1h", "token_no_default_policy": true}
	for k, v := range more {
		all[k] = v
	}
	return all
}

func text(t *testing.T, answer map[string]any, path ...string) string {
	t.Helper()
	var at any = answer
	for _, key := range path {
		m, ok := at.(map[string]any)
		if !ok {
			t.Fatalf("no %v in %v", path, answer)
		}
		at = m[key]
	}
	s, ok := at.(string)
	if !ok {
		t.Fatalf("no text at %v in %v", path, answer)
	}
	return s
}

func realLogins() []realLogin {
	return []realLogin{
		{"approle", "team/approle", func(t *testing.T, srv *server, at string) (login.Method, login.Method, string, func()) {
			t.Helper()
			place := login.Mount{Path: at}
			srv.do(http.MethodPost, "auth/"+at+"/role/authz", tokenSettings(nil))
			roleID := text(t, srv.do(http.MethodGet, "auth/"+at+"/role/authz/role-id", nil), "data", "role_id")
			secretID := func() string {
				return text(t, srv.do(http.MethodPost, "auth/"+at+"/role/authz/secret-id", nil), "data", "secret_id")
			}
			dir := t.TempDir()
			writeFile(t, dir+"/good", secretID()+"\n")
			writeFile(t, dir+"/role", roleID+"\n")
			writeFile(t, dir+"/bad", "00000000-0000-0000-0000-000000000000")
			good := login.AppRole{Mount: place, RoleIDFile: dir + "/role", SecretIDFile: dir + "/good"}
			bad := login.AppRole{Mount: place, RoleID: roleID, SecretIDFile: dir + "/bad"}
			return good, bad, "put a new", func() { writeFile(t, dir+"/bad", secretID()) }
		}},
		{"userpass", "people", func(t *testing.T, srv *server, at string) (login.Method, login.Method, string, func()) {
			t.Helper()
			place := login.Mount{Path: at}
			srv.do(http.MethodPost, "auth/"+at+"/users/authz", tokenSettings(map[string]any{"password": "zzPASSWORDzz with ä"}))
			dir := t.TempDir()
			writeFile(t, dir+"/good", "zzPASSWORDzz with ä\n")
			writeFile(t, dir+"/bad", "zzPASSWORDzz")
			return login.Userpass{Mount: place, Username: "authz", PasswordFile: dir + "/good"},
				login.Userpass{Mount: place, Username: "authz", PasswordFile: dir + "/bad"}, "password_file",
				func() { writeFile(t, dir+"/bad", "zzPASSWORDzz with ä") }
		}},
		{"jwt", "ci", func(t *testing.T, srv *server, at string) (login.Method, login.Method, string, func()) {
			t.Helper()
			place := login.Mount{Path: at}
			issuer := newIssuer(t)
			srv.do(http.MethodPost, "auth/"+at+"/config", map[string]any{"jwks_url": issuer.URL + "/jwks", "bound_issuer": parts.IssuerName})
			srv.do(http.MethodPost, "auth/"+at+"/role/authz", tokenSettings(map[string]any{
				"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{parts.Audience}, "bound_subject": "authz",
			}))
			dir := t.TempDir()
			writeFile(t, dir+"/good", signed(t)(issuer.JWT("authz", parts.Audience)))
			writeFile(t, dir+"/bad", signed(t)(issuer.JWT("authz", "another")))
			return login.JWT{Mount: place, Role: "authz", TokenFile: dir + "/good"},
				login.JWT{Mount: place, Role: "authz", TokenFile: dir + "/bad"}, "bound_audiences",
				func() { writeFile(t, dir+"/bad", signed(t)(issuer.JWT("authz", parts.Audience))) }
		}},
		{"kubernetes", "k8s/east", func(t *testing.T, srv *server, at string) (login.Method, login.Method, string, func()) {
			t.Helper()
			place := login.Mount{Path: at}
			issuer := newIssuer(t)
			srv.do(http.MethodPost, "auth/"+at+"/config", map[string]any{
				"kubernetes_host": issuer.URL, "token_reviewer_jwt": signed(t)(issuer.ServiceAccount("gateway", "reviewer")),
				"disable_local_ca_jwt": true, "kubernetes_ca_cert": newAuthority(t, "kubernetes").pem, // it is not used, but has to be there
			})
			srv.do(http.MethodPost, "auth/"+at+"/role/authz", tokenSettings(map[string]any{
				"bound_service_account_names": []string{"authz"}, "bound_service_account_namespaces": []string{"gateway"}, "audience": parts.Audience,
			}))
			dir := t.TempDir()
			writeFile(t, dir+"/good", signed(t)(issuer.ServiceAccount("gateway", "authz")))
			writeFile(t, dir+"/bad", signed(t)(issuer.ServiceAccount("gateway", "another")))
			return login.Kubernetes{Mount: place, Role: "authz", TokenFile: dir + "/good"},
				login.Kubernetes{Mount: place, Role: "authz", TokenFile: dir + "/bad"}, "bound_service_account_names",
				func() { writeFile(t, dir+"/bad", signed(t)(issuer.ServiceAccount("gateway", "authz"))) }
		}},
	}
}

// TestLoginsOnRealServers: each login works with the least policy, is renewed,
// says what is wrong when it is refused, and is revoked at the end.
func TestLoginsOnRealServers(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		srv.mountOne()
		for _, l := range realLogins() {
			t.Run(l.name, func(t *testing.T) {
				srv.auth(l.name, l.at)
				good, bad, says, mend := l.set(t, srv, l.at)
				realLoginWorks(t, srv, good, nil)
				realLoginIsMended(t, srv, bad, says, mend)
			})
		}
		t.Run("a method that is not there", func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			writeFile(t, file, "x")
			_, s, logs := open(t, srv.Address, logIn(login.AppRole{Mount: login.Mount{Path: "nowhere"}, RoleID: "x", SecretIDFile: file}))
			wantLookup(t, s, logs, authz.ErrUnavailable, "check that the auth method approle is enabled")
		})
		t.Run("a file that is not there", func(t *testing.T) {
			_, s, logs := open(t, srv.Address, logIn(login.AppRole{RoleID: "x", SecretIDFile: "/nowhere/secret"}))
			wantLookup(t, s, logs, authz.ErrUnavailable, "/nowhere/secret")
		})
	})
}

// TestWhatAPolicyLacksIsNamed: for each operation, with its own line.
func TestWhatAPolicyLacksIsNamed(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		token, _ := srv.token(`path "nothing" { capabilities = ["read"] }`)
		for _, kv := range []string{"v1", "v2"} {
			srv.mount("kv-"+kv, kv)
			v, _, _ := open(t, srv.Address, func(c *vaultkv.Config) { c.Token, c.Mount, c.KV, c.Timeout = token, "kv-"+kv, kv, 20*time.Second })
			data, metadata := "kv-"+kv+"/", "kv-"+kv+"/"
			if kv == "v2" {
				data, metadata = data+"data/", metadata+"metadata/"
			}
			_, _, read := v.Read(t.Context(), accessToken)
			tests := []struct {
				name, want, file string
				err              error
			}{
				{"read", `path "` + data + `+" { capabilities = ["read"] }`, "kv-" + kv + ".hcl", read},
				{"write", `path "` + data + `+" { capabilities = ["create", "update"] }`, "manage-" + kv + ".hcl", v.Write(t.Context(), accessToken, recordWith())},
				{"delete", `path "` + metadata + `+" { capabilities = ["delete"] }`, "manage-" + kv + ".hcl", v.Delete(t.Context(), accessToken)},
				{"list", `path "` + metadata + `" { capabilities = ["list"] }`, "kv-" + kv + ".hcl", v.EachKey(t.Context(), func(string) {})},
			}
			if kv == "v2" {
				// As in state.hcl: "+" for some of its paths would take away what "*" allows.
				state, err := v.WithMount("state", "kv-v2", vaultkv.KV2, zap.NewNop())
				if err != nil {
					t.Fatal(err)
				}
				for _, path := range []string{"changes", "records/consumers/x"} {
					_, _, err := state.WriteVersion(t.Context(), path, []byte(`{}`), 0)
					tests = append(tests, struct {
						name, want, file string
						err              error
					}{"write of the state, " + path, `path "` + data + `*" { capabilities = ["create", "update"] }`, "state.hcl", err})
				}
				_, versions := v.OldVersions(t.Context(), accessToken, 2)
				tests = append(tests, struct {
					name, want, file string
					err              error
				}{"versions", `path "` + metadata + `+" { capabilities = ["read"] }`, "destroy-v2.hcl", versions})
			}
			for _, tt := range tests {
				if want := tt.want + ", and what else of deploy/vault/" + tt.file; tt.err == nil || !strings.Contains(tt.err.Error(), want) {
					t.Errorf("%s on %s: %v, want it to say %s", tt.name, kv, tt.err, want)
				}
				wantNoTokens(t, tt.err, newLogs(), token)
			}
		}
	})
}

func newLogs() *observer.ObservedLogs {
	_, logs := newLog()
	return logs
}

func logIn(l login.Method) func(*vaultkv.Config) {
	return func(c *vaultkv.Config) { c.Token, c.Login, c.Mount, c.Timeout = "", l, "one", 20*time.Second }
}

func realLoginWorks(t *testing.T, srv *server, l login.Method, edit func(*vaultkv.Config)) {
	t.Helper()
	v, s, logs := open(t, srv.Address, func(c *vaultkv.Config) {
		logIn(l)(c)
		if edit != nil {
			edit(c)
		}
	})
	wantLookup(t, s, logs, nil, "")
	if err := v.CheckToken(t.Context()); err != nil {
		t.Errorf("CheckToken = %v, want no error", err)
	}
	life := v.TokenLife()
	if life.Method != l.Name() || !life.Known || life.Forever || life.Remaining < 50*time.Minute || life.Remaining > time.Hour || life.Logins != 1 {
		t.Errorf("TokenLife() = %+v, want one login by %s for an hour", life, l.Name())
	}
	token := v.Token()
	if status := srv.status(token, http.MethodGet, "auth/token/lookup-self", nil); status != 200 {
		t.Errorf("before the stop the token is answered %d", status)
	}
	runAndStop(t, v)
	if status := srv.status(token, http.MethodGet, "auth/token/lookup-self", nil); status != 403 {
		t.Errorf("after the stop the token is answered %d, want 403: it was to be revoked", status)
	}
	wantNoTokens(t, nil, logs, token, "zzPASSWORDzz")
}

func realLoginIsMended(t *testing.T, srv *server, l login.Method, says string, mend func()) {
	t.Helper()
	v, s, logs := open(t, srv.Address, logIn(l))
	wantLookup(t, s, logs, authz.ErrUnavailable, says)
	wantState(t, v, vaultkv.StateLoginRefused)
	// Real servers lock a role or user after five logins with a wrong secret.
	wait(t, "more attempts than a server allows", func() error {
		_, _ = s.Lookup(t.Context(), accessToken)
		if n := v.TokenLife().FailedLogins; n < 7 {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
	mend()
	wait(t, "the login with what was mended", func() error {
		_, err := s.Lookup(t.Context(), accessToken)
		return err
	})
	wantState(t, v, vaultkv.StateOK)
	runAndStop(t, v)
	wantNoTokens(t, nil, logs, "zzPASSWORDzz", "00000000-0000")
}

// TestWrappedSecretIDOnRealServers: a wrapping token is good for one use, ours.
func TestWrappedSecretIDOnRealServers(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		srv.mountOne()
		srv.auth("approle", "approle")
		srv.do(http.MethodPost, "auth/approle/role/authz", tokenSettings(nil))
		roleID := text(t, srv.do(http.MethodGet, "auth/approle/role/authz/role-id", nil), "data", "role_id")
		file := filepath.Join(t.TempDir(), "wrapping-token")
		login := logIn(login.AppRole{RoleID: roleID, SecretIDFile: file, Wrapped: true})

		writeFile(t, file, srv.wrapped("auth/approle/role/authz/secret-id"))
		v, s, logs := open(t, srv.Address, login)
		wantLookup(t, s, logs, nil, "")
		// The secret id is kept for the next login.
		srv.do(http.MethodPost, "auth/token/revoke", map[string]string{"token": v.Token()})
		wait(t, "a login with the secret id of before", func() error {
			_, err := s.Lookup(t.Context(), accessToken)
			return err
		})
		if got := v.TokenLife().Logins; got != 2 {
			t.Errorf("%d logins, want 2", got)
		}
		runAndStop(t, v)

		// As after a restart, or after a thief.
		v, s, logs = open(t, srv.Address, login)
		wantLookup(t, s, logs, authz.ErrUnavailable, "somebody else has the secret id")
		writeFile(t, file, srv.wrapped("auth/approle/role/authz/secret-id"))
		wait(t, "the login with another wrapping token", func() error {
			_, err := s.Lookup(t.Context(), accessToken)
			return err
		})
		runAndStop(t, v)

		// Something else, wrapped by whoever can write the file.
		writeFile(t, file, srv.wrapped("sys/wrapping/wrap"))
		v, s, logs = open(t, srv.Address, login)
		wantLookup(t, s, logs, authz.ErrUnavailable, "was not made by auth/approle/role/+/secret-id")
		runAndStop(t, v)
	})
}

// TestCertLoginOnRealServers: with the client certificate of the connection.
func TestCertLoginOnRealServers(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t, "authority")
	pair := func(serial int64, name string) (certFile, keyFile string) {
		_, certPEM, keyPEM := authority.sign(serial, func(c *x509.Certificate) { c.DNSNames = []string{name} })
		dir := t.TempDir()
		writeFile(t, dir+"/cert.pem", certPEM)
		writeFile(t, dir+"/key.pem", keyPEM)
		return dir + "/cert.pem", dir + "/key.pem"
	}
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, caFile, authority.pem)
	srv := startTLSVault(t, authority, pair)
	srv.mountOne()
	srv.auth("cert", "mtls")
	srv.do(http.MethodPost, "auth/mtls/certs/authz", tokenSettings(map[string]any{
		"certificate": authority.pem, "allowed_dns_sans": []string{"authz.example"},
	}))
	with := func(serial int64, name string) func(*vaultkv.Config) {
		certFile, keyFile := pair(serial, name)
		return func(c *vaultkv.Config) { c.CAFile, c.ClientCertFile, c.ClientKeyFile = caFile, certFile, keyFile }
	}
	for _, role := range []string{"authz", ""} {
		l := login.Cert{Mount: login.Mount{Path: "mtls"}, Role: role}
		realLoginWorks(t, srv, l, with(3, "authz.example"))
		_, s, logs := open(t, srv.Address, func(c *vaultkv.Config) {
			logIn(l)(c)
			with(4, "stranger.example")(c)
		})
		wantLookup(t, s, logs, authz.ErrUnavailable, "client certificate does not fit")
	}
}

// TestLoginOfAnotherNamespace: the credentials are in a namespace below that of
// the auth method. Only OpenBao has namespaces without a licence.
func TestLoginOfAnotherNamespace(t *testing.T) {
	t.Parallel()
	srv := &server{partstest.StartOpenBao(t), t}
	srv.do(http.MethodPost, "sys/namespaces/team", nil)
	srv.do(http.MethodPost, "team/sys/mounts/one", map[string]any{"type": "kv", "options": map[string]string{"version": "1"}})
	srv.do(http.MethodPost, "team/one/"+accessToken, json.RawMessage(recordWith()))
	srv.do(http.MethodPut, "sys/policies/acl/least", map[string]string{"policy": strings.Replace(leastPolicy, `"one/+"`, `"team/one/+"`, 1)})
	srv.auth("userpass", "userpass")
	srv.do(http.MethodPost, "auth/userpass/users/authz", tokenSettings(map[string]any{"password": "zzPASSWORDzz"}))
	file := filepath.Join(t.TempDir(), "password")
	writeFile(t, file, "zzPASSWORDzz")
	l := login.Userpass{Mount: login.Mount{Namespace: "root"}, Username: "authz", PasswordFile: file}
	realLoginWorks(t, srv, l, func(c *vaultkv.Config) { c.Namespace = "team" })
}

func newIssuer(t *testing.T) *parts.Issuer {
	t.Helper()
	i, err := parts.StartIssuer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

// signed is for what an issuer returns.
func signed(t *testing.T) func(token string, err error) string {
	t.Helper()
	return func(token string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
}

// TestRealTokensOfFiveSeconds: lookups every 50 ms while tokens last for 5
// seconds and can be renewed up to 12. 20 seconds, or as long as TOKEN_LIFE says.
func TestRealTokensOfFiveSeconds(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		srv.mountOne()
		srv.auth("approle", "approle")
		kinds := []struct {
			name  string
			role  map[string]any
			least uint64 // logins in 20 seconds
		}{
			{"renewed", map[string]any{"token_ttl": "5s"}, 1},
			{"max", map[string]any{"token_ttl": "5s", "token_max_ttl": "12s"}, 2},
			{"batch", map[string]any{"token_ttl": "5s", "token_type": "batch"}, 5},
		}
		// Not subtests: they would wait for each other where there are few cores.
		var living sync.WaitGroup
		for _, k := range kinds {
			srv.do(http.MethodPost, "auth/approle/role/"+k.name, tokenSettings(k.role))
			file := filepath.Join(t.TempDir(), "secret-id")
			writeFile(t, file, text(t, srv.do(http.MethodPost, "auth/approle/role/"+k.name+"/secret-id", nil), "data", "secret_id"))
			roleID := text(t, srv.do(http.MethodGet, "auth/approle/role/"+k.name+"/role-id", nil), "data", "role_id")
			v, s, logs := open(t, srv.Address, func(c *vaultkv.Config) {
				logIn(login.AppRole{RoleID: roleID, SecretIDFile: file})(c)
				c.Timeout = 4 * time.Second
			})
			living.Go(func() {
				stop := runVault(t, v)
				lookups, failed, slowest := lookAllTheTime(t, s)
				life := v.TokenLife()
				if failed > 0 || life.Logins < k.least || life.FailedLogins > 0 {
					t.Errorf("%s: %d of %d lookups failed; %+v, want none and at least %d logins", k.name, failed, lookups, life, k.least)
				}
				t.Logf("%s: %d lookups, slowest %s, %d logins, %d renewals, %d of them refused", k.name, lookups, slowest, life.Logins, life.Renewals+life.FailedRenewals, life.FailedRenewals)
				stop()
				wantNoTokens(t, nil, logs)
			})
		}
		living.Wait()
	})
}

func lookAllTheTime(t *testing.T, s *record.Source) (lookups, failed int, slowest time.Duration) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(tokenLifeSpan(t)); time.Now().Before(end); <-tick.C {
		begin := time.Now()
		if _, err := s.Lookup(t.Context(), accessToken); err != nil {
			failed++
			t.Errorf("lookup %d: %v", lookups, err)
		}
		slowest = max(slowest, time.Since(begin))
		lookups++
	}
	return lookups, failed, slowest
}

// TestTokenOfAUserThatChanges: Vault refuses to renew a token when its user has got
// other policies, and has nothing to say of one that was removed.
func TestTokenOfAUserThatChanges(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, srv *server) {
		t.Helper()
		srv.mountOne()
		srv.auth("userpass", "userpass")
		user := func(name string, more map[string]any) {
			settings := tokenSettings(map[string]any{"password": "zzPASSWORDzz", "token_ttl": "5s"})
			maps.Copy(settings, more)
			srv.do(http.MethodPost, "auth/userpass/users/"+name, settings)
		}
		file := filepath.Join(t.TempDir(), "password")
		writeFile(t, file, "zzPASSWORDzz")
		otherPolicies := map[string]any{"token_policies": []string{"least", "more"}}

		user("changed", nil)
		v, s, logs := open(t, srv.Address, func(c *vaultkv.Config) {
			logIn(login.Userpass{Username: "changed", PasswordFile: file})(c)
			c.Timeout = 4 * time.Second
		})
		stop := runVault(t, v)
		wantLookup(t, s, logs, nil, "")
		user("changed", otherPolicies)
		_, failed, _ := lookAllTheTime(t, s)
		life := v.TokenLife()
		if failed > 0 || life.Logins < 2 || life.FailedRenewals != 1 || life.FailedLogins != 0 {
			t.Errorf("%d lookups failed, %+v, want none and a login after the one refusal", failed, life)
		}
		stop()

		for name, tt := range map[string]struct {
			change func(user string)
			says   string
		}{
			"given-changed": {func(name string) { user(name, otherPolicies) }, "(500): its role or user has got other policies; it ends at "},
			"given-removed": {func(name string) { srv.do(http.MethodDelete, "auth/userpass/users/"+name, nil) }, "(204): its role or user was removed; it ends at "},
		} {
			user(name, nil)
			token := text(t, srv.do(http.MethodPost, "auth/userpass/login/"+name, map[string]string{"password": "zzPASSWORDzz"}), "auth", "client_token")
			v, s, logs := open(t, srv.Address, func(c *vaultkv.Config) { c.Token, c.Mount = token, "one" })
			stop := runVault(t, v)
			wantLookup(t, s, logs, nil, "")
			tt.change(name)
			wait(t, "the word about the token", func() error {
				if life := v.TokenLife(); !strings.Contains(life.Trouble, tt.says) {
					return fmt.Errorf("%s: TokenLife() = %+v, want it to say %q", name, life, tt.says)
				}
				return nil
			})
			stop()
		}
	})
}

// tokenLifeSpan is 20 seconds, or what TOKEN_LIFE says, such as 10m.
func tokenLifeSpan(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("TOKEN_LIFE")
	if text == "" {
		return 20 * time.Second
	}
	span, err := time.ParseDuration(text)
	if err != nil {
		t.Errorf("TOKEN_LIFE: %v", err)
	}
	return span
}

// runVault lets a vault object work until stop.
func runVault(t *testing.T, v *vaultkv.Vault) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run = %v, want no error", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func runAndStop(t *testing.T, v *vaultkv.Vault) {
	t.Helper()
	runVault(t, v)()
}
