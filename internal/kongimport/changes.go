package kongimport

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/vault-authz/vault-authz/internal/admin"
)

// An Action says what a step does, or has done.
type Action string

// The actions.
const (
	// Create makes an entity that is missing.
	Create Action = "create"
	// Equal is an entity that exists as it should be.
	Equal Action = "equal"
	// Differs is an entity that exists and is another; it is left alone.
	Differs Action = "differs"
	// Needs is an entity that cannot be made before something else is done.
	Needs Action = "needs"
	// Left is what has no counterpart.
	Left Action = "left"
	// Created and Failed is what became of a Create.
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
	// Policies are what could be made instead of what has no counterpart.
	Policies []admin.Policy `json:"policies,omitempty"`

	// make does what Create says. The Vault token is in nothing else.
	make func(context.Context, *admin.Client) error
}

// Changes is a plan, or what became of it.
type Changes struct {
	Steps []Step `json:"steps"`
}

// Count returns how many steps have an action.
func (c *Changes) Count(a Action) int {
	n := 0
	for i := range c.Steps {
		if c.Steps[i].Action == a {
			n++
		}
	}
	return n
}

// Apply makes what is to be created and notes in the steps what became of it.
// Plugins are not made once something has failed: without its groups or its acl,
// a plugin lets more through than it does in Kong.
func (c *Changes) Apply(ctx context.Context, client *admin.Client) {
	for i := range c.Steps {
		s := &c.Steps[i]
		if s.Action != Create {
			continue
		}
		if s.Kind == kindPlugin && c.Count(Failed) > 0 {
			s.Action = Failed
			s.Notes = append(s.Notes, "not made, because something before it failed")
			continue
		}
		s.Action = Created
		if err := s.make(ctx, client); err != nil {
			s.Action = Failed
			s.Notes = append(s.Notes, err.Error())
		}
	}
}

// Print shows the steps to people.
func (c *Changes) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "ACTION\tKIND\tNAME\tID\n")
	for i := range c.Steps {
		s := &c.Steps[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Action, printable(s.Kind), dash(printable(s.Name)), dash(printable(s.ID)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	notes := false
	for i := range c.Steps {
		s := &c.Steps[i]
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
	var sums []string
	for _, a := range []Action{Create, Created, Failed, Equal, Differs, Needs, Left} {
		if n := c.Count(a); n > 0 {
			sums = append(sums, fmt.Sprintf("%d %s", n, a))
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\n", strings.Join(sums, ", "))
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printable keeps what a file has in it from steering a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
