package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestAdminCallsWithoutVaultAreUnavailable breaks Vault in the middle of admin calls. Each
// call succeeds or is answered with 503. Repeated once Vault answers again, it has the
// result that it would have had.
func TestAdminCallsWithoutVaultAreUnavailable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, mount, kv string
		breakIt, mend   func(t *testing.T, s *deployment)
	}{
		{"killed", mountV2, parts.KVv2, func(_ *testing.T, s *deployment) { s.vault.Kill() }, func(t *testing.T, s *deployment) {
			t.Helper()
			vault, err := s.newVault(t.Context())
			must(t, err)
			s.proxy.SetTarget(hostPort(vault.Address))
		}},
		{
			"sealed", mountV1, parts.KVv1, func(t *testing.T, s *deployment) { t.Helper(); must(t, s.vault.Seal(t.Context())) },
			func(t *testing.T, s *deployment) { t.Helper(); must(t, s.vault.Unseal(t.Context())) },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newDeployment(t, 1)
			s.createEntities(t, test.mount, test.kv)
			interrupted := s.interrupt(t, 4, func() { test.breakIt(t, s) })
			s.checkAllUnavailable(t)
			test.mend(t, s)
			for _, e := range interrupted {
				partstest.Await(t, reloadLimit, func(ctx context.Context) error {
					err := e.run(ctx, s.replicas[0])
					if errors.Is(err, errNotFound) {
						t.Error(err)
					}
					return err
				})
			}
			s.checkNothingLeft(t)
		})
	}
}

// interrupt runs workflows in several goroutines and breaks something during them. It
// returns the workflows that this interrupted.
func (s *deployment) interrupt(t *testing.T, workers int, breakIt func()) []*workflow {
	t.Helper()
	interrupted := make([]*workflow, workers)
	var all, first sync.WaitGroup
	first.Add(workers)
	for w := range workers {
		all.Go(func() {
			for i := 0; ; i++ {
				e := newWorkflow(strconv.Itoa(w) + "-" + strconv.Itoa(i))
				err := e.run(t.Context(), s.replicas[0])
				if i == 0 {
					first.Done()
				}
				if err == nil {
					continue
				}
				if !errors.Is(err, errUnavailable) || i == 0 {
					t.Errorf("workflow %s: %v, want success, or 503 once Vault is broken", e.name, err)
				}
				interrupted[w] = e
				return
			}
		})
	}
	first.Wait()
	// At any moment.
	time.Sleep(rand.N(300 * time.Millisecond))
	breakIt()
	all.Wait()
	return interrupted
}

// A workflow is a sequence of admin calls that leaves one consumer behind.
type workflow struct {
	name, access string
	step         int
}

func newWorkflow(name string) *workflow {
	return &workflow{name: "workflow-" + name, access: unique("workflow")}
}

// errUnavailable is a 503 with a message.
var errUnavailable = errors.New("unavailable")

