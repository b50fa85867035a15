package vaults

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// knownToken is the access token of the one credential of an engine in memory.
const knownToken = "known"

// memory opens every vault object in memory.
type memory struct{}

func (memory) Engine(*config.Vault, *zap.Logger) (vaultkv.Engine, error) {
	engine := memkv.New()
	engine.Put(knownToken, []byte(`{"access_token":"known","secret_token":"secret","consumer":{"id":"ce67c25e-2168-4a09-81e5-e06187a2384f"}}`))
	return engine, nil
}

func newSet(t *testing.T, from Opener) (*Set, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	s, err := New(Dependencies{From: from, Digester: authz.NewDigester(), Metrics: registry, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return s, registry
}

func aVault(name string) config.Vault {
	v := config.DefaultVault()
	v.Name, v.Mount = name, name
	return v
}

func TestAVaultObjectThatCannotBeOpenedFailsAlone(t *testing.T) {
	t.Parallel()
	o, _ := newSet(t, Servers{})
	good := config.DefaultVault()
	good.Name, good.Address, good.Mount, good.Token = "good", "http://127.0.0.1:1", "kv", "t"
	bad, lost := good, good
	bad.Name, bad.CAFile, bad.Address = "bad", "/nowhere/ca.pem", "https://127.0.0.1:1"
	lost.Name, lost.Lost = "lost", true
	sources, _, err := o.Replace([]config.Vault{good, bad, lost})
	if err == nil || !strings.Contains(err.Error(), `"bad"`) || strings.Contains(err.Error(), `"good"`) {
		t.Errorf("got %v, want an error about bad alone", err)
	}
	for _, name := range []string{"bad", "lost"} {
		if _, err := sources[name].Lookup(t.Context(), "x"); err == nil {
			t.Errorf("%s: an answer", name)
		}
	}
	first := o.Named("good")
	if _, removed, _ := o.Replace([]config.Vault{good}); len(removed) != 0 || o.Named("good") != first {
		t.Error("an object that has not changed was opened anew")
	}
	changed := good
	changed.Revision++
	if _, removed, _ := o.Replace([]config.Vault{changed}); len(removed) != 1 || o.Named("good") == first {
		t.Error("an object that has changed was not opened anew")
	}
}

// TestADecisionUnderWayFinishesAtAReplacedVaultObject: it has taken the snapshot and not
// looked up yet.
func TestADecisionUnderWayFinishesAtAReplacedVaultObject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bs, _ := newSet(t, memory{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = bs.Run(ctx)
		}()
		v := aVault("a")
		if _, _, err := bs.Replace([]config.Vault{v}); err != nil {
			t.Fatal(err)
		}
		old := bs.Named("a")
		v.Cache.Capacity++
		_, removed, err := bs.Replace([]config.Vault{v})
		if err != nil {
			t.Fatal(err)
		}
		bs.Retire(removed)
		synctest.Wait()
		if _, err := old.cache.Lookup(ctx, knownToken); err != nil {
			t.Errorf("right after the change: %v", err)
		}
		time.Sleep(v.Cache.LoadTimeout + time.Second)
		synctest.Wait()
		if _, err := old.cache.Lookup(ctx, "another"); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("after the time of a load: %v, want it closed", err)
		}
		stop()
		<-ended
	})
}
