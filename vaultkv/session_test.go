package vaultkv

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

func TestErrorsOfASessionBecomeStates(t *testing.T) {
	t.Parallel()
	for reason, want := range map[login.Reason]State{
		login.Failed:      StateFailing,
		login.NoToken:     StateUnknown,
		login.NoAnswer:    StateUnreachable,
		login.Interrupted: StateUnreachable,
		login.Refused:     StateLoginRefused,
		login.Rejected:    StateTokenRejected,
		login.NotKept:     StateOK,
	} {
		got := problemOf(&login.Error{Reason: reason, Status: 400})
		if got.State != want || got.status != 400 || got.inconclusive != (reason == login.Interrupted) {
			t.Errorf("reason %d: %+v, want state %s", reason, got, want)
		}
	}
	ours := fail(StateSealed, 503, "sealed")
	if got := problemOf(ours); got != ours {
		t.Errorf("problemOf(%v) = %v, want the same", ours, got)
	}
	if got := problemOf(errors.New("secret")); got.State != StateFailing || strings.Contains(got.Error(), "secret") {
		t.Errorf("problemOf of a foreign error = %v, want failing without its text", got)
	}
}

// A login is part of the first read. What goes wrong with it is the state of the vault
// object, and so is an answer to it that is not about the login.
func TestReadLogsInAndTellsWhyItCannot(t *testing.T) {
	t.Parallel()
	const logIn = "/v1/auth/userpass/login/authz"
	for _, tt := range []struct {
		name   string
		status int
		body   string
		state  State
		text   string
	}{
		{"accepted", 200, `{"auth":{"client_token":"t","lease_duration":60,"renewable":true}}`, StateOK, ""},
		{"refused", 400, `{"errors":["invalid username or password"]}`, StateLoginRefused, "correct username or the content of password_file"},
		{"sealed", 503, `{"errors":["Vault is sealed"]}`, StateSealed, "unseal it"},
		{"not Vault", 200, `<html>`, StateFailing, "a page for people"},
		{"a proxy that refuses", 403, `blocked`, StateFailing, "does not answer like Vault"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == logIn:
					w.WriteHeader(tt.status)
					_, _ = io.WriteString(w, tt.body)
				case r.Header.Get("X-Vault-Token") == "t":
					_, _ = io.WriteString(w, `{"data":{"a":"b"}}`)
				default:
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"errors":["permission denied"]}`)
				}
			}))
			t.Cleanup(srv.Close)
			password := t.TempDir() + "/password"
			if err := os.WriteFile(password, []byte("p"), 0o600); err != nil {
				t.Fatal(err)
			}
			c := DefaultConfig()
			c.Name, c.Address, c.Mount, c.Login = "main", srv.URL, "kong-auth", login.Userpass{Username: "authz", PasswordFile: password}
			v, err := New(c, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(v.CloseIdle)
			_, found, err := v.Read(t.Context(), "key")
			if (err == nil) != (tt.text == "") || err == nil && !found || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Read = %t, %v, want an error with %q", found, err, tt.text)
			}
			if got := v.State(); got != tt.state {
				t.Errorf("State() = %s, want %s", got, tt.state)
			}
			if life := v.TokenLife(); life.Method != "userpass" || (life.Logins == 1) != (tt.state == StateOK) {
				t.Errorf("TokenLife() = %+v", life)
			}
		})
	}
}
