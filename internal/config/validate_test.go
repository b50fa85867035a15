package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// full is a configuration in which every part counts.
const full = `
listen: {grpc: "127.0.0.1:9191", probes: "127.0.0.1:9193"}
admin:
  listen: 127.0.0.1:9192
  tokens: [{name: ops, sha256: 0000000000000000000000000000000000000000000000000000000000000000}]
state: {vault: v, mount: state}
vaults:
  - name: v
    address: https://vault.example:8200
    mount: kong-auth
    token: {file: /run/token}
consumers:
  - {id: ce67c25e-2168-4a09-81e5-e06187a2384f, username: alice}
policies:
  - {name: p, vault: v}
`

// wrong has for each setting values that are none, as YAML.
var wrong = map[string][]string{
	"listen.grpc":                           {"nonsense", "127.0.0.1:99999", "127.0.0.1:-1", "'127.0.0.1:'", "not an address:9191", "300.1.1.1:9191", "'unix:'", "unix:@abstract", "unix:/" + strings.Repeat("x", 120)},
	"listen.probes":                         {"nonsense", "127.0.0.1:65536", "127.0.0.1:9191"},
	"listen.socket_mode":                    {"'0777777'", "668", "rw"},
	"listen.socket_group":                   {"envoy"},
	"vaults[].prefix":                       {"../sys", "/a/"},
	"vaults[].secrets":                      {"md5", "hash"},
	"vaults[].token_prefix":                 {"v", "va-live", "va_", "va_secret"},
	"policies[].authorization_scheme":       {"digest"},
	"log.level":                             {"loud", "verbose", "fatal"},
	"log.format":                            {"xml"},
	"log.allow_sample":                      {"-1"},
	"log.decisions.level":                   {"debug", "none"},
	"log.decisions.target":                  {"stdot", "decisions.log"},
	"log.audit.target":                      {"off", "audit.log"},
	"log.audit.on_failure":                  {"ignore"},
	"grpc.reflection":                       {"maybe"},
	"grpc.max_request_bytes":                {"1", "999999999", "9MiB"},
	"debug.enabled":                         {"maybe"},
	"debug.remote":                          {"maybe", "true"},
	"drain.wait":                            {"-1s", "5"},
	"drain.timeout":                         {"-1s", "soon"},
	"tokens.max_length":                     {"0", "5000"},
	"tokens.extra_characters":               {"'/'", "','"},
	"admin.listen":                          {"nonsense", "127.0.0.1:99999", "'0.0.0.0:9192'", "127.0.0.1:9191"},
	"grpc.cert_file":                        {"cert.pem"},
	"grpc.key_file":                         {"key.pem"},
	"grpc.client_ca_file":                   {"ca.pem"},
	"grpc.min_tls_version":                  {"1.1"},
	"grpc.client_names":                     {"['*.example.com']"},
	"probes.cert_file":                      {"cert.pem"},
	"probes.key_file":                       {"key.pem"},
	"probes.client_ca_file":                 {"ca.pem"},
	"probes.min_tls_version":                {"tls"},
	"probes.client_names":                   {"['']"},
	"admin.min_tls_version":                 {"1.4"},
	"admin.cert_file":                       {"cert.pem"},
	"admin.key_file":                        {"key.pem"},
	"admin.client_ca_file":                  {"ca.pem"},
	"admin.client_names[].name":             {"''"},
	"admin.client_names[].role":             {"admin"},
	"admin.tokens[].name":                   {"''"},
	"admin.tokens[].sha256":                 {"secret", "abcd"},
	"admin.tokens[].role":                   {"admin"},
	"admin.hosts":                           {"[]", "['a b']", "['::1']"},
	"admin.vaults_path":                     {"maybe"},
	"admin.ui":                              {"maybe"},
	"state.vault":                           {"other"},
	"state.mount":                           {"sys", "/a"},
	"state.poll":                            {"1ms", "2m"},
	"vaults[].name":                         {"''"},
	"vaults[].address":                      {"''", "vault:8200", "https://vault:99999", "https://u:p@vault", "https://vault/v1"},
	"vaults[].addresses":                    {"['https://a,https://b']", "['https://a']"},
	"vaults[].proxy":                        {"proxy:3128"},
	"vaults[].namespace":                    {"/a/", "sys"},
	"vaults[].mount":                        {"''", "../x", "sys", "state"},
	"vaults[].kv":                           {"v3", "2"},
	"vaults[].token":                        {"{}", "{env: NOT_SET}", "{file: a, env: B}", "{env: a-b}"},
	"vaults[].login.approle.role_id":        {"''"},
	"vaults[].login.approle.secret_id_file": {"''"},
	"vaults[].login.approle.wrapped":        {"maybe"},
	"vaults[].login.approle.mount":          {"/x"},
	"vaults[].login.approle.namespace":      {"/a/"},
	"vaults[].login.kubernetes.role":        {"''"},
	"vaults[].login.kubernetes.mount":       {"/x"},
	"vaults[].login.kubernetes.namespace":   {"/a/"},
	"vaults[].login.jwt.role":               {"''"},
	"vaults[].login.jwt.token_file":         {"''"},
	"vaults[].login.jwt.mount":              {"/x"},
	"vaults[].login.jwt.namespace":          {"/a/"},
	"vaults[].login.cert.role":              {"operators"},
	"vaults[].login.cert.mount":             {"/x"},
	"vaults[].login.cert.namespace":         {"/a/"},
	"vaults[].login.userpass.username":      {"''", "a/b"},
	"vaults[].login.userpass.password_file": {"''"},
	"vaults[].login.userpass.mount":         {"/x"},
	"vaults[].login.userpass.namespace":     {"/a/"},
	"vaults[].client_cert_file":             {"cert.pem"},
	"vaults[].client_key_file":              {"key.pem"},
	"vaults[].timeout":                      {"1ms", "1h"},
	"vaults[].max_retries":                  {"2", "-1"},
	"vaults[].max_connections":              {"0", "99999"},
	"vaults[].cache.capacity":               {"0"},
	"vaults[].cache.ttl":                    {"0s", "999h"},
	"vaults[].cache.min_ttl":                {"0s", "-1s"},
	"vaults[].cache.max_ttl":                {"999h"},
	"vaults[].cache.max_stale":              {"-1s", "3h"},
	"vaults[].cache.absent_ttl":             {"-1s", "99h"},
	"vaults[].cache.absent_capacity":        {"0"},
	"vaults[].cache.max_loads":              {"0"},
	"vaults[].cache.misses_per_second":      {"-1", ".nan", "many"},
	"vaults[].cache.sweep":                  {"10ms", "48h"},
	"consumers[].id":                        {"''", "1", "CE67C25E-2168-4A09-81E5-E06187A2384F"},
	"consumers[].username":                  {"' a'", `"a\nb"`},
	"consumers[].custom_id":                 {"' a'"},
	"consumers[].groups":                    {"['a,b']", "['']"},
	"policies[].name":                       {"''"},
	"policies[].default":                    {"maybe"},
	"policies[].hosts":                      {"['HTTP://x']"},
	"policies[].paths":                      {"[a]", "['/a/../b']"},
	"policies[].ignore_case":                {"true"},
	"policies[].priority":                   {"1", "9999999"},
	"policies[].vault":                      {"''", "other"},
	"policies[].access_token_name":          {"'a b'", "[]", "host"},
	"policies[].secret_token_name":          {"'a b'", "access_token"},
	"policies[].tokens_in_body":             {"true"},
	"policies[].body_credentials_visible":   {"maybe"},
	"policies[].hide_credentials":           {"maybe"},
	"policies[].hide_credential_identifier": {"maybe"},
	"policies[].anonymous":                  {"nobody"},
	"policies[].run_on_preflight":           {"maybe"},
	"policies[].preflight":                  {"loose"},
	"policies[].hide_groups_header":         {"maybe"},
	"policies[].shadow":                     {"maybe"},
	"policies[].realm":                      {`'a"b'`},
	"policies[].on_error":                   {"allow"},

	"policies[].denial.unauthenticated.status":  {"200", "302", "503", "4.5", "text"},
	"policies[].denial.unauthenticated.message": {`"a\nb"`},
	"policies[].denial.forbidden.status":        {"200", "401"},
	"policies[].denial.forbidden.message":       {`"a\nb"`},
	"policies[].denial.unavailable.status":      {"200", "404"},
	"policies[].denial.unavailable.message":     {`"a\nb"`},
	"policies[].denial.docs":                    {"/docs", "'javascript:alert(1)'"},
	"policies[].denial.body.json":               {"'{}{}'", "'{\"a\":{{class}}}'", "'\"{{reason}}\"'"},
	"policies[].denial.body.json_type":          {"application/problem+json"},
	"policies[].denial.body.html":               {"'{{reason}}'", "'{{'"},
	"policies[].denial.body.xml":                {"'<a>'", "'{{class}}'"},
	"policies[].denial.body.text":               {"'{{.Reason}}'"},
}

