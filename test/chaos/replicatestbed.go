package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	sharedstate "github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// stateMount is the mount of the state.
const stateMount = "vault-authz"

// A replicaTestbed is a Vault and two replicas that share a state. One is watched and reaches
// Vault through a front. The other, busy, makes all changes.
type replicaTestbed struct {
	vault         *parts.Vault
	front         *front
	watched, busy *parts.Service
	processes     []*parts.Process
	http          *http.Client
	// store writes records like a third replica.
	store   *sharedstate.Store
	fillers int
}

func startReplicaTestbed(ctx context.Context, dir string, b binaries) (*replicaTestbed, error) {
	s := &replicaTestbed{http: &http.Client{Timeout: 10 * time.Second}}
	if err := s.start(ctx, dir, b); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *replicaTestbed) start(ctx context.Context, dir string, b binaries) error {
	var err error
	if s.vault, err = parts.StartVault(ctx, parts.VaultConfig{Binary: b.vault, Dir: dir}); err != nil {
		return err
	}
	s.processes = append(s.processes, s.vault.Process)
	if err := errors.Join(s.vault.Mount(ctx, mount, parts.KVv1), s.vault.Mount(ctx, stateMount, parts.KVv2)); err != nil {
		return err
	}
	token, err := s.vault.ManagerToken(ctx, mount, stateMount)
	if err != nil {
		return err
	}
	tokenFile := filepath.Join(dir, "vault-token")
	if err := parts.ReplaceFile(tokenFile, []byte(token+"\n")); err != nil {
		return err
	}
	if s.front, err = newFront(ctx, s.vault.Address, nil); err != nil {
		return err
	}
	service := func(name, vault string) (*parts.Service, error) {
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o700); err != nil {
			return nil, err
		}
		p, err := parts.StartService(ctx, parts.ServiceConfig{
			Binary: b.service, Dir: own, Env: []string{"VAULT_AUTHZ_LOG_ALLOW_SAMPLE=0"},
			Entities: strings.NewReplacer("VAULT", vault, "TOKENFILE", tokenFile, "TTL", ttl.String()).Replace(`
state: {vault: main, mount: vault-authz}
admin: {listen: "127.0.0.1:0"}
vaults:
  - {name: main, address: "VAULT", mount: kong-auth, kv: v1, token: {file: TOKENFILE}, cache: {ttl: TTL}}
policies:
  - {name: default, default: true, vault: main}
`),
		})
		if err == nil {
			s.processes = append(s.processes, p.Process)
		}
		return p, err
	}
	if s.watched, err = service("watched", "http://127.0.0.1:"+s.front.port); err != nil {
		return err
	}
	if s.busy, err = service("busy", s.vault.Address); err != nil {
		return err
	}
	return s.open(token)
}

func (s *replicaTestbed) open(token string) error {
	c := vaultkv.DefaultConfig()
	c.Name, c.Address, c.Mount, c.KV, c.Token, c.Timeout = "chaos", s.vault.Address, stateMount, vaultkv.KV2, token, 10*time.Second
	engine, err := vaultkv.New(c, zap.NewNop())
	if err != nil {
		return err
	}
	s.store, err = sharedstate.New(engine, sharedstate.DefaultConfig(), sharedstate.Watcher{Drop: func(string) {}, DropAll: func() {}, Changed: func([]sharedstate.Change, *sharedstate.View) {}}, zap.NewNop())
	return err
}

// consumerID is the id of the nth consumer.
func consumerID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// newConsumers creates consumers in batches.
func (s *replicaTestbed) newConsumers(ctx context.Context, from, to int) error {
	const batch = 500
	for n := from; n < to; n += batch {
		if _, err := s.store.Update(ctx, func(tx *sharedstate.Tx) error {
			for i := n; i < min(n+batch, to); i++ {
				name := fmt.Sprint("user-", i)
				r := sharedstate.Record{
					Kind: sharedstate.KindConsumers, ID: consumerID(i), Unique: []string{"username=" + name},
					Document: fmt.Appendf(nil, `{"id":%q,"username":%q,"created_at":1767225600}`, consumerID(i), name),
				}
				if err := tx.Put(r); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// segments is larger than the number of segments of the log.
const segments = 80

// overrunLog makes so many changes that the log no longer continues from its earlier state.
func (s *replicaTestbed) overrunLog(ctx context.Context) error {
	large := strings.Repeat("x", 20<<10)
	for range segments {
		s.fillers++
		if _, err := s.store.Update(ctx, func(tx *sharedstate.Tx) error {
			return tx.Put(sharedstate.Record{Kind: "fillers", ID: fmt.Sprintf("00000000-0000-4000-9000-%012x", s.fillers), Document: fmt.Appendf(nil, `{"x":%q}`, large)})
		}); err != nil {
			return err
		}
	}
	return nil
}

// newPairs writes a pair for each of some consumers into Vault.
func (s *replicaTestbed) newPairs(ctx context.Context, from, to int) ([]pair, error) {
	var pairs []pair
	for n := from; n < to; n++ {
		p := pair{access: token("access"), secret: token("secret"), consumer: consumerID(n)}
		pairs = append(pairs, p)
		if err := s.vault.Put(ctx, mount, parts.KVv1, p.access, p.record()); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// revoke deletes a pair, or its consumer, through the busy replica. It repeats the call while
// it is answered with 503, as the API asks.
func (s *replicaTestbed) revoke(ctx context.Context, p pair, consumer bool) error {
	path := "/vault-auth/main/credentials/token/" + p.access
	if consumer {
		path = "/consumers/" + p.consumer
	}
	for began := time.Now(); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://"+s.busy.Admin+path, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := s.http.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode == http.StatusNoContent {
			return err
		}
		if resp.StatusCode != http.StatusServiceUnavailable || time.Since(began) > 30*time.Second {
			return fmt.Errorf("a revocation was answered with %d", resp.StatusCode)
		}
	}
}

func (s *replicaTestbed) close() {
	for _, p := range s.processes {
		p.Stop(5 * time.Second)
	}
	if s.front != nil {
		_ = s.front.close()
	}
}
