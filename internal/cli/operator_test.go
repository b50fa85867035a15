package cli

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestEveryOperatorCommandHasAnExample(t *testing.T) {
	t.Parallel()
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		if cmd.Short == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) && !cmd.HasSubCommands() {
			t.Errorf("%s: short help %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	root := &cobra.Command{Use: "vault-authz", Short: "all", Example: "  vault-authz"}
	root.AddCommand(operatorCommands(Process{})...)
	look(root)
}

// operate runs one command line against a server.
func operate(t *testing.T, environ []string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), Process{Args: args, Environ: environ, Stdout: &stdout, Stderr: &stderr})
	return code, stdout.String(), stderr.String()
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheBearerTokenComesFromAFileOrTheEnvironment(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"message":"Unauthorized"}`)
			return
		}
		_, _ = io.WriteString(w, `{"data":[],"next":null}`)
	}))
	t.Cleanup(srv.Close)
	ca := file(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	for _, test := range []struct {
		name      string
		environ   []string
		args      []string
		code      int
		stderrHas string
	}{
		{"file", nil, []string{"--ca-file", ca, "--admin-token-file", file(t, []byte("right\n"))}, exitOK, ""},
		{"environment", []string{"VA_ADMIN_TOKEN=right"}, []string{"--ca-file", ca}, exitOK, ""},
		{"file beats environment", []string{"VA_ADMIN_TOKEN=wrong"}, []string{"--ca-file", ca, "--admin-token-file", file(t, []byte("right"))}, exitOK, ""},
		{"none", nil, []string{"--ca-file", ca}, exitFailed, "answers 401: Unauthorized; give the bearer token with --admin-token-file"},
		{"wrong", []string{"VA_ADMIN_TOKEN=wrong"}, []string{"--ca-file", ca}, exitFailed, "401"},
		{"empty file", nil, []string{"--admin-token-file", file(t, nil)}, exitUsage, "--admin-token-file: it is empty"},
		{"no file", nil, []string{"--admin-token-file", "missing"}, exitUsage, "--admin-token-file: open missing"},
		{"authority not known", []string{"VA_ADMIN_TOKEN=right"}, nil, exitFailed, "name its authority with --ca-file"},
		{"no authority in the file", nil, []string{"--ca-file", file(t, []byte("x"))}, exitUsage, "there is no PEM certificate in"},
		{"certificate without a key", nil, []string{"--cert-file", ca}, exitUsage, "--cert-file and --key-file go together"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := operate(t, test.environ, append([]string{"consumer", "list", "--admin", srv.URL}, test.args...)...)
			if code != test.code || !strings.Contains(errs, test.stderrHas) {
				t.Errorf("exit %d, stderr %q, want exit %d and %q", code, errs, test.code, test.stderrHas)
			}
			if strings.Contains(out+errs, "right\n") || strings.Contains(out+errs, "wrong") {
				t.Errorf("the token is shown: %s%s", out, errs)
			}
		})
	}
}

func TestASlowAnswerSaysThatTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(srv.Close)
	code, _, errs := operate(t, nil, "consumer", "list", "--timeout", "50ms", "--admin", srv.URL)
	if code != exitFailed || !strings.Contains(errs, "the service may have done it") {
		t.Errorf("exit %d, stderr %q, want a failure that says so", code, errs)
	}
}

func TestTheBearerTokenDoesNotFollowARedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	t.Cleanup(elsewhere.Close)
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(srv.Close)
	code, _, errs := operate(t, []string{"VA_ADMIN_TOKEN=right"}, "consumer", "list", "--admin", srv.URL)
	if code != exitFailed || !strings.Contains(errs, "307") {
		t.Errorf("exit %d, stderr %q, want a failure that names the status", code, errs)
	}
}

func TestPagesBecomeOneListAsTheAPIAnswers(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("offset") == "" {
			_, _ = io.WriteString(w, `{"data":[{"username":"a<b","custom_id":null}],"next":"/consumers?offset=x"}`)
			return
		}
		_, _ = io.WriteString(w, `{"data":[{"username":"c","new_field":1}],"next":null}`)
	}))
	t.Cleanup(srv.Close)
	const want = `{
  "data": [
    {
      "username": "a<b",
      "custom_id": null
    },
    {
      "username": "c",
      "new_field": 1
    }
  ],
  "next": null
}
`
	if code, out, errs := operate(t, nil, "consumer", "list", "-o", "json", "--admin", srv.URL); code != exitOK || out != want {
		t.Errorf("exit %d, got:\n%s%s\nwant:\n%s", code, out, errs, want)
	}
}

func TestNamesCannotControlTheTerminal(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/consumers" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"message":"\u001b[2Jgone"}`)
			return
		}
		_, _ = io.WriteString(w, `{"data":[{"username":"\u001b[2J\tx\ny"}],"next":null}`)
	}))
	t.Cleanup(srv.Close)
	for _, args := range [][]string{{"consumer", "list"}, {"consumer", "get", "x"}} {
		_, out, errs := operate(t, nil, append(args, "--admin", srv.URL)...)
		if !strings.Contains(out+errs, `\x1b[2J`) || strings.ContainsAny(out+errs, "\x1b\t") {
			t.Errorf("%v: %q, want control characters quoted", args, out+errs)
		}
	}
}

