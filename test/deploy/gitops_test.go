package deploy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// recipe returns the code blocks of docs/how-to/gitops.md in a language, in their order.
func recipe(t *testing.T, language string, want int) []string {
	t.Helper()
	return blocks(t, "gitops.md", language, want)
}

// blocks returns the code blocks of a page of docs/how-to in a language, in their order.
func blocks(t *testing.T, page, language string, want int) (blocks []string) {
	t.Helper()
	raw, err := os.ReadFile("../../docs/how-to/" + page)
	must(t, err)
	for _, block := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(raw), -1) {
		blocks = append(blocks, block[1])
	}
	if len(blocks) != want {
		t.Fatalf("%d blocks of %s, want %d", len(blocks), language, want)
	}
	return blocks
}

// recipeConfig returns the configuration in the values of the recipe, with a Vault and a
// token file of the test.
func recipeConfig(t *testing.T, vault, token string) string {
	t.Helper()
	settings := parse(t, with(t, recipe(t, "yaml", 1)[0],
		`"https://vault.vault.svc:8200"`, vault, "login: {kubernetes: {role: vault-authz}}", "token: {file: "+token+"}, cache: {ttl: 1h, sweep: 1s}",
	)).at("config")
	text, err := yaml.Marshal(settings)
	must(t, err)
	return string(text)
}

// shell runs a block as the page has it, in a folder whose programs come first on PATH.
func shell(t *testing.T, dir, block string, environ ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-eu", "-c", block)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir), environ...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestTheRecipeForGitManagesACredentialWithVaultsCommand(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, manageByRecipe)
}

func manageByRecipe(t *testing.T, vault *parts.Vault) {
	t.Helper()
	must(t, vault.Mount(t.Context(), "kong-auth", parts.KVv2))
	dir := t.TempDir()
	must(t, os.Symlink(partstest.Binary(t, "BAO_BIN"), filepath.Join(dir, "vault")))
	reader, pipeline := withPolicies(t, vault, "kv-v2.hcl"), withPolicies(t, vault, "kv-v2.hcl", "manage-v2.hcl")
	s := partstest.StartService(t, parts.ServiceConfig{
		Binary: service.Binary(t), Config: recipeConfig(t, vault.Address, partstest.TokenFile(t, reader)),
		Env: []string{"VAULT_AUTHZ_LISTEN_GRPC=127.0.0.1:0", "VAULT_AUTHZ_LISTEN_PROBES=127.0.0.1:0", "VAULT_AUTHZ_DRAIN_WAIT=0s"},
	})
	// secret runs a block and returns the secret that it made.
	secret := func(block string) string {
		t.Helper()
		out, err := shell(t, dir, block+"printf %s \"$SECRET\" >secret\n", "BAO_ADDR="+vault.Address, "BAO_TOKEN="+pipeline)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, block, out)
		}
		made, err := os.ReadFile(filepath.Join(dir, "secret"))
		must(t, err)
		return string(made)
	}
	allowed := func(path, secret string) int {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), service.Binary(t), "check", "--address", s.GRPC, "-H", "access-token: alice-1", "-H", "secret-token: "+secret, "http://api.example.com"+path)
		if out, err := cmd.CombinedOutput(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() > 1 {
			t.Fatalf("%v\n%s", err, out)
		}
		return cmd.ProcessState.ExitCode()
	}
	check := func(what, path, secret string, want int) {
		t.Helper()
		if got := allowed(path, secret); got != want {
			t.Errorf("%s: exit code %d, want %d", what, got, want)
		}
	}
	blocks := recipe(t, "sh", 4)
	create, rotate, remove := blocks[1], blocks[2], blocks[3]

	first := secret(create)
	check("a new credential", "/", first, 0)
	check("a policy for another group", "/reports", first, 1)
	if out, err := shell(t, dir, create, "BAO_ADDR="+vault.Address, "BAO_TOKEN="+pipeline); err == nil || !strings.Contains(out, "check-and-set") {
		t.Errorf("creating it again: err = %v, want a refusal\n%s", err, out)
	}
	second := secret(rotate)
	check("the new secret", "/", second, 0)
	check("the old secret for another day", "/", first, 0)
	check("another secret", "/", "another", 1)
	secret("SECRET=\n" + remove)
	partstest.Await(t, 30*time.Second, func(context.Context) error {
		if allowed("/", second) != 1 {
			return fmt.Errorf("the deleted credential is still allowed")
		}
		return nil
	})
}

