package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/vault-authz/vault-authz/test/parts"
)

// What there is to reach with 100 000 consumers that have a group each.
const (
	entitiesPerSecond = 300
	importWithin      = 6 * time.Minute
	restartWithin     = 10 * time.Second
	listWithin        = 50 * time.Millisecond
	seenWithin        = 2 * time.Second
	replicaMiB        = 150
)

// tagged is how often a consumer of the import has the tag.
const tagged = 1000

// state is what many entities cost, on real servers: section (g). It takes long, so it
// is measured only when it is named.
func state(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	for _, s := range []struct{ name, binary string }{{"Vault", os.Getenv("VAULT_BIN")}, {"OpenBao", os.Getenv("BAO_BIN")}} {
		if s.binary == "" {
			continue
		}
		found, err := stateOn(ctx, b, s.name, s.binary)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		rows = append(rows, found...)
	}
	if len(rows) == 0 {
		return nil, errors.New("neither VAULT_BIN nor BAO_BIN is set to what make tools made: run make bench-state")
	}
	return rows, nil
}

// A pair is two replicas on one server.
type pair struct {
	b        *bench
	dir      string
	vault    *parts.Vault
	token    string
	replicas [2]*parts.Service
	rows     []row
	group    string
}

func stateOn(ctx context.Context, b *bench, name, binary string) ([]row, error) {
	dir, err := os.MkdirTemp(b.dir, "state-")
	if err != nil {
		return nil, err
	}
	p := &pair{b: b, dir: dir, group: fmt.Sprintf("(g) %d consumers with a group each, two replicas on %s", b.consumers, name)}
	if name == "OpenBao" {
		p.vault, err = parts.StartOpenBao(ctx, parts.VaultConfig{Binary: binary, Dir: dir})
	} else {
		p.vault, err = parts.StartVault(ctx, parts.VaultConfig{Binary: binary, Dir: dir})
	}
	if err != nil {
		return nil, err
	}
	defer p.vault.Kill()
	defer p.stop()
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{p.imports, p.importsAgain, p.memory, p.lists, p.revocations, p.restarts} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p.rows, nil
}

func (p *pair) start(ctx context.Context) error {
	const stateMount = "vault-authz"
	if err := errors.Join(p.vault.Mount(ctx, mount, parts.KVv1), p.vault.Mount(ctx, stateMount, parts.KVv2)); err != nil {
		return err
	}
	if err := p.vault.Do(ctx, "POST", stateMount+"/config", map[string]any{"max_versions": 1}, nil); err != nil {
		return err
	}
	var err error
	if p.token, err = p.vault.ManagerToken(ctx, mount, stateMount); err != nil {
		return err
	}
	for i := range p.replicas {
		if p.replicas[i], err = p.replica(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) replica(ctx context.Context, i int) (*parts.Service, error) {
	dir := filepath.Join(p.dir, fmt.Sprint("replica-", i))
	file := filepath.Join(dir, "token")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(file, []byte(p.token), 0o600)); err != nil {
		return nil, err
	}
	return parts.StartService(ctx, parts.ServiceConfig{Binary: p.b.product, Dir: dir, Entities: fmt.Sprintf(`
vaults:
  - {name: main, address: %q, mount: %s, token: {file: %q}}
policies:
  - {name: default, default: true, vault: main}
state: {vault: main}
admin: {listen: "127.0.0.1:0"}
`, p.vault.Address, mount, file)})
}

func (p *pair) stop() {
	for _, r := range p.replicas {
		if r != nil {
			r.Kill()
		}
	}
}

func (p *pair) add(name, value string, reached bool, goal string) {
	p.rows = append(p.rows, row{group: p.group, name: name, value: value, goal: goal, reached: reached})
}

func consumerOf(i int) string {
	return fmt.Sprintf("%08x-%04x-4000-8000-%012x", i*2_654_435_761%(1<<32), i%7, i)
}

// imports makes the entities as an operator does.
func (p *pair) imports(ctx context.Context) error {
	type group struct {
		ID    string `json:"id"`
		Group string `json:"group"`
	}
	type consumer struct {
		ID       string   `json:"id"`
		Username string   `json:"username"`
		CustomID string   `json:"custom_id"`
		Tags     []string `json:"tags,omitempty"`
		ACLs     []group  `json:"acls"`
	}
	consumers := make([]consumer, p.b.consumers)
	for i := range consumers {
		c := consumer{ID: consumerOf(i), Username: fmt.Sprintf("user-%06d", i), CustomID: fmt.Sprintf("crm-%d", 1_000_000+i)}
		c.ACLs = []group{{strings.Replace(c.ID, "-4000-", "-4001-", 1), fmt.Sprintf("group-%d", i%50)}}
		if i%tagged == 0 {
			c.Tags = []string{"vip"}
		}
		consumers[i] = c
	}
	raw, err := json.Marshal(map[string]any{"consumers": consumers})
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.file(), raw, 0o600); err != nil {
		return err
	}
	took, err := p.runImport(ctx)
	if err != nil {
		return err
	}
	rate := float64(2*p.b.consumers) / took.Seconds()
	p.add("import kong --apply, entities a second", fmt.Sprintf("%.0f", rate), rate >= entitiesPerSecond, fmt.Sprintf("≥ %d", entitiesPerSecond))
	p.add("import kong --apply, all of it", fmt.Sprintf("%.0f s", took.Seconds()), took <= importWithin, fmt.Sprintf("≤ %.0f s", importWithin.Seconds()))
	return nil
}

func (p *pair) file() string { return filepath.Join(p.dir, "kong.json") }

