package browser

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/test/parts"
)

const (
	mountKV    = "kong-auth"
	mountState = "vault-authz"
	// vaultName is the vault object of all sites.
	vaultName = "main"
	listener  = "gateway"
	// defaultHost is governed by the policy default, partnersHost by the policy partners,
	// which lets in the group partners only.
	defaultHost  = "api.example.test"
	partnersHost = "partners.example.test"
)

// A siteConfig configures a site.
type siteConfig struct {
	server server
	// open means that the admin API needs no token.
	open bool
}

// A server is where credentials and the state are kept.
type server struct {
	name, variable string
	start          func(context.Context, parts.VaultConfig) (*parts.Vault, error)
}

func onOpenBao() siteConfig {
	return siteConfig{server: server{"OpenBao", "BAO_BIN", parts.StartOpenBao}}
}

func onVault() siteConfig { return siteConfig{server: server{"Vault", "VAULT_BIN", parts.StartVault}} }

// A site is a vault-authz with its page, a Vault, an Envoy and an upstream. A proxy is
// between vault-authz and Vault.
type site struct {
	vault    *parts.Vault
	proxy    *parts.Proxy
	service  *parts.Service
	envoy    *parts.Envoy
	upstream *parts.Upstream
	// writer and reader are admin tokens with these roles.
	writer, reader string
	// operator calls the admin API with the role write.
	operator  *api.Client
	processes []*parts.Process
}

// startSite starts everything. What it returns must be closed, also with an error.
func startSite(ctx context.Context, dir string, c siteConfig) (*site, error) {
	s := &site{writer: "writer-" + rand.Text(), reader: "reader-" + rand.Text()}
	for _, step := range []func(context.Context, string, siteConfig) error{s.startVault, s.startService, s.startGateway, s.createPolicies} {
		if err := step(ctx, dir, c); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *site) startVault(ctx context.Context, dir string, c siteConfig) (err error) {
	if s.vault, err = c.server.start(ctx, parts.VaultConfig{Binary: os.Getenv(c.server.variable), Dir: dir}); err != nil {
		return err
	}
	s.processes = append(s.processes, s.vault.Process)
	if err := errors.Join(s.vault.Mount(ctx, mountKV, parts.KVv1), s.vault.Mount(ctx, mountState, parts.KVv2)); err != nil {
		return err
	}
	// Left by Mount, and no credential.
	if err := s.vault.Delete(ctx, mountKV, parts.KVv1, "mount-check"); err != nil {
		return err
	}
	s.proxy, err = parts.NewProxy(ctx, strings.TrimPrefix(s.vault.Address, "http://"))
	return err
}

func (s *site) startService(ctx context.Context, dir string, c siteConfig) error {
	binary, err := suite.service.Build()
	if err != nil {
		return err
	}
	token, err := s.vault.ManagerToken(ctx, mountKV, mountState)
	if err != nil {
		return err
	}
	tokenFile := filepath.Join(dir, "vault-token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		return err
	}
	tokens := fmt.Sprintf("[{name: ops, sha256: %x}, {name: desk, sha256: %x, role: read}]", sha256.Sum256([]byte(s.writer)), sha256.Sum256([]byte(s.reader)))
	if c.open {
		tokens = "[]"
	}
	if s.service, err = parts.StartService(ctx, parts.ServiceConfig{Binary: binary, Dir: dir, Entities: fmt.Sprintf(`
state: {vault: %[1]s, mount: %[2]s, poll: 1s}
admin: {listen: "127.0.0.1:0", tokens: %[3]s}
vaults:
  - {name: %[1]s, address: "http://%[4]s", mount: %[5]s, token: {file: %[6]q}, timeout: 2s}
policies:
  - {name: default, default: true, vault: %[1]s}
`, vaultName, mountState, tokens, s.proxy.Address(), mountKV, tokenFile)}); err != nil {
		return err
	}
	s.processes = append(s.processes, s.service.Process)
	s.operator, err = api.NewClient("http://"+s.service.Admin, s.writer, &http.Client{Timeout: patience})
	return err
}

func (s *site) startGateway(ctx context.Context, dir string, _ siteConfig) (err error) {
	if s.upstream, err = parts.StartUpstream(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	if s.envoy, err = parts.StartEnvoy(ctx, parts.EnvoyConfig{
		Binary: os.Getenv("ENVOY_BIN"), Dir: dir, Upstream: s.upstream.Address(),
		Listeners: []parts.Listener{{Name: listener, Authz: s.service.GRPC, Timeout: 5 * time.Second}},
	}); err != nil {
		return err
	}
	s.processes = append(s.processes, s.envoy.Process)
	return nil
}

func (s *site) createPolicies(ctx context.Context, _ string, _ siteConfig) error {
	vault, err := s.operator.Vaults.Get(ctx, vaultName)
	if err != nil {
		return err
	}
	_, err = s.operator.Policies.Create(ctx, api.Policy{
		Name: "partners", Hosts: []string{partnersHost}, Paths: []string{"/orders"},
		Vault: &api.Ref{ID: vault.ID}, ACL: &api.PolicyACL{Allow: []string{"partners"}},
	})
	return err
}

// close stops everything, Envoy first, and prints the logs if something failed.
func (s *site) close(failed bool) {
	for i := len(s.processes) - 1; i >= 0; i-- {
		p := s.processes[i]
		p.Stop(10 * time.Second)
		if failed {
			fmt.Fprintf(os.Stderr, "---- %s\n%s\n", p.Name(), p.Log())
		}
	}
	if s.upstream != nil {
		_ = s.upstream.Close()
	}
	if s.proxy != nil {
		_ = s.proxy.Close()
	}
}

// url returns the address of a place on the page, such as #/overview.
func (s *site) url(place string) string { return "http://" + s.service.Admin + "/ui/" + place }

// consumer creates a consumer with a username of its own that begins with prefix.
func (s *site) consumer(t *testing.T, prefix string, groups ...string) api.Consumer {
	t.Helper()
	username, customID := prefix+"-"+rand.Text()[:8], "crm-"+rand.Text()[:8]
	made, err := s.operator.Consumers.Create(t.Context(), api.Consumer{Username: &username, CustomID: &customID})
	must(t, err)
	for _, g := range groups {
		_, err := s.operator.AddToGroup(t.Context(), made.ID, api.ACL{Group: g})
		must(t, err)
	}
	return made
}

// A pair is an access token with its secret token.
type pair struct{ access, secret string }

// credential creates a credential of a consumer.
func (s *site) credential(t *testing.T, c api.Consumer) pair {
	t.Helper()
	made, err := s.operator.CreateCredential(t.Context(), vaultName, c.ID, api.Credential{})
	must(t, err)
	return pair{made.AccessToken, made.SecretToken}
}

// send sends a request with a pair through Envoy.
func (s *site) send(ctx context.Context, host, path string, p pair) (parts.Response, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return parts.Send(ctx, client, s.envoy.Address(listener), parts.Request{
		Host: host, Target: path,
		Header: []parts.Field{{Name: "access-token", Value: p.access}, {Name: "secret-token", Value: p.secret}},
	})
}

// awaitStatus sends a request until its answer has a status, and returns that answer.
func (s *site) awaitStatus(t *testing.T, status int, host, path string, p pair) parts.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got parts.Response
	err := parts.Await(ctx, nil, func(ctx context.Context) (err error) {
		if got, err = s.send(ctx, host, path, p); err == nil && got.Status != status {
			err = fmt.Errorf("status %d, want %d; body %s", got.Status, status, got.Body)
		}
		return err
	})
	must(t, err)
	return got
}
