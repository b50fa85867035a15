package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// reloads is how often a service has used its configuration file since the start.
func (r *replica) reloads(t *testing.T) int {
	t.Helper()
	return metric(t, r.Service, `vault_authz_config_reloads_total{outcome="ok"}`)
}

// TestAReloadKeepsWhatWasMadeThroughTheAdminAPI changes, deletes and restores the file of a
// service whose consumer, policy and credential are in the state.
func TestAReloadKeepsWhatWasMadeThroughTheAdminAPI(t *testing.T) {
	t.Parallel()
	s := newDeployment(t, 1)
	s.createEntities(t, mountV1, parts.KVv1)
	r := s.replicas[0]
	made := s.newPair(t, r)
	path := filepath.Join(s.dir, "1", "vault-authz.yaml")
	base, err := os.ReadFile(path)
	must(t, err)
	write := func(text string) {
		t.Helper()
		must(t, parts.ReplaceFile(path, []byte(text)))
	}
	// consumer waits until the admin API knows a consumer, or does not.
	consumer := func(when, name string, status int) {
		t.Helper()
		partstest.Await(t, 10*time.Second, func(ctx context.Context) error {
			got, err := r.do(ctx, http.MethodGet, "/consumers/"+name)
			if err == nil && got.status != status {
				err = fmt.Errorf("%s: the consumer %s: status %d, want %d", when, name, got.status, status)
			}
			return err
		})
	}
	succeeded := func(when string, want int) {
		t.Helper()
		partstest.Await(t, 10*time.Second, func(context.Context) error {
			if got := metric(t, r.Service, "vault_authz_config_last_reload_success"); got != want {
				return fmt.Errorf("%s: the metric is %d, want %d", when, got, want)
			}
			return nil
		})
	}
	var asked atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			if a, err := r.ask(t.Context(), made); err != nil || !a.Allowed {
				t.Errorf("a request during the reloads: %+v, %v", a, err)
				return
			}
			asked.Add(1)
		}
	})
	defer asking.Wait()
	defer stop()

	write(string(base) + "consumers: [{id: " + bobID + ", username: bob}]\npolicies: [{name: elsewhere, hosts: [elsewhere.test], vault: home}]\n")
	consumer("declared by a reload", "bob", http.StatusOK)
	consumer("after a reload", operator, http.StatusOK)
	r.admin(t, 201, "POST", "/consumers", "username=carol")

	must(t, os.Remove(path))
	succeeded("without the file", 0)
	consumer("without the file", "bob", http.StatusOK)
	r.admin(t, 201, "POST", "/consumers", "username=dave")

	write(string(base))
	succeeded("with the file again", 1)
	consumer("no longer declared", "bob", http.StatusNotFound)
	for _, name := range []string{operator, "carol", "dave"} {
		consumer("after all reloads", name, http.StatusOK)
	}

	before := r.reloads(t)
	must(t, r.Signal(syscall.SIGHUP))
	partstest.Await(t, 10*time.Second, func(context.Context) error {
		if got := r.reloads(t); got != before+1 {
			return fmt.Errorf("%d reloads, %d before SIGHUP", got, before)
		}
		return nil
	})
	consumer("after SIGHUP", operator, http.StatusOK)
	stop()
	asking.Wait()
	if asked.Load() == 0 {
		t.Error("no request was sent")
	}
	t.Logf("%d requests, all allowed", asked.Load())
}

// TestNoRequestSeesHalfOfAChange swaps between two configurations that share the names of a
// vault object and of a policy. With anything of the one and the rest of the other, the pair
// is denied, or counts as another consumer.
func TestNoRequestSeesHalfOfAChange(t *testing.T) {
	t.Parallel()
	for name, entities := range map[string]string{
		"with a state":    nothingButTheState,
		"without a state": "\nvaults:\n  - {name: home, address: VAULT, mount: kong-auth, token: {file: TOKENFILE}, timeout: 2s}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newDeploymentWith(t, 1, setup{entities: entities})
			r, p := s.replicas[0], pair{unique("access"), unique("secret")}
			must(t, s.vault.Put(t.Context(), mountV1, parts.KVv1, p.access, parts.Record(p.access, p.secret, aliceID)))
			must(t, s.vault.Put(t.Context(), mountV2, parts.KVv2, p.access, parts.Record(p.access, p.secret, bobID)))
			path := filepath.Join(s.dir, "1", "vault-authz.yaml")
			base, err := os.ReadFile(path)
			must(t, err)
			half := func(mount, kv, id, username, group string) string {
				return string(base) + fmt.Sprintf(`  - {name: pairs, address: "http://%s", mount: %s, kv: %s, token: {file: %q}, timeout: 10s, cache: {misses_per_second: 0}}
consumers: [{id: %s, username: %s, groups: [%s]}]
policies: [{name: default, default: true, vault: pairs, acl: {allow: [%[7]s]}}]
`, s.proxy.Address(), mount, kv, s.tokenFile, id, username, group)
			}
			texts := []string{half(mountV1, parts.KVv1, aliceID, "alice", "gold"), half(mountV2, parts.KVv2, bobID, "bob", "silver")}
			want := []string{"alice/gold", "bob/silver"}
			// identity returns what the upstream hears of the consumer.
			identity := func() string {
				a, err := r.ask(t.Context(), p)
				if err != nil || !a.Allowed {
					return fmt.Sprintf("%+v, %v", a, err)
				}
				of := map[string]string{}
				for _, h := range a.Set {
					of[strings.ToLower(h.Name)] = h.Value
				}
				return of["x-consumer-username"] + "/" + of["x-consumer-groups"]
			}
			turn := func(i int) {
				t.Helper()
				before := r.reloads(t)
				must(t, parts.ReplaceFile(path, []byte(texts[i%2])))
				if i%4 < 2 {
					must(t, r.Signal(syscall.SIGHUP))
				}
				partstest.Await(t, 20*time.Second, func(context.Context) error {
					if got := identity(); got != want[i%2] {
						return fmt.Errorf("got %s, want %s", got, want[i%2])
					}
					if r.reloads(t) == before {
						return errors.New("not counted as a reload")
					}
					return nil
				})
			}
			turn(0)
			var sent atomic.Int64
			ctx, stop := context.WithCancel(t.Context())
			var asking sync.WaitGroup
			for range 4 {
				asking.Go(func() {
					for ctx.Err() == nil {
						if got := identity(); got != want[0] && got != want[1] {
							t.Errorf("a request sees %s", got)
							return
						}
						sent.Add(1)
					}
				})
			}
			defer asking.Wait()
			defer stop()
			const turns = 16
			for i := range turns {
				turn(i + 1)
			}
			stop()
			asking.Wait()
			t.Logf("%d requests during %d changes, each saw one of the two configurations", sent.Load(), turns)
		})
	}
}
