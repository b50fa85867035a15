package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const deployVault = "../../deploy/vault/"

// vaultWarning is in the output of `config validate --connect` if it warns about a vault
// object. These configurations also cause a warning that there are no policies.
const vaultWarning = `": warning`

// connect runs `config validate --connect` for one vault object.
func connect(t *testing.T, address, kv, settings, more string) (out string, exit int) {
	t.Helper()
	return validate(t, fmt.Sprintf("vaults:\n  - name: main\n    address: %s\n    mount: kong-auth\n    kv: %s\n    timeout: 20s\n", address, kv)+indent(settings, "    ")+more)
}

// validate runs `config validate --connect`.
func validate(t *testing.T, text string) (out string, exit int) {
	t.Helper()
	binary, err := suite.service.Build()
	must(t, err)
	file := putText(t, filepath.Join(t.TempDir(), "config.yaml"), text)
	raw, err := exec.CommandContext(t.Context(), binary, "config", "validate", "--connect", "--config", file).CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if failed != nil {
		exit = failed.ExitCode()
	}
	return string(raw), exit
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+by) + "\n"
}

// runScript runs a script of deploy/vault.
func runScript(t *testing.T, v *parts.Vault, script string, environ ...string) {
	t.Helper()
	must(t, v.RunScript(t.Context(), deployVault+script, suite.bao, t.TempDir(), environ...))
}

func readText(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func putText(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func setPolicy(t *testing.T, v *parts.Vault, policy string) {
	t.Helper()
	if err := v.Do(t.Context(), "PUT", "sys/policies/acl/vault-authz", map[string]string{"policy": policy}, nil); err != nil {
		t.Fatal(err)
	}
}

// pathBlock matches one path of a policy.
var pathBlock = regexp.MustCompile(`(?m)^path "([^"]+)" \{\n[^}]*\}\n`)

// withoutEach returns, for each path of a policy, the policy without it.
func withoutEach(t *testing.T, policy string, atLeast int) map[string]string {
	t.Helper()
	policies := map[string]string{}
	for _, at := range pathBlock.FindAllStringSubmatchIndex(policy, -1) {
		policies[policy[at[2]:at[3]]] = policy[:at[0]] + policy[at[1]:]
	}
	if len(policies) < atLeast {
		t.Fatalf("%d paths in the policy, want at least %d:\n%s", len(policies), atLeast, policy)
	}
	return policies
}

// TestEachPathOfTheSamplePoliciesIsNeeded removes one path at a time: `config validate
// --connect` must name it.
func TestEachPathOfTheSamplePoliciesIsNeeded(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		runScript(t, v, "login-approle.sh")
		login := loginBy(t, v, "vault-authz")
		if err := v.Mount(t.Context(), "vault-authz", "v2"); err != nil {
			t.Fatal(err)
		}
		for _, kv := range []string{"v1", "v2"} {
			if kv == "v2" {
				if err := v.Unmount(t.Context(), "kong-auth"); err != nil {
					t.Fatal(err)
				}
			}
			if err := v.Mount(t.Context(), "kong-auth", kv); err != nil {
				t.Fatal(err)
			}
			policy := readText(t, deployVault+"kv-"+kv+".hcl")
			everyPath(t, v, policy, func() (string, int) { return connect(t, v.Address, kv, login, "") })
			everyPath(t, v, readText(t, deployVault+"state.hcl")+policy, func() (string, int) { return connect(t, v.Address, kv, login, "state: {vault: main}\n") })
		}
	})
}

