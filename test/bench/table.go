package main

import (
	"fmt"
	"io"
	"strings"
)

// A row is one figure of the table.
type row struct {
	// group is what is measured, and name the case of it.
	group, name string
	// value is the median with its unit, ratio that of what the group compares
	// with, and spread the least and greatest ratio (or value, without one) of
	// the rounds.
	value, ratio, spread string
	// goal is what there is to reach, and reached whether it is.
	goal    string
	reached bool
}

// atMost sets a goal for a number.
func (r row) atMost(got, goal float64, format string) row {
	r.goal, r.reached = fmt.Sprintf("≤ "+format, goal), got <= goal
	return r
}

// write writes the rows as a Markdown table.
func write(w io.Writer, rows []row) {
	fmt.Fprintln(w, "| figure | case | median | ratio | spread | to reach |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---|")
	group := ""
	for _, r := range rows {
		title := ""
		if r.group != group {
			title, group = r.group, r.group
		}
		goal := r.goal
		switch {
		case goal == "":
		case r.reached:
			goal += ": yes"
		default:
			goal += ": **no**"
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join([]string{title, r.name, r.value, r.ratio, r.spread, goal}, " | "))
	}
}
