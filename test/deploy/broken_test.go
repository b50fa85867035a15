package deploy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A broken is a service with a Vault, which a test breaks.
type broken struct {
	vault *parts.Vault
	// proxy is between the service and its Vault.
	proxy   *parts.Proxy
	service *parts.Service
	// dir has the files of the service, with its configuration, which has the entities.
	dir, entities string
	// output is the end of the pipe from which the standard output is read.
	output    *os.File
	tokenFile string
	recording recording
	authority *parts.Authority
	files     partstest.PEMFiles
	// ends is when the certificate for Envoy does.
	ends  time.Time
	pause time.Duration
	// after is the number of scrapes under the fault.
	after int
	asked int
}

// breakable starts a service whose certificate for Envoy has a life.
func breakable(t *testing.T, life time.Duration) *broken {
	t.Helper()
	vault := partstest.StartVault(t)
	must(t, vault.Mount(t.Context(), "kong-auth", parts.KVv1))
	must(t, vault.Put(t.Context(), "kong-auth", parts.KVv1, aliceAccess, parts.Record(aliceAccess, aliceSecret, aliceID)))
	must(t, vault.Mount(t.Context(), "vault-authz", parts.KVv2))
	token, err := vault.ManagerToken(t.Context(), "kong-auth", "vault-authz")
	must(t, err)
	b := &broken{vault: vault, dir: t.TempDir(), files: partstest.NewPEMFiles(t), tokenFile: partstest.TokenFile(t, token), recording: recording{series: map[string][]string{}}, after: 20}
	role, err := vault.CreateAppRole(t.Context(), "va", map[string]any{"token_policies": []string{"vault-authz-manager"}, "token_ttl": "1h"})
	must(t, err)
	b.files.Put("secret-id", []byte(role.SecretID))
	b.authority, err = parts.NewAuthority("authority")
	must(t, err)
	b.files.Put("ca.pem", b.authority.PEM)
	b.ends = time.Now().Add(life)
	issued, err := b.authority.Issue(func(c *x509.Certificate) { c.NotAfter = b.ends }, "authz.example.com")
	must(t, err)
	b.files.Put("grpc.pem", issued.Certificate)
	b.files.Put("grpc.key", issued.Key)
	b.proxy, err = parts.NewProxy(t.Context(), strings.TrimPrefix(vault.Address, "http://"))
	must(t, err)
	t.Cleanup(func() { _ = b.proxy.Close() })
	b.entities = fmt.Sprintf(`vaults: [{name: v, address: %[1]q, mount: kong-auth, token: {file: %[2]q}}, {name: w, address: %[1]q, mount: kong-auth, login: {approle: {role_id: %[3]s, secret_id_file: %[4]q}}}]
consumers: [{id: %[5]s, username: alice}]
policies: [{name: default, default: true, vault: v}, {name: other, hosts: [other.example.com], vault: w}]
state: {vault: v}
admin: {listen: "127.0.0.1:0", tokens: [{name: ops, sha256: %[6]x}]}
grpc: {cert_file: %[7]q, key_file: %[8]q}
`, "http://"+b.proxy.Address(), b.tokenFile, role.RoleID, b.files.Path("secret-id"), aliceID, sha256.Sum256([]byte(opsToken)), b.files.Path("grpc.pem"), b.files.Path("grpc.key"))
	b.start(t)
	return b
}

// start starts the service, with variables in its environment.
func (b *broken) start(t *testing.T, environ ...string) {
	t.Helper()
	read, write, err := os.Pipe()
	must(t, err)
	log := &parts.Log{}
	t.Cleanup(func() {
		_ = read.Close()
		if t.Failed() {
			t.Logf("vault-authz wrote:\n%s", log.String())
		}
	})
	go func() { _, _ = io.Copy(log, read) }()
	b.output = read
	b.service = partstest.StartService(t, parts.ServiceConfig{
		Binary: service.Binary(t), Dir: b.dir, Entities: b.entities, Output: write,
		Env: append(environ, "VAULT_AUTHZ_LOG_AUDIT_TARGET="+b.files.Path("audit.log")),
	})
	_ = write.Close() // The service has its own.
}

// opsToken is the bearer token of the admin API.
const opsToken = "token-of-ops"

// admin makes a call to the admin API, with a form, and returns the status.
func (b *broken) admin(t *testing.T, method, path, form string) int {
	t.Helper()
	got, err := parts.Send(t.Context(), &http.Client{Timeout: 10 * time.Second}, b.service.Admin, parts.Request{
		Method: method, Target: path, Body: form,
		Header: []parts.Field{{Name: "Authorization", Value: "Bearer " + opsToken}, {Name: "Content-Type", Value: "application/x-www-form-urlencoded"}},
	})
	must(t, err)
	return got.Status
}

// pathOfAlice is that of her pair in the admin API.
const pathOfAlice = "/vault-auth/v/credentials/token/" + aliceAccess

// expireIn lets the pair of alice expire after a time.
func (b *broken) expireIn(t *testing.T, d time.Duration) {
	t.Helper()
	if status := b.admin(t, http.MethodPatch, pathOfAlice, fmt.Sprintf("expires_at=%d", time.Now().Add(d).Unix())); status != http.StatusOK {
		t.Fatalf("status = %d, want 200", status)
	}
}

// dial returns a connection to the service, as Envoy has one.
func (b *broken) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(b.authority.PEM)
	conn, err := grpc.NewClient("passthrough:///"+b.service.GRPC, grpc.WithTransportCredentials(credentials.NewTLS(
		&tls.Config{RootCAs: trust, ServerName: "authz.example.com", MinVersion: tls.VersionTLS13},
	)))
	must(t, err)
	return conn
}

// askPair asks for a decision about a pair. What comes back is up to the fault.
func askPair(ctx context.Context, conn *grpc.ClientConn, host, access, secret string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, _ = envoy.Ask(ctx, conn, envoy.Question{
		Method: http.MethodGet, URL: "http://" + host + "/",
		Headers: []authz.Header{{Name: "access-token", Value: access}, {Name: "secret-token", Value: secret}},
	})
}

// step asks for decisions about an access token that is not cached, in turn of each vault
// object, and about the pair of alice, and scrapes.
func (b *broken) step(t *testing.T) {
	t.Helper()
	b.asked++
	conn := b.dial(t)
	defer func() { _ = conn.Close() }()
	askPair(t.Context(), conn, []string{"example.com", "other.example.com"}[b.asked%2], fmt.Sprintf("unknown-%d", b.asked), "x")
	askPair(t.Context(), conn, "example.com", aliceAccess, aliceSecret)
	b.recording.scrape(t.Context(), b.service)
	time.Sleep(b.pause)
}
