package e2e

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A tokenSource creates a token with exactly the named policies of deploy/vault, and
// returns the configuration with which a vault object uses it.
type tokenSource struct {
	name      string
	configure func(t *testing.T, v *parts.Vault, files []string) (setting string)
}

var tokenSources = []tokenSource{
	{"given", func(t *testing.T, v *parts.Vault, files []string) string {
		t.Helper()
		return "token: {file: " + putText(t, filepath.Join(t.TempDir(), "token"), tokenWith(t, v, files, nil)) + "}"
	}},
	{"by a login", func(t *testing.T, v *parts.Vault, files []string) string {
		t.Helper()
		role := freshName("role")
		must(t, v.Do(t.Context(), "POST", "auth/approle/role/"+role, map[string]any{
			"token_policies": files, "token_no_default_policy": true, "token_ttl": "1h",
		}, nil))
		return loginBy(t, v, role)
	}},
}

// tokenWith creates a token with exactly these policies.
func tokenWith(t *testing.T, v *parts.Vault, policies []string, more map[string]any) string {
	t.Helper()
	body := map[string]any{"policies": policies, "no_default_policy": true, "ttl": "1h"}
	for name, value := range more {
		body[name] = value
	}
	var made struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	must(t, v.Do(t.Context(), "POST", "auth/token/create", body, &made))
	suite.secrets.add(made.Auth.Token)
	return made.Auth.Token
}

// writePolicies creates a policy from each file of deploy/vault.
func writePolicies(t *testing.T, v *parts.Vault) {
	t.Helper()
	names, err := filepath.Glob(deployVault + "*.hcl")
	must(t, err)
	if len(names) != 6 {
		t.Fatalf("policies %q, want the six of docs/how-to/vault.md", names)
	}
	for _, name := range names {
		putPolicy(t, v, strings.TrimSuffix(filepath.Base(name), ".hcl"), readText(t, name))
	}
}

// useShippedPolicies gives vault-authz a Vault token that has exactly some of the policies of
// deploy/vault.
func (s *deployment) useShippedPolicies(t *testing.T, names ...string) {
	t.Helper()
	writePolicies(t, s.vault)
	must(t, parts.ReplaceFile(s.tokenFile, []byte(tokenWith(t, s.vault, names, nil)+"\n")))
}

func putPolicy(t *testing.T, v *parts.Vault, name, policy string) {
	t.Helper()
	must(t, v.Do(t.Context(), "PUT", "sys/policies/acl/"+name, map[string]any{"policy": policy}, nil))
}

// eachKV runs a test with a mount kong-auth of each version, and a mount for the state.
func eachKV(t *testing.T, v *parts.Vault, test func(t *testing.T, kv string)) {
	t.Helper()
	must(t, v.Mount(t.Context(), mountState, parts.KVv2))
	for _, kv := range []string{parts.KVv1, parts.KVv2} {
		must(t, v.Mount(t.Context(), mountV1, kv))
		t.Run(kv, func(t *testing.T) { test(t, kv) })
		must(t, v.Unmount(t.Context(), mountV1))
	}
}