// withPolicies returns a token that has exactly these files of deploy/vault.
func withPolicies(t *testing.T, vault *parts.Vault, files ...string) string {
	t.Helper()
	for _, file := range files {
		must(t, vault.Do(t.Context(), "PUT", "sys/policies/acl/"+file, map[string]string{"policy": shipped(t, "vault/"+file)}, nil))
	}
	var answer struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	must(t, vault.Do(t.Context(), "POST", "auth/token/create-orphan", map[string]any{"policies": files, "no_default_policy": true, "ttl": "1h"}, &answer))
	return answer.Auth.Token
}

// The values of the tutorial are values of the chart, and their configuration is valid.
func TestTheTutorialForKubernetesInstallsTheChart(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/tutorials/kubernetes.md")
	must(t, err)
	dir := t.TempDir()
	args := []string{"config", "validate", "--config", filepath.Join(dir, "config.yaml")}
	var values []string
	for i, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(raw), -1) {
		file := filepath.Join(dir, fmt.Sprint(i))
		must(t, os.WriteFile(file, []byte(block[1]), 0o600))
		values = append(values, "--values", file)
	}
	all := objects(t, values...)
	must(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(configuration(all)), 0o600))
	if out, err := exec.CommandContext(t.Context(), service.Binary(t), args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	const image = "spec.template.spec.containers.0.image"
	if got := all["Deployment"].at(image); !strings.Contains(string(raw), fmt.Sprintf("docker push %v\n", got)) {
		t.Errorf("the image is %v, which the tutorial does not push", got)
	}
	if got := all["NetworkPolicy"].at("spec.ingress.0.from.0.podSelector.matchLabels.istio"); got != "ingress" {
		t.Errorf("the gateway that may ask is %v", got)
	}
}

// The pipeline of the recipe accepts its values, shows a change of them, and refuses a
// mistake. The same values make the same manifests.
func TestTheRecipeForGitChecksAChangeBeforeItIsApplied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	// A Helm that is built from its module takes itself for one of an old Kubernetes.
	put("helm", "#!/bin/sh\n[ \"$1\" = lint ] || set -- \"$@\" --kube-version "+kubernetes+"\nexec "+partstest.Binary(t, "HELM_BIN")+" \"$@\"\n", 0o700)
	must(t, os.Symlink(service.Binary(t), filepath.Join(dir, "vault-authz")))
	root, err := filepath.Abs("../..")
	must(t, err)
	must(t, os.Symlink(filepath.Join(root, "deploy"), filepath.Join(dir, "deploy")))

	values, check := recipe(t, "yaml", 1)[0], recipe(t, "sh", 4)[0]
	running := recipeConfig(t, "https://vault.example.com", "/run/token")
	put("values.yaml", values, 0o600)
	put("running.yaml", running, 0o600)
	put("config.yaml", running, 0o600)
	if out, err := shell(t, dir, check); err != nil {
		t.Errorf("without a change: %v\n%s", err, out)
	}
	before, err := os.ReadFile(filepath.Join(dir, "manifests.yaml"))
	must(t, err)
	put("config.yaml", with(t, running, "silver", "bronze"), 0o600)
	out, err := shell(t, dir, check)
	if err == nil || !strings.Contains(out, "policies[reports].acl.allow") {
		t.Errorf("with a change: err = %v, want one, and the policy\n%s", err, out)
	}
	again, err := os.ReadFile(filepath.Join(dir, "manifests.yaml"))
	must(t, err)
	if string(again) != string(before) {
		t.Error("the same values make other manifests")
	}
	put("values.yaml", with(t, values, "groups: [gold]", "group: [gold]"), 0o600)
	if out, err := shell(t, dir, check); err == nil || !strings.Contains(out, "'group'") {
		t.Errorf("with a mistake: err = %v, want one that names the setting\n%s", err, out)
	}
}
