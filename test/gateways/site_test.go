package gateways

import (
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// The consumers of the shipped values. Only alice has the group of the policy orders.
const (
	aliceID = "ce67c25e-2168-4a09-81e5-e06187a2384f"
	bobID   = "3b1f6a5e-9a0c-4c83-9d8e-2f6f3a4d5b6c"
)

// A site is what a gateway has behind it: vault-authz with its store, and an upstream.
type site struct {
	// test is the one at whose end everything stops, also what is started in its parts.
	test *testing.T
	// vault is the address of the store, and token a file with a token for it.
	vault, token string
	upstream     *parts.Upstream
	config       parts.ServiceConfig
	service      *parts.Service
}

// startSite runs vault-authz with the configuration in shipped values of the chart, and an
// upstream.
func startSite(t *testing.T, values string) *site {
	t.Helper()
	s := newSite(t)
	s.config.Entities = configuration(t, partstest.With(t, partstest.Shipped(t, values),
		"https://vault.vault.svc:8200", s.vault,
		"login: {kubernetes: {role: vault-authz}}", "token: {file: "+s.token+"}",
	))
	s.run(t)
	// The endpoint is fixed: a restart takes the same address.
	s.config.GRPC = s.service.GRPC
	return s
}

// newSite runs a store with credentials, for a vault-authz that is still to be configured.
func newSite(t *testing.T) *site {
	t.Helper()
	store, err := parts.StartOpenBao(t.Context(), parts.VaultConfig{Binary: partstest.Binary(t, "BAO_BIN"), Dir: t.TempDir()})
	must(t, err)
	partstest.StopWith(t, store.Process)
	must(t, store.Mount(t.Context(), "kong-auth", parts.KVv2))
	for access, record := range records() {
		must(t, store.Put(t.Context(), "kong-auth", parts.KVv2, access, record))
	}
	token, err := store.ReaderToken(t.Context(), "kong-auth")
	must(t, err)
	file := filepath.Join(t.TempDir(), "vault-token")
	must(t, os.WriteFile(file, []byte(token), 0o600))
	return &site{test: t, vault: store.Address, token: file, config: parts.ServiceConfig{Binary: service.Binary(t), Dir: t.TempDir()}}
}

// run starts vault-authz and the upstream.
func (s *site) run(t *testing.T) {
	t.Helper()
	s.start(t)
	var err error
	s.upstream, err = parts.StartUpstream(t.Context(), "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = s.upstream.Close() })
}

// start starts vault-authz, also for a restart.
func (s *site) start(t *testing.T) {
	t.Helper()
	var err error
	s.service, err = parts.StartService(t.Context(), s.config)
	must(t, err)
	partstest.StopWith(s.test, s.service.Process)
}

// configuration returns the configuration in values of the chart.
func configuration(t *testing.T, values string) string {
	t.Helper()
	var in struct {
		Config yaml.Node `yaml:"config"`
	}
	must(t, yaml.Unmarshal([]byte(values), &in))
	out, err := yaml.Marshal(&in.Config)
	must(t, err)
	return string(out)
}

func secretOf(access string) string { return "secret-of-" + access }

// records are the credentials by their access tokens.
func records() map[string]map[string]any {
	of := func(access, consumer, field string, value any) map[string]any {
		record := parts.Record(access, secretOf(access), consumer)
		if field != "" {
			record[field] = value
		}
		return record
	}
	return map[string]map[string]any{
		"alice":    of("alice", aliceID, "", nil),
		"bob":      of("bob", bobID, "", nil),
		"disabled": of("disabled", aliceID, "disabled", true),
		"expired":  of("expired", aliceID, "expires_at", 1550538920),
		"stranger": of("stranger", "00000000-0000-4000-8000-000000000000", "", nil),
		// Those of the tutorials.
		"foo": parts.Record("foo", "supersecretvalue", aliceID),
		"bar": parts.Record("bar", "anothersecret", bobID),
	}
}
