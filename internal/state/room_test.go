package state_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/state"
)

// slowPieces takes long for each piece of a checkpoint.
type slowPieces struct{ state.Engine }

func (s slowPieces) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if strings.HasPrefix(path, "checkpoint-") {
		select {
		case <-time.After(8 * time.Second):
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	return s.Engine.WriteVersion(ctx, path, document, cas)
}

// lostPieces never ends a checkpoint.
type lostPieces struct{ state.Engine }

func (l lostPieces) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	if strings.HasPrefix(path, "checkpoint-") {
		return 0, false, errServer
	}
	return l.Engine.WriteVersion(ctx, path, document, cas)
}

// sealing is a consumer that takes a segment of its own.
func sealing(i int) state.Record {
	r := consumer(i)
	r.Document = fmt.Appendf(nil, `{"id":%q,"padding":%q}`, r.ID, strings.Repeat("x", 17<<10))
	return r
}

func TestChangesWaitUntilAnAbandonedCheckpointIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		dies := open(t, lostPieces{kv})
		for i := range 40 {
			create(t, dies, sealing(i))
		}
		synctest.Wait()
		n := open(t, kv)
		for i := range 100 {
			create(t, n, sealing(40+i))
		}
		if v := view(t, n); v.Len(state.KindConsumers) != 140 {
			t.Errorf("%d consumers, want 140", v.Len(state.KindConsumers))
		}
		synctest.Wait()
		time.Sleep(time.Minute) // a checkpoint may be under way
	})
}

func TestChangesThatComeFasterThanCheckpointsWaitForThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := open(t, slowPieces{memkv.New()})
		for i := range 300 {
			create(t, n, sealing(i))
		}
		if v := view(t, n); v.Len(state.KindConsumers) != 300 {
			t.Errorf("%d consumers, want 300", v.Len(state.KindConsumers))
		}
		synctest.Wait()
		time.Sleep(time.Minute) // a checkpoint may be under way
	})
}
