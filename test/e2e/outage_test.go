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

// TestAdminCallsWithoutVaultAreUnavailable takes Vault away in the middle of
// admin calls. Each of them either succeeds or says 503, and done again once
// Vault is back it ends where it would have ended.
func TestAdminCallsWithoutVaultAreUnavailable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, mount, kv string
		breakIt, mend   func(t *testing.T, s *site)
	}{
		{"killed", mountV2, parts.KVv2, func(_ *testing.T, s *site) { s.vault.Kill() }, func(t *testing.T, s *site) {
			t.Helper()
			vault, err := s.newVault(t.Context())
			must(t, err)
			s.proxy.SetTarget(hostPort(vault.Address))
		}},
		{
			"sealed", mountV1, parts.KVv1, func(t *testing.T, s *site) { t.Helper(); must(t, s.vault.Seal(t.Context())) },
			func(t *testing.T, s *site) { t.Helper(); must(t, s.vault.Unseal(t.Context())) },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 1)
			s.furnish(t, test.mount, test.kv)
			interrupted := s.interrupt(t, 4, func() { test.breakIt(t, s) })
			s.everyCallIsUnavailable(t)
			test.mend(t, s)
			for _, e := range interrupted {
				partstest.Await(t, reloadLimit, func(ctx context.Context) error {
					err := e.run(ctx, s.replicas[0])
					if errors.Is(err, errNobodyHasIt) {
						t.Error(err)
					}
					return err
				})
			}
			s.nothingIsLeft(t)
		})
	}
}

// interrupt runs errands all the time, so many at once, and breaks something
// while they are under way. It returns those that were stopped by that.
func (s *site) interrupt(t *testing.T, workers int, breakIt func()) []*errand {
	t.Helper()
	interrupted := make([]*errand, workers)
	var all, first sync.WaitGroup
	first.Add(workers)
	for w := range workers {
		all.Go(func() {
			for i := 0; ; i++ {
				e := newErrand(strconv.Itoa(w) + "-" + strconv.Itoa(i))
				err := e.run(t.Context(), s.replicas[0])
				if i == 0 {
					first.Done()
				}
				if err == nil {
					continue
				}
				if !errors.Is(err, errUnavailable) || i == 0 {
					t.Errorf("errand %s: %v, want it done, or 503 once Vault is away", e.name, err)
				}
				interrupted[w] = e
				return
			}
		})
	}
	first.Wait()
	// Anywhere in the middle.
	time.Sleep(rand.N(300 * time.Millisecond))
	breakIt()
	all.Wait()
	return interrupted
}

// An errand is one admin call after the other that ends in nothing but a
// consumer that is left.
type errand struct {
	name, access string
	step         int
}

func newErrand(name string) *errand {
	return &errand{name: "errand-" + name, access: unique("errand")}
}

// errUnavailable is a 503 with a message.
var errUnavailable = errors.New("unavailable")

// run carries on with the step that the errand is at, to the end. A step that
// was done although the answer was 503 finds itself done.
func (e *errand) run(ctx context.Context, r *replica) error {
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
		{"PATCH", "/policies/" + e.name, []string{"realm=errand"}, http.StatusOK, 0},
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
			if err := e.itIsThere(ctx, r, step.path); err != nil {
				return err
			}
		case got.status != step.done && got.status != step.before:
			return fmt.Errorf("%s %s: status = %d, want %d, or 503 with a message; body %s", step.method, step.path, got.status, step.done, got.raw)
		}
	}
	return nil
}

// errNobodyHasIt is a name that is refused and not there.
var errNobodyHasIt = errors.New("409, and nobody has it")

// itIsThere is asked after a 409. For some seconds after a call was cut off it
// cannot be told whether a name is taken; that is a 503.
func (e *errand) itIsThere(ctx context.Context, r *replica, path string) error {
	got, err := r.do(ctx, "GET", path+"/"+e.name)
	switch {
	case err != nil, got.status == http.StatusOK:
		return err
	case got.status == http.StatusServiceUnavailable:
		return fmt.Errorf("GET %s: %w", path, errUnavailable)
	}
	return fmt.Errorf("%s %q: %w: status = %d", path, e.name, errNobodyHasIt, got.status)
}

// outageForms are the bodies of the calls that need one. What they would make is
// called nobody.
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

// someUUID is nobody's.
const someUUID = "00000000-0000-4000-8000-000000000001"

// outagePath fills in a path of the OpenAPI document with what is there, or may
// be for all that can be known without Vault.
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

// needsNoVault says whether a path is about the service itself: what it is, and what Kong's
// tools ask about the kinds of entities and the one workspace.
func needsNoVault(path string) bool {
	return slices.Contains([]string{"/", "/kong", "/status", "/openapi.yaml", "/plugins/enabled"}, path) ||
		slices.ContainsFunc([]string{"/workspaces", "/schemas/", "/plugins/schema/"}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// everyCallIsUnavailable goes through all calls of the OpenAPI document, which is
// what the admin API answers to, while Vault is away.
func (s *site) everyCallIsUnavailable(t *testing.T) {
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
			// What is said of the service itself needs no Vault, and a batch has a
			// status for each of its calls.
			if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, method) || needsNoVault(template) || template == "/batch" {
				continue
			}
			calls++
			began := time.Now()
			got, err := r.do(t.Context(), method, outagePath(template), forms[method+" "+template]...)
			if took := time.Since(began); err != nil || got.status != http.StatusServiceUnavailable || got.text("message") == "" || took > 16*time.Second {
				t.Errorf("%s %s: status = %d, %v, after %s with the body %s, want 503 with a message, soon", method, template, got.status, err, took, got.raw)
			}
		}
	}
	if calls < 40 {
		t.Errorf("%d calls were made, want all of the document", calls)
	}
}

// nothingIsLeft compares what is there with what the errands should have left.
func (s *site) nothingIsLeft(t *testing.T) {
	t.Helper()
	counts := map[any]int{}
	for _, c := range s.all(t, "/consumers") {
		counts[c["username"]]++
		switch name := c["username"]; {
		case name == operator && c["custom_id"] == nil:
		case name == "nobody":
			t.Error("a consumer was made although the answer was 503, with Vault away before and after")
		case c["custom_id"] != name:
			t.Errorf("consumer %v has the custom_id %v, want the same", name, c["custom_id"])
		}
	}
	for path, want := range map[string]int{"/policies": 1, "/plugins": 1, "/vault-auth": 2} {
		if got := s.all(t, path); len(got) != want {
			t.Errorf("%s: there are %v, want those from before, %d", path, got, want)
		}
	}
	for name, n := range counts {
		if n != 1 {
			t.Errorf("there are %d consumers %v, want one", n, name)
		}
	}
	if counts[operator] != 1 {
		t.Errorf("consumer %q was deleted although the answer was 503", operator)
	}
	if acls := s.all(t, "/acls"); len(acls) != 0 {
		t.Errorf("there are the groups %v, want none", acls)
	}
	for _, c := range s.all(t, "/vault-auth/"+vaultName+"/credentials") {
		if access, _ := c["access_token"].(string); strings.HasPrefix(access, "errand-") || access == "nobody" {
			t.Errorf("the credential %v is left, want it deleted", c)
		}
	}
}
