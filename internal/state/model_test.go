package state_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/state"
)

// A gateway is a replica with a cache of credentials, as the service has it.
type gateway struct {
	*state.Store
	conn *connection

	mu    sync.Mutex
	cache map[string]string
	// drops counts what was dropped, so that a load that was under way is not kept.
	drops int
}

func newGateway(t *testing.T, c *cluster, at int, random *rand.Rand) *gateway {
	t.Helper()
	g := &gateway{conn: &connection{cluster: c, at: at, random: random}, cache: map[string]string{}}
	s, err := state.New(g.conn, state.DefaultConfig(), state.Watcher{
		Drop:    func(token string) { g.drop(func() { delete(g.cache, token) }) },
		DropAll: func() { g.drop(func() { clear(g.cache) }) },
		Changed: func([]state.Change, *state.View) {},
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	g.Store = s
	return g
}

func (g *gateway) drop(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drops++
	do()
}

// check returns the secret that a request with the token is allowed by, or "" for a denial.
func (g *gateway) check(ctx context.Context, token string) string {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if g.Current(ctx) != nil {
		return ""
	}
	g.mu.Lock()
	value, held := g.cache[token]
	drops := g.drops
	g.mu.Unlock()
	if held {
		return value
	}
	value, err := g.conn.credential(ctx, token)
	if err != nil || value == "" {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drops == drops {
		g.cache[token] = value
	}
	return value
}

// set changes a credential as the admin API does, reading it first. It is acknowledged if
// it returns nil.
func (g *gateway) set(ctx context.Context, token string, next func(old string) (string, error)) error {
	if err := g.Refresh(ctx); err != nil {
		return err
	}
	return g.LeaseCredential(ctx, token, func(commit func(context.Context, func(context.Context) error) error) error {
		raw, _, _, err := g.conn.ReadVersion(ctx, "credentials/"+token)
		if err != nil {
			return err
		}
		value, err := next(string(raw))
		if err != nil {
			return err
		}
		err = commit(ctx, func(ctx context.Context) error { return g.conn.putCredential(ctx, token, value) })
		g.drop(func() { delete(g.cache, token) })
		return err
	})
}

// A history is what a credential was, by when it ended to be acknowledged so.
type history struct {
	mu sync.Mutex
	// ended has, for each value, when another one was acknowledged.
	ended map[string]time.Time
}

// staleFor is for how long a value has been gone, 0 if it is not known to be.
func (h *history) staleFor(value string, at time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ended, ok := h.ended[value]; ok {
		return at.Sub(ended)
	}
	return 0
}

// The bounds that docs/explanation/decisions/state.md promises, with the time of a request that is
// answered meanwhile.
const (
	boundWithProof = proofLimit + 200*time.Millisecond
	boundWithout   = 30*time.Second + 200*time.Millisecond
)

// TestModelOfACluster lets three replicas change and check what they share, on a cluster
// whose nodes lag, are cut off and change places at random, and whose answers get lost.
// MODEL_SEEDS says how many schedules are tried, MODEL_SEED which one alone.
//
//   - No replica allows what was revoked for longer than the bound.
//   - A change that was acknowledged is never lost: neither of a record nor of a
//     credential.
//   - Of two that want one name, or one access token, one wins.
func TestModelOfACluster(t *testing.T) {
	t.Parallel()
	seeds := 8
	if n, err := strconv.Atoi(os.Getenv("MODEL_SEEDS")); err == nil {
		seeds = n
	}
	first := 1
	if n, err := strconv.Atoi(os.Getenv("MODEL_SEED")); err == nil {
		first, seeds = n, 1
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { runModel(t, uint64(seed)) })
		})
	}
}

func runModel(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	c := newCluster()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var gateways []*gateway
	for i := range 3 {
		g := newGateway(t, c, i, rand.New(rand.NewPCG(seed, uint64(10+i))))
		gateways = append(gateways, g)
		wg.Go(func() { _ = g.Follow(ctx) })
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			sleep(ctx, c.step(random))
		}
	})

	m := &model{t: t, began: time.Now(), gateways: gateways, histories: map[string]*history{}}
	const tokens = 4
	for token := range tokens {
		m.histories[fmt.Sprint("token-", token)] = &history{ended: map[string]time.Time{}}
	}
	for token := range tokens {
		name := fmt.Sprint("token-", token)
		wg.Go(func() { m.rotate(ctx, name, rand.New(rand.NewPCG(seed, uint64(20+token)))) })
		for i := range gateways {
			wg.Go(func() { m.ask(ctx, i, name) })
		}
	}
	for i := range gateways {
		wg.Go(func() { m.count(ctx, gateways[i], rand.New(rand.NewPCG(seed, uint64(30+i)))) })
		wg.Go(func() { m.claim(ctx, gateways[i], fmt.Sprint(i)) })
	}
	sleep(ctx, 2*time.Minute)
	stop()
	wg.Wait()
	m.settle(c)
	time.Sleep(time.Minute) // for what goes on in the background
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

type model struct {
	t         *testing.T
	began     time.Time
	gateways  []*gateway
	histories map[string]*history

	mu sync.Mutex
	// counted and doubtful are increments of the counter that were acknowledged, and
	// those whose outcome is unknown.
	counted, doubtful int
	// winners are the replicas that were answered that they have a name, or an access token.
	winners map[string][]string
	allowed int
	denied  int
}

