package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv/login"
	"github.com/vault-authz/vault-authz/vaultkv/sweep"
)

const minimal = `
vaults:
  - {name: kong-auth, address: "https://vault.example:8200", mount: kong-auth, token: {file: /run/token}}
consumers:
  - {id: ce67c25e-2168-4a09-81e5-e06187a2384f, username: alice}
policies:
  - {name: default, default: true, vault: kong-auth}
`

func TestMinimalFileTakesKongsDefaults(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte(minimal), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := authz.DefaultPolicy()
	want.Name, want.Vault, want.Default = "default", "kong-auth", true
	if diff := cmp.Diff([]authz.Policy{want}, c.Policies); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if v := c.Vaults[0]; v.KV != "v1" || v.Timeout != 2*time.Second || v.TokenFile != "/run/token" || v.Cache.MaxStale != 30*time.Second {
		t.Errorf("vault: %+v", v)
	}
	if c.Listen.GRPC != "127.0.0.1:9191" || c.GRPC.Reflection {
		t.Errorf("listen %+v, grpc %+v", c.Listen, c.GRPC)
	}
}

func TestPrecedenceIsDefaultFileEnvironment(t *testing.T) {
	t.Parallel()
	text := minimal + "listen: {grpc: \"127.0.0.1:1\", probes: \"127.0.0.1:2\"}\nlog: {allow_sample: 7}\n"
	c, err := Parse([]byte(text), []string{"VAULT_AUTHZ_LISTEN_GRPC=127.0.0.1:3", "VAULT_AUTHZ_DRAIN_WAIT=1s", "PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen.GRPC != "127.0.0.1:3" || c.Listen.Probes != "127.0.0.1:2" || c.Log.AllowSample != 7 || c.Drain.Wait != time.Second || c.Drain.Timeout != 20*time.Second {
		t.Errorf("got %+v", c)
	}
}

func TestTheModeAndTheGroupOfASocketAreRead(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte("listen: {grpc: unix:/run/authz.sock, socket_mode: 0600, socket_group: 101}\n"+minimal), nil)
	if err != nil || c.Listen.SocketMode != 0o600 || c.Listen.SocketGroup != "101" {
		t.Errorf("got %+v, %v, want 0600 and 101", c.Listen, err)
	}
	if got := c.Listen.InsecureSettings(); len(got) != 0 {
		t.Errorf("a socket for its owner is called insecure: %q", got)
	}
	c, err = Parse([]byte("listen: {probes: unix:/run/authz.sock, socket_mode: 0o600}\n"+minimal), []string{"VAULT_AUTHZ_LISTEN_SOCKET_MODE=666", "VAULT_AUTHZ_LISTEN_SOCKET_GROUP=envoy"})
	if err != nil || c.Listen.SocketMode != 0o666 || c.Listen.SocketGroup != "envoy" {
		t.Errorf("got %+v, %v, want 0666 and envoy", c.Listen, err)
	}
	if got := c.Listen.InsecureSettings(); len(got) != 1 || !strings.Contains(got[0], "listen.socket_mode: with 0666 every user") {
		t.Errorf("got %q, want a warning of 0666", got)
	}
	shown, err := c.Show()
	if err != nil || !strings.Contains(string(shown), `socket_mode: "0666"`) {
		t.Errorf("got %v, want the mode as it is written:\n%s", err, shown)
	}
	if again, err := Parse(shown, nil); err != nil || again.Listen != c.Listen {
		t.Errorf("got %+v, %v of what is shown, want %+v", again.Listen, err, c.Listen)
	}
}

