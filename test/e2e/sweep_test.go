package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const sweepEntities = `
vaults:
  - {name: v1, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}, timeout: 5s, cache: {ttl: 1h, sweep: 1s}}
  - {name: v2, address: VAULT, mount: kong-auth-v2, kv: v2, token: {file: TOKENFILE}, timeout: 5s, cache: {ttl: 1h, sweep: 1s}}
` + consumers + `
policies:
  - {name: v1, vault: v1}
  - {name: v2, vault: v2}
`

// TestADeletionInVaultHoldsAfterASweep deletes a cached credential, with a ttl of an hour,
// directly in Vault: it is denied after seconds with the policies of deploy/vault, and still
// allowed without their capability list.
func TestADeletionInVaultHoldsAfterASweep(t *testing.T) {
	t.Parallel()
	s := newDeployment(t, 0)
	var whole, blind []string
	for mount, file := range map[string]string{mountV1: "kv-v1.hcl", mountV2: "kv-v2.hcl"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "vault", file))
		must(t, err)
		policy := strings.ReplaceAll(string(raw), `"kong-auth/`, `"`+mount+`/`)
		whole = append(whole, policy)
		blind = append(blind, strings.ReplaceAll(policy, `["list"]`, `["deny"]`))
	}
	sees := s.startWithPolicies(t, "sees", whole...)
	sleeps := s.startWithPolicies(t, "sleeps", blind...)

	ctx := t.Context()
	tests := []struct {
		name, policy, mount, kv string
		remove                  func(key string) error
	}{
		{"vault delete", "v1", mountV1, parts.KVv1, func(key string) error { return s.vault.Delete(ctx, mountV1, parts.KVv1, key) }},
		{"vault kv metadata delete", "v2", mountV2, parts.KVv2, func(key string) error { return s.vault.Do(ctx, "DELETE", mountV2+"/metadata/"+key, nil, nil) }},
		{"vault kv delete", "v2", mountV2, parts.KVv2, func(key string) error { return s.vault.Delete(ctx, mountV2, parts.KVv2, key) }},
	}
	for _, test := range tests {
		p, spared := pair{unique("swept"), unique("secret")}, pair{unique("spared"), unique("secret")}
		for _, p := range []pair{p, spared} {
			must(t, s.vault.Put(ctx, test.mount, test.kv, p.access, map[string]any{
				"access_token": p.access, "secret_token": p.secret, "consumer": map[string]any{"id": aliceID}, "ttl": 3600,
			}))
			for _, r := range []*replica{sees, sleeps} {
				if a, err := r.askPolicy(ctx, test.policy, p); err != nil || !a.Allowed {
					t.Fatalf("%s: %s: before: %+v, %v, want it allowed", test.name, r.name, a, err)
				}
			}
		}
		must(t, test.remove(p.access))
		deleted := time.Now()
		partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
			a, err := sees.askPolicy(ctx, test.policy, p)
			if err == nil && a.Status != http.StatusUnauthorized {
				err = fmt.Errorf("answered %d, allowed %t", a.Status, a.Allowed)
			}
			return err
		})
		t.Logf("%s: denied %s after the deletion, with sweeps every second", test.name, time.Since(deleted).Round(10*time.Millisecond))
		if a, err := sees.askPolicy(ctx, test.policy, spared); err != nil || !a.Allowed {
			t.Errorf("%s: another credential: %+v, %v, want it allowed", test.name, a, err)
		}
		if a, err := sleeps.askPolicy(ctx, test.policy, p); err != nil || !a.Allowed {
			t.Errorf("%s: without the list: %+v, %v, want it allowed still", test.name, a, err)
		}
	}
	// The missing capability is logged once for each vault object.
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		if got := strings.Count(sleeps.Log(), "sweep failed"); got != 2 {
			return fmt.Errorf("%d lines about failed sweeps, want 2", got)
		}
		return nil
	})
	for _, path := range []string{mountV1 + "/", mountV2 + "/metadata/"} {
		if want := fmt.Sprintf(`path \"%s\" { capabilities = [\"list\"] }`, path); !strings.Contains(sleeps.Log(), want) {
			t.Errorf("the log does not name %s", want)
		}
	}
	if strings.Contains(sees.Log(), "sweep failed") || strings.Contains(sleeps.Log(), `"state":"forbidden"`) {
		t.Error("a permitted sweep failed, or a refused one changed the state")
	}
}

// startWithPolicies starts a service whose token has these policies.
func (s *deployment) startWithPolicies(t *testing.T, name string, policies ...string) *replica {
	t.Helper()
	ctx := t.Context()
	var names []string
	for i, policy := range policies {
		names = append(names, fmt.Sprintf("%s-%d", name, i))
		must(t, s.vault.Do(ctx, "PUT", "sys/policies/acl/"+names[i], map[string]any{"policy": policy}, nil))
	}
	token := tokenWith(t, s.vault, names, map[string]any{"no_default_policy": false})
	dir := filepath.Join(s.dir, name)
	file := filepath.Join(dir, "token")
	must(t, errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(file, []byte(token), 0o600)))
	service, err := parts.StartService(ctx, parts.ServiceConfig{
		Binary: suite.service.Binary(t), Dir: dir,
		Entities: strings.NewReplacer("VAULT", s.vault.Address, "TOKENFILE", file).Replace(sweepEntities),
	})
	must(t, err)
	return s.add(t, name, service)
}

// askPolicy asks for a decision by a policy.
func (r *replica) askPolicy(ctx context.Context, policy string, p pair) (envoy.Answer, error) {
	return envoy.Ask(ctx, r.conn, envoy.Question{
		Method: http.MethodGet, URL: "http://swept.test/", Policy: policy,
		Headers: []authz.Header{{Name: "access_token", Value: p.access}, {Name: "secret_token", Value: p.secret}},
	})
}
