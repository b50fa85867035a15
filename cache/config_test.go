package cache_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/cache"
)

func TestDefaultConfigIsValid(t *testing.T) {
	t.Parallel()
	if err := cache.DefaultConfig().Validate(); err != nil {
		t.Errorf("DefaultConfig().Validate() = %v, want no error", err)
	}
}

func TestConfigMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*cache.Config)
		want   string
	}{
		{"no room", func(c *cache.Config) { c.Capacity = 0 }, "capacity: 0"},
		{"no room for absent keys", func(c *cache.Config) { c.AbsentCapacity = -1 }, "absent_capacity: -1"},
		{"no least life", func(c *cache.Config) { c.MinTTL = 0 }, "min_ttl: 0s"},
		{"life below the least", func(c *cache.Config) { c.TTL = c.MinTTL - 1 }, "ttl: 999.999999ms is below min_ttl 1s"},
		{"life above the most", func(c *cache.Config) { c.TTL = c.MaxTTL + 1 }, "is above max_ttl"},
		{"life as good as for ever", func(c *cache.Config) { c.MaxTTL = 1000 * time.Hour }, "max_ttl: 1000h0m0s"},
		{"jitter that is no part", func(c *cache.Config) { c.Jitter = 1 }, "jitter: 1"},
		{"jitter that is no number", func(c *cache.Config) { c.Jitter = math.NaN() }, "jitter: NaN"},
		{"jitter that lengthens", func(c *cache.Config) { c.Jitter = -0.1 }, "jitter: -0.1"},
		{"always refreshing", func(c *cache.Config) { c.RefreshAhead = 1 }, "refresh_ahead: 1"},
		{"stale for a day", func(c *cache.Config) { c.MaxStale = 24 * time.Hour }, "max_stale: 24h0m0s"},
		{"negative staleness", func(c *cache.Config) { c.MaxStale = -1 }, "max_stale: -1ns"},
		{"negative wait", func(c *cache.Config) { c.StaleWait = -1 }, "stale_wait: -1ns"},
		{"retrying without pause", func(c *cache.Config) { c.RetryInterval = 0 }, "retry_interval: 0s"},
		{"absent for long", func(c *cache.Config) { c.AbsentTTL = time.Minute }, "absent_ttl: 1m0s"},
		{"no time to load", func(c *cache.Config) { c.LoadTimeout = 0 }, "load_timeout: 0s"},
		{"no loads", func(c *cache.Config) { c.MaxLoads = 1 }, "max_loads: 1"},
		{"negative rate", func(c *cache.Config) { c.MissesPerSecond = -1 }, "misses_per_second: -1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := cache.DefaultConfig()
			test.change(&cfg)
			err := cfg.Validate()
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Validate() = %v, want one mistake, with %q", err, test.want)
			}
			if _, err := cache.New(cfg, func(context.Context, string) (record, error) { return record{}, nil }, rules()); err == nil {
				t.Error("New took the configuration, want an error")
			}
		})
	}
}

func TestAllConfigMistakesShowAtOnce(t *testing.T) {
	t.Parallel()
	err := cache.Config{MissesPerSecond: 1}.Validate()
	for _, want := range []string{"capacity:", "absent_capacity:", "min_ttl:", "retry_interval:", "load_timeout:", "max_loads:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want a mention of %q", err, want)
		}
	}
}

func TestDisabledSettingsAreValid(t *testing.T) {
	t.Parallel()
	cfg := cache.DefaultConfig()
	cfg.Jitter, cfg.RefreshAhead, cfg.MaxStale, cfg.StaleWait, cfg.AbsentTTL = 0, 0, 0, 0, 0
	cfg.MissesPerSecond = 0
	if err := cfg.Validate(); err != nil {
		t.Errorf("Validate(%+v) = %v, want no error", cfg, err)
	}
}

func TestLimitsOfTheConfigAreValid(t *testing.T) {
	t.Parallel()
	low := cache.DefaultConfig()
	low.Capacity, low.AbsentCapacity, low.MaxLoads = 1, 1, 4
	low.TTL = low.MinTTL
	high := cache.DefaultConfig()
	high.MaxTTL, high.MaxStale, high.AbsentTTL = 7*24*time.Hour, time.Hour, 10*time.Second
	high.TTL = high.MaxTTL
	high.Jitter, high.RefreshAhead = 0.5, 0.9
	for _, cfg := range []cache.Config{low, high} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("Validate(%+v) = %v, want no error", cfg, err)
		}
	}
}

func TestNewNeedsALoader(t *testing.T) {
	t.Parallel()
	if _, err := cache.New(cache.DefaultConfig(), nil, cache.Rules[record]{}); err == nil {
		t.Error("New without a loader returned no error")
	}
}

// Missing Rules must not serve stale values or refuse other keys.
func TestZeroRulesTreatNoErrorAsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		for _, unavailable := range []func(error) bool{nil, rules().Unavailable} {
			s := newStore()
			s.set("alice", answer{record: record{version: 1}})
			c, err := cache.New(cfg, s.load, cache.Rules[record]{Unavailable: unavailable})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			wantVersion(t, c, "alice", 1)
			s.set("alice", answer{err: errQuota})
			time.Sleep(cfg.TTL)
			if unavailable == nil {
				wantError(t, c, "alice", errQuota)
			} else {
				wantVersion(t, c, "alice", 1)
			}
			wantError(t, c, "bob", errAbsent)
		}
	})
}

// Missing Rules must not extend a lifetime.
func TestZeroRulesServeOnlyFreshValues(t *testing.T) {
	t.Parallel()
	for _, fail := range []error{errAbsent, errDown} {
		s := newStore()
		c, err := cache.New(config(), s.load, cache.Rules[record]{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		s.set("alice", answer{err: fail})
		wantError(t, c, "alice", fail)
		wantError(t, c, "alice", fail)
		wantLoads(t, s, "alice", 2)
		s.set("alice", answer{record: record{version: 1, ttl: time.Nanosecond}})
		wantVersion(t, c, "alice", 1)
		wantVersion(t, c, "alice", 1)
		wantLoads(t, s, "alice", 3)
	}
}
