package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

func explainCommand(p Process) *cobra.Command {
	o := &operator{p: p}
	urls := []string{defaultAdminURL}
	cmd := o.verb("explain REQUEST_ID", "Say why a request was denied a short time ago",
		"  vault-authz explain 9beb9db794820928ab425992fd5d01b0\n"+
			"  vault-authz explain 9beb9db7-9482-0928-ab42-5992fd5d01b0 --admin http://10.0.0.7:9192 --admin http://10.0.0.8:9192 --insecure",
		func(ctx context.Context, s *session, args []string) error {
			return s.explainDenials(ctx, urls, args[0])
		})
	cmd.Long = "explain finds the denials of a request by the request_id that its client was told, or by its x-request-id. Each replica\n" +
		"remembers its own denials, for 15 minutes and 10,000 at the most: give the address of each with --admin. Older denials are in\n" +
		"the decision log." + callsAdminAPI
	cmd.PreRun = func(cmd *cobra.Command, _ []string) {
		if v := p.variable(urlVariable); v != "" && !cmd.Flags().Changed("admin") {
			urls = []string{v}
		}
		o.url = urls[0]
	}
	f := cmd.Flags()
	f.StringArrayVar(&urls, "admin", urls, "`URL` of the admin API of a replica, or HOST:PORT on this machine, any number of times")
	o.register(cmd, f)
	return cmd
}

// explainDenials asks each replica. A replica that cannot be asked does not hide what another one
// remembers.
func (s *session) explainDenials(ctx context.Context, urls []string, id string) error {
	var problems []error
	found := 0
	for _, at := range urls {
		s.answers.forget()
		if err := s.call(at); err != nil {
			return exitError{exitUsage, err}
		}
		answer, err := s.Denials(ctx, id)
		if err != nil {
			problems = append(problems, s.explain(ofReplica(at, len(urls), err)))
			continue
		}
		found++
		if err := s.showDenials(answer); err != nil {
			return err
		}
	}
	if found == 0 {
		return exitError{exitFailed, errors.Join(problems...)} // each says already what to do
	}
	for _, err := range problems {
		fmt.Fprintf(s.errs, "note: %v\n", err)
	}
	return nil
}

// ofReplica says of an error which of several addresses it is about.
func ofReplica(at string, of int, err error) error {
	var problem *api.Problem
	if errors.As(err, &problem) && problem.Fields["replica"] != nil {
		err = missingError{problem.Message, err}
	}
	if of == 1 {
		return err
	}
	return fmt.Errorf("%s: %w", at, err)
}

func (s *session) showDenials(found api.Denials) error {
	switch {
	case s.field != "":
		return s.answers.printFieldOfEach(s.out, s.field)
	case s.asJSON:
		return s.answers.printLast(s.out)
	}
	for i := range found.Data {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		if err := s.one(denialRows(found.Replica, &found.Data[i])...); err != nil {
			return err
		}
	}
	if more := found.Total - len(found.Data); more > 0 {
		fmt.Fprintf(s.errs, "note: %d more denials with this id, between the newest and the oldest, are not shown\n", more)
	}
	return nil
}

// denialRows has a row for what is known of a denial.
func denialRows(replica string, d *authz.Denial) []row {
	decision := fmt.Sprintf("deny %d", d.Status)
	if d.Status == 0 {
		decision = "allow, since the policy only observes"
	}
	rows := []row{
		{"request id", d.RequestID},
		{"x-request-id", d.SentID},
		{"at", time.UnixMicro(int64(d.At*1e6)).UTC().Format("2006-01-02T15:04:05.000Z") + " on " + replica},
		{"decision", decision},
		{"reason", d.Reason + ": " + d.Meaning},
		{"error", d.Error},
		{"policy", d.Policy},
		{"chosen by", chosenBy(d)},
		{"also matching", alsoMatching(d)},
		{"vault", d.Vault},
		{"access token in", list(d.AccessTokenIn)},
		{"secret token in", list(d.SecretTokenIn)},
		{"credential", d.Credential},
		{"cache", cacheText(d)},
		{"consumer", consumerText(d)},
		{"request", d.Method + " " + d.Host + d.Path},
		{"from", d.Source},
		{"took", (time.Duration(d.Duration) * time.Microsecond).String()},
	}
	kept := rows[:0]
	for _, r := range rows {
		if r.value != "" {
			kept = append(kept, r)
		}
	}
	return kept
}

// chosenBy says why the policy governs, or why none does.
func chosenBy(d *authz.Denial) string {
	switch {
	case d.RoutePolicy != nil:
		return fmt.Sprintf("the route, which names %q", *d.RoutePolicy)
	case d.MatchingChanged:
		return "policies that have changed since"
	case len(d.Matching) == 0 || d.Matching[0].Policy != d.Policy:
		return ""
	}
	return matchText(d.Matching[0])
}

func matchText(m authz.Match) string {
	if m.Default {
		return "default, no other one matches"
	}
	var by []string
	if m.Host != "" {
		by = append(by, "host "+m.Host)
	}
	if m.Path != "" {
		by = append(by, "path "+m.Path)
	}
	if m.Priority != 0 {
		by = append(by, fmt.Sprintf("priority %d", m.Priority))
	}
	return strings.Join(by, ", ")
}

// alsoMatching are the other policies that match, in the order in which they would govern.
func alsoMatching(d *authz.Denial) string {
	var others []string
	for _, m := range d.Matching {
		switch {
		case m.Policy == d.Policy:
		case m.Default:
			others = append(others, m.Policy+" (default)")
		default:
			others = append(others, m.Policy+" ("+matchText(m)+")")
		}
	}
	return list(others)
}

func cacheText(d *authz.Denial) string {
	if d.Reread {
		return d.Lookup + ", and read from Vault for this request"
	}
	return d.Lookup
}

func consumerText(d *authz.Denial) string {
	if d.Username == "" {
		return d.Consumer
	}
	return d.Username + " (" + d.Consumer + ")"
}
