package vaultkv_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// A server is a real Vault or OpenBao of this test's own.
type server struct {
	address, rootToken, unsealKey string

	t    *testing.T
	http *http.Client
	cmd  *exec.Cmd
}

// products are the real servers; both are skipped where they are not installed,
// unless REQUIRE_REAL_PARTS=1.
var products = []struct {
	name  string
	start func(*testing.T) *server
}{
	{"Vault", startVault},
	{"OpenBao", startBao},
}

func binary(t *testing.T, variable string) string {
	t.Helper()
	name := os.Getenv(variable)
	if name != "" {
		return name
	}
	if os.Getenv("REQUIRE_REAL_PARTS") == "1" {
		t.Fatalf("%s is not set, and REQUIRE_REAL_PARTS=1", variable)
	}
	t.Skipf("%s is not set: it names the server to test with (make test sets it)", variable)
	return ""
}

func startVault(t *testing.T) *server {
	t.Helper()
	return startVaultWith(t, nil)
}

// startTLSVault starts a Vault with a certificate of the authority.
func startTLSVault(t *testing.T, a *authority, pair func(serial int64, name string) (certFile, keyFile string)) *server {
	t.Helper()
	certFile, keyFile := pair(2, "vault.example")
	return startVaultWith(t, &tls.Config{RootCAs: a.pool()}, "-tls-cert", certFile, "-tls-key", keyFile)
}

func startVaultWith(t *testing.T, trust *tls.Config, args ...string) *server {
	t.Helper()
	name := binary(t, "VAULT_BIN")
	file := filepath.Join(t.TempDir(), "init.json")
	s := run(t, exec.Command(name, append([]string{"-listen", "127.0.0.1:0", "-init-file", file}, args...)...), nil)
	s.http.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust}
	var raw []byte
	wait(t, "Vault to write its init file", func() (err error) {
		raw, err = os.ReadFile(file)
		return err
	})
	var init struct {
		Address   string `json:"address"`
		RootToken string `json:"root_token"`
		UnsealKey string `json:"unseal_key"`
	}
	if err := json.Unmarshal(raw, &init); err != nil {
		t.Fatal(err)
	}
	s.address, s.rootToken, s.unsealKey = init.Address, init.RootToken, init.UnsealKey
	s.waitUntilUp()
	return s
}

func startBao(t *testing.T) *server {
	t.Helper()
	name := binary(t, "BAO_BIN")
	const root = "zzROOTzz-token"
	address := freeAddress(t)
	key := make(chan string, 1)
	unsealKey := regexp.MustCompile(`Unseal Key: (\S+)`)
	cmd := exec.Command(name, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+root, "-dev-listen-address="+address)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	s := run(t, cmd, func(line string) {
		if m := unsealKey.FindStringSubmatch(line); m != nil {
			key <- m[1]
		}
	})
	s.address, s.rootToken = "http://"+address, root
	select {
	case s.unsealKey = <-key:
	case <-time.After(time.Minute):
		t.Fatal("OpenBao did not print its unseal key")
	}
	s.waitUntilUp()
	return s
}

// freeAddress is for a server that cannot say which port it took.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func run(t *testing.T, cmd *exec.Cmd, line func(string)) *server {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(out); in.Scan(); {
			if line != nil {
				line(in.Text())
			}
		}
	}()
	s := &server{t: t, cmd: cmd, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}}
	t.Cleanup(func() {
		s.stop()
		<-read
		_ = cmd.Wait()
	})
	return s
}

// stop ends the server as a crash does.
func (s *server) stop() { _ = s.cmd.Process.Kill() }

func wait(t *testing.T, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

func (s *server) waitUntilUp() {
	s.t.Helper()
	wait(s.t, "the server to be unsealed", func() error {
		if status, _, err := s.try(http.MethodGet, "sys/health", nil); err != nil || status != 200 {
			return fmt.Errorf("status %d: %w", status, err)
		}
		return nil
	})
}

func (s *server) try(method, path string, body any) (int, map[string]any, error) {
	return s.send(method, path, body, http.Header{"X-Vault-Token": {s.rootToken}})
}

// tryAs asks with a token of its own.
func (s *server) tryAs(token, method, path string, body any) (int, map[string]any, error) {
	return s.send(method, path, body, http.Header{"X-Vault-Token": {token}})
}

// wrapped posts as root and returns the answer wrapped.
func (s *server) wrapped(path string) map[string]any {
	s.t.Helper()
	status, out, err := s.send(http.MethodPost, path, map[string]any{}, http.Header{"X-Vault-Token": {s.rootToken}, "X-Vault-Wrap-Ttl": {"60s"}})
	if err != nil || status >= 300 {
		s.t.Fatalf("wrapping %s = %d %v %v", path, status, out, err)
	}
	return out
}

func (s *server) send(method, path string, body any, header http.Header) (int, map[string]any, error) {
	var in []byte
	if body != nil {
		in, _ = json.Marshal(body)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.address+"/v1/"+path, bytes.NewReader(in))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	var out map[string]any
	_ = json.Unmarshal(raw, &out)
	return resp.StatusCode, out, err
}

// do asks the server something as root.
func (s *server) do(method, path string, body any) map[string]any {
	s.t.Helper()
	status, out, err := s.try(method, path, body)
	if err != nil || status >= 300 {
		s.t.Fatalf("%s %s = %d %v %v", method, path, status, out, err)
	}
	return out
}

// mount enables a KV engine.
func (s *server) mount(path, kv string) {
	s.t.Helper()
	s.do(http.MethodPost, "sys/mounts/"+path, map[string]any{"type": "kv", "options": map[string]string{"version": kv[1:]}})
	probe := path + "/ready"
	if kv == "v2" {
		probe = path + "/data/ready"
	}
	// A new v2 mount answers 400 while it sets itself up.
	wait(s.t, "mount "+path, func() error {
		if status, _, err := s.try(http.MethodGet, probe, nil); err != nil || status != 404 {
			return fmt.Errorf("status %d: %w", status, err)
		}
		return nil
	})
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
