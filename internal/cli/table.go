package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// unset stands for what has no value.
const unset = "-"

// A row is a name and a value.
type row struct{ name, value string }

// one shows an entity: as the API answered, or a line for each row.
func (s *session) one(rows ...row) error {
	switch {
	case s.field != "":
		return s.answers.printField(s.out, s.field)
	case s.asJSON:
		return s.answers.printLast(s.out)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\n", r.name, cell(r.value))
	}
	return w.Flush()
}

// many shows a list: as the API answered, or a line for each item.
func (s *session) many(head []string, lines [][]string) error {
	switch {
	case s.field != "":
		return s.answers.printFieldOfEach(s.out, s.field)
	case s.asJSON:
		return s.answers.printList(s.out)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, line := range lines {
		for i := range line {
			line[i] = cell(line[i])
		}
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	return w.Flush()
}

// done tells people that something was done; the API has no answer to that.
func (s *session) done(format string, args ...any) error {
	if s.asJSON {
		return nil
	}
	_, err := fmt.Fprintf(s.out, format+"\n", args...)
	return err
}

func cell(value string) string {
	if value == "" {
		return unset
	}
	return printable(value)
}

// printable quotes what could move a cursor or break a table. Names come from
// whoever may call the API.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func list(items []string) string { return strings.Join(items, ", ") }

func yesNo(b *bool) string {
	switch {
	case b == nil:
		return ""
	case *b:
		return "yes"
	default:
		return "no"
	}
}

// instant shows Unix seconds, 0 as not set.
func instant(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

func moment(seconds *int64) string {
	if seconds == nil {
		return ""
	}
	return instant(*seconds)
}

// maxAnswer bounds an answer that is kept.
const maxAnswer = 64 << 20

// answers keeps what the API answered, since the types do not know what is null
// and what is not there.
type answers struct {
	next   http.RoundTripper
	bodies [][]byte
	// warnings are what the answers say besides.
	warnings []string
}

// RoundTrip implements [http.RoundTripper].
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	a.bodies = append(a.bodies, body)
	for _, header := range resp.Header.Values("Warning") {
		a.warnings = append(a.warnings, warningText(header))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// warningText is what a header Warning says to people: code, agent, text in quotes.
func warningText(header string) string {
	parts := strings.SplitN(header, " ", 3)
	if text, err := strconv.Unquote(parts[len(parts)-1]); err == nil {
		return text
	}
	return header
}

var errNoAnswer = errors.New("the admin API gave no answer")

// forget lets what was only looked up be no part of the output.
func (a *answers) forget() { a.bodies = nil }

func (a *answers) printLast(out io.Writer) error {
	if len(a.bodies) == 0 {
		return errNoAnswer
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(a.bodies[len(a.bodies)-1]), "", "  "); err != nil {
		return errors.New("the answer of the admin API is not JSON; is the URL that of vault-authz?")
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(out)
	return err
}

// A page is a list as the API answers, or a part of it.
type page struct {
	Data []json.RawMessage `json:"data"`
	Next *string           `json:"next"`
}

// items are those of all pages.
func (a *answers) items() ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for _, body := range a.bodies {
		var p page
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, errors.New("the answer of the admin API is not a list; is the URL that of vault-authz?")
		}
		all = append(all, p.Data...)
	}
	return all, nil
}

// printList prints all pages as one, which has no next.
func (a *answers) printList(out io.Writer) error {
	items, err := a.items()
	if err != nil {
		return err
	}
	all := page{Data: items}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}
