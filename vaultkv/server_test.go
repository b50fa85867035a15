package vaultkv_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A server is a real Vault or OpenBao of this test's own.
type server struct {
	*parts.Vault

	t *testing.T
}

// eachServer runs a test on a Vault and on an OpenBao, both at the same time.
func eachServer(t *testing.T, test func(t *testing.T, srv *server)) {
	t.Helper()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		test(t, &server{v, t})
	})
}

// startTLSVault starts a Vault with a certificate of the authority.
func startTLSVault(t *testing.T, a *authority, pair func(serial int64, name string) (certFile, keyFile string)) *server {
	t.Helper()
	certFile, keyFile := pair(2, "vault.example")
	v, err := parts.StartVault(t.Context(), parts.VaultConfig{
		Binary: partstest.Binary(t, "VAULT_BIN"), Dir: t.TempDir(), CertFile: certFile, KeyFile: keyFile, Authorities: a.pool(),
	})
	if err != nil {
		t.Fatal(err)
	}
	partstest.StopWith(t, v.Process)
	return &server{v, t}
}

// freeAddress is for a server that cannot say which port it took.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := parts.Address(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// run runs a program until the end of the test.
func run(t *testing.T, c parts.Command) *parts.Process {
	t.Helper()
	p, err := parts.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	partstest.StopWith(t, p)
	return p
}

func wait(t *testing.T, what string, try func() error) {
	t.Helper()
	partstest.Await(t, time.Minute, func(context.Context) error {
		if err := try(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// status returns the status of the answer to a call with a token.
func (s *server) status(token, method, path string, body any) int {
	s.t.Helper()
	as := s.VaultAPI
	as.RootToken = token
	err := as.Do(s.t.Context(), method, path, body, nil)
	var refused *parts.StatusError
	switch {
	case errors.As(err, &refused):
		return refused.Status
	case err != nil:
		s.t.Fatal(err)
	}
	return http.StatusOK
}

// do asks the server something as root.
func (s *server) do(method, path string, body any) (answer map[string]any) {
	s.t.Helper()
	if err := s.Do(s.t.Context(), method, path, body, &answer); err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// wrapped makes a POST call as root, and returns the wrapping token of the answer.
func (s *server) wrapped(path string) string {
	s.t.Helper()
	var answer struct {
		Info struct{ Token string } `json:"wrap_info"`
	}
	if err := s.Wrapped(s.t.Context(), path, &answer); err != nil {
		s.t.Fatal(err)
	}
	return answer.Info.Token
}

// mount enables a KV engine. Unlike [parts.VaultAPI.Mount], it leaves no entry there.
func (s *server) mount(path, kv string) {
	s.t.Helper()
	s.do(http.MethodPost, "sys/mounts/"+path, map[string]any{"type": "kv", "options": map[string]string{"version": kv[1:]}})
	probe := path + "/ready"
	if kv == "v2" {
		probe = path + "/data/ready"
	}
	// A new v2 mount answers 400 while it sets itself up.
	wait(s.t, "mount "+path, func() error {
		if status := s.status(s.RootToken, http.MethodGet, probe, nil); status != 404 {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
}

// mountOne makes the mount one, of version 1, with a record that the policy least may read.
func (s *server) mountOne() {
	s.t.Helper()
	s.mount("one", "v1")
	s.do(http.MethodPost, "one/"+accessToken, json.RawMessage(recordWith()))
	s.do(http.MethodPut, "sys/policies/acl/least", map[string]string{"policy": leastPolicy})
}

// token makes a token under a policy, and returns it with its accessor.
func (s *server) token(policy string) (token, accessor string) {
	s.t.Helper()
	name := fmt.Sprintf("p%d", time.Now().UnixNano())
	s.do(http.MethodPut, "sys/policies/acl/"+name, map[string]string{"policy": policy})
	out := s.do(http.MethodPost, "auth/token/create", map[string]any{"policies": []string{name}, "ttl": "1h"})
	auth, ok := out["auth"].(map[string]any)
	if !ok {
		s.t.Fatalf("creating a token: %v", out)
	}
	return auth["client_token"].(string), auth["accessor"].(string) //nolint:forcetypeassert // a test may panic
}