// TestThePolicyFilesAreEnoughInEveryCombination shows that everything works with tokens
// that have exactly the policies which docs/how-to/vault.md names, in one token or in
// several, from a file or by a login.
func TestThePolicyFilesAreEnoughInEveryCombination(t *testing.T) {
	t.Parallel()
	combinations := []struct {
		name string
		// main are the policies for the vault object of the credentials, home those
		// for a separate vault object of the state, if any. N stands for the version
		// of KV.
		main, home []string
	}{
		{"one token for all", []string{"kv-vN", "manage-vN", "state"}, nil},
		{"all policies in one token", []string{"kv-v1", "kv-v2", "manage-v1", "manage-v2", "destroy-v2", "state"}, nil},
		{"one token for the state and one for credentials", []string{"kv-vN", "manage-vN"}, []string{"kv-vN", "state"}},
	}
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		writePolicies(t, v)
		runScript(t, v, "login-approle.sh")
		eachKV(t, v, func(t *testing.T, kv string) {
			t.Helper()
			of := func(files []string) []string {
				files = slices.Clone(files)
				for i := range files {
					files[i] = strings.Replace(files[i], "vN", kv, 1)
				}
				return files
			}
			for _, c := range combinations {
				for _, h := range tokenSources {
					t.Run(c.name+", "+h.name, func(t *testing.T) {
						m := managedService{vault: v, kv: kv, main: h.configure(t, v, of(c.main))}
						if c.home != nil {
							m.home = h.configure(t, v, of(c.home))
						}
						m.validate(t)
						m.start(t)
						m.checkAll(t)
						m.stopWithoutWarnings(t)
					})
				}
			}
			t.Run("a folder in the mount", func(t *testing.T) {
				const folder = "team-a/credentials"
				files := []string{"kv-" + kv, "manage-" + kv}
				for i, name := range files {
					files[i] = "folder-" + name
					putPolicy(t, v, files[i], inFolder(t, name+".hcl", mountV1, folder))
				}
				m := managedService{vault: v, kv: kv, prefix: folder, main: tokenSources[0].configure(t, v, append(files, "state"))}
				m.validate(t)
				m.start(t)
				m.checkAll(t)
				m.stopWithoutWarnings(t)
			})
		})
	})
}

// inFolder returns a policy of deploy/vault for a folder in a mount, changed by the command
// in docs/how-to/vault.md.
func inFolder(t *testing.T, file, mount, folder string) string {
	t.Helper()
	command := regexp.MustCompile(`sed -E '([^']+)'`).FindStringSubmatch(readText(t, "../../docs/how-to/vault.md"))
	if command == nil {
		t.Fatal("docs/how-to/vault.md has no command that changes a policy for a folder")
	}
	expression := strings.NewReplacer("MOUNT", mount, "PREFIX", folder).Replace(command[1])
	out, err := exec.CommandContext(t.Context(), "sed", "-E", expression, deployVault+file).Output()
	must(t, err)
	return string(out)
}

// TestEachPathOfThePolicyFilesForManagingIsNeeded removes one path at a time: a call must
// fail, and the log must name the path.
func TestEachPathOfThePolicyFilesForManagingIsNeeded(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		writePolicies(t, v)
		eachKV(t, v, func(t *testing.T, kv string) {
			t.Helper()
			// The paths for sweeps are optional.
			reading := pathBlock.ReplaceAllStringFunc(readText(t, deployVault+"kv-"+kv+".hcl"), func(block string) string {
				if strings.Contains(block, `"list"`) {
					return ""
				}
				return block
			})
			managing := readText(t, deployVault+"manage-"+kv+".hcl")
			putPolicy(t, v, "reading", reading)
			m := managedService{vault: v, kv: kv, main: tokenSources[0].configure(t, v, []string{"reading", "managing", "state"}), sweep: "0s"}
			putPolicy(t, v, "managing", managing)
			m.start(t)
			if err := m.manage(t.Context()); err != nil {
				t.Fatalf("with all paths: %v", err)
			}
			for path, rest := range withoutEach(t, managing, 2) {
				putPolicy(t, v, "managing", rest)
				if err := m.manage(t.Context()); err == nil {
					t.Errorf("without %s every call succeeds", path)
				}
				partstest.Await(t, 30*time.Second, func(context.Context) error {
					if !strings.Contains(m.replica.Log(), `path \"`+path+`\" {`) {
						return fmt.Errorf("the log does not name %s", path)
					}
					return nil
				})
				putPolicy(t, v, "managing", managing)
				partstest.Await(t, 20*time.Second, m.manage)
			}
		})
	})
}

