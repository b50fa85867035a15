package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// mountState is the mount of the state, which replicas share.
const mountState = "vault-authz"

// nothingButTheState is a configuration without entities, except the vault object of the
// state.
const nothingButTheState = `
state: {vault: home, mount: vault-authz, poll: 1s}
admin: {listen: "127.0.0.1:0", vaults_path: true}
vaults:
  - {name: home, address: VAULT, mount: kong-auth, token: {file: TOKENFILE}, timeout: 2s}
`

// A deployment is a Vault and replicas of vault-authz that share a state. It has an Envoy
// only after withEnvoy.
type deployment struct {
	*testbed
	replicas []*replica
}

// A replica is one vault-authz with an admin API.
type replica struct {
	*parts.Service
	name string
	conn *grpc.ClientConn
}

// newDeployment starts a Vault and replicas, and stops them at the end of the test.
func newDeployment(t *testing.T, replicas int) *deployment {
	t.Helper()
	return newDeploymentWith(t, replicas, setup{durable: true, entities: nothingButTheState})
}

// newDeploymentWith is newDeployment with its own configuration.
func newDeploymentWith(t *testing.T, replicas int, made setup) *deployment {
	t.Helper()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	binary, dir := suite.service.Binary(t), t.TempDir()
	s := &deployment{testbed: &testbed{dir: dir, setup: made, tokenFile: filepath.Join(dir, "vault-token")}}
	s.endWith(t)
	t.Cleanup(func() {
		for _, r := range s.replicas {
			_ = r.conn.Close()
		}
	})
	must(t, s.startVault(t.Context()))
	must(t, s.vault.Mount(t.Context(), mountState, parts.KVv2))
	must(t, os.WriteFile(s.tokenFile, []byte(s.managerToken(t)+"\n"), 0o600))
	var err error
	s.proxy, err = parts.NewProxy(t.Context(), hostPort(s.vault.Address))
	must(t, err)
	for range replicas {
		s.start(t, binary)
	}
	return s
}

// onBothServers runs a test with Vault and with OpenBao, both at the same time.
func onBothServers(t *testing.T, test func(t *testing.T, openBao bool)) {
	t.Helper()
	for name, openBao := range map[string]bool{"Vault": false, "OpenBao": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			partstest.Need(t, "BAO_BIN")
			test(t, openBao)
		})
	}
}

// start starts another replica.
func (s *deployment) start(t *testing.T, binary string) *replica {
	t.Helper()
	number := strconv.Itoa(len(s.replicas) + 1)
	own := filepath.Join(s.dir, number)
	must(t, os.Mkdir(own, 0o700))
	service, err := parts.StartService(t.Context(), parts.ServiceConfig{
		Binary: binary, Dir: own,
		Entities: strings.NewReplacer("VAULT", "http://"+s.proxy.Address(), "TOKENFILE", s.tokenFile).Replace(s.setup.entities),
	})
	must(t, err)
	return s.add(t, "replica "+number, service)
}

// add adds a running service to the replicas.
func (s *deployment) add(t *testing.T, name string, service *parts.Service) *replica {
	t.Helper()
	s.processes = append(s.processes, service.Process)
	r := newReplica(t, name, service)
	s.replicas = append(s.replicas, r)
	return r
}

