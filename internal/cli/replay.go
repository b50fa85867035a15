package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
)

// A replayed is what a decision came out as. It has what both the decision log and an answer have.
type replayed struct {
	Decision string `json:"decision"`
	Status   int    `json:"status,omitempty"`
	Reason   string `json:"reason"`
	Policy   string `json:"policy,omitempty"`
}

func (r replayed) verdict() string {
	if r.Status == 0 {
		return r.Decision
	}
	return fmt.Sprintf("%s %d", r.Decision, r.Status)
}

// A loggedDecision is a line of the decision log, as far as its request can be asked about again.
type loggedDecision struct {
	replayed

	Message string `json:"message"`
	Method  string `json:"method"`
	Host    string `json:"host"`
	Path    string `json:"path"`
}

// readLogged reads one line of the decision log from a file.
func readLogged(in io.Reader, file string) (loggedDecision, error) {
	var line loggedDecision
	raw, err := readData(in, file)
	if err != nil {
		return line, err
	}
	raw = bytes.TrimSpace(raw)
	if n := bytes.Count(raw, []byte("\n")) + 1; n > 1 {
		return line, fmt.Errorf("there are %d lines; give one, for example that with the request_id of the client", n)
	}
	if json.Unmarshal(raw, &line) != nil || line.Message != "decision" || line.Reason == "" {
		return line, errors.New("this is not a line of the decision log in JSON")
	}
	if strings.HasSuffix(line.Path, "…") || strings.HasSuffix(line.Host, "…") || strings.HasSuffix(line.Method, "…") {
		return line, errors.New("the log has only the beginning of the request; ask about all of it with a URL")
	}
	return line, nil
}

// question returns the logged request, with what the log does not have from the command line.
func (l *loggedDecision) question(o checkOptions, in io.Reader) (envoy.Question, error) {
	// The host is a header, so that any text can be one.
	at := "http://logged" + l.Path
	if u, err := url.Parse(at); err != nil || u.Host != "logged" || u.RequestURI() != l.Path {
		return envoy.Question{}, fmt.Errorf("the path %q of the log cannot be asked about", l.Path)
	}
	q, err := question(o, at, in)
	q.Method = l.Method
	q.Headers = append([]authz.Header{{Name: "Host", Value: l.Host}}, q.Headers...)
	return q, err
}

// runReplay asks about a logged request, and says whether the decision is still the same.
func runReplay(ctx context.Context, o checkOptions, in io.Reader, out, errs io.Writer) error {
	line, err := readLogged(in, o.replay)
	if err != nil {
		return fmt.Errorf("--replay: %w", err)
	}
	q, err := line.question(o, in)
	if err != nil {
		return err
	}
	if len(o.headers) == 0 && o.data == "" {
		fmt.Fprintln(errs, "note: no log has tokens; give those of the client with -H, or it is asked about a request without any")
	}
	a, err := o.ask(ctx, q)
	if err != nil {
		return err
	}
	now := replayed{Decision: "deny", Status: a.Status, Reason: a.Reason, Policy: a.Policy}
	if a.Allowed {
		now.Decision, now.Status = "allow", 0
	}
	if err := o.printReplay(out, line.replayed, now); err != nil {
		return err
	}
	if now.Policy != line.Policy && o.policy == "" && line.Policy != "" {
		fmt.Fprintf(errs, "note: if the route named the policy, add --policy %s\n", line.Policy)
	}
	if now != line.replayed {
		return exitError{exitFailed, errSilent}
	}
	return nil
}

func (o *checkOptions) printReplay(out io.Writer, logged, now replayed) error {
	if o.output == "json" {
		return printIndented(out, map[string]any{"same": logged == now, "logged": logged, "now": now})
	}
	return table(out, []string{"", "LOGGED", "NOW"}, [][]string{
		{"decision", logged.verdict(), now.verdict()},
		{"reason", logged.Reason, now.Reason},
		{"policy", logged.Policy, now.Policy},
	})
}
