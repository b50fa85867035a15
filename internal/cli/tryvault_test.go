package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// anAdminAPI makes and changes every vault object, and answers about credentials as given.
func anAdminAPI(t *testing.T, status int, answer string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.Contains(r.URL.Path, "/credentials"):
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"id":"x","name":"main"}`)
		case r.Method == http.MethodPatch:
			_, _ = io.WriteString(w, `{"id":"x","name":"other"}`)
		default:
			_, _ = io.WriteString(w, `{"data":[{"id":"x","name":"main"}],"next":null}`)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestCreateAndUpdateSayWhyAVaultObjectCannotBeUsed(t *testing.T) {
	t.Parallel()
	const token = "hvs.not-for-anybodys-eyes"
	const cause = `there is no KV engine at mount "kv"`
	broken, err := json.Marshal(map[string]string{"message": "the vault object is unavailable", "cause": cause})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, answer, says string
		status, code       int
	}{
		{"it cannot be used", string(broken), `vault object "%s" is %s, and cannot be used: ` + cause, 503, exitFailed},
		{"the cause is not known", `{"message":"it does not answer"}`, `vault object "%s" is %s; whether the service can read the mount is not known: the admin API answers 503: it does not answer; try again; the service logs the cause`, 503, exitFailed},
		{"it can be used", `{"message":"Not found"}`, "tried: the service can read the mount", 404, exitOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			api := anAdminAPI(t, test.status, test.answer)
			do := func(args ...string) (int, string) {
				code, out, errs := operate(t, nil, append(args, "--admin", api)...)
				if strings.Contains(out+errs, token) {
					t.Errorf("%v: the Vault token is shown: %s%s", args, out, errs)
				}
				return code, out + errs
			}
			says := func(name, done string) string {
				if !strings.Contains(test.says, "%s") {
					return test.says
				}
				return fmt.Sprintf(test.says, name, done)
			}
			create := []string{"vault", "create", "main", "--address", "http://127.0.0.1:8200", "--mount", "kv", "--vault-token-file", file(t, []byte(token))}
			if code, said := do(create...); code != test.code || !strings.Contains(said, says("main", "made")) {
				t.Errorf("exit %d, said:\n%s\nwant exit %d and %q", code, said, test.code, says("main", "made"))
			}
			if code, said := do("vault", "update", "main", "--name", "other"); code != test.code || !strings.Contains(said, says("other", "changed")) {
				t.Errorf("a change: exit %d, said:\n%s\nwant exit %d and %q", code, said, test.code, says("other", "changed"))
			}
			if code, said := do(append(create, "--no-check")...); code != exitOK {
				t.Errorf("without a check: exit %d, said:\n%s", code, said)
			}
			if code, said := do("credential", "get", "a-token", "--vault", "main"); code != exitFailed || test.status == 503 && strings.Contains(said, "logs the cause") == strings.Contains(test.answer, "cause") {
				t.Errorf("a credential: exit %d, said %q, want the cause or where it is found", code, said)
			}
		})
	}
}
