package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/api"
)

// rehashing is an admin API with one vault object, whose answers to a rehash are given: a
// status, or a body.
func rehashing(t *testing.T, secrets string, answers ...any) (admin string, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			_, _ = fmt.Fprintf(w, `{"data":[{"id":"1","name":"main","secrets":%q}],"next":null}`, secrets)
			return
		}
		body, _ := io.ReadAll(r.Body)
		*asked = append(*asked, r.URL.RequestURI()+" "+string(body))
		if len(answers) == 0 {
			t.Error("there are more calls than answers")
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		next := answers[0]
		answers = answers[1:]
		if status, isStatus := next.(int); isStatus {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"message":"not now"}`)
			return
		}
		w.Header().Add("Warning", `299 vault-authz "mind the versions"`)
		_, _ = io.WriteString(w, next.(string))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func TestRehashGoesOnPageByPageAndTriesAgain(t *testing.T) {
	t.Parallel()
	const path = "/vault-auth/1/rehash"
	admin, asked := rehashing(t, "hashed",
		`{"data":{"total":5,"checked":3,"hashed":2,"versions_destroyed":1},"next":"`+path+`?offset=abc"}`,
		http.StatusServiceUnavailable,
		`{"data":{"total":5,"checked":2,"hashed":1,"versions_destroyed":0,"failed":[{"access_token":"x","message":"the store is down"}]},"next":null}`,
		`{"data":{"total":5,"checked":2,"hashed":1,"versions_destroyed":2},"next":null}`,
	)
	code, out, errs := operate(t, nil, "credential", "rehash", "--destroy-old-versions", "--yes", "--admin", admin, "-o", "json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var sum api.Rehashed
	if err := json.Unmarshal([]byte(out), &sum); err != nil || sum.Checked != 5 || sum.Hashed != 4 || sum.VersionsDestroyed != 3 {
		t.Errorf("got %s, %v", out, err)
	}
	want := []string{path + "?size=500", path + "?offset=abc", path + "?offset=abc", path + "?offset=abc"}
	for i, call := range *asked {
		if i >= len(want) || call != want[i]+` {"destroy_old_versions":true}` {
			t.Errorf("call %d: %s", i, call)
		}
	}
	for _, text := range []string{"not now; trying again", "1 of 2 credentials: the store is down; trying again", "warning: mind the versions"} {
		if strings.Count(errs, text) != 1 {
			t.Errorf("want %q once in %s", text, errs)
		}
	}
}

// TestRehashSaysOnceWhyItWaits: such as a line that a policy lacks, which somebody may add
// meanwhile.
func TestRehashSaysOnceWhyItWaits(t *testing.T) {
	t.Parallel()
	failing := `{"data":{"total":3,"checked":2,"hashed":0,"versions_destroyed":0,"failed":[{"access_token":"x","message":"a policy lacks a line"},{"access_token":"y","message":"a policy lacks a line"}]},"next":null}`
	good := `{"data":{"total":3,"checked":2,"hashed":2,"versions_destroyed":0},"next":null}`
	admin, _ := rehashing(t, "hashed", failing, failing, failing, good)
	code, out, errs := operate(t, nil, "credential", "rehash", "--yes", "--admin", admin)
	if code != exitOK || strings.Count(errs, "a policy lacks a line; trying again") != 1 || !strings.Contains(errs, "2 of 3 in") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestRehashGoesPastWhatCannotBeDone(t *testing.T) {
	t.Parallel()
	const path = "/vault-auth/1/rehash"
	page := `{"data":{"total":4,"checked":2,"hashed":0,"versions_destroyed":0,"failed":[{"access_token":"x","message":"too large"}]},"next":"` + path + `?offset=abc"}`
	admin, asked := rehashing(t, "hashed", page, page, page, page, `{"data":{"total":4,"checked":2,"hashed":2,"versions_destroyed":0},"next":null}`)
	code, out, errs := operate(t, nil, "credential", "rehash", "--yes", "--admin", admin)
	if code != exitFailed || !strings.Contains(out, "failed, run it again: x: too large") || !strings.Contains(out, "hashed now              2") || len(*asked) != 5 {
		t.Errorf("exit %d after %d calls: %s%s", code, len(*asked), out, errs)
	}
}

func TestRehashSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	admin, _ := rehashing(t, "hashed", `{"data":{"total":2,"checked":2,"hashed":1,"versions_destroyed":0,"guessable":["weak"],"unusable":["odd"]},"next":null}`)
	code, out, errs := operate(t, nil, "credential", "rehash", "--yes", "--admin", admin)
	if code != exitFailed || !strings.Contains(out, "easy to guess, rotate it: weak") || !strings.Contains(out, "not a credential, left as it is: odd") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestRehashNamesWhatIsEasyToGuess(t *testing.T) {
	t.Parallel()
	const path = "/vault-auth/1/rehash"
	first := `{"data":{"total":3,"checked":2,"hashed":1,"versions_destroyed":0,"guessable":["weak"],"failed":[{"access_token":"x","message":"the store is down"}]},"next":"` + path + `?offset=abc"}`
	again := `{"data":{"total":3,"checked":2,"hashed":1,"versions_destroyed":0,"guessable":["weak"]},"next":"` + path + `?offset=abc"}`
	last := `{"data":{"total":3,"checked":1,"hashed":1,"versions_destroyed":0},"next":null}`
	for _, tt := range []struct {
		name string
		last any
		args []string
		code int
	}{
		{"it stays in clear text", last, nil, exitFailed},
		{"it is hashed on demand", last, []string{"--weak-too"}, exitOK},
		{"the next page fails", http.StatusForbidden, []string{"--weak-too"}, exitFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			admin, asked := rehashing(t, "hashed", first, again, tt.last)
			code, out, errs := operate(t, nil, append([]string{"credential", "rehash", "--yes", "--admin", admin}, tt.args...)...)
			if code != tt.code || strings.Count(out, "easy to guess, rotate it: weak") != 1 {
				t.Errorf("exit %d, want %d, and weak named once: %s%s", code, tt.code, out, errs)
			}
			if weak := strings.Contains((*asked)[0], `"weak_too":true`); weak != (tt.args != nil) {
				t.Errorf("asked %s", (*asked)[0])
			}
		})
	}
}

func TestRehashIsRefusedWhereItWouldNotLast(t *testing.T) {
	t.Parallel()
	admin, asked := rehashing(t, "plain")
	code, _, errs := operate(t, nil, "credential", "rehash", "--yes", "--admin", admin)
	if code != exitUsage || !strings.Contains(errs, "vault-authz vault update main --secrets hashed") || len(*asked) != 0 {
		t.Errorf("exit %d: %s, %v", code, errs, *asked)
	}
	hashed, _ := rehashing(t, "hashed", http.StatusForbidden)
	if code, _, errs = operate(t, nil, "credential", "rehash", "--yes", "--admin", hashed); code != exitFailed || !strings.Contains(errs, "not now") {
		t.Errorf("a call that is forbidden: exit %d: %s", code, errs)
	}
}