// TestThePolicyFilesAllowNothingElse shows that Vault refuses what vault-authz does not
// need, with all policies for the version of the mount and with the ones for reading.
func TestThePolicyFilesAllowNothingElse(t *testing.T) {
	t.Parallel()
	record := map[string]any{"access_token": "x"}
	versioned := map[string]any{"data": record}
	type call struct {
		method, path string
		body         map[string]any
	}
	anywhere := []call{
		{"GET", "sys/mounts", nil},
		{"GET", "sys/auth", nil},
		{"GET", "sys/policies/acl?list=true", nil},
		{"GET", "sys/policies/acl/state", nil},
		{"PUT", "sys/policies/acl/state", map[string]any{"policy": `path "*" { capabilities = ["sudo"] }`}},
		{"POST", "sys/mounts/another", map[string]any{"type": "kv"}},
		{"POST", "sys/mounts/kong-auth/tune", map[string]any{"max_lease_ttl": "1h"}},
		{"POST", "sys/capabilities-self", map[string]any{"paths": []string{"kong-auth/x"}}},
		{"POST", "auth/token/create", map[string]any{}},
		{"POST", "auth/token/lookup", map[string]any{"token": "x"}},
		{"GET", "auth/token/accessors?list=true", nil},
		{"GET", "auth/approle/role/vault-authz", nil},
		{"POST", "auth/approle/role/vault-authz/secret-id", map[string]any{}},
		{"GET", "identity/entity/id?list=true", nil},
		{"GET", "cubbyhole/x", nil},
		{"GET", "other/x", nil},
		{"POST", "other/x", record},
		{"DELETE", "other/x", nil},
		{"GET", "other?list=true", nil},
		{"GET", "kong-auth-of-others/x", nil},
		{"GET", "kong-auth/folder?list=true", nil},
		{"DELETE", "vault-authz/metadata/changes", nil},
		{"DELETE", "vault-authz/data/changes", nil},
		{"POST", "vault-authz/destroy/changes", map[string]any{"versions": []int{1}}},
		{"POST", "vault-authz/config", map[string]any{"max_versions": 3}},
		{"GET", "vault-authz/config", nil},
	}
	inVersion := map[string][]call{
		parts.KVv1: {
			{"GET", "kong-auth/folder/x", nil},
			{"POST", "kong-auth/folder/x", record},
			{"DELETE", "kong-auth/folder/x", nil},
		},
		parts.KVv2: {
			{"GET", "kong-auth/config", nil},
			{"POST", "kong-auth/config", map[string]any{"delete_version_after": "1s"}},
			{"GET", "kong-auth/metadata/x", nil},
			{"POST", "kong-auth/metadata/x", map[string]any{"max_versions": 1}},
			{"POST", "kong-auth/destroy/x", map[string]any{"versions": []int{1}}},
			{"POST", "kong-auth/undelete/x", map[string]any{"versions": []int{1}}},
			{"GET", "kong-auth/data/folder/x", nil},
			{"POST", "kong-auth/data/folder/x", versioned},
			{"GET", "kong-auth/metadata/folder?list=true", nil},
		},
	}
	withoutManaging := map[string][]call{
		parts.KVv1: {{"POST", "kong-auth/x", record}, {"POST", "kong-auth/new", record}, {"DELETE", "kong-auth/x", nil}},
		parts.KVv2: {{"POST", "kong-auth/data/x", versioned}, {"POST", "kong-auth/data/new", versioned}, {"DELETE", "kong-auth/data/x", nil}, {"DELETE", "kong-auth/metadata/x", nil}},
	}
	withoutState := []call{
		{"GET", "vault-authz/data/changes", nil},
		{"POST", "vault-authz/data/changes", versioned},
		{"GET", "vault-authz/metadata/records?list=true", nil},
	}
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		writePolicies(t, v)
		runScript(t, v, "login-approle.sh")
		for _, mount := range []string{"other", "kong-auth-of-others"} {
			must(t, v.Mount(t.Context(), mount, parts.KVv1))
			must(t, v.Put(t.Context(), mount, parts.KVv1, "x", record))
		}
		eachKV(t, v, func(t *testing.T, kv string) {
			t.Helper()
			for _, key := range []string{"x", "folder/x"} {
				must(t, v.Put(t.Context(), mountV1, kv, key, record))
			}
			must(t, v.Put(t.Context(), mountState, parts.KVv2, "changes", record))
			for _, on := range []struct {
				name     string
				files    []string
				requests []call
			}{
				{"all files", []string{"kv-" + kv, "manage-" + kv, "state"}, slices.Concat(anywhere, inVersion[kv])},
				{"reading", []string{"kv-" + kv}, slices.Concat(anywhere, inVersion[kv], withoutManaging[kv], withoutState)},
			} {
				as := parts.NewVaultAPI(v.Address, tokenWith(t, v, on.files, nil))
				for _, r := range on.requests {
					var body any
					if r.body != nil {
						body = r.body
					}
					if err := as.Do(t.Context(), r.method, r.path, body, nil); err == nil || !strings.Contains(err.Error(), "403") {
						t.Errorf("with %s: %s %s: %v, want it refused with 403", on.name, r.method, r.path, err)
					}
				}
				if err := as.Do(t.Context(), "GET", "auth/token/lookup-self", nil, nil); err != nil {
					t.Errorf("with %s, the token at the end: %v", on.name, err)
				}
			}
		})
	})
}