func (p *pair) runImport(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	out, err := exec.CommandContext(ctx, p.b.product, "import", "kong", p.file(), "--apply", "--admin", "http://"+p.replicas[0].Admin).CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("import kong: %w\n%s", err, out)
	}
	return took, nil
}

func (p *pair) importsAgain(ctx context.Context) error {
	took, err := p.runImport(ctx)
	p.add("the same once more, when all is there", fmt.Sprintf("%.1f s", took.Seconds()), true, "")
	return err
}

// memory is read from both replicas after a while in which nothing happens.
func (p *pair) memory(ctx context.Context) error {
	select {
	case <-time.After(15 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := p.weigh("after the import", "the replica that took it", "the other one"); err != nil {
		return err
	}
	most, err := ofStatus(p.replicas[0].PID(), "VmHWM:")
	p.add("most resident memory during the import, the replica that took it", fmt.Sprintf("%.0f MiB", float64(most)/(1<<20)), true, "")
	return err
}

func (p *pair) weigh(when string, names ...string) error {
	for i, name := range names {
		now, err := resident(p.replicas[i].PID())
		if err != nil {
			return err
		}
		mib := float64(now) / (1 << 20)
		p.add(fmt.Sprintf("resident memory %s, %s", when, name), fmt.Sprintf("%.0f MiB", mib), mib <= replicaMiB, fmt.Sprintf("≤ %d MiB", replicaMiB))
	}
	return nil
}

// lists are pages of consumers.
func (p *pair) lists(ctx context.Context) error {
	for _, l := range []struct{ name, path string }{
		{"GET /consumers, a page of 100", "/consumers"},
		{"GET /consumers, a page of 100 in the middle", "/consumers?offset=" + base64.RawURLEncoding.EncodeToString([]byte("80000000-0000-4000-8000-000000000000"))},
		{"GET /consumers, filtered by a tag of one in 1000", "/consumers?tags=vip"},
		{"GET /consumers, filtered by a tag that none has", "/consumers?tags=none"},
		{"GET /acls, a page of 100", "/acls"},
		{"GET /consumers/{id}/acls", "/consumers/user-000007/acls"},
	} {
		var took sample
		for range 50 {
			began := time.Now()
			if err := p.call(ctx, 0, http.MethodGet, l.path, nil); err != nil {
				return err
			}
			took = append(took, float64(time.Since(began).Microseconds()))
		}
		slices.Sort(took)
		median := time.Duration(took.median()) * time.Microsecond
		p.rows = append(p.rows, row{
			group: p.group, name: l.name, value: microseconds(took.median()), spread: microseconds(took[0]) + " … " + microseconds(took[len(took)-1]),
			goal: fmt.Sprintf("≤ %d ms", listWithin.Milliseconds()), reached: median <= listWithin,
		})
	}
	return nil
}

func (p *pair) call(ctx context.Context, replica int, method, path string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.replicas[replica].Admin+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	return err
}

// revocations are made on one replica and looked for on the other.
func (p *pair) revocations(ctx context.Context) error {
	conn, err := grpc.NewClient(p.replicas[1].GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	client := authv3.NewAuthorizationClient(conn)
	var changed, revoked sample
	for i := range 20 {
		q := question{fmt.Sprintf("token-%d", i), secretToken, true}
		body := map[string]string{"access_token": q.access, "secret_token": q.secret}
		if err := p.call(ctx, 0, http.MethodPost, "/vault-auth/main/credentials/"+fmt.Sprintf("user-%06d", i), body); err != nil {
			return err
		}
		took, err := until(ctx, client, q)
		if err != nil {
			return err
		}
		changed = append(changed, took)
		if err := p.call(ctx, 0, http.MethodDelete, "/vault-auth/main/credentials/token/"+q.access, nil); err != nil {
			return err
		}
		q.allowed = false
		if took, err = until(ctx, client, q); err != nil {
			return err
		}
		revoked = append(revoked, took)
	}
	for _, s := range []struct {
		name string
		took sample
	}{{"a credential made on one replica, good on the other", changed}, {"a credential deleted on one replica, refused by the other", revoked}} {
		worst := slices.Max(s.took)
		p.rows = append(p.rows, row{
			group: p.group, name: s.name, value: microseconds(s.took.median()), spread: microseconds(slices.Min(s.took)) + " … " + microseconds(worst),
			goal: fmt.Sprintf("at worst ≤ %d ms", seenWithin.Milliseconds()), reached: worst <= float64(seenWithin.Microseconds()),
		})
	}
	return nil
}

// until asks until the answer is as wanted, and returns how many microseconds it took.
func until(ctx context.Context, client authv3.AuthorizationClient, q question) (float64, error) {
	began := time.Now()
	for {
		err := check(ctx, client, q)
		took := time.Since(began)
		if err == nil {
			return float64(took.Microseconds()), nil
		}
		if took > 10*time.Second {
			return 0, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// restarts ends the second replica and starts it anew.
func (p *pair) restarts(ctx context.Context) error {
	p.replicas[1].Stop(5 * time.Second)
	began := time.Now()
	var err error
	if p.replicas[1], err = p.replica(ctx, 1); err != nil {
		return err
	}
	took := time.Since(began)
	p.add("a restart, until it is ready", fmt.Sprintf("%.1f s", took.Seconds()), took <= restartWithin, fmt.Sprintf("≤ %.0f s", restartWithin.Seconds()))
	p.replicas[0], p.replicas[1] = p.replicas[1], p.replicas[0]
	time.Sleep(5 * time.Second)
	return p.weigh("after a restart", "the replica that was started")
}
