package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// aDeclaredConsumer is a configuration with a consumer whose credentials are in the vault object
// of the state.
const aDeclaredConsumer = nothingButTheState + `
consumers:
  - {id: ce67c25e-2168-4a09-81e5-e06187a2384f, username: alice}
policies:
  - {name: default, default: true, vault: home}
`

// TestTheLastUseOnAnyReplicaIsToldByAll uses pairs through one of two replicas, whose Vault token
// has exactly the policies of deploy/vault, and asks the other one.
func TestTheLastUseOnAnyReplicaIsToldByAll(t *testing.T) {
	t.Parallel()
	onBothServers(t, func(t *testing.T, openBao bool) {
		t.Helper()
		s := newDeploymentWith(t, 0, setup{openBao: openBao, entities: aDeclaredConsumer})
		s.useShippedPolicies(t, "kv-v1", "manage-v1", "state")
		one, two := s.start(t, suite.service.Binary(t)), s.start(t, suite.service.Binary(t))
		create := func() pair {
			t.Helper()
			got := one.admin(t, http.StatusCreated, "POST", "/vault-auth/home/credentials/alice")
			p := pair{got.text("data.access_token"), got.text("data.secret_token")}
			suite.secrets.add(p.access)
			return p
		}
		lastUse := func(ctx context.Context, p pair) (c api.Credential, err error) {
			got, err := one.do(ctx, "GET", "/vault-auth/home/credentials/token/"+p.access)
			if err != nil {
				return c, err
			}
			var answer struct {
				Data api.Credential `json:"data"`
			}
			return answer.Data, json.Unmarshal([]byte(got.raw), &answer)
		}
		checkMinute := func(p pair, began time.Time) {
			t.Helper()
			c, err := lastUse(t.Context(), p)
			if err != nil || c.LastUsedAt == nil || *c.LastUsedAt%60 != 0 || *c.LastUsedAt < began.Unix()-60 || *c.LastUsedAt > time.Now().Unix() {
				t.Errorf("got %+v, %v, want the minute of a use after %s", c, err, began)
			}
		}

		began := time.Now()
		used, never, denied, late := create(), create(), create(), create()
		two.awaitAllowed(t, used)
		if a, err := two.ask(t.Context(), pair{denied.access, "another-secret"}); err != nil || a.Allowed {
			t.Errorf("a wrong secret: %+v, %v", a, err)
		}
		// Every replica saves once a minute.
		partstest.Await(t, 4*time.Minute, func(ctx context.Context) error {
			c, err := lastUse(ctx, used)
			if err == nil && c.LastUsedAt == nil {
				err = fmt.Errorf("%s does not know of the use on %s: %+v", one.name, two.name, c)
			}
			return err
		})
		checkMinute(used, began)
		for name, p := range map[string]pair{"never used": never, "with a wrong secret": denied} {
			if c, err := lastUse(t.Context(), p); err != nil || c.LastUsedAt != nil || c.UsesKnownSince == nil {
				t.Errorf("%s: %+v, %v, want no use since a time", name, c, err)
			}
		}
		// A stop saves what is not saved yet.
		began = time.Now()
		two.awaitAllowed(t, late)
		two.Stop(30 * time.Second)
		checkMinute(late, began)
		for _, r := range []*replica{one, two} {
			if log := r.Log(); strings.Contains(log, "last uses of credentials") {
				t.Errorf("%s has a problem with the last uses", r.name)
			}
		}
	})
}
