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
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/vault-authz/vault-authz/test/parts"
)

// tagged is how often a consumer of the import has the tag.
const tagged = 1000

// state is what many entities cost two replicas on real servers. It takes long, so it is
// measured only when it is named.
func state(ctx context.Context, b *bench) error {
	measured := false
	for _, s := range []struct{ name, binary string }{{"Vault", os.Getenv("VAULT_BIN")}, {"OpenBao", os.Getenv("BAO_BIN")}} {
		if s.binary == "" {
			continue
		}
		if err := stateOn(ctx, b, s.name, s.binary); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		measured = true
	}
	if !measured {
		return errors.New("neither VAULT_BIN nor BAO_BIN is set to what make tools made: run make bench-state")
	}
	return nil
}

// A pair is two replicas on one server.
type pair struct {
	b        *bench
	dir      string
	vault    *parts.Vault
	token    string
	replicas [2]*parts.Service
	// server names the server in the results.
	server string
}

func stateOn(ctx context.Context, b *bench, name, binary string) error {
	dir, err := os.MkdirTemp(b.dir, "state-")
	if err != nil {
		return err
	}
	p := &pair{b: b, dir: dir, server: name}
	if name == "OpenBao" {
		p.vault, err = parts.StartOpenBao(ctx, parts.VaultConfig{Binary: binary, Dir: dir})
	} else {
		p.vault, err = parts.StartVault(ctx, parts.VaultConfig{Binary: binary, Dir: dir})
	}
	if err != nil {
		return err
	}
	defer p.vault.Kill()
	defer p.stop()
	if err := p.start(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{p.imports, p.importsAgain, p.memory, p.lists, p.revocations, p.restarts} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
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

// add writes figures of n operations.
func (p *pair) add(name string, n int, figures ...figure) {
	p.b.add(result{name: "State", n: n, keys: []string{"consumers", strconv.Itoa(p.b.consumers), "server", p.server, "what", name}, figures: figures})
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
	entities := 2 * p.b.consumers
	p.add("import", entities, duration(took, "all-ns"), figure{float64(entities) / took.Seconds(), "entities/s"})
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
	p.add("import,again", 2*p.b.consumers, duration(took, "all-ns"))
	return err
}

// memory is read from both replicas after a while in which nothing happens.
func (p *pair) memory(ctx context.Context) error {
	select {
	case <-time.After(15 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := p.weigh("imported,here", "imported,elsewhere"); err != nil {
		return err
	}
	most, err := peakResident(p.replicas[0].PID())
	p.add("importing", 1, figure{float64(most), "peak-resident-B"})
	return err
}

func (p *pair) weigh(names ...string) error {
	for i, name := range names {
		now, err := resident(p.replicas[i].PID())
		if err != nil {
			return err
		}
		p.add(name, 1, figure{float64(now), "resident-B"})
	}
	return nil
}

// lists are pages of consumers.
func (p *pair) lists(ctx context.Context) error {
	for _, l := range []struct{ name, path string }{
		{"list-consumers", "/consumers"},
		{"list-consumers,middle", "/consumers?offset=" + base64.RawURLEncoding.EncodeToString([]byte("80000000-0000-4000-8000-000000000000"))},
		{"list-consumers,tag-of-one-in-1000", "/consumers?tags=vip"},
		{"list-consumers,tag-of-none", "/consumers?tags=none"},
		{"list-acls", "/acls"},
		{"list-acls-of-one", "/consumers/user-000007/acls"},
	} {
		for range 20 {
			began := time.Now()
			if err := p.call(ctx, 0, http.MethodGet, l.path, nil); err != nil {
				return err
			}
			p.add(l.name, 1, duration(time.Since(began), "all-ns"))
		}
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
	for i := range 20 {
		q := question{access: fmt.Sprintf("token-%d", i), secret: secretToken, allowed: true}
		body := map[string]string{"access_token": q.access, "secret_token": q.secret}
		if err := p.call(ctx, 0, http.MethodPost, "/vault-auth/main/credentials/"+fmt.Sprintf("user-%06d", i), body); err != nil {
			return err
		}
		took, err := until(ctx, client, q)
		if err != nil {
			return err
		}
		p.add("credential-made,seen-elsewhere", 1, duration(took, "all-ns"))
		if err := p.call(ctx, 0, http.MethodDelete, "/vault-auth/main/credentials/token/"+q.access, nil); err != nil {
			return err
		}
		q.allowed = false
		if took, err = until(ctx, client, q); err != nil {
			return err
		}
		p.add("credential-deleted,seen-elsewhere", 1, duration(took, "all-ns"))
	}
	return nil
}

// until asks until the answer is as wanted, and returns how long that took.
func until(ctx context.Context, client authv3.AuthorizationClient, q question) (time.Duration, error) {
	began := time.Now()
	for {
		err := check(ctx, client, q)
		took := time.Since(began)
		if err == nil {
			return took, nil
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
	p.add("restart", 1, duration(time.Since(began), "all-ns"))
	p.replicas[0], p.replicas[1] = p.replicas[1], p.replicas[0]
	time.Sleep(5 * time.Second)
	return p.weigh("restarted")
}