// run does the remaining steps. A step that took effect although it was answered with 503
// has the status before when it is repeated.
func (e *workflow) run(ctx context.Context, r *replica) error {
	credentials := "/vault-auth/" + vaultName + "/credentials"
	steps := []struct {
		method, path string
		form         []string
		done, before int
	}{
		{"POST", "/consumers", []string{"username=" + e.name}, http.StatusCreated, http.StatusConflict},
		{"POST", "/consumers/" + e.name + "/acls", []string{"group=" + e.name}, http.StatusCreated, http.StatusConflict},
		{"POST", credentials + "/" + e.name, []string{"access_token=" + e.access}, http.StatusCreated, 0},
		{"PATCH", credentials + "/token/" + e.access, []string{"ttl=60"}, http.StatusOK, 0},
		{"POST", credentials + "/token/" + e.access + "/rotate", []string{"secret_token=next"}, http.StatusCreated, 0},
		{"POST", "/policies", []string{"name=" + e.name, "vault.name=" + vaultName, "hosts=" + e.name + ".test"}, http.StatusCreated, http.StatusConflict},
		{"PATCH", "/policies/" + e.name, []string{"realm=workflow"}, http.StatusOK, 0},
		{"PATCH", "/consumers/" + e.name, []string{"custom_id=" + e.name}, http.StatusOK, 0},
		{"DELETE", "/policies/" + e.name, nil, http.StatusNoContent, 0},
		{"DELETE", credentials + "/token/" + e.access, nil, http.StatusNoContent, http.StatusNotFound},
		{"DELETE", "/consumers/" + e.name + "/acls/" + e.name, nil, http.StatusNoContent, http.StatusNotFound},
	}
	for ; e.step < len(steps); e.step++ {
		step := steps[e.step]
		got, err := r.do(ctx, step.method, step.path, step.form...)
		switch {
		case err != nil:
			return err
		case got.status == http.StatusServiceUnavailable && got.text("message") != "":
			return fmt.Errorf("%s %s: %w: %s", step.method, step.path, errUnavailable, got.text("message"))
		case got.status == http.StatusConflict && step.before == http.StatusConflict:
			if err := e.exists(ctx, r, step.path); err != nil {
				return err
			}
		case got.status != step.done && got.status != step.before:
			return fmt.Errorf("%s %s: status = %d, want %d, or 503 with a message; body %s", step.method, step.path, got.status, step.done, got.raw)
		}
	}
	return nil
}

// errNotFound means that a name is refused although no entity has it.
var errNotFound = errors.New("409, but no entity has the name")

// exists checks after a 409 that an entity has the name. For some seconds after an
// interrupted call vault-authz cannot know that, and answers with 503.
func (e *workflow) exists(ctx context.Context, r *replica, path string) error {
	got, err := r.do(ctx, "GET", path+"/"+e.name)
	switch {
	case err != nil, got.status == http.StatusOK:
		return err
	case got.status == http.StatusServiceUnavailable:
		return fmt.Errorf("GET %s: %w", path, errUnavailable)
	}
	return fmt.Errorf("%s %q: %w: status = %d", path, e.name, errNotFound, got.status)
}

// outageForms are the bodies of the calls that need one. The entities that they would
// create are called nobody.
func outageForms() map[string][]string {
	plugin := []string{"name=vault-auth", "config.vault.name=" + vaultName}
	vault := []string{"name=nobody", "protocol=http", "host=127.0.0.1", "port=1", "mount=nobody", "vault_token=nobody"}
	forms := map[string][]string{
		"POST /consumers":                        {"username=nobody"},
		"PUT /consumers/{id}":                    {"custom_id=nobody"},
		"PATCH /consumers/{id}":                  {"custom_id=nobody"},
		"POST /consumers/{consumer}/acls":        {"group=nobody"},
		"PUT /consumers/{consumer}/acls/{acl}":   {"tags=nobody"},
		"PATCH /consumers/{consumer}/acls/{acl}": {"tags=nobody"},
		"POST /policies":                         {"name=nobody", "vault.name=" + vaultName},
		"PUT /policies/{id}":                     {"vault.name=" + vaultName},
		"PATCH /policies/{id}":                   {"hosts=nobody.test"},
		"POST /plugins":                          plugin,
		"PUT /plugins/{plugin}":                  plugin,
		"PATCH /plugins/{plugin}":                {"config.hide_credentials=true"},
	}
	for _, base := range []string{"/vault-auth", "/vaults"} {
		forms["POST "+base] = vault
		forms["PUT "+base+"/{id}"] = vault
		forms["PATCH "+base+"/{id}"] = []string{"mount=nobody"}
		forms["POST "+base+"/{vault}/credentials"] = []string{"consumer.username=" + operator, "access_token=nobody"}
		forms["POST "+base+"/{vault}/credentials/{consumer}"] = []string{"access_token=nobody"}
		forms["PATCH "+base+"/{vault}/credentials/token/{access_token}"] = []string{"ttl=5"}
	}
	return forms
}