// newReplica connects to a running service. Close its connection.
func newReplica(t *testing.T, name string, service *parts.Service) *replica {
	t.Helper()
	conn, err := grpc.NewClient(service.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	return &replica{Service: service, name: name, conn: conn}
}

// managerToken creates a Vault token that can manage credentials and the state.
func (s *deployment) managerToken(t *testing.T) string {
	t.Helper()
	token, err := s.vault.ManagerToken(t.Context(), mountV1, mountV2, mountState)
	must(t, err)
	suite.secrets.add(token)
	return token
}

// withEnvoy puts an Envoy in front of the first replica.
func (s *deployment) withEnvoy(t *testing.T) {
	t.Helper()
	var err error
	s.upstream, err = parts.StartUpstream(t.Context(), "127.0.0.1:0")
	must(t, err)
	s.envoy, err = parts.StartEnvoy(t.Context(), parts.EnvoyConfig{
		Binary: suite.envoy, Dir: s.dir, Upstream: s.upstream.Address(),
		Listeners: []parts.Listener{{Name: onClosed, Authz: s.replicas[0].GRPC, Timeout: 5 * time.Second}},
	})
	must(t, err)
	s.processes = append(s.processes, s.envoy.Process)
}

// A reply is what the admin API answered.
type reply struct {
	status int
	raw    string
	body   map[string]any
}

// text returns a string in the body, by its path with dots.
func (r reply) text(path string) string {
	var v any = r.body
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	text, _ := v.(string)
	return text
}

func newReply(status int, raw []byte) (reply, error) {
	r := reply{status: status, raw: string(raw)}
	if len(raw) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(raw, &r.body); err != nil {
		return reply{}, fmt.Errorf("status %d with a body that is not a JSON object: %q", status, raw)
	}
	if secret := r.text("data.secret_token"); secret != "" {
		suite.secrets.add(secret)
	}
	return r, nil
}

// do makes a call to the admin API. The fields of the form have the form name=value.
func (r *replica) do(ctx context.Context, method, path string, form ...string) (reply, error) {
	status, raw, err := r.Call(ctx, method, path, form...)
	if err != nil {
		return reply{}, err
	}
	return newReply(status, raw)
}

// openAPI returns the document of the admin API.
func (r *replica) openAPI(ctx context.Context) ([]byte, error) {
	_, raw, err := r.Call(ctx, http.MethodGet, "/openapi.yaml")
	return raw, err
}

// admin makes a call to the admin API and expects a status.
func (r *replica) admin(t *testing.T, status int, method, path string, form ...string) reply {
	t.Helper()
	got, err := r.do(t.Context(), method, path, form...)
	if err != nil {
		t.Fatalf("%s: %s %s: %v", r.name, method, path, err)
	}
	if got.status != status {
		t.Fatalf("%s: %s %s: status = %d, want %d; body %s", r.name, method, path, got.status, status, got.raw)
	}
	return got
}

// ask asks for a decision about a request with a pair, as Envoy does.
func (r *replica) ask(ctx context.Context, p pair) (envoy.Answer, error) {
	return envoy.Ask(ctx, r.conn, envoy.Question{
		Method: http.MethodGet, URL: "http://deployment.test/",
		Headers: []authz.Header{{Name: "access_token", Value: p.access}, {Name: "secret_token", Value: p.secret}},
	})
}

// awaitAllowed waits until a replica allows a pair.
func (r *replica) awaitAllowed(t *testing.T, p pair) {
	t.Helper()
	partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
		a, err := r.ask(ctx, p)
		if err == nil && !a.Allowed {
			err = fmt.Errorf("%s answers %d, reason %q", r.name, a.Status, a.Reason)
		}
		return err
	})
}

// The names of the entities of most tests of the admin API.
const (
	vaultName = "tokens"
	operator  = "alice"
)

// createEntities creates a vault object, a consumer, and a plugin for all requests through
// the first replica, and waits until all replicas know them.
func (s *deployment) createEntities(t *testing.T, mount, kv string) {
	t.Helper()
	r := s.replicas[0]
	r.admin(t, 201, "POST", "/vault-auth", s.vaultForm(t, vaultName, mount, kv)...)
	r.admin(t, 201, "POST", "/consumers", "username="+operator)
	r.admin(t, 201, "POST", "/plugins", "name=vault-auth", "config.vault.name="+vaultName)
	for _, r := range s.replicas {
		r.awaitAllowed(t, s.newPair(t, r))
	}
}

// vaultForm describes the Vault of the deployment as a vault object.
func (s *deployment) vaultForm(t *testing.T, name, mount, kv string) []string {
	t.Helper()
	host, port, _ := strings.Cut(s.proxy.Address(), ":")
	return []string{"name=" + name, "mount=" + mount, "protocol=http", "host=" + host, "port=" + port, "token=" + s.managerToken(t), "kv=" + kv}
}

// newPair creates a pair through a replica, as soon as the replica knows the vault object.
func (s *deployment) newPair(t *testing.T, r *replica) pair {
	t.Helper()
	var p pair
	partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
		got, err := r.do(ctx, "POST", "/vault-auth/"+vaultName+"/credentials/"+operator)
		if err == nil && got.status != http.StatusCreated {
			err = fmt.Errorf("status %d: %s", got.status, got.raw)
		}
		p = pair{got.text("data.access_token"), got.text("data.secret_token")}
		return err
	})
	suite.secrets.add(p.access)
	return p
}

// putPairs writes n pairs of the operator directly into the mount of version 1.
func (s *deployment) putPairs(t *testing.T, n int) []pair {
	t.Helper()
	consumer := s.replicas[0].admin(t, 200, "GET", "/consumers/"+operator).text("id")
	pairs := make([]pair, n)
	for i := range pairs {
		p := pair{unique("access"), unique("secret")}
		must(t, s.vault.Put(t.Context(), mountV1, parts.KVv1, p.access, parts.Record(p.access, p.secret, consumer)))
		pairs[i] = p
	}
	return pairs
}

// revoke deletes a pair through a replica.
func (r *replica) revoke(ctx context.Context, p pair) error {
	got, err := r.do(ctx, "DELETE", "/vault-auth/"+vaultName+"/credentials/token/"+p.access)
	if err == nil && got.status != http.StatusNoContent {
		err = fmt.Errorf("%s: a revocation: status = %d, want 204; body %s", r.name, got.status, got.raw)
	}
	return err
}

// parallel calls do n times, width calls at a time.
func parallel(n, width int, do func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, width)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}