// A managedService is a vault-authz with an admin API, for one mount of credentials.
type managedService struct {
	vault *parts.Vault
	kv    string
	// prefix is the folder of the credentials in the mount, empty if there is none.
	prefix string
	// main and home configure the tokens of the vault objects. If home is empty, main
	// also keeps the state.
	main, home string
	// sweep is the interval of sweeps, 1s if empty.
	sweep string
	// secrets is the form of secrets, plain if empty, and tokenPrefix that of tokens.
	secrets, tokenPrefix string

	replica *replica
}

// freshName returns a unique name, which is not a secret.
func freshName(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()) }

const managedPolicy = "managed"

func (m *managedService) vaults() string {
	sweep := m.sweep
	if sweep == "" {
		sweep = "1s"
	}
	object := func(name, setting string) string {
		return fmt.Sprintf("  - name: %s\n    address: %s\n    mount: %s\n    prefix: %q\n    kv: %s\n    secrets: %s\n    token_prefix: %q\n    timeout: 10s\n    cache: {ttl: 1h, sweep: %s}\n    %s\n",
			name, m.vault.Address, mountV1, m.prefix, m.kv, cmp.Or(m.secrets, "plain"), m.tokenPrefix, sweep, setting)
	}
	if m.home == "" {
		return "state: {vault: main, mount: vault-authz, poll: 1s}\nvaults:\n" + object("main", m.main)
	}
	return "state: {vault: home, mount: vault-authz, poll: 1s}\nvaults:\n" + object("home", m.home) + object("main", m.main)
}

func (m *managedService) entities() string {
	return m.vaults() + "admin: {listen: \"127.0.0.1:0\"}\npolicies:\n  - {name: " + managedPolicy + ", vault: main, default: true}\n"
}

// validate runs `config validate --connect`, which looks up and renews the tokens, reads,
// lists, and revokes the tokens that came from a login.
func (m *managedService) validate(t *testing.T) {
	t.Helper()
	if out, exit := validate(t, m.entities()); exit != 0 || strings.Contains(out, "warning") {
		t.Errorf("config validate --connect: exit %d\n%s", exit, out)
	}
}

func (m *managedService) start(t *testing.T) {
	t.Helper()
	binary, err := suite.service.Build()
	must(t, err)
	dir := t.TempDir()
	service, err := parts.StartService(t.Context(), parts.ServiceConfig{Binary: binary, Dir: dir, Entities: m.entities()})
	must(t, err)
	m.replica = newReplica(t, "the service", service)
	t.Cleanup(func() {
		_ = m.replica.conn.Close()
		m.replica.Stop(10 * time.Second)
		checkLogs(t, map[string]string{"vault-authz": m.replica.Log()})
	})
}

