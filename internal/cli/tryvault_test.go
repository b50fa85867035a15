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

// anAdminAPI makes and changes every vault object, and answers about its status and its credentials as given.
func anAdminAPI(t *testing.T, status int, answer string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/status"), strings.Contains(r.URL.Path, "/credentials"):
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
	broken, err := json.Marshal(map[string]any{"can_read": false, "problem": cause})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, answer, says, shows string
		status, code              int
	}{
		{"it cannot be used", string(broken), `vault object "%s" is %s, and cannot be used: ` + cause, "can read       no\n", 200, exitFailed},
		{"nobody knows", `{"can_read":null,"problem":"no answer"}`, `vault object "%s" is %s; whether the service can read the mount is not known: no answer`, "can read       -\n", 200, exitFailed},
		{"the service does not answer", `{"message":"it does not answer"}`, `vault object "%s" is %s; whether the service can read the mount is not known: the admin API answers 503: it does not answer; try again; the service logs the cause`, "the admin API answers 503", 503, exitFailed},
		{"it can be used", `{"reachable":true,"can_read":true,"token_ttl_seconds":3600,"latency_ms":1.25}`, "tried: the service can read the mount", "read took      1.25 ms\n", 200, exitOK},
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
			if code, said := do("vault", "status", "main"); code != test.code || !strings.Contains(said, test.shows) {
				t.Errorf("its status: exit %d, said:\n%s\nwant exit %d and %q", code, said, test.code, test.shows)
			}
		})
	}
}

func TestTheCauseOfAFailureIsShownOrWhereItIsFound(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"message":"the vault object is unavailable: it is sealed","cause":"it is sealed"}`: "it is sealed",
		`{"message":"it does not answer"}`:                                                   "try again; the service logs the cause",
	} {
		code, out, errs := operate(t, nil, "credential", "get", "a-token", "--vault", "main", "--admin", anAdminAPI(t, 503, answer))
		if code != exitFailed || !strings.HasSuffix(strings.TrimSpace(out+errs), want) {
			t.Errorf("exit %d, said %q, want %q at the end", code, out+errs, want)
		}
	}
}
