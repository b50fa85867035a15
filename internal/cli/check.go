package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/loopback"
)

// defaultAddress is the default of listen.grpc and of dev --grpc.
const defaultAddress = "127.0.0.1:9191"

type checkOptions struct {
	address, method, policy, data, output string
	// replay is the file with the line of the decision log, empty to ask about a URL.
	replay  string
	headers []string
	timeout time.Duration
	tls     clientTLS
}

func checkCommand(p Process) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [flags] URL",
		Short: "Ask a running service about one request",
		Long: "check asks as Envoy would about a request that is written as for curl, and prints the decision,\n" +
			"the reason, what would change about the request, and which other policies match it. The upstream is\n" +
			"not contacted.\n\n" +
			"It exits with 0 if the request is allowed, 1 if it is denied, 2 if there is no answer.\n\n" +
			"With --replay it asks about the request of a line of the decision log, and shows what was decided beside\n" +
			"what is decided now. No log has tokens: give those of the client with -H, and with --policy the policy if a\n" +
			"route named it. Then it exits with 0 if decision, reason and policy are the same, 1 if they are not, 2 if\n" +
			"there is no answer.",
		Example: "  vault-authz check -H 'access-token: demo' -H 'secret-token: demo-secret' http://example.com/\n" +
			"  vault-authz check 'http://example.com/orders?access_token=demo&secret_token=demo-secret'\n" +
			"  vault-authz check -X POST -d @body.json -H 'content-type: application/json' --policy orders http://example.com/\n" +
			"  grep 9beb9db7-9482-0928-ab42-5992fd5d01b0 decisions.log | vault-authz check --replay - -H 'access-token: demo' -H 'secret-token: demo-secret'\n" +
			"  vault-authz check --address authz.example.com:9191 --ca-file ca.pem --cert-file ops.pem --key-file ops.key http://example.com/",
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.replay == "" && len(args) != 1:
				return exitError{exitUsage, fmt.Errorf("give one URL; see %s --help", cmd.CommandPath())}
			case o.replay != "" && len(args)+len(o.method) > 0:
				return exitError{exitUsage, errors.New("the line of --replay has the request: give neither a URL nor --request")}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.method, "request", "X", "", "`METHOD`, GET without a body and POST with one by default")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "`'NAME: VALUE'`, any number of times")
	f.StringVarP(&o.data, "data", "d", "", "body, or `@FILE`, @- for standard input")
	f.StringVar(&o.replay, "replay", "", "`FILE` with a line of the decision log whose request to ask about again, or -")
	f.StringVar(&o.policy, "policy", "", "`NAME` of the policy, as a route would give it")
	f.StringVar(&o.address, "address", defaultAddress, "`ADDRESS` of the service, or "+addressVariable+" in the environment")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	o.tls.register(f)
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if v := p.variable(addressVariable); v != "" && !cmd.Flags().Changed("address") {
			o.address = v
		}
		return orUsage(o.run(cmd, args))
	}
	return cmd
}

