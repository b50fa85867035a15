package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestAReplicaTellsOfCredentialsInUseThatExpire changes a pair through one of two replicas, and
// uses it through the other one.
func TestAReplicaTellsOfCredentialsInUseThatExpire(t *testing.T) {
	t.Parallel()
	s := newDeploymentWith(t, 0, setup{entities: aDeclaredConsumer})
	s.useShippedPolicies(t, "kv-v1", "manage-v1", "state")
	one, two := s.start(t, suite.service.Binary(t)), s.start(t, suite.service.Binary(t))
	got := one.admin(t, http.StatusCreated, "POST", "/vault-auth/home/credentials/alice")
	p := pair{got.text("data.access_token"), got.text("data.secret_token")}
	suite.secrets.add(p.access)
	path := "/vault-auth/home/credentials/token/" + p.access
	expireIn := func(d time.Duration) {
		t.Helper()
		one.admin(t, http.StatusOK, "PATCH", path, "expires_at="+strconv.FormatInt(time.Now().Add(d).Unix(), 10))
	}
	// await uses the pair until a metric is as wanted.
	await := func(name string, want int) {
		t.Helper()
		partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
			a, err := two.ask(ctx, p)
			if err == nil && !a.Allowed {
				err = fmt.Errorf("denied: %s", a.Reason)
			}
			if n := metric(t, two.Service, name); n != want {
				err = errors.Join(err, fmt.Errorf("%s is %d, want %d", name, n, want))
			}
			return err
		})
	}
	const day, month = `vault_authz_credentials_in_use_expiring{vault="home",within="1d"}`, `vault_authz_credentials_in_use_expiring{vault="home",within="30d"}`
	const replaced = `vault_authz_previous_secrets_in_use_expiring{vault="home",within="1h"}`
	await(month, 0)
	expireIn(time.Hour)
	await(day, 1)
	if n := metric(t, one.Service, month); n != 0 {
		t.Errorf("a replica that was not asked counts %d credentials", n)
	}
	expireIn(90 * 24 * time.Hour)
	await(month, 0)
	one.admin(t, http.StatusCreated, "POST", path+"/rotate", "grace=1800")
	await(replaced, 1)
	one.admin(t, http.StatusNoContent, "DELETE", path)
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		if n := metric(t, two.Service, replaced); n != 0 {
			return fmt.Errorf("after the pair is deleted: %d", n)
		}
		return nil
	})
}
