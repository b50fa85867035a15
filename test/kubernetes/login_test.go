package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A loginBed is a Vault or OpenBao whose auth method Kubernetes was set up by the script of
// deploy, with an API server that reviews the tokens.
type loginBed struct {
	vault      *parts.Vault
	kubernetes *parts.Kubernetes
	bao        string
}

// accounts are the service accounts: one that the role of the script is for, one with
// another name, one in another namespace, and the one with which Vault reviews tokens.
const accounts = `
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Namespace, metadata: {name: vault-authz}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: elsewhere}}
  - {apiVersion: v1, kind: ServiceAccount, metadata: {name: vault-authz, namespace: vault-authz}}
  - {apiVersion: v1, kind: ServiceAccount, metadata: {name: neighbour, namespace: vault-authz}}
  - {apiVersion: v1, kind: ServiceAccount, metadata: {name: vault-authz, namespace: elsewhere}}
  - {apiVersion: v1, kind: ServiceAccount, metadata: {name: reviewer, namespace: vault-authz}}
  - apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata: {name: reviewer}
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
    subjects: [{kind: ServiceAccount, name: reviewer, namespace: vault-authz}]
`

// The credentials in the mount: one is read before the other. They have the same secret
// token and the same consumer.
const (
	cached      = "alice-1"
	uncached    = "alice-2"
	secretToken = "alice-secret"
	consumer    = "ce67c25e-2168-4a09-81e5-e06187a2384f"
)

// eachLogin runs a test on a real Vault and on a real OpenBao, each with an API server of
// its own.
func eachLogin(t *testing.T, test func(*testing.T, *loginBed)) {
	t.Helper()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		b := &loginBed{vault: v, kubernetes: partstest.StartKubernetes(t), bao: partstest.Binary(t, "BAO_BIN")}
		b.furnish(t)
		test(t, b)
	})
}

func (b *loginBed) furnish(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	must(t, b.kubernetes.Apply(ctx, accounts))
	must(t, b.vault.Mount(ctx, "kong-auth", parts.KVv1))
	for _, access := range []string{cached, uncached} {
		must(t, b.vault.Put(ctx, "kong-auth", parts.KVv1, access, parts.Record(access, secretToken, consumer)))
	}
	must(t, b.vault.Do(ctx, "PUT", "sys/policies/acl/vault-authz", map[string]string{"policy": partstest.Shipped(t, "vault/kv-v1.hcl")}, nil))
	must(t, b.vault.RunScript(ctx, deployed("vault/login-kubernetes.sh"), b.bao, t.TempDir(),
		"KUBERNETES_HOST="+b.kubernetes.URL, "KUBERNETES_CA_FILE="+b.kubernetes.CAFile,
		"REVIEWER_TOKEN_FILE="+put(t, filepath.Join(t.TempDir(), "reviewer"), b.token(t, "vault-authz", "reviewer"))))
}

// token returns a token for a service account. The arguments are those of `kubectl create
// token`.
func (b *loginBed) token(t *testing.T, namespace, account string, args ...string) string {
	t.Helper()
	token, err := b.kubernetes.Token(t.Context(), namespace, account, args...)
	must(t, err)
	return token
}

// right returns a token that the role of the script accepts.
func (b *loginBed) right(t *testing.T) string {
	t.Helper()
	return b.token(t, "vault-authz", "vault-authz", "--audience=vault")
}

// vaultObject returns the configuration of a vault object that logs in with a token file.
func (b *loginBed) vaultObject(role, tokenFile string) string {
	return fmt.Sprintf(`vaults:
  - name: kong-auth
    address: %s
    mount: kong-auth
    kv: v1
    timeout: 20s
    login: {kubernetes: {role: %s, token_file: %q}}
policies: [{name: default, default: true, vault: kong-auth}]
consumers: [{id: %s, username: alice}]
`, b.vault.Address, role, tokenFile, consumer)
}

