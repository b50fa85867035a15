package gateways

import (
	"testing"

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

// newSite runs a store with credentials, for a vault-authz that is still to be configured.
func newSite(t *testing.T) *site {
	t.Helper()
	store := partstest.StartOpenBao(t)
	must(t, store.Mount(t.Context(), "kong-auth", parts.KVv2))
	for access, record := range records() {
		must(t, store.Put(t.Context(), "kong-auth", parts.KVv2, access, record))
	}
	token, err := store.ReaderToken(t.Context(), "kong-auth")
	must(t, err)
	return &site{test: t, vault: store.Address, token: partstest.TokenFile(t, token), config: parts.ServiceConfig{Binary: service.Binary(t), Dir: t.TempDir()}}
}

// run starts vault-authz with the configuration of a ConfigMap of the chart, and an upstream.
// They listen on two addresses.
func (s *site) run(t *testing.T, configuration, address, upstream string) {
	t.Helper()
	// The pod would have a token of its service account for Vault; the tests of that login are
	// in test/kubernetes.
	s.config.Config = partstest.With(t, configuration, "https://vault.vault.svc:8200", s.vault,
		"login:\n    kubernetes:\n      role: vault-authz", "token:\n    file: "+s.token)
	s.config.Env = []string{
		"VAULT_AUTHZ_LISTEN_GRPC=" + address, "VAULT_AUTHZ_LISTEN_PROBES=127.0.0.1:0", "VAULT_AUTHZ_DRAIN_WAIT=0s", "VAULT_AUTHZ_LOG_ALLOW_SAMPLE=1",
	}
	s.start(t)
	s.upstream = partstest.StartUpstream(t, upstream)
}

// start starts vault-authz, also for a restart.
func (s *site) start(t *testing.T) {
	t.Helper()
	var err error
	s.service, err = parts.StartService(t.Context(), s.config)
	must(t, err)
	partstest.StopWith(s.test, s.service.Process)
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