// TestEachCapabilityOfTheSamplePolicyOfTheStateIsNeeded: without it serve would not become
// ready, or could not keep a change, and so `config validate --connect` must not say ok.
func TestEachCapabilityOfTheSamplePolicyOfTheStateIsNeeded(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		runScript(t, v, "login-approle.sh")
		login := loginBy(t, v, "vault-authz")
		must(t, v.Mount(t.Context(), "kong-auth", "v1"))
		must(t, v.Mount(t.Context(), "vault-authz", "v2"))
		rest, all := readText(t, deployVault+"kv-v1.hcl"), readText(t, deployVault+"state.hcl")
		const data = `capabilities = ["create", "update", "read"]`
		if !strings.Contains(all, data) {
			t.Fatalf("no %s in state.hcl", data)
		}
		// Vault asks for create where there is no entry yet, and for update where there is one.
		for _, tt := range []struct{ lacks, left string }{{"create", `"update", "read"`}, {"read", `"create", "update"`}, {"update", `"create", "read"`}} {
			if tt.lacks == "update" {
				must(t, v.Do(t.Context(), "POST", "vault-authz/data/checkpoint", map[string]any{"data": map[string]string{}}, nil))
			}
			setPolicy(t, v, rest+strings.Replace(all, data, `capabilities = [`+tt.left+`]`, 1))
			if out, exit := connect(t, v.Address, parts.KVv1, login, "state: {vault: main}\n"); exit != 1 || !strings.Contains(out, `"`+tt.lacks+`"`) || !strings.Contains(out, "what else of deploy/vault/state.hcl") {
				t.Errorf("without %s: exit %d\n%s", tt.lacks, exit, out)
			}
		}
		setPolicy(t, v, rest+all)
		if out, exit := connect(t, v.Address, parts.KVv1, login, "state: {vault: main}\n"); exit != 0 {
			t.Errorf("with the whole policy: exit %d\n%s", exit, out)
		}
		var entry struct {
			Data struct{ Metadata struct{ Version int } }
		}
		must(t, v.Do(t.Context(), "GET", "vault-authz/data/checkpoint", nil, &entry))
		if entry.Data.Metadata.Version != 1 {
			t.Errorf("version %d of the checkpoint after it, want nothing written", entry.Data.Metadata.Version)
		}
	})
}

func everyPath(t *testing.T, v *parts.Vault, policy string, connect func() (string, int)) {
	t.Helper()
	setPolicy(t, v, policy)
	if out, exit := connect(); exit != 0 || strings.Contains(out, vaultWarning) {
		t.Errorf("with the whole policy: exit %d\n%s", exit, out)
	}
	for path, rest := range withoutEach(t, policy, 4) {
		setPolicy(t, v, rest)
		out, exit := connect()
		// The message names the path of the request, so the glob may differ.
		if !strings.Contains(out, `path "`+strings.TrimSuffix(strings.TrimSuffix(path, "*"), "+")) {
			t.Errorf("without %s: exit %d, and the output does not name it:\n%s", path, exit, out)
		}
		// Reading credentials does not need these paths.
		aside := strings.HasPrefix(path, "auth/token/") || path == "kong-auth/" || path == "kong-auth/metadata/"
		if aside != (exit == 0) {
			t.Errorf("without %s: exit %d\n%s", path, exit, out)
		}
	}
}

// appRole returns the role id of a role, and a new secret id.
func appRole(t *testing.T, v *parts.Vault, role string) parts.AppRole {
	t.Helper()
	login, err := v.AppRole(t.Context(), role)
	must(t, err)
	suite.secrets.add(login.SecretID)
	return login
}

// loginBy returns the configuration for the login with a role.
func loginBy(t *testing.T, v *parts.Vault, role string) string {
	t.Helper()
	login := appRole(t, v, role)
	return "login: {approle: {role_id: " + login.RoleID + ", secret_id_file: " + putText(t, filepath.Join(t.TempDir(), "secret-id"), login.SecretID) + "}}"
}

// TestWrongLoginsDoNotLockTheSampleRole: by default whoever knows the role id could lock
// vault-authz out of the server.
func TestWrongLoginsDoNotLockTheSampleRole(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		must(t, v.Mount(t.Context(), mountV1, parts.KVv1))
		writePolicies(t, v)
		setPolicy(t, v, readText(t, deployVault+"kv-v1.hcl"))
		runScript(t, v, "login-approle.sh")
		role := appRole(t, v, "vault-authz")
		for range 10 {
			wrong := map[string]string{"role_id": role.RoleID, "secret_id": "00000000-0000-0000-0000-000000000000"}
			if err := v.Do(t.Context(), "POST", "auth/approle/login", wrong, nil); err == nil {
				t.Fatal("a login with a wrong secret id: no error, want it refused")
			}
		}
		if out, exit := connect(t, v.Address, parts.KVv1, loginBy(t, v, "vault-authz"), ""); exit != 0 {
			t.Errorf("with the right secret id: exit %d\n%s", exit, out)
		}
	})
}

// TestATokenWithAUseLimitIsRefused: such a token stops working after some reads.
func TestATokenWithAUseLimitIsRefused(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		must(t, v.Mount(t.Context(), mountV1, parts.KVv1))
		writePolicies(t, v)
		// From one use, which the check itself consumes, to more than the check needs.
		for _, uses := range []int{1, 2, 3, 4, 100} {
			token := tokenWith(t, v, []string{"kv-v1"}, map[string]any{"num_uses": uses})
			out, exit := connect(t, v.Address, parts.KVv1, "token: {file: "+putText(t, filepath.Join(t.TempDir(), "token"), token)+"}", "")
			if exit != 1 || !strings.Contains(out, "use limit (num_uses)") || strings.Contains(out, ": ok") {
				t.Errorf("for a token with %d uses: exit %d\n%s", uses, exit, out)
			}
		}
	})
}