func TestWarningsOfAnAnswerAreShown(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.Header().Set("Warning", `299 vault-authz "there is no \"default\" policy now\x1b[2J"`)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = io.WriteString(w, `{"id":"x","name":"rest","default":true}`)
	}))
	t.Cleanup(srv.Close)
	for _, format := range []string{"table", "json"} {
		code, out, errs := operate(t, nil, "policy", "delete", "rest", "--yes", "-o", format, "--admin", srv.URL)
		if want := `warning: "there is no \"default\" policy now\x1b[2J"` + "\n"; code != exitOK || errs != want {
			t.Errorf("exit %d, out %q, stderr %q, want %q", code, out, errs, want)
		}
	}
}

func TestConfirmationIsAYesAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, answer string
		confirmed    bool
	}{
		{"y", "y\n", true},
		{"yes", "Yes\n", true},
		{"without a line end", "y", true},
		{"no", "n\n", false},
		{"nothing", "\n", false},
		{"the end of the input", "", false},
		{"something else", "yesterday\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var errs bytes.Buffer
			s := &session{in: strings.NewReader(test.answer), errs: &errs}
			err := s.confirm(t.Context(), "Delete %q?", "x")
			if (err == nil) != test.confirmed {
				t.Errorf("answer %q: error %v, want confirmed=%t", test.answer, err, test.confirmed)
			}
			if errs.String() != `Delete "x"? [y/N] ` {
				t.Errorf("question %q", &errs)
			}
		})
	}
}

func TestAnInterruptEndsAQuestion(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	silent, typing := io.Pipe()
	t.Cleanup(func() { _ = typing.Close() })
	s := &session{in: silent, errs: io.Discard}
	if err := s.confirm(ctx, "Delete?"); err == nil || !strings.Contains(err.Error(), "nothing was changed: interrupted") {
		t.Errorf("error %v, want that nothing was changed", err)
	}
}

func TestARefusedDestructionCallsNothing(t *testing.T) {
	t.Parallel()
	if _, ok := terminal(os.Stdin); ok {
		t.Skip("on a terminal it asks instead of refusing")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("called: %s %s", r.Method, r.URL.Path)
	}))
	t.Cleanup(srv.Close)
	for _, args := range [][]string{
		{"vault", "delete", "x"},
		{"consumer", "delete", "x"},
		{"policy", "delete", "x"},
		{"plugin", "delete", "x"},
		{"credential", "delete", "x"},
		{"credential", "rotate", "x"},
		{"acl", "remove", "x", "y"},
	} {
		code, _, errs := operate(t, nil, append(args, "--admin", srv.URL)...)
		if code != exitUsage || !strings.Contains(errs, "--yes") {
			t.Errorf("%v: exit %d, stderr %q, want exit %d and a hint at --yes", args, code, errs, exitUsage)
		}
	}
}
