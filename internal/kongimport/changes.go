package kongimport

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/vault-authz/vault-authz/internal/api"
)

// An Action says what a step does, or has done.
type Action string

// The actions.
const (
	// Create makes an entity that is missing.
	Create Action = "create"
	// Equal is an entity that exists as it should be.
	Equal Action = "equal"
	// Differs is an entity that exists with other values; it is not changed.
	Differs Action = "differs"
	// Needs is an entity that needs something else first.
	Needs Action = "needs"
	// Left is an entity without a counterpart.
	Left Action = "left"
	// Created and Failed are the results of a Create.
	Created Action = "created"
	Failed  Action = "failed"
)

// A Step is about one entity.
type Step struct {
	Action Action   `json:"action"`
	Kind   string   `json:"kind"`
	Name   string   `json:"name,omitempty"`
	ID     string   `json:"id,omitempty"`
	Notes  []string `json:"notes,omitempty"`
	// Policies could be made instead of an entity without a counterpart.
	Policies []api.Policy `json:"policies,omitempty"`

	// operation makes the entity in a batch, for kinds of which there may be many; make
	// makes it for other kinds. The Vault token is in nothing else.
	operation api.Operation
	make      func(context.Context, *api.Client) error
	// failure is why a step failed.
	failure error
}

// Changes is a plan, or its result.
type Changes struct {
	Steps []Step `json:"steps"`
	// Notes are about many steps.
	Notes []string `json:"notes,omitempty"`
}

// Count returns the number of steps with an action.
func (c *Changes) Count(a Action) int {
	n := 0
	for i := range c.Steps {
		if c.Steps[i].Action == a {
			n++
		}
	}
	return n
}

// maxListed is the number of steps up to which all of them are listed.
const maxListed = 1000

// Print shows the steps to people.
func (c *Changes) Print(out io.Writer) error {
	listed := c.listed()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "ACTION\tKIND\tNAME\tID\n")
	for _, s := range listed {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Action, printable(s.Kind), dash(printable(s.Name)), dash(printable(s.ID)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n := len(c.Steps) - len(listed); n > 0 {
		fmt.Fprintf(out, "… and %d more, which are in the totals; -o json has all of them\n", n)
	}
	printNotes(out, listed)
	for _, note := range c.Notes {
		fmt.Fprintf(out, "\n%s\n", printable(note))
	}
	return c.printTotals(out)
}

// listed returns the steps to list. If there are very many, these are the ones that need
// attention, and the first few of those that failed for the same reason.
func (c *Changes) listed() []*Step {
	var listed []*Step
	failed := map[string]int{}
	for i := range c.Steps {
		s := &c.Steps[i]
		if len(c.Steps) > maxListed {
			switch s.Action {
			case Create, Created, Equal:
				if len(s.Notes) == 0 {
					continue
				}
			case Failed:
				reason := s.Kind + s.reason()
				if failed[reason]++; failed[reason] > 3 {
					continue
				}
			case Differs, Needs, Left:
			}
		}
		listed = append(listed, s)
	}
	return listed
}

// reason is why a step failed.
func (s *Step) reason() string {
	if s.Action != Failed || len(s.Notes) == 0 {
		return ""
	}
	return s.Notes[len(s.Notes)-1]
}

func printNotes(out io.Writer, listed []*Step) {
	notes := false
	for _, s := range listed {
		for _, note := range s.Notes {
			if !notes {
				fmt.Fprintln(out)
				notes = true
			}
			fmt.Fprintf(out, "%s %s: %s\n", printable(s.Kind), dash(printable(s.Name)), printable(note))
		}
		for j := range s.Policies {
			fmt.Fprintf(out, "  instead, by POST /policies: %s\n", printable(encoded(&s.Policies[j])))
		}
	}
}

// printTotals prints the number of results of each kind.
func (c *Changes) printTotals(out io.Writer) error {
	counts, kinds, reasons := map[string]map[Action]int{}, []string{}, map[string]int{}
	for i := range c.Steps {
		s := &c.Steps[i]
		if counts[s.Kind] == nil {
			counts[s.Kind] = map[Action]int{}
			kinds = append(kinds, s.Kind)
		}
		counts[s.Kind][s.Action]++
		if s.Action == Failed {
			reasons[s.reason()]++
		}
	}
	fmt.Fprintln(out)
	for _, kind := range kinds {
		if len(kinds) > 1 {
			fmt.Fprintf(out, "%s: %s\n", printable(kind), sums(counts[kind]))
		}
	}
	all := map[Action]int{}
	for _, kind := range kinds {
		for a, n := range counts[kind] {
			all[a] += n
		}
	}
	_, err := fmt.Fprintln(out, sums(all))
	if all[Needs] > 0 {
		_, err = fmt.Fprintln(out, "what needs something was not made: do what its note says, and run this again")
	}
	if len(reasons) > 0 {
		fmt.Fprintln(out, "\nfailed:")
		for _, reason := range slices.SortedFunc(maps.Keys(reasons), func(x, y string) int {
			return cmp.Or(reasons[y]-reasons[x], cmp.Compare(x, y))
		}) {
			fmt.Fprintf(out, "  %d: %s\n", reasons[reason], printable(reason))
		}
		_, err = fmt.Fprintln(out, "run it again to make what is missing: what exists stays as it is")
	}
	return err
}

func sums(counts map[Action]int) string {
	var texts []string
	for _, a := range []Action{Create, Created, Failed, Equal, Differs, Needs, Left} {
		if n := counts[a]; n > 0 {
			text := fmt.Sprintf("%d %s", n, a)
			if a == Equal {
				text += " (there already)"
			}
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ", ")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printable quotes text that could control a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