// connect runs `config validate --connect` with a token and returns its output, and an error
// if the vault object cannot be used.
func (b *loginBed) connect(t *testing.T, role, token string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	config := put(t, filepath.Join(dir, "config.yaml"), b.vaultObject(role, put(t, filepath.Join(dir, "token"), token)))
	out, err := exec.CommandContext(t.Context(), service.Binary(t), "config", "validate", "--connect", "--config", config).CombinedOutput()
	return string(out), err
}

func TestVaultLogsInOnlyTheServiceAccountOfTheRole(t *testing.T) {
	t.Parallel()
	eachLogin(t, func(t *testing.T, b *loginBed) {
		t.Helper()
		issuer, err := parts.StartIssuer()
		must(t, err)
		t.Cleanup(issuer.Close)
		forged, err := issuer.ServiceAccount("vault-authz", "vault-authz")
		must(t, err)
		must(t, b.vault.Do(t.Context(), "POST", "auth/kubernetes/role/any-audience", map[string]any{
			"bound_service_account_names": "vault-authz", "bound_service_account_namespaces": "vault-authz", "token_policies": "vault-authz",
		}, nil))
		for _, test := range []struct {
			name, role, token string
			// says is what vault-authz says about the refusal, empty if the login works.
			says string
		}{
			{"the account and the audience of the role", "vault-authz", b.right(t), ""},
			{"the token of every pod, for a role without an audience", "any-audience", b.token(t, "vault-authz", "vault-authz"), ""},
			{"any other audience, for a role without an audience", "any-audience", b.token(t, "vault-authz", "vault-authz", "--audience=elsewhere"), ""},
			{"the token of every pod", "vault-authz", b.token(t, "vault-authz", "vault-authz"), "another audience"},
			{"another audience", "vault-authz", b.token(t, "vault-authz", "vault-authz", "--audience=elsewhere"), "another audience"},
			{"another account of the namespace", "vault-authz", b.token(t, "vault-authz", "neighbour", "--audience=vault"), "bound_service_account_names"},
			{"an account of the same name in another namespace", "vault-authz", b.token(t, "elsewhere", "vault-authz", "--audience=vault"), "bound_service_account_namespaces"},
			{"the claims of the account with another signature", "vault-authz", forged, "Kubernetes does not confirm"},
			{"another role", "no-such-role", b.right(t), "there is no role of this name"},
		} {
			out, err := b.connect(t, test.role, test.token)
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if (err == nil) != (test.says == "") || !strings.Contains(out, test.says) {
				t.Errorf("%s: err = %v, want one that says %q\n%s", test.name, err, test.says, out)
			}
			if strings.Contains(out, test.token) {
				t.Errorf("%s: the token is in the output", test.name)
			}
		}
	})
}

// A projected token is bound to its pod.
const boundPod = `
apiVersion: v1
kind: Pod
metadata: {name: vault-authz-1, namespace: vault-authz}
spec:
  serviceAccountName: vault-authz
  automountServiceAccountToken: false
  containers: [{name: vault-authz, image: vault-authz}]
`

func TestATokenOfAPodOrAnAccountThatIsGoneLogsInNoMore(t *testing.T) {
	t.Parallel()
	eachLogin(t, func(t *testing.T, b *loginBed) {
		t.Helper()
		must(t, b.kubernetes.Apply(t.Context(), boundPod))
		ofPod := b.token(t, "vault-authz", "vault-authz", "--audience=vault", "--bound-object-kind=Pod", "--bound-object-name=vault-authz-1")
		ofAccount := b.right(t)
		for _, test := range []struct{ kind, name, token string }{
			{"pod", "vault-authz-1", ofPod},
			{"serviceaccount", "vault-authz", ofAccount},
		} {
			if out, err := b.connect(t, "vault-authz", test.token); err != nil {
				t.Fatalf("while there is the %s: %v\n%s", test.kind, err, out)
			}
			kubectl(t, b.kubernetes, "delete", test.kind, test.name, "--namespace", "vault-authz", "--grace-period=0", "--force", "--wait=false")
			// The API server remembers for 10 s that a token was good.
			partstest.Await(t, 2*time.Minute, func(ctx context.Context) error {
				login := map[string]string{"role": "vault-authz", "jwt": test.token}
				if err := b.vault.Do(ctx, "POST", "auth/kubernetes/login", login, nil); err == nil {
					return fmt.Errorf("the token still logs in after its %s was deleted", test.kind)
				}
				return nil
			})
			if out, err := b.connect(t, "vault-authz", test.token); err == nil || !strings.Contains(out, "Kubernetes does not confirm") {
				t.Errorf("after the %s was deleted: err = %v\n%s", test.kind, err, out)
			}
		}
	})
}