// rotate gives a credential one value after the other, or deletes it.
func (m *model) rotate(ctx context.Context, token string, random *rand.Rand) {
	h := m.histories[token]
	current := ""
	for n := 1; ctx.Err() == nil; n++ {
		value := fmt.Sprintf(`{"%s":%d}`, token, n)
		if random.IntN(3) == 0 {
			value = ""
		}
		g := m.gateways[random.IntN(3)]
		call, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := g.set(call, token, func(string) (string, error) { return value, nil })
		cancel()
		if err == nil {
			h.mu.Lock()
			if current != "" {
				h.ended[current] = time.Now()
			}
			h.mu.Unlock()
			current = value
		} else if ctx.Err() == nil {
			// It may have been written, or may be yet: until something else is
			// acknowledged nothing is known to be gone.
			sleep(ctx, 100*time.Millisecond)
			continue
		}
		sleep(ctx, time.Duration(random.IntN(4000))*time.Millisecond)
	}
}

func (m *model) ask(ctx context.Context, i int, token string) {
	g, h := m.gateways[i], m.histories[token]
	for ctx.Err() == nil {
		began, bound := time.Now(), boundWithProof
		if g.Lag() > proofLimit {
			bound = boundWithout
		}
		value := g.check(ctx, token)
		if stale := h.staleFor(value, began); value != "" && stale > bound {
			m.t.Errorf("replica %d allowed %s %s after it was gone, want at most %s (lag %s)", i, value, stale, bound, g.Lag())
			return
		}
		m.mu.Lock()
		if value != "" {
			m.allowed++
		} else {
			m.denied++
		}
		m.mu.Unlock()
		sleep(ctx, 37*time.Millisecond)
	}
}

// count reads a record, adds to it and writes it, which must not get lost.
func (m *model) count(ctx context.Context, g *gateway, random *rand.Rand) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := g.Update(call, func(tx *state.Tx) error {
			r := state.Record{Kind: state.KindPolicies, ID: id(1), Document: []byte(`{"n":1}`)}
			if old, err := tx.View().Get(r.Kind, r.ID); err == nil {
				var n int
				if _, err := fmt.Sscanf(string(old.Document), `{"n":%d}`, &n); err != nil {
					return err
				}
				r.Version, r.Document = old.Version, fmt.Appendf(nil, `{"n":%d}`, n+1)
			}
			return tx.Put(r)
		})
		cancel()
		m.mu.Lock()
		if err == nil {
			m.counted++
		} else {
			m.doubtful++
		}
		m.mu.Unlock()
		sleep(ctx, time.Duration(random.IntN(500))*time.Millisecond)
	}
}

var errTaken = errors.New("taken")

// claim tries to get names and access tokens at the same time as the other replicas.
func (m *model) claim(ctx context.Context, g *gateway, who string) {
	for n := 0; ctx.Err() == nil; n++ {
		sleep(ctx, time.Until(m.began.Add(time.Duration(n)*500*time.Millisecond)))
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		name, token := fmt.Sprint("name=", n), fmt.Sprint("new-", n)
		_, err := g.Update(call, func(tx *state.Tx) error {
			return tx.Put(state.Record{Kind: state.KindConsumers, ID: id(100 + n*10 + int(who[0]-'0')), Unique: []string{name}, Document: []byte("{}")})
		})
		m.won(err, name, who)
		err = g.set(call, token, func(old string) (string, error) {
			if old != "" {
				return "", errTaken
			}
			return `{"of":"` + who + `"}`, nil
		})
		m.won(err, token, who)
		cancel()
	}
}

func (m *model) won(err error, what, who string) {
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.winners == nil {
		m.winners = map[string][]string{}
	}
	m.winners[what] = append(m.winners[what], who)
}

// settle heals the cluster and checks the result.
func (m *model) settle(c *cluster) {
	t := m.t
	c.mu.Lock()
	for _, n := range c.nodes {
		n.cut = false
	}
	c.electing = time.Time{}
	c.mu.Unlock()
	ctx := context.WithoutCancel(t.Context())
	for i, g := range m.gateways {
		for tries := 0; g.Refresh(ctx) != nil; tries++ {
			if tries > 100 {
				t.Fatalf("replica %d cannot read the state of a cluster that is well", i)
			}
		}
		v, err := g.View()
		if err != nil {
			t.Fatal(err)
		}
		r, err := v.Get(state.KindPolicies, id(1))
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscanf(string(r.Document), `{"n":%d}`, &n); err != nil || n < m.counted || n > m.counted+m.doubtful {
			t.Errorf("the counter is %d (%v) on replica %d, want %d to %d: changes were lost, or made twice", n, err, i, m.counted, m.counted+m.doubtful)
		}
	}
	for what, who := range m.winners {
		if len(who) > 1 {
			t.Errorf("%s was won by %v, want one", what, who)
		}
	}
	if m.allowed < 500 || m.counted < 20 || len(m.winners) < 20 {
		t.Errorf("%d requests allowed, %d denied, %d changes and %d names won: too few to show anything", m.allowed, m.denied, m.counted, len(m.winners))
	}
}
