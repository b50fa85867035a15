package e2e

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestEachReplicaSeesTheOthers looks at the overviews of replicas whose Vault token has exactly the
// policies of deploy/vault.
func TestEachReplicaSeesTheOthers(t *testing.T) {
	t.Parallel()
	onBothServers(t, func(t *testing.T, openBao bool) {
		t.Helper()
		s := newDeploymentWith(t, 0, setup{openBao: openBao, entities: aDeclaredConsumer})
		s.useShippedPolicies(t, "kv-v1", "manage-v1", "state")
		binary := suite.service.Binary(t)
		one := s.start(t, binary)
		one.awaitSeen(t, 1)
		// A replica reads the others soon after its start, and then once a minute.
		two := s.start(t, binary)
		two.awaitSeen(t, 2)
		one.Stop(30 * time.Second)
		three := s.start(t, binary)
		three.awaitSeen(t, 2)
		for _, r := range s.replicas {
			if strings.Contains(r.Log(), "overview") {
				t.Errorf("%s has a problem with the list of replicas", r.name)
			}
		}
	})
}

// awaitSeen waits until a replica has read the others, and checks that it knows of so many in all,
// which are as they must be.
func (r *replica) awaitSeen(t *testing.T, replicas int) {
	t.Helper()
	client, err := api.NewClient("http://"+r.Admin, "", &http.Client{Timeout: 20 * time.Second})
	must(t, err)
	var o api.Overview
	partstest.Await(t, time.Minute, func(ctx context.Context) (err error) {
		if o, err = client.Overview(ctx); err == nil && o.Replicas.ReadAt == 0 {
			err = errors.New("the others are not read yet")
		}
		return err
	})
	if len(o.Replicas.Data) != replicas || o.Replicas.Problem != "" {
		t.Errorf("%s sees %+v, want %d replicas", r.name, o.Replicas, replicas)
	}
	for _, seen := range o.Replicas.Data {
		if seen.Missing || !seen.Current || seen.ReloadFailed || len(seen.ConfigHash) != 64 || seen.Version == "" || seen.StartedAt == 0 || seen.SeenAt < seen.StartedAt {
			t.Errorf("%s sees %+v", r.name, seen)
		}
	}
}
