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
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A mountedConfig is the configuration file of a testbed, mounted like a ConfigMap.
type mountedConfig struct {
	*testbed
	dir, base string
}

func mountConfig(t *testing.T, bed *testbed) *mountedConfig {
	t.Helper()
	path := filepath.Join(bed.dir, "vault-authz.yaml")
	raw, err := os.ReadFile(path)
	must(t, err)
	m := &mountedConfig{bed, t.TempDir(), string(raw)}
	for i := range 2000 {
		m.base = strings.Replace(m.base, "consumers:\n", fmt.Sprintf("consumers:\n  - {id: 00000000-0000-4000-9000-%012x, username: user%d, groups: [staff]}\n", i, i), 1)
	}
	m.swap(t, m.base)
	must(t, os.Symlink(filepath.Join(m.dir, "vault-authz.yaml"), path+".new"))
	must(t, os.Rename(path+".new", path))
	return m
}

func (m *mountedConfig) swap(t *testing.T, text string) {
	t.Helper()
	must(t, parts.MountSecret(m.dir, map[string][]byte{"vault-authz.yaml": []byte(text)}))
}

// metric returns the value of a metric, which is named with its labels.
func metric(t *testing.T, s *parts.Service, name string) int {
	t.Helper()
	all, err := s.Metrics(t.Context())
	must(t, err)
	v, found := all[name]
	if !found {
		t.Fatalf("no metric %s", name)
	}
	return int(v)
}

// reloadPatience is how long a test waits for a reload. A machine that runs other tests may take
// seconds for one that takes a tenth of a second alone.
const reloadPatience = 30 * time.Second

// TestReloadsUnderLoad swaps the mounted configuration under load, with files in between that
// cannot be used. Each configuration allows alice, and some deny bob, who has no group.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	m := mountConfig(t, ownTestbed(t, setup{
		entities: `
vaults:
  - {name: v1, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}, timeout: 5s}
` + consumers + `
policies:
  - {name: default, default: true, vault: v1}
`,
		listeners: []parts.Listener{{Name: onHeaders, Timeout: 10 * time.Second}},
	}))
	alice, bob := m.credential(t, aliceID, nil), m.credential(t, bobID, nil)
	status := func(p pair) int {
		a, err := m.try(t.Context(), onHeaders, protocols()[0], request{target: "/reload", header: p.headers()})
		if err != nil {
			t.Error(err)
		}
		return a.status
	}
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	for range 2 {
		working.Go(func() {
			for ctx.Err() == nil {
				if s := status(alice); s != http.StatusOK {
					t.Errorf("a request during a reload: %d", s)
					return
				}
				sent.Add(1)
			}
		})
	}
	// Settings of the vault object change as well, so that it is opened anew.
	allowed := func(i int) string {
		return strings.Replace(m.base, "timeout: 5s", fmt.Sprintf("timeout: 5s, cache: {ttl: %ds}", 60+i), 1)
	}
	denied := func(i int) string {
		return strings.Replace(allowed(i), "default: true,", "default: true, acl: {allow: [gold]},", 1)
	}
	await := func(what string, want int) time.Duration {
		began := time.Now()
		for status(bob) != want {
			if time.Since(began) > reloadPatience {
				t.Fatalf("%s: not within %s:\n%s", what, reloadPatience, m.service.Log())
			}
		}
		return time.Since(began)
	}
	// rejected waits until the file is found to be of no use. Bob is denied meanwhile.
	rejected := func() {
		partstest.Await(t, reloadPatience, func(context.Context) error {
			if s := status(bob); s != http.StatusForbidden {
				t.Fatalf("with a broken file bob gets %d", s)
			}
			if metric(t, m.service, "vault_authz_config_last_reload_success") != 0 {
				return errors.New("the metric says that a broken file is in use")
			}
			return nil
		})
	}
	var longest time.Duration
	var goroutines, memory int
	broken := []string{"policies: [", "nonsense: 1\n" + m.base, m.base[:len(m.base)/2-1] + "{", ""}
	for i := range 12 {
		m.swap(t, denied(i))
		longest = max(longest, await("a denial", http.StatusForbidden))
		m.swap(t, broken[i%len(broken)])
		rejected()
		m.swap(t, allowed(i))
		longest = max(longest, await("an allow", http.StatusOK))
		if i == 3 {
			goroutines, memory = metric(t, m.service, "go_goroutines"), metric(t, m.service, "process_resident_memory_bytes")
		}
	}
	for i := range 300 { // faster than they are read
		m.swap(t, allowed(i))
	}
	m.swap(t, denied(1000))
	longest = max(longest, await("a denial after many swaps", http.StatusForbidden))
	cancel()
	working.Wait()
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		if n := metric(t, m.service, "go_goroutines"); n > goroutines+10 {
			return fmt.Errorf("%d goroutines, %d before", n, goroutines)
		}
		return nil
	})
	after := metric(t, m.service, "process_resident_memory_bytes")
	t.Logf("%d requests, none failed; %d reloads, the longest in effect after %s; resident memory %d MiB after 4 rounds, %d MiB at the end",
		sent.Load(), metric(t, m.service, `vault_authz_config_reloads_total{outcome="ok"}`), longest, memory>>20, after>>20)
	if after > 2*memory {
		t.Errorf("resident memory grew from %d to %d", memory, after)
	}
}