// someUUID is the id of no entity.
const someUUID = "00000000-0000-4000-8000-000000000001"

// outagePath fills in a path of the OpenAPI document with names that exist, or that may
// exist as far as vault-authz knows without Vault.
func outagePath(template string) string {
	id := "nobody"
	switch {
	case strings.HasPrefix(template, "/consumers"):
		id = operator
	case strings.HasPrefix(template, "/vault"):
		id = vaultName
	case strings.HasPrefix(template, "/acls"):
		id = someUUID
	}
	return strings.NewReplacer("{id}", id, "{consumer}", operator, "{acl}", "nobody", "{vault}", vaultName,
		"{access_token}", "nobody", "{plugin}", someUUID).Replace(template)
}

// needsNoVault says whether a path is about the service itself, the kinds of entities, or
// the only workspace, which Kong's tools ask for, or tells of an outage.
func needsNoVault(path string) bool {
	return slices.Contains([]string{"/", "/kong", "/status", "/openapi.yaml", "/plugins/enabled", "/overview", "/explain", "/vault-auth/{vault}/status"}, path) ||
		slices.ContainsFunc([]string{"/workspaces", "/schemas/", "/plugins/schema/", "/denials/"}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// checkAllUnavailable makes all calls of the OpenAPI document while Vault does not answer.
func (s *deployment) checkAllUnavailable(t *testing.T) {
	t.Helper()
	r := s.replicas[0]
	raw, err := r.openAPI(t.Context())
	must(t, err)
	var api struct {
		Paths map[string]map[string]any
	}
	must(t, yaml.Unmarshal(raw, &api))
	forms, calls := outageForms(), 0
	for template, operations := range api.Paths {
		for method := range operations {
			method = strings.ToUpper(method)
			// A batch has a status for each of its calls.
			if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, method) || needsNoVault(template) || template == "/batch" {
				continue
			}
			calls++
			began := time.Now()
			got, err := r.do(t.Context(), method, outagePath(template), forms[method+" "+template]...)
			if took := time.Since(began); err != nil || got.status != http.StatusServiceUnavailable || got.text("message") == "" || took > 16*time.Second {
				t.Errorf("%s %s: status = %d, %v, after %s with the body %s, want 503 with a message within 16s", method, template, got.status, err, took, got.raw)
			}
		}
	}
	if calls < 40 {
		t.Errorf("%d calls, want all of the document, at least 40", calls)
	}
}

// checkNothingLeft compares the entities with those that the workflows leave behind.
func (s *deployment) checkNothingLeft(t *testing.T) {
	t.Helper()
	counts := map[any]int{}
	for _, c := range s.all(t, "/consumers") {
		counts[c["username"]]++
		switch name := c["username"]; {
		case name == operator && c["custom_id"] == nil:
		case name == "nobody":
			t.Error("a consumer was created by a call that was answered with 503 while Vault was broken")
		case c["custom_id"] != name:
			t.Errorf("consumer %v has the custom_id %v, want its name", name, c["custom_id"])
		}
	}
	for path, want := range map[string]int{"/policies": 1, "/plugins": 1, "/vault-auth": 2} {
		if got := s.all(t, path); len(got) != want {
			t.Errorf("%s: %v, want the %d from before", path, got, want)
		}
	}
	for name, n := range counts {
		if n != 1 {
			t.Errorf("%d consumers are called %v, want 1", n, name)
		}
	}
	if counts[operator] != 1 {
		t.Errorf("consumer %q was deleted by a call that was answered with 503", operator)
	}
	if acls := s.all(t, "/acls"); len(acls) != 0 {
		t.Errorf("groups = %v, want none", acls)
	}
	for _, c := range s.all(t, "/vault-auth/"+vaultName+"/credentials") {
		if access, _ := c["access_token"].(string); strings.HasPrefix(access, "workflow-") || access == "nobody" {
			t.Errorf("the credential %v still exists", c)
		}
	}
}
