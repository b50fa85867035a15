package state_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// A backedUp engine can be put back to what it was at a moment.
type backedUp struct {
	now, backup *memkv.Engine
	kept        bool
	restored    atomic.Bool
}

func (b *backedUp) at() *memkv.Engine {
	if b.restored.Load() {
		return b.backup
	}
	return b.now
}

func (b *backedUp) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	return b.at().ReadVersion(ctx, path)
}

func (b *backedUp) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if !b.kept {
		_, _, _ = b.backup.WriteVersion(ctx, path, document, cas)
	}
	return b.at().WriteVersion(ctx, path, document, cas)
}

func (b *backedUp) ListUnder(ctx context.Context, folder string) ([]string, error) {
	return b.at().ListUnder(ctx, folder)
}

func (b *backedUp) Sync(ctx context.Context) error { return b.at().Sync(ctx) }

// One position is that where the last segment is just full, and the next one is empty.
func TestRestoredBackupCausesAReloadAtEveryPositionOfTheLog(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"within a segment": 10, "at the end of a segment": 20 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				kv := &backedUp{now: memkv.New(), backup: memkv.New()}
				n, _, stop := follow(t, kv)
				time.Sleep(time.Second)
				create(t, n, consumer(1))
				kv.kept = true
				late := consumer(2)
				late.Document = bytes.Replace(late.Document, []byte("{"), []byte(`{"note":"`+strings.Repeat("x", size)+`",`), 1)
				create(t, n, late)
				time.Sleep(5 * time.Second)
				kv.restored.Store(true)
				// One that was started after that revokes.
				if _, err := open(t, kv).Update(t.Context(), func(tx *state.Tx) error { return tx.Delete(state.KindConsumers, id(1)) }); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Second)
				synctest.Wait()
				v, err := n.View()
				if err != nil {
					t.Fatal(err)
				}
				if v.Has(state.KindConsumers, id(1)) || v.Has(state.KindConsumers, id(2)) {
					t.Errorf("the replica that ran all the time has the consumers %t, %t, want neither", v.Has(state.KindConsumers, id(1)), v.Has(state.KindConsumers, id(2)))
				}
				stop()
			})
		})
	}
}