// checkAll does everything that vault-authz does with Vault, except what validate does.
func (m *managedService) checkAll(t *testing.T) {
	t.Helper()
	r, ctx := m.replica, t.Context()
	consumer := freshName("consumer")
	id := r.admin(t, 201, "POST", "/consumers", "username="+consumer).text("id")
	r.admin(t, 200, "PATCH", "/consumers/"+consumer, "custom_id="+freshName("id"))
	r.admin(t, 200, "GET", "/consumers")
	another := freshName("policy")
	r.admin(t, 201, "POST", "/policies", "name="+another, "vault=main", "hosts="+another+".test")
	r.admin(t, 204, "DELETE", "/policies/"+another)
	if err := m.manage(ctx); err != nil {
		t.Error(err)
	}

	// A sweep notices a deletion directly in Vault.
	p := pair{unique("access"), unique("secret")}
	key := path.Join(m.prefix, p.access)
	must(t, m.vault.Put(ctx, mountV1, m.kv, key, map[string]any{
		"access_token": p.access, "secret_token": p.secret, "consumer": map[string]any{"id": id}, "ttl": 3600,
	}))
	m.answers(t, p, http.StatusOK)
	must(t, m.vault.Delete(ctx, mountV1, m.kv, key))
	m.answers(t, p, http.StatusUnauthorized)

	r.admin(t, 204, "DELETE", "/consumers/"+consumer)
}

// answers waits until requests with a pair are answered with a status.
func (m *managedService) answers(t *testing.T, p pair, status int) {
	t.Helper()
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
		a, err := m.replica.askPolicy(ctx, managedPolicy, p)
		got := a.Status
		if a.Allowed {
			got = http.StatusOK
		}
		if err == nil && got != status {
			err = fmt.Errorf("a request is answered %d, reason %q, want %d", got, a.Reason, status)
		}
		return err
	})
}

// manage creates a credential, lists, reads, changes, rotates, uses and deletes it.
func (m *managedService) manage(ctx context.Context) error {
	const credentials = "/vault-auth/main/credentials"
	consumer := freshName("owner")
	var made reply
	call := func(status int, method, path string, form ...string) error {
		got, err := m.replica.do(ctx, method, path, form...)
		if err == nil && got.status != status {
			err = fmt.Errorf("%s %s: status = %d, want %d; body %s", method, path, got.status, status, got.raw)
		}
		made = got
		return err
	}
	if err := call(201, "POST", "/consumers", "username="+consumer); err != nil {
		return err
	}
	if err := call(201, "POST", credentials+"/"+consumer); err != nil {
		return err
	}
	p := pair{made.text("data.access_token"), made.text("data.secret_token")}
	suite.secrets.add(p.access)
	token := credentials + "/token/" + p.access
	for _, c := range []struct {
		status       int
		method, path string
		form         []string
	}{
		{200, "GET", credentials, nil},
		{200, "GET", token, nil},
		{200, "PATCH", token, []string{"ttl=3600"}},
		{201, "POST", token + "/rotate", nil},
	} {
		if err := call(c.status, c.method, c.path, c.form...); err != nil {
			return err
		}
	}
	p.secret = made.text("data.secret_token")
	a, err := m.replica.askPolicy(ctx, managedPolicy, p)
	if err != nil || !a.Allowed {
		return fmt.Errorf("a request is answered %d, reason %q, %w, want it allowed", a.Status, a.Reason, err)
	}
	if err := call(204, "DELETE", token); err != nil {
		return err
	}
	if a, err = m.replica.askPolicy(ctx, managedPolicy, p); err != nil || a.Status != http.StatusUnauthorized {
		return fmt.Errorf("after the deletion a request is answered %d, %w, want 401", a.Status, err)
	}
	return call(204, "DELETE", "/consumers/"+consumer)
}

// stopWithoutWarnings stops the service, which revokes tokens that came from a login, and
// expects no warnings in the log.
func (m *managedService) stopWithoutWarnings(t *testing.T) {
	t.Helper()
	m.replica.Stop(10 * time.Second)
	for line := range strings.SplitSeq(m.replica.Log(), "\n") {
		wanted := strings.Contains(line, "insecure setting") || strings.Contains(line, `"logger":"decision"`) // a denial is a warning
		if strings.Contains(line, `"level":"warn"`) && !wanted || strings.Contains(line, `"level":"error"`) {
			t.Errorf("a warning in the log: %s", line)
		}
	}
}