// TestAWrongKVVersionIsNamed: Vault answers a wrong kv as if a policy lacked a path.
func TestAWrongKVVersionIsNamed(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		writePolicies(t, v)
		eachKV(t, v, func(t *testing.T, kv string) {
			t.Helper()
			other := map[string]string{parts.KVv1: parts.KVv2, parts.KVv2: parts.KVv1}[kv]
			token := tokenWith(t, v, []string{"kv-" + kv}, nil)
			out, exit := connect(t, v.Address, other, "token: {file: "+putText(t, filepath.Join(t.TempDir(), "token"), token)+"}", "")
			if exit != 1 || !strings.Contains(out, "set kv: "+kv) || strings.Contains(out, "capabilities") {
				t.Errorf("exit %d, want it to say kv: %s and no path\n%s", exit, kv, out)
			}
		})
	})
}

// TestTheDocumentedLoginsWork tries each example of docs/how-to/vault.md with the role that
// its script creates.
func TestTheDocumentedLoginsWork(t *testing.T) {
	t.Parallel()
	docs := readText(t, "../../docs/how-to/vault.md")
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		if err := v.Mount(t.Context(), "kong-auth", "v1"); err != nil {
			t.Fatal(err)
		}
		setPolicy(t, v, readText(t, deployVault+"kv-v1.hcl"))
		issuer, err := parts.StartIssuer()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(issuer.Close)
		dir := t.TempDir()
		file := func(name string, text string, err error) string {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return putText(t, filepath.Join(dir, name), text)
		}
		authority, err := parts.NewAuthority("authority")
		must(t, err)
		ca := file("ca.pem", string(authority.PEM), nil)
		reviewer, err := issuer.ServiceAccount("kube-system", "reviewer")

		runScript(t, v, "login-approle.sh")
		runScript(t, v, "login-kubernetes.sh", "KUBERNETES_HOST="+issuer.URL, "KUBERNETES_CA_FILE="+ca, "REVIEWER_TOKEN_FILE="+file("reviewer", reviewer, err))
		runScript(t, v, "login-jwt.sh", "JWKS_URL="+issuer.URL+"/jwks", "ISSUER="+parts.IssuerName, "SUBJECT=authz")
		runScript(t, v, "login-cert.sh", "CLIENT_CA_FILE="+ca, "CLIENT_NAME=authz.example")
		runScript(t, v, "login-userpass.sh", "PASSWORD_FILE="+file("password", "a password of the test", nil))

		role := appRole(t, v, "vault-authz")
		file("secret-id", role.SecretID, nil)
		account, err := issuer.ServiceAccount("vault-authz", "vault-authz")
		file("service-account-token", account, err)
		jwt, err := issuer.JWT("authz", parts.Audience)
		file("token.jwt", jwt, err)
		token, err := v.ReaderToken(t.Context(), "kong-auth")
		file("vault-token", token, err)
		wrapping, err := wrappedSecretID(t.Context(), v)
		file("wrapping-token", wrapping, err)

		tried := 0
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(docs, -1) {
			settings := strings.NewReplacer("/run/secrets/", dir+"/", "ROLE_ID", role.RoleID).Replace(block[1])
			switch {
			case strings.Contains(settings, "client_cert_file"):
				// It needs TLS. The tests of vaultkv try this login.
				continue
			case strings.HasPrefix(settings, "vaults:"):
				// A whole vault object, with a folder or an agent, has tests of its own.
				continue
			}
			tried++
			if out, exit := connect(t, v.Address, "v1", settings, ""); exit != 0 || strings.Contains(out, vaultWarning) {
				t.Errorf("exit %d\n%s\nwith\n%s", exit, out, settings)
			}
		}
		if tried != 6 {
			t.Errorf("%d examples were tried, want 6", tried)
		}
	})
}

func wrappedSecretID(ctx context.Context, v *parts.Vault) (string, error) {
	var answer struct {
		Wrap struct {
			Token string `json:"token"`
		} `json:"wrap_info"`
	}
	err := v.Wrapped(ctx, "auth/approle/role/vault-authz/secret-id", &answer)
	return answer.Wrap.Token, err
}