func TestVaultMustBeAllowedToReviewTokens(t *testing.T) {
	t.Parallel()
	eachLogin(t, func(t *testing.T, b *loginBed) {
		t.Helper()
		kubectl(t, b.kubernetes, "delete", "clusterrolebinding", "reviewer")
		if out, err := b.connect(t, "vault-authz", b.right(t)); err == nil || !strings.Contains(out, "system:auth-delegator") {
			t.Errorf("err = %v, want one that names system:auth-delegator\n%s", err, out)
		}
	})
}

// TestTheServiceReadsTheTokenOfTheServiceAccountAtEachLogin: the kubelet replaces the token
// in the volume, and the service logs in again when Vault revokes its own.
func TestTheServiceReadsTheTokenOfTheServiceAccountAtEachLogin(t *testing.T) {
	t.Parallel()
	eachLogin(t, func(t *testing.T, b *loginBed) {
		t.Helper()
		volume := t.TempDir()
		mount := func(token string) {
			t.Helper()
			must(t, parts.MountSecret(volume, map[string][]byte{"token": []byte(token)}))
		}
		first, wrong, second := b.right(t), b.token(t, "vault-authz", "vault-authz", "--audience=elsewhere"), b.right(t)
		mount(first)
		s := partstest.StartService(t, parts.ServiceConfig{
			Binary: service.Binary(t), Entities: b.vaultObject("vault-authz", filepath.Join(volume, "token")),
		})
		if out, allowed := check(t, s, cached, secretToken); !allowed {
			t.Errorf("the right secret token is denied\n%s", out)
		}
		if out, allowed := check(t, s, cached, "wrong"); allowed {
			t.Errorf("the wrong secret token is allowed\n%s", out)
		}
		revoke := func() {
			t.Helper()
			must(t, b.vault.Do(t.Context(), "PUT", "sys/leases/revoke-prefix/auth/kubernetes/login", nil, nil))
		}
		mount(wrong)
		revoke()
		if out, allowed := check(t, s, uncached, secretToken); allowed || !strings.Contains(out, "unavailable") {
			t.Errorf("with a token for another audience, a credential is read\n%s", out)
		}
		partstest.Await(t, 2*time.Minute, func(context.Context) error {
			if !strings.Contains(s.Log(), "another audience") {
				return errors.New("the log does not say why the login failed")
			}
			return nil
		})
		mount(second)
		partstest.Await(t, 2*time.Minute, func(context.Context) error {
			if out, allowed := check(t, s, uncached, secretToken); !allowed {
				return errors.New(out)
			}
			return nil
		})
		for _, token := range []string{first, wrong, second} {
			if strings.Contains(s.Log(), token) {
				t.Error("a token of the service account is in the log")
			}
		}
	})
}

// check asks a service about a request with a credential.
func check(t *testing.T, s *parts.Service, access, secret string) (out string, allowed bool) {
	t.Helper()
	raw, err := exec.CommandContext(t.Context(), service.Binary(t), "check", "--address", s.GRPC,
		"-H", "access-token: "+access, "-H", "secret-token: "+secret, "http://example.com/").CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("%v\n%s", err, raw)
	}
	return string(raw), err == nil
}

// put writes a file and returns its path.
func put(t *testing.T, file, text string) string {
	t.Helper()
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}