func TestNamesAreOneOrAList(t *testing.T) {
	t.Parallel()
	text := strings.Replace(minimal, "vault: kong-auth}", "vault: kong-auth, access_token_name: key, secret_token_name: [s1, s2]}", 1)
	c, err := Parse([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"key"}, {"s1", "s2"}}, [][]string{c.Policies[0].AccessTokenNames, c.Policies[0].SecretTokenNames}); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestMistakesAreNamedAndAllReported(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		environ    []string
		want       []string
	}{
		{name: "unknown setting", text: minimal + "listener: {}\n", want: []string{"line 8: unknown setting listener"}},
		{name: "unknown setting of a policy", text: strings.Replace(minimal, "name: default", "name: default, hide_credential: true", 1), want: []string{"line 7: unknown setting hide_credential in policies[0]"}},
		{name: "a setting twice", text: minimal + "log: {level: info}\nlog: {level: loud}\n", want: []string{"line 9: log: is given twice, in line 8 too"}},
		{name: "a policy that is not the first of its name", text: minimal + "  - {name: default, vault: kong-auth}\n", want: []string{`line 8: policies[1] "default".name: "default" is taken`}},
		{name: "a consumer that is not the first of its name", text: strings.Replace(minimal, "\npolicies:", "\n  - {id: b4d0cbb7-bff2-4599-ba19-67c705c15b9a, username: alice}\npolicies:", 1), want: []string{`line 6: consumers[1] "alice".username: is taken`}},
		{name: "policies that tie", text: minimal + "  - {name: a, hosts: [x.example], vault: kong-auth}\n  - {name: b, hosts: [x.example], vault: kong-auth}\n", want: []string{`line 9: policies "a" and "b" tie`}},
		{name: "a tab", text: "vaults:\n\t- name: main\n", want: []string{"line 2", "indent with spaces"}},
		{name: "second document", text: minimal + "---\n{}\n", want: []string{"more than one YAML document"}},
		{name: "wrong kinds", text: minimal + "grpc: {reflection: maybe}\ndrain: {wait: soon}\n", want: []string{"line 8: grpc.reflection: expected true or false", "line 9: drain.wait: expected a duration"}},
		{name: "token in the file itself", text: strings.Replace(minimal, "{file: /run/token}", "s.m3w9", 1), want: []string{"line 3"}},
		{name: "no token", text: strings.Replace(minimal, ", token: {file: /run/token}", "", 1), want: []string{`vaults[0] "kong-auth".token: give either`}},
		{name: "token and login", text: withLogin("userpass: {username: u, password_file: /p}", "token: {file: /run/token}, "), want: []string{`"kong-auth".token: give either token or login`}},
		{name: "token and agent", text: strings.Replace(minimal, "token: {file: /run/token}", "token: {file: /run/token, agent: true}", 1), want: []string{`"kong-auth".token: give either`}},
		{name: "agent and login", text: withLogin("userpass: {username: u, password_file: /p}", "token: {agent: true}, "), want: []string{`"kong-auth".token: give either token or login`}},
		{name: "no agent after all", text: strings.Replace(minimal, "token: {file: /run/token}", "token: {agent: false}", 1), want: []string{`"kong-auth".token: give either`}},
		{name: "an agent in words", text: strings.Replace(minimal, "token: {file: /run/token}", "token: {agent: http://127.0.0.1:8100}", 1), want: []string{"token.agent: expected true or false"}},
		{name: "two logins", text: withLogin("userpass: {username: u, password_file: /p}, cert: {}", ""), want: []string{"login: give one of approle"}},
		{name: "unknown login", text: withLogin("ldap: {}", ""), want: []string{"unknown setting ldap"}},
		{name: "login without what it needs", text: withLogin("approle: {mount: /x}", ""), want: []string{`"kong-auth".login.approle.mount`, "approle.role_id", "approle.secret_id_file"}},
		{name: "secret id in the file itself", text: withLogin("approle: {role_id: r, secret_id: s.m3w9}", ""), want: []string{"unknown setting secret_id"}},
		{name: "variable that is not set", text: strings.Replace(minimal, "file: /run/token", "env: NOPE", 1), want: []string{"NOPE is not set"}},
		{
			name: "several at once", text: strings.NewReplacer("https://vault.example:8200", "vault", "username: alice", "username: alice, groups: ['a,b']", "vault: kong-auth}", "vault: other, on_error: allow}").Replace(minimal),
			want: []string{`vaults[0] "kong-auth".address`, "comma", `no vault object "other"; there are: kong-auth`, "on_error"},
		},
		{name: "body tokens that could not be hidden", text: strings.Replace(minimal, "name: default", "name: default, tokens_in_body: true", 1), want: []string{"body_credentials_visible"}},
		{name: "mode of a socket", text: "listen: {grpc: unix:/s, socket_mode: 0777777}\n" + minimal, want: []string{`line 1: listen.socket_mode: expected the mode of a file`}},
		{name: "mode of a socket in decimal", text: "listen: {grpc: unix:/s, socket_mode: 668}\n" + minimal, want: []string{"expected the mode of a file"}},
		{name: "mode of a socket that changes the user", text: "listen: {grpc: unix:/s, socket_mode: 04770}\n" + minimal, want: []string{"expected the mode of a file"}},
		{name: "mode of a socket in letters", text: minimal, environ: []string{"VAULT_AUTHZ_LISTEN_SOCKET_MODE=rw"}, want: []string{`VAULT_AUTHZ_LISTEN_SOCKET_MODE: "rw" is not a mode of a file`}},
		{name: "group of a socket that there is not", text: "listen: {socket_group: envoy}\n" + minimal, want: []string{"listen.socket_group: only has an effect on sockets"}},
		{name: "variable that is no setting", text: minimal, environ: []string{"VAULT_AUTHZ_LISTEN=x"}, want: []string{"VAULT_AUTHZ_LISTEN is not a setting"}},
		{name: "variable of the wrong kind", text: minimal, environ: []string{"VAULT_AUTHZ_DRAIN_WAIT=5"}, want: []string{`VAULT_AUTHZ_DRAIN_WAIT: "5" is not a duration`}},
		{name: "state", text: minimal + "state: {vault: other, poll: 1ms}\n", want: []string{`no vault object "other"`, "state.poll"}},
		{name: "a mount that is Vault's own", text: strings.Replace(minimal, "mount: kong-auth", "mount: ns1/sys", 1), want: []string{`vaults[0] "kong-auth".mount: "ns1/sys" is refused`}},
		{name: "a state mount that is Vault's own", text: minimal + "state: {vault: kong-auth, mount: cubbyhole}\n", want: []string{`state.mount: "cubbyhole" is refused`}},
		{name: "credentials where the state is", text: minimal + "state: {vault: kong-auth, mount: kong-auth}\n", want: []string{`vaults[0] "kong-auth".mount: "kong-auth" is refused: the state is kept there`}},
		{name: "a folder that leads out of the mount", text: strings.Replace(minimal, "mount: kong-auth", "mount: kong-auth, prefix: ../sys", 1), want: []string{`vaults[0] "kong-auth".prefix: "../sys" is not a folder`}},
		{name: "credentials in the state, by a folder", text: strings.Replace(minimal, "mount: kong-auth", "mount: secret, prefix: State/data", 1) + "state: {vault: kong-auth, mount: secret/state}\n", want: []string{`vaults[0] "kong-auth".mount: "secret/State/data" is refused: the state is kept there`}},
		{
			name: "credentials in the state, by its namespace in the path and another server",
			text: strings.NewReplacer("kong-auth, token", "kong-auth, namespace: ns1, token", "\nconsumers:", "\n  - {name: other, address: \"http://127.0.0.1\", mount: ns1/state/data, token: {file: /run/token}}\nconsumers:").Replace(minimal) + "state: {vault: kong-auth, mount: state}\n",
			want: []string{`vaults[1] "other".mount: "ns1/state/data" is refused: the state is kept there`},
		},
		{name: "cache", text: strings.Replace(minimal, "mount: kong-auth,", "mount: kong-auth, cache: {capacity: 0, max_stale: 3h},", 1), want: []string{"cache.capacity", "cache.max_stale"}},
		{name: "sweep", text: strings.Replace(minimal, "mount: kong-auth,", "mount: kong-auth, cache: {sweep: 10ms},", 1), want: []string{`vaults[0] "kong-auth".cache.sweep: 10ms is neither 0 nor between`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(test.text), test.environ)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no mention of %q in:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "s.m3w9") && test.name != "token in the file itself" {
				t.Errorf("the token is in the error: %v", err)
			}
		})
	}
}