// anyText are the settings that may be any text, or list of texts.
var anyText = []string{
	"addresses_file", "vaults[].ca_file", "vaults[].server_name", "vaults[].login.approle.role_id_file", "vaults[].login.kubernetes.token_file",
	"consumers[].tags", "policies[].id", "policies[].acl.allow", "policies[].acl.deny",
}

// marked is full with a setting that has a value, and the line that it is in.
func marked(t *testing.T, setting, value string) (text string, line int) {
	t.Helper()
	var whole, leaf yaml.Node
	if err := yaml.Unmarshal([]byte(full), &whole); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(value), &leaf); err != nil {
		t.Fatal(err)
	}
	at := whole.Content[0]
	names := strings.Split(setting, ".")
	if slices.Contains(names, "login") {
		remove(at, "vaults", "token")
	}
	for i, name := range names {
		name, listed := strings.CutSuffix(name, "[]")
		key, inner := member(at, name)
		switch {
		case i == len(names)-1:
			*inner = *leaf.Content[0]
			key.HeadComment = "here"
		case listed:
			inner.Kind, inner.Tag = yaml.SequenceNode, ""
			if len(inner.Content) == 0 {
				inner.Content = []*yaml.Node{{Kind: yaml.MappingNode}}
			}
			inner = inner.Content[0]
		default:
			inner.Kind, inner.Tag = yaml.MappingNode, ""
		}
		inner.Style, at.Style = leaf.Content[0].Style, 0
		at = inner
	}
	raw, err := yaml.Marshal(&whole)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(raw), "# here")
	if !found {
		t.Fatalf("no mark in\n%s", raw)
	}
	return string(raw), 2 + strings.Count(before, "\n")
}

