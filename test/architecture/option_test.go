package architecture

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The options that the test adds, each as one field: those of a policy also there, with its default.
const (
	consumerField   = "\tTestConsumer *string `json:\"test_consumer,omitempty\" yaml:\"test_consumer,omitempty\" flag:\"\" doc:\"text: of a consumer\"`\n"
	vaultField      = "\tTestVault *string `json:\"test_vault,omitempty\" rule:\"oneof=one|two\" flag:\": WORD for a vault object\" doc:\"word: one or two\"`\n"
	credentialField = "\tTestCredential *int64 `json:\"test_credential,omitempty\" rule:\"limit,max=9\" doc:\"number: up to nine\"`\n"

	apiFields = "\tTestSwitch *bool   `json:\"test_switch,omitempty\" yaml:\"test_switch,omitempty\" rule:\"plugin=vault-auth,ours\" flag:\"\" doc:\"switch: what a test adds\"`\n" +
		"\tTestWord   *string `json:\"test_word,omitempty\" yaml:\"test_word,omitempty\" rule:\"oneof=one|two\" flag:\"\" doc:\"word: one or two\"`\n"
	authzFields   = "\tTestSwitch bool\n\tTestWord string\n"
	authzDefaults = "\t\tTestSwitch: true, TestWord: \"one\",\n"
)

// One definition for each option: the product is built with more fields, and has the
// options everywhere.
func TestAnOptionIsOneField(t *testing.T) {
	t.Parallel()
	p := withOptions(t)
	at := p.serve()
	ofAPolicy(p, at)
	ofAConsumerAndAVault(p, at)

	p.finds("OpenAPI document", p.get(at+"/openapi.yaml"),
		`test_credential: {type: [integer, "null"], description: "up to nine"}`,
		`test_credential: {type: [integer, "null"], minimum: 0, maximum: 9, description: "up to nine"}`)
}

func ofAConsumerAndAVault(p *product, at string) {
	p.t.Helper()
	p.finds("config reference", p.run("config", "reference"), "| `consumers[].test_consumer` | text |  | of a consumer |")
	p.finds("OpenAPI document", p.get(at+"/openapi.yaml"),
		`test_consumer: {type: [string, "null"], description: "of a consumer"}`,
		`test_consumer: {$ref: "#/components/schemas/NewText", description: "of a consumer"}`,
		`test_consumer: null`,
		`test_vault: {type: [string, "null"], enum: [one, two, null], description: "one or two"}`,
		`test_vault: {enum: [one, two, null], description: "one or two"}`,
		`test_vault: null`)
	p.finds("schema of consumers", p.get(at+"/schemas/consumers"), `{"test_consumer":{"type":"string"}}`)
	p.finds("schema of vault objects", p.get(at+"/schemas/vault_auth_vaults"), `{"test_vault":{"type":"string","one_of":["one","two"]}}`)

	call := func(args ...string) string { return p.run(append(args, "--admin", at)...) }
	for _, verb := range []string{"create", "update"} {
		p.finds("consumer "+verb+" --help", p.run("consumer", verb, "--help"), "--test-consumer string", "of a consumer")
		p.finds("vault "+verb+" --help", p.run("vault", verb, "--help"), "--test-vault WORD", "for a vault object")
	}
	p.finds("consumer create", call("consumer", "create", "c", "--test-consumer", "this", "-o", "json"), `"test_consumer": "this"`)
	p.finds("consumer update", call("consumer", "update", "c", "--test-consumer", "that"), "test consumer", "that")
	p.finds("vault create", call("vault", "create", "v", "--address", "http://127.0.0.1:1", "--mount", "kv", "--vault-token-file", p.write("token", "t"),
		"--test-vault", "one", "--no-check", "-o", "json"), `"test_vault": "one"`)
	p.finds("vault update", call("vault", "update", "v", "--test-vault", "two", "--no-check"), "test vault", "two")
}