// withLogin is minimal with a login, and what else the vault object has.
func withLogin(login, more string) string {
	return strings.Replace(minimal, "token: {file: /run/token}", more+"login: {"+login+"}", 1)
}

// TestTokenInTheWrongPlaceIsNotQuoted: whoever writes a token into the file itself
// does not want to read it in a log.
func TestTokenInTheWrongPlaceIsNotQuoted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"vaults: [{name: a, token: zzSECRET}]",
		"vaults: [{name: a, token: {hvs.zzSECRET}}]",
		"vaults: [{name: a, token: {? [zzSECRET] : x}}]",
		"vaults: [{name: a, timeout: zzSECRET}]",
		"vaults: [{name: a, cache: {capacity: zzSECRET}}]",
		"vaults: [{name: a, token: {env: hvs.zzSECRET}}]",
		"vaults: [{name: a, token: {env: 0e4b3a4c-zzSECRET}}]",
		"vaults: [{name: a, token: zz`SECRET}]",
		"vaults: [{name: a, token: zzSECRETzz-of-many-characters}]",
		"vaults:\n  - name: a\n    token: |\n      zzS\n      CRET\n",
		"vaults: [{name: a, login: zzSECRET}]",
		"vaults: [{name: a, login: {userpass: zzSECRET}}]",
		"vaults: [{name: a, login: {approle: zzSECRET}}]",
		"vaults: zzSECRET",
		"admin: {tokens: zzSECRET}",
		"admin: {tokens: [zzSECRET]}",
		"admin: zzSECRET",
	} {
		_, err := Parse([]byte(text), nil)
		if err == nil || strings.Contains(err.Error(), "zz") || strings.Contains(err.Error(), "config.") || !strings.Contains(err.Error(), "expected ") && !strings.Contains(err.Error(), "give the name") && !strings.Contains(err.Error(), "unknown setting (not shown") {
			t.Errorf("Parse(%q) = %v, want a word about what is expected, and nothing of the value", text, err)
		}
	}
}