func (o *checkOptions) run(cmd *cobra.Command, args []string) error {
	if o.inTheClear() {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: the token pair goes to %s without TLS; give --tls unless the network is trusted\n", o.address)
	}
	switch {
	case o.output != "text" && o.output != "json":
		return fmt.Errorf("--output: %q is neither text nor json", o.output)
	case o.replay != "":
		return runReplay(cmd.Context(), *o, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	default:
		return runCheck(cmd.Context(), *o, args[0], cmd.InOrStdin(), cmd.OutOrStdout())
	}
}

// inTheClear says whether the tokens cross a network without TLS.
func (o *checkOptions) inTheClear() bool {
	host, _, err := net.SplitHostPort(o.address)
	if err != nil || strings.HasPrefix(o.address, "unix:") || o.tls.given() {
		return false // an address that is refused, a socket, or TLS
	}
	ip := net.ParseIP(host)
	return host != "" && !loopback.Is(host) && (ip == nil || !ip.IsUnspecified())
}

func runCheck(ctx context.Context, o checkOptions, url string, in io.Reader, out io.Writer) error {
	q, err := question(o, url, in)
	if err != nil {
		return err
	}
	a, err := o.ask(ctx, q)
	if err != nil {
		return err
	}
	if o.output == "json" {
		err = printIndented(out, a)
	} else {
		err = printAnswer(out, q, a)
	}
	if err == nil && !a.Allowed {
		err = exitError{exitFailed, errSilent}
	}
	return err
}

// ask asks the service.
func (o *checkOptions) ask(ctx context.Context, q envoy.Question) (envoy.Answer, error) {
	conn, err := dial(o.address, &o.tls, "")
	if err != nil {
		return envoy.Answer{}, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	a, err := envoy.Ask(ctx, conn, q)
	if _, answered := status.FromError(err); !answered {
		return a, err
	}
	if err != nil {
		return a, fmt.Errorf("asking %s: %w%s", o.address, explainCall(err), o.tls.hint(""))
	}
	return a, nil
}

// question reads the request from the command line.
func question(o checkOptions, url string, in io.Reader) (envoy.Question, error) {
	q := envoy.Question{Method: o.method, URL: url, Policy: o.policy, RawHeaders: true, Explain: true}
	if !strings.Contains(url, "://") {
		// It is not repeated: it may have a secret token in it.
		return q, errors.New("the URL has no scheme; it must begin with http:// or https://")
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return q, fmt.Errorf("--header: %q is not of the form 'NAME: VALUE'", h)
		}
		q.Headers = append(q.Headers, authz.Header{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	if o.data != "" {
		q.Body = []byte(o.data)
		if name, isFile := strings.CutPrefix(o.data, "@"); isFile {
			body, err := readData(in, name)
			if err != nil {
				return q, fmt.Errorf("--data: %w", err)
			}
			q.Body = body
		}
		if !slices.ContainsFunc(q.Headers, func(h authz.Header) bool { return strings.EqualFold(h.Name, "content-type") }) {
			q.Headers = append(q.Headers, authz.Header{Name: "Content-Type", Value: "application/x-www-form-urlencoded"})
		}
	}
	if q.Method == "" {
		q.Method = "GET"
		if q.Body != nil {
			q.Method = "POST"
		}
	}
	return q, nil
}

func readData(in io.Reader, name string) ([]byte, error) {
	if name == dash {
		return io.ReadAll(in)
	}
	return os.ReadFile(name)
}

func printIndented(out io.Writer, a any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(a)
}

// printAnswer prints an answer for people. Of the headers to remove it prints those that the
// request has: the others are removed from every request as a precaution.
func printAnswer(out io.Writer, q envoy.Question, a envoy.Answer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	verdict := "allow"
	switch {
	case a.Error:
		verdict = fmt.Sprintf("error %d", a.Status)
	case !a.Allowed:
		verdict = fmt.Sprintf("deny %d", a.Status)
	}
	fmt.Fprintf(w, "decision\t%s\nreason\t%s\n", verdict, a.Reason)
	if a.Policy != "" {
		fmt.Fprintf(w, "policy\t%s\n", a.Policy)
	}
	others := slices.DeleteFunc(slices.Clone(a.Matching), func(name string) bool { return name == a.Policy })
	if len(others) > 0 {
		// In the order in which they would govern without it.
		fmt.Fprintf(w, "also matching\t%s\n", list(others))
	}
	for _, h := range a.Set {
		fmt.Fprintf(w, "set\t%s: %s\n", h.Name, h.Value)
	}
	for _, name := range a.Remove {
		if slices.ContainsFunc(q.Headers, func(h authz.Header) bool { return strings.EqualFold(h.Name, name) }) {
			fmt.Fprintf(w, "remove\t%s\n", name)
		}
	}
	for _, name := range a.RemoveQuery {
		fmt.Fprintf(w, "remove from query\t%s\n", name)
	}
	for _, h := range a.Headers {
		fmt.Fprintf(w, "answer\t%s: %s\n", h.Name, h.Value)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if a.Body != "" {
		_, err := fmt.Fprintf(out, "\n%s\n", strings.TrimRight(a.Body, "\n"))
		return err
	}
	return nil
}
