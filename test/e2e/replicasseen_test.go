package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/replicas"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestEachReplicaSeesTheOthers looks at the overviews of replicas whose Vault token has exactly the
// policies of deploy/vault.
func TestEachReplicaSeesTheOthers(t *testing.T) {
	t.Parallel()
	for _, server := range []struct {
		name    string
		openBao bool
	}{{"Vault", false}, {"OpenBao", true}} {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			partstest.Need(t, "BAO_BIN")
			s := newDeploymentWith(t, 0, setup{openBao: server.openBao, entities: aDeclaredConsumer})
			writePolicies(t, s.vault)
			must(t, parts.ReplaceFile(s.tokenFile, []byte(tokenWith(t, s.vault, []string{"kv-v1", "manage-v1", "state"}, nil)+"\n")))
			one, two := s.start(t, suite.service.Binary(t)), s.start(t, suite.service.Binary(t))

			both := func(r *replica) func(*replicas.Snapshot) error {
				return func(seen *replicas.Snapshot) error {
					if len(seen.Data) != 2 || seen.Problem != "" {
						return errors.New("want two")
					}
					for _, o := range seen.Data {
						if o.Missing || !o.Current || o.ReloadFailed || len(o.ConfigHash) != 64 || o.Version == "" || o.StartedAt == 0 || o.SeenAt < o.StartedAt {
							return fmt.Errorf("%s sees %+v", r.name, o)
						}
					}
					return nil
				}
			}
			one.awaitSeen(t, both(one))
			two.awaitSeen(t, both(two))

			must(t, parts.ReplaceFile(filepath.Join(s.dir, "2", "vault-authz.yaml"), []byte("nonsense: true\n")))
			one.awaitSeen(t, func(seen *replicas.Snapshot) error {
				if len(seen.Data) != 2 || seen.Data[0].ReloadFailed || !seen.Data[1].ReloadFailed {
					return errors.New("want that the other has refused its file")
				}
				return nil
			})

			two.Stop(30 * time.Second)
			one.awaitSeen(t, func(seen *replicas.Snapshot) error {
				if len(seen.Data) != 1 {
					return errors.New("want one")
				}
				return nil
			})
			for _, r := range []*replica{one, two} {
				if strings.Contains(r.Log(), "overview") {
					t.Errorf("%s has a problem with the list of replicas", r.name)
				}
			}
		})
	}
}

// awaitSeen waits until a replica sees others as ok says. Each writes once a minute.
func (r *replica) awaitSeen(t *testing.T, ok func(*replicas.Snapshot) error) {
	t.Helper()
	client, err := api.NewClient("http://"+r.Admin, "", &http.Client{Timeout: 20 * time.Second})
	must(t, err)
	partstest.Await(t, 4*time.Minute, func(ctx context.Context) error {
		o, err := client.Overview(ctx)
		if err != nil {
			return err
		}
		if err := ok(&o.Replicas); err != nil {
			return fmt.Errorf("%w; %s sees %+v", err, r.name, o.Replicas)
		}
		return nil
	})
}