// member finds or makes a member of a mapping.
func member(of *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i < len(of.Content); i += 2 {
		if of.Content[i].Value == name {
			return of.Content[i], of.Content[i+1]
		}
	}
	key, value = &yaml.Node{Kind: yaml.ScalarNode, Value: name}, &yaml.Node{Kind: yaml.MappingNode}
	of.Content = append(of.Content, key, value)
	return key, value
}

// remove takes a setting out of the first element of a list.
func remove(of *yaml.Node, list, name string) {
	_, all := member(of, list)
	first := all.Content[0]
	for i := 0; i < len(first.Content); i += 2 {
		if first.Content[i].Value == name {
			first.Content = slices.Delete(first.Content, i, i+2)
			return
		}
	}
}

var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|")

func TestAWrongValueOfAnySettingIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	if _, err := Parse([]byte(full), nil); err != nil {
		t.Fatalf("the configuration without mistakes: %v", err)
	}
	settings := row.FindAllStringSubmatch(Reference(), -1)
	if len(settings) < 80 {
		t.Fatalf("the reference has %d settings", len(settings))
	}
	for _, r := range settings {
		setting, kind := r[1], r[2]
		values := slices.Clone(wrong[setting])
		if len(values) == 0 && !slices.Contains(anyText, setting) {
			t.Errorf("%s: say in this test which values are wrong", setting)
		}
		switch {
		case strings.HasSuffix(setting, ".token"):
			values = append(values, "text", "[text]")
		case kind == "list":
			values = append(values, "text", "{a: b}", "[{a: b}]")
		default:
			values = append(values, "{a: b}", "[[a]]")
		}
		for _, value := range values {
			t.Run(setting+" "+value, func(t *testing.T) {
				t.Parallel()
				text, line := marked(t, setting, value)
				_, err := Parse([]byte(text), nil)
				last := setting[strings.LastIndex(setting, ".")+1:]
				if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(l string) bool {
					return strings.HasPrefix(l, "line "+strconv.Itoa(line)+": ") && strings.Contains(l, last)
				}) {
					t.Errorf("want an error for line %d about %s, got\n%v\nfor\n%s", line, last, err, text)
				}
			})
		}
	}
}

