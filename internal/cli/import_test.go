package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/app"
)

// An operator pastes what a plan proposes instead of a plugin of a route.
func TestAProposalOfAnImportIsAcceptedAsItIsShown(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	where := filepath.Join(t.TempDir(), "at.json")
	ended := make(chan int)
	go func() {
		ended <- Run(ctx, Process{Args: []string{"dev", "--grpc", "127.0.0.1:0", "--probes", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--addresses-file", where}, Stdout: io.Discard, Stderr: io.Discard})
	}()
	defer func() { stop(); <-ended }()
	at, err := awaitAddresses(ctx, where)
	if err != nil {
		t.Fatal(err)
	}
	api := "http://" + at.Admin
	_, out, _ := operate(t, nil, "vault", "list", "--admin", api, "-o", "json")
	var vaults struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(out), &vaults); err != nil || len(vaults.Data) != 1 {
		t.Fatalf("vault list: %v, %s", err, out)
	}
	vault := `"vault":{"id":"` + vaults.Data[0].ID + `"}`
	dump := file(t, []byte(`{"_info":{"select_tags":["team-a"]},
	"routes":[{"name":"plain","hosts":["a.example"]},{"name":"body","paths":["/b"]},{"paths":["/c"]},{"paths":["/d"]},{"name":"acl","paths":["/e"]},{"name":"regex","paths":["~/f$"]}],
	"plugins":[
	 {"name":"vault-auth","route":{"name":"plain"},"config":{`+vault+`}},
	 {"name":"vault-auth","route":{"name":"body"},"config":{`+vault+`,"tokens_in_body":true,"hide_credentials":true}},
	 {"name":"vault-auth","route":{"name":"acl"},"config":{`+vault+`,"anonymous":"`+app.DemoConsumerID+`","access_token_name":["k","l"],"run_on_preflight":false}},
	 {"name":"acl","route":{"name":"acl"},"config":{"allow":["demo"],"hide_groups_header":true}},
	 {"name":"vault-auth","route":{"name":"regex"},"config":{`+vault+`}}],
	"services":[{"name":"s","routes":[{"paths":["/g"]},{"paths":["/h"]}],"plugins":[{"name":"vault-auth","config":{`+vault+`,"tokens_in_body":true}}]}]}`))
	code, out, errs := operate(t, nil, "import", "kong", dump, "--admin", api)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	proposals := regexp.MustCompile(`(?m)^  instead, by POST /policies: (.*)$`).FindAllStringSubmatch(out, -1)
	if len(proposals) != 6 {
		t.Errorf("%d proposals, want 6:\n%s", len(proposals), out)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	for _, p := range proposals {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/policies", strings.NewReader(p[1]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusCreated || !strings.Contains(string(body), `"team-a"`) {
			t.Errorf("%s is answered %d: %s", p[1], answer.StatusCode, body)
		}
	}
	_, out, _ = operate(t, nil, "import", "kong", dump, "--admin", api)
	if again := strings.Count(out, "instead, by POST /policies"); again != 2 || strings.Count(out, "there is a policy with that name already") != 4 {
		t.Errorf("once they are made, %d are proposed again, want only those of routes without a name:\n%s", again, out)
	}
}