func TestLoginsAreReadAndShown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want login.Method
	}{
		{
			"approle: {role_id: r, secret_id_file: /s, wrapped: true, mount: team/approle, namespace: root}",
			login.AppRole{Mount: login.Mount{Path: "team/approle", Namespace: "root"}, RoleID: "r", SecretIDFile: "/s", Wrapped: true},
		},
		{"approle: {role_id_file: /r, secret_id_file: /s}", login.AppRole{Mount: login.Mount{Path: "approle"}, RoleIDFile: "/r", SecretIDFile: "/s"}},
		{"kubernetes: {role: r}", login.Kubernetes{Mount: login.Mount{Path: "kubernetes"}, Role: "r", TokenFile: login.ServiceAccountTokenFile}},
		{"kubernetes: {role: r, token_file: /t, mount: k8s}", login.Kubernetes{Mount: login.Mount{Path: "k8s"}, Role: "r", TokenFile: "/t"}},
		{"jwt: {role: r, token_file: /t, namespace: a/b}", login.JWT{Mount: login.Mount{Path: "jwt", Namespace: "a/b"}, Role: "r", TokenFile: "/t"}},
		{"userpass: {username: u, password_file: /p}", login.Userpass{Mount: login.Mount{Path: "userpass"}, Username: "u", PasswordFile: "/p"}},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			c, err := Parse([]byte(withLogin(tt.text, "")), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, c.Vaults[0].Login); diff != "" {
				t.Errorf("login (-want +got):\n%s", diff)
			}
			shown, err := c.Show()
			if err != nil {
				t.Fatal(err)
			}
			again, err := Parse(shown, nil)
			if err != nil {
				t.Fatalf("parsing what is shown: %v\n%s", err, shown)
			}
			if diff := cmp.Diff(c, again); diff != "" {
				t.Errorf("shown and parsed again (-want +got):\n%s", diff)
			}
			// Objects that are configured alike are not opened anew.
			if c.Vaults[0] != again.Vaults[0] {
				t.Error("two readings of one configuration differ")
			}
		})
	}
}

func TestOneLifeMovesTheOthersWithIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		given           string
		least, is, most time.Duration
	}{
		{"", time.Second, 5 * time.Minute, time.Hour},
		{"ttl: 2h", time.Second, 2 * time.Hour, 2 * time.Hour},
		{"ttl: 100ms", 100 * time.Millisecond, 100 * time.Millisecond, time.Hour},
		{"max_ttl: 30s", time.Second, 30 * time.Second, 30 * time.Second},
		{"max_ttl: 500ms", 500 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond},
		{"min_ttl: 10m", 10 * time.Minute, 10 * time.Minute, time.Hour},
	} {
		c, err := Parse([]byte(strings.Replace(minimal, "mount: kong-auth,", "mount: kong-auth, cache: {"+test.given+"},", 1)), nil)
		if err != nil {
			t.Errorf("%q: %v", test.given, err)
			continue
		}
		if got := c.Vaults[0].Cache; got.MinTTL != test.least || got.TTL != test.is || got.MaxTTL != test.most {
			t.Errorf("%q: got min %s, ttl %s, max %s; want %s, %s, %s", test.given, got.MinTTL, got.TTL, got.MaxTTL, test.least, test.is, test.most)
		}
	}
}

// KV v2 lists what `vault kv delete` has deleted, so a sweep also reads there.
func TestSweepsAreOnUnlessTheyAreTurnedOff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		given string
		want  sweep.Config
	}{
		{"kv: v1", sweep.Config{Interval: time.Minute}},
		{"kv: v2", sweep.Config{Interval: time.Minute, Reads: sweep.KV2Reads}},
		{"cache: {sweep: 10s}", sweep.Config{Interval: 10 * time.Second}},
		{"cache: {sweep: 0s}", sweep.Config{}},
	} {
		c, err := Parse([]byte(strings.Replace(minimal, "mount: kong-auth,", "mount: kong-auth, "+test.given+",", 1)), nil)
		if err != nil {
			t.Errorf("%q: %v", test.given, err)
			continue
		}
		if got := c.Vaults[0].Sweep; got != test.want {
			t.Errorf("%q: Sweep = %+v, want %+v", test.given, got, test.want)
		}
	}
}

