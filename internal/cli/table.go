package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// unset is shown for an empty value.
const unset = "-"

// A row is a name and a value.
type row struct{ name, value string }

// one prints an entity: as the API answered, or a line for each row.
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

// many prints a list: as the API answered, or a line for each item.
func (s *session) many(head []string, lines [][]string) error {
	switch {
	case s.field != "":
		return s.answers.printFieldOfEach(s.out, s.field)
	case s.asJSON:
		return s.answers.printList(s.out)
	}
	return table(s.out, head, lines)
}

// table prints a line for each item.
func table(out io.Writer, head []string, lines [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, line := range lines {
		for i := range line {
			line[i] = cell(line[i])
		}
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	return w.Flush()
}

// done prints that something was done, which the API answers with an empty body. It prints
// nothing with -o json.
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

// printable quotes text that could move the cursor or break a table: anybody with access to
// the API may have chosen it.
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

// instant formats Unix seconds, 0 as "".
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

// maxAnswer bounds the body of an answer, in bytes.
const maxAnswer = 64 << 20

// answers keeps the bodies of the answers for -o json: the types of the client do not tell
// null from absent.
type answers struct {
	next   http.RoundTripper
	bodies [][]byte
	// warnings are the texts of Warning headers.
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
		if text := warningText(header); !slices.Contains(a.warnings, text) {
			a.warnings = append(a.warnings, text)
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// warningText returns the text of a Warning header: code, agent, quoted text.
func warningText(header string) string {
	parts := strings.SplitN(header, " ", 3)
	if text, err := strconv.Unquote(parts[len(parts)-1]); err == nil {
		return text
	}
	return header
}

var errNoAnswer = errors.New("the admin API gave no answer")

// forget drops answers that are not part of the output.
func (a *answers) forget() { a.bodies = nil }

func (a *answers) printLast(out io.Writer) error {
	if len(a.bodies) == 0 {
		return errNoAnswer
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(a.bodies[len(a.bodies)-1]), "", "  "); err != nil {
		return errors.New("the answer of the admin API is not JSON; check the URL in --admin")
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

// items returns the items of all pages.
func (a *answers) items() ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for _, body := range a.bodies {
		var p page
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, errors.New("the answer of the admin API is not a list; check the URL in --admin")
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
	return printJSON(out, page{Data: items})
}

func printJSON(out io.Writer, value any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