func ofAPolicy(p *product, at string) {
	p.t.Helper()
	p.finds("config reference", p.run("config", "reference"), "| `policies[].test_switch` | switch | `true` | what a test adds |", "| `policies[].test_word` | word | `one` | one or two |")

	file := p.write("config.yaml", "vaults: [{name: main, address: 'http://127.0.0.1:8200', mount: kv, token: {env: TOKEN}}]\n"+
		"policies: [{name: set, vault: main, test_switch: false, test_word: two}, {name: unset, vault: main}]\n")
	p.finds("config show", p.run("config", "show", "--config", file), "test_switch: false", "test_switch: true", "test_word: two", "test_word: one")

	for _, verb := range []string{"create", "update"} {
		p.finds("policy "+verb+" --help", p.run("policy", verb, "--help"), "--test-switch ", "what a test adds", "--test-word string", "one or two")
	}

	p.finds("OpenAPI document", p.get(at+"/openapi.yaml"),
		`test_switch: {type: boolean, default: true, description: "what a test adds"}`,
		`test_switch: {$ref: "#/components/schemas/Flag", default: true, description: "what a test adds"}`,
		`test_word: {type: string, enum: [one, two], default: "one", description: "one or two"}`,
		`test_word: {enum: [one, two, null], default: "one", description: "one or two"}`,
		`test_switch: true, test_word: "one", tags: null`)
	p.finds("schema of the plugin", p.get(at+"/schemas/plugins/vault-auth"), `{"test_switch":{"type":"boolean","default":true}}`)
	if raw := p.get(at + "/schemas/plugins/vault-auth"); strings.Contains(raw, "test_word") {
		p.t.Errorf("the schema of the plugin has an option that is not the plugin's: %s", raw)
	}

	call := func(args ...string) string { return p.run(append(args, "--admin", at)...) }
	p.finds("policy create", call("policy", "create", "p", "--vault", "memory", "--path", "/p", "--test-switch=false", "-o", "json"),
		`"test_switch": false`, `"test_word": "one"`)
	p.finds("policy update", call("policy", "update", "p", "--test-word", "two", "-o", "json"), `"test_switch": false`, `"test_word": "two"`)
	p.finds("policy get", call("policy", "get", "p"), "test switch", "test word")
	p.finds("plugin get", call("plugin", "get", "p", "-o", "json"), `"test_switch": false`)

	deck := p.write("kong.yaml", "_format_version: '3.0'\nplugins: [{name: vault-auth, config: {vault: {name: memory}, test_switch: false}}]\n")
	p.finds("import", call("import", "kong", deck), "config.test_switch is false in the file and true here")
}

// A product is one that was built for the test.
type product struct {
	t           *testing.T
	dir, binary string
}

// withOptions builds the product with the options, and leaves the sources as they are.
func withOptions(t *testing.T) *product {
	t.Helper()
	p := &product{t: t, dir: t.TempDir()}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	replaced := map[string]string{}
	for name, insert := range map[string][2][]string{
		"internal/api/consumer.go":   {{"\t// Groups are declared "}, {consumerField}},
		"internal/api/vault.go":      {{"\tCreatedAt "}, {vaultField}},
		"internal/api/credential.go": {{"\t// Until the end "}, {credentialField}},
		"internal/api/policy.go":     {{"\tTags "}, {apiFields}},
		"authz/policy.go":            {{"\tHosts, Paths []string\n", "\t\tAccessTokenNames: []string{\"access_token\"},\n"}, {authzFields, authzDefaults}},
	} {
		raw, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		source := string(raw)
		for i, before := range insert[0] {
			if strings.Count(source, before) != 1 {
				t.Fatalf("%s has not one place that begins with %q: the test has to follow", name, before)
			}
			source = strings.Replace(source, before, insert[1][i]+before, 1)
		}
		replaced[filepath.Join(root, name)] = p.write(strings.ReplaceAll(name, "/", "-"), source)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	p.binary = filepath.Join(p.dir, "vault-authz")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", p.write("overlay.json", string(overlay)), "-o", p.binary, "./cmd/vault-authz")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return p
}

func (p *product) write(name, content string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

func (p *product) run(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.binary, args...)
	cmd.Env = append(os.Environ(), "TOKEN=t")
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Errorf("vault-authz %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// serve runs the service until the test ends, and returns the URL of its admin API.
func (p *product) serve() string {
	p.t.Helper()
	ctx, stop := context.WithCancel(p.t.Context())
	addresses := filepath.Join(p.dir, "addresses.json")
	dev := exec.CommandContext(ctx, p.binary, "dev", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--probes", "127.0.0.1:0", "--addresses-file", addresses)
	var out bytes.Buffer
	dev.Stdout, dev.Stderr = &out, &out
	if err := dev.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- dev.Wait() }()
	p.t.Cleanup(func() {
		stop()
		<-ended
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var at struct{ Admin string }
		if raw, err := os.ReadFile(addresses); err == nil && json.Unmarshal(raw, &at) == nil && at.Admin != "" {
			return "http://" + at.Admin
		}
		select {
		case err := <-ended:
			ended <- err
			p.t.Fatalf("vault-authz dev ended: %v\n%s", err, out.String())
		case <-tick.C:
		}
	}
}

func (p *product) get(url string) string {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(raw)
}

// finds reports what is missing in a text.
func (p *product) finds(where, text string, wants ...string) {
	p.t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			p.t.Errorf("%s: there is no %q in:\n%s", where, want, text)
		}
	}
}