func TestShowIsWhatParseTakesAndHasNoSecret(t *testing.T) {
	t.Parallel()
	text := strings.Replace(minimal, "file: /run/token", "env: VAULT_AUTHZ_TOKEN", 1)
	environ := []string{"VAULT_AUTHZ_TOKEN=s.m3w9gdV0uMDYFpMgEWSB2mtM"}
	c, err := Parse([]byte(text), environ)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), "s.m3w9") {
		t.Errorf("the token is shown:\n%s", shown)
	}
	again, err := Parse(shown, environ)
	if err != nil {
		t.Fatalf("parsing what is shown: %v\n%s", err, shown)
	}
	if diff := cmp.Diff(c, again); diff != "" {
		t.Errorf("shown and parsed again (-want +got):\n%s", diff)
	}
}

// documented is the page that describes the configuration.
const documented = "docs/reference/configuration.md"

func TestTablesOfTheDocumentAreTheCodes(t *testing.T) {
	t.Parallel()
	page := readPage(t, documented)
	for _, part := range []struct{ name, want string }{
		{"settings", Reference()},
		{"variables", variableTable()},
	} {
		_, rest, found := strings.Cut(page, "<!-- "+part.name+": begin -->\n")
		table, _, ended := strings.Cut(rest, "<!-- "+part.name+": end -->")
		if !found || !ended {
			t.Fatalf("%s has no table of %s", documented, part.name)
		}
		if diff := cmp.Diff(part.want, table); diff != "" {
			t.Errorf("%s, %s: take over what the code has, `vault-authz config reference` for the settings (-code +document):\n%s", documented, part.name, diff)
		}
	}
}

// variableTable is the table of the variables in Markdown.
func variableTable() string {
	var b strings.Builder
	b.WriteString("| variable | setting |\n|---|---|\n")
	for _, v := range Variables() {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", v.Name, v.Setting)
	}
	return b.String()
}

func TestConfigurationsOfTheDocumentsAreAccepted(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?ms)^ *```yaml\n(.*?)^ *```$")
	for _, name := range []string{"README.md", documented, "docs/tutorials/envoy-and-vault.md", "docs/tutorials/from-kong.md"} {
		found := 0
		for _, b := range block.FindAllStringSubmatch(readPage(t, name), -1) {
			// Others are for Envoy, or a part of a configuration.
			if !strings.Contains("\n"+b[1], "\nvaults:") {
				continue
			}
			found++
			if _, err := Parse([]byte(b[1]), nil); err != nil {
				t.Errorf("%s: %v\nin\n%s", name, err, b[1])
			}
		}
		if found == 0 {
			t.Errorf("%s has no configuration", name)
		}
	}
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "c.yaml")
	if _, err := Load(name, nil); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(name, []byte("x: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name, nil); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("bad file: %v", err)
	}
}

func TestConnectionSettings(t *testing.T) {
	t.Parallel()
	with := func(settings string) string {
		return strings.Replace(minimal, `address: "https://vault.example:8200"`, settings, 1)
	}
	text := with(`addresses: ["https://a:8200", "https://b:8200"], proxy: "http://proxy:3128", client_cert_file: c.pem, client_key_file: k.pem, max_connections: 7`)
	c, err := Parse([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	v := c.Vaults[0]
	if v.Address != "https://a:8200,https://b:8200" || v.Proxy != "http://proxy:3128" || v.ClientCertFile != "c.pem" || v.ClientKeyFile != "k.pem" || v.MaxConnections != 7 {
		t.Errorf("got %+v", v.Config)
	}
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(shown, nil)
	if err != nil || again.Vaults[0] != v {
		t.Errorf("what Show returns means %+v (%v), want %+v", again.Vaults, err, v)
	}
	for _, test := range []struct{ settings, want string }{
		{`address: "https://a:8200", addresses: ["https://b:8200"]`, "give either address or addresses"},
		{`addresses: ["https://a:8200,https://b:8200"]`, "without a comma"},
		{`addresses: []`, "address: must be set"},
		{`addresses: ["vault:8200"]`, "address: must be http"},
	} {
		if _, err := Parse([]byte(with(test.settings)), nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error with %q", test.settings, err, test.want)
		}
	}
	if c, err = Parse([]byte(with(`address: "https://a:8200", cache: {max_loads: 9}`)), nil); err != nil || c.Vaults[0].MaxConnections != 9 {
		t.Errorf("max_connections without a setting: %v (%v), want that of max_loads", c.Vaults, err)
	}
}