// One mistake must not hide another, of whatever sort: an operator mends them all, and
// tries once more.
func TestMistakesOfAllSortsAreReportedAtOnceInTheirOrder(t *testing.T) {
	t.Parallel()
	text := `lissten: {}
log: {level: verbose, format: xml, lvl: x}
listen: {grpc: nonsense}
drain:
  wait: soon
  timeout: -1s
vaults:
  - name: v
    adrs: https://vault.example
    address: vault
    mount: [kong-auth]
    token: zzSECRET
policies:
  - {name: p, vault: other, default: maybe}
  - text
`
	_, err := Parse([]byte(text), []string{"VAULT_AUTHZ_LOG_FORMAT=xml", "VAULT_AUTHZ_DRAIN_TIMEOUT=5", "VAULT_AUTHZ_NOPE=1"}, Flag{"--log-level", "log.level", "loud"})
	want := []string{
		`line 1: unknown setting lissten`,
		`line 2: unknown setting lvl in log`,
		`line 3: listen.grpc: "nonsense" is neither host:port, like 127.0.0.1:9191, nor unix:/path`,
		`line 5: drain.wait: expected a duration, such as 500ms, 30s or 5m`,
		`line 9: unknown setting adrs in vaults[0]`,
		`line 10: vaults[0] "v".address: must be http:// or https:// with a host, like https://vault.example.com:8200, or unix: with the path of a socket`,
		`line 11: vaults[0].mount: expected a text`,
		`line 12: vaults[0].token: expected settings, each with its name, and not a value`,
		`line 14: policies[0].default: expected true or false`,
		`line 14: policies[0] "p".vault: there is no vault object "other"; there are: v`,
		`line 15: policies[1]: expected settings, each with its name, and not a value`,
		`environment variable VAULT_AUTHZ_DRAIN_TIMEOUT: "5" is not a duration such as 500ms, 30s, 5m`,
		`environment variable VAULT_AUTHZ_NOPE is not a setting; see vault-authz serve --help`,
		`--log-level: log.level: "loud" is not one of debug, info, warn, error`,
		`environment variable VAULT_AUTHZ_LOG_FORMAT: log.format: "xml" is not one of auto, json, console`,
	}
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// Another entity may get it for its id in the admin API.
func TestANameThatLooksLikeAnIDIsRefusedUnlessItIsTheID(t *testing.T) {
	t.Parallel()
	const id, other = "ce67c25e-2168-4a09-81e5-e06187a2384f", "ce67c25e-2168-4a09-81e5-e06187a2384e"
	for _, tt := range []struct{ name, old, new, want string }{
		{"policy", "{name: p, vault: v}", "{name: " + id + ", vault: v}", `policies[0] "` + id + `".name: "` + id + `" looks like an id`},
		{"policy with another id", "{name: p, vault: v}", "{name: " + id + ", id: " + other + ", vault: v}", `policies[0] "` + id + `".name: "` + id + `" looks like an id`},
		{"policy with that id", "{name: p, vault: v}", "{name: " + id + ", id: " + id + ", vault: v}", ""},
		{"vault object", "name: v\n", "name: " + id + "\n", `vaults[0] "` + id + `".name: "` + id + `" looks like an id`},
	} {
		text := strings.Replace(full, tt.old, tt.new, 1)
		if tt.name == "vault object" {
			text = strings.NewReplacer("vault: v,", "vault: "+id+",", "vault: v}", "vault: "+id+"}").Replace(text)
		}
		_, err := Parse([]byte(text), nil)
		if got := fmt.Sprint(err); (err != nil) != (tt.want != "") || !strings.Contains(got, tt.want) && tt.want != "" {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestAnAddressInTheEnvironmentIsNamedWhereTwoListenersCollide(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		environ []string
		text    string
		want    string
	}{
		{[]string{"VAULT_AUTHZ_LISTEN_GRPC=127.0.0.1:9193"}, minimal, "environment variable VAULT_AUTHZ_LISTEN_GRPC: listen.probes: "},
		{nil, minimal + "listen: {grpc: '127.0.0.1:9193'}", "line 8: listen.probes: "},
		{nil, minimal + "listen: {grpc: '127.0.0.1:1', probes: 'localhost:1'}", "line 8: listen.probes: "},
		{nil, minimal + "listen:\n  probes: ':1'\n  grpc: '127.0.0.1:1'", "line 9: listen.probes: "},
		{nil, minimal + "listen: {grpc: '0.0.0.0:1', probes: '127.0.0.1:1'}", "line 8: listen.probes: "},
		{nil, minimal + "listen: {probes: '[::]:9192'}\nstate: {vault: kong-auth}", "line 8: admin.listen: "},
		{nil, minimal + "listen: {grpc: 'unix:/run/a', probes: 'unix:/run//a'}", "line 8: listen.probes: "},
	} {
		_, err := Parse([]byte(test.text), test.environ)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || !strings.Contains(err.Error(), "give each a port of its own") {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	// Without state there is no admin API, so its address takes no port.
	for _, fine := range []string{"127.0.0.1:9192", "127.0.0.1:0", "127.0.0.2:9193", "'[::1]:9193'", "unix:/run/a", "somewhere:9193"} {
		if _, err := Parse([]byte(minimal+"listen: {grpc: "+fine+"}"), nil); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}

func TestAnchorsAndMergesMeanWhatYAMLSays(t *testing.T) {
	t.Parallel()
	text := `
vaults:
  - &first
    name: a
    address: https://vault.example
    mount: a
    token: &token {file: /run/token}
    cache: {capacity: 1, max_loads: 20}
  - <<: *first
    name: b
    mount: b
    cache: {capacity: 2}
    token: *token
  - <<: [{name: unused, mount: c}, *first]
    name: c
    timeout: 99h
    cache: ~
`
	var f file
	d, err := read([]byte(text), &f)
	if err != nil || len(d.found) > 0 {
		t.Fatal(err, d.found)
	}
	var want file
	if err := yaml.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f.Vaults[:2], want.Vaults[:2]) {
		t.Errorf("got %s, want %s", shown(t, f.Vaults), shown(t, want.Vaults))
	}
	if c := f.Vaults[2]; c.Name != "c" || c.Mount != "c" || c.Address == "" || c.Cache.Capacity != nil {
		t.Errorf("got %s", shown(t, c))
	}
	if _, err := Parse([]byte(text), nil); err == nil || !strings.Contains(err.Error(), `line 16: vaults[2] "c".timeout`) {
		t.Errorf("Parse = %v", err)
	}
}

func TestMergesThatContainThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	twice := "x0: &x0 {}\n"
	for i := range 40 {
		twice += fmt.Sprintf("x%d: &x%d {<<: [*x%d, *x%d]}\n", i+1, i+1, i, i)
	}
	for _, text := range []string{"vaults: [&a {<<: *a}]", "vaults: [&a {<<: [*a, *a]}]", twice + "vaults: [{<<: *x40}]"} {
		if _, err := Parse([]byte(text), nil); err == nil || !strings.Contains(err.Error(), "merges contain themselves") {
			t.Errorf("got %v", err)
		}
	}
}

func TestZeroIsADuration(t *testing.T) {
	t.Parallel()
	c, err := Parse([]byte(strings.Replace(minimal, "mount: kong-auth,", "mount: kong-auth, cache: {sweep: 0, absent_ttl: 0},", 1)), nil)
	if err != nil || c.Vaults[0].Sweep.Interval != 0 || c.Vaults[0].Cache.AbsentTTL != 0 {
		t.Errorf("got %+v, %v", c.Vaults, err)
	}
}

func shown(t *testing.T, value any) string {
	t.Helper()
	raw, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Whatever a file has in it: it is read as the library would read it, or something is
// said; and all that is said is one line for each mistake.
func FuzzAFileIsReadAsTheLibraryWouldOrRefused(f *testing.F) {
	for _, seed := range []string{
		minimal, full, "", "~", "a", "- a", "vaults: &a [*a]", "vaults: [&a {<<: *a}]", "vaults: [{<<: {name: a}, name: b}]", "? [a]\n: b", "log: {level: &l debug, format: *l}",
		"policies: [{access_token_name: [a, b], priority: 0x10, default: yes}]", "drain: {wait: 1h, timeout: 0}", "listen: {grpc: 1}", "log:\nlog:\n", "---\n---\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got, want file
		d, err := read(raw, &got)
		if err != nil {
			return
		}
		if len(d.found) > 0 {
			if err := d.reported(nil, nil); err == nil || len(strings.Split(err.Error(), "\n")) > len(d.found) {
				t.Errorf("%d findings, reported as %v", len(d.found), err)
			}
			return
		}
		if err := yaml.Unmarshal(raw, &want); err != nil {
			// The library does not read a duration of 0 without a unit.
			if !strings.Contains(err.Error(), "`0` into time.Duration") {
				t.Errorf("read takes what the library refuses: %v", err)
			}
			return
		}
		if g, w := fmt.Sprint(shown(t, &got)), shown(t, &want); g != w {
			t.Errorf("read as\n%s\nwant\n%s", g, w)
		}
	})
}
