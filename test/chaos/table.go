package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A cell is a figure, and whether it is bad.
type cell struct {
	text string
	bad  bool
}

func (c cell) String() string {
	if c.bad {
		return "**" + c.text + " ✗**"
	}
	return c.text
}

// A column has a head. The figures of a timed column say nothing about the service if the
// machine stalled.
type column struct {
	head  string
	timed bool
}

// askedHead is the head of the column with the requests to Vault.
const askedHead = "Vault asked per s: steady / during / worst after"

// columns are the columns of the table of faults.
func columns() []column {
	return []column{
		{"fault", false},
		{"wrong allows", false},
		{"cached lost", true},
		{"good denied", false},
		{"no answer", true},
		{"uncached during: allowed / 503", false},
		{"p50 / p99", true},
		{"recovered after", true},
		{askedHead, true},
		{"goroutines (connections) before → after", true},
		{"states logged", false},
		{"longest stall of the machine", false},
	}
}

func (r row) cells() []cell {
	zero := func(n int) cell { return cell{fmt.Sprint(n), n != 0} }
	return []cell{
		r.name(),
		zero(r.wrongAllows), zero(r.lost), zero(r.goodDenied), zero(r.unanswered),
		{fmt.Sprintf("%d / %d", r.during.allowed, r.during.unavailable), r.felt > 0},
		{fmt.Sprintf("%s / %s", formatDuration(r.during.p50), formatDuration(r.during.p99)), false},
		{formatDuration(r.recovered), r.recovered > r.recoveryLimit()},
		{fmt.Sprintf("%.0f / %.0f / %.0f", r.steady, r.duringRate, r.peakAfter), r.peakAfter > stampedeLimit*r.steady},
		{fmt.Sprintf("%d (%d) → %d (%d)", r.before.goroutines, r.before.connections, r.after.goroutines, r.after.connections), leaked(r.before, r.after)},
		{joinStates(r.states), false},
		{formatDuration(r.stall), false},
	}
}

// name returns the name of the fault. It is bad if a class of requests was not tried.
func (r row) name() cell {
	if len(r.untried) > 0 {
		return cell{r.fault + " (not tried: " + strings.Join(r.untried, ", ") + ")", true}
	}
	return cell{r.fault, false}
}

// joinStates joins states, and counts repetitions: a state is logged again with a new
// reason.
func joinStates(states []string) string {
	var runs []string
	for i := 0; i < len(states); {
		n := 1
		for i+n < len(states) && states[i+n] == states[i] {
			n++
		}
		run := states[i]
		if n > 1 {
			run += fmt.Sprintf(" ×%d", n)
		}
		runs, i = append(runs, run), i+n
	}
	return strings.Join(runs, ", ")
}

// recoveryLimit is one second for harmless faults.
func (r row) recoveryLimit() time.Duration {
	if r.harmless {
		return time.Second
	}
	return recoveryLimit
}

// bad says whether a cell is bad.
func (r row) bad() bool { return anyBad(lines([]row{r})) }

func printTable(to io.Writer, rows []row) {
	var heads []string
	for _, c := range columns() {
		heads = append(heads, c.head)
	}
	printCells(to, heads, lines(rows))
}

// A line is a row of a table.
type line interface{ cells() []cell }

func lines[T line](rows []T) [][]cell {
	var all [][]cell
	for _, r := range rows {
		all = append(all, r.cells())
	}
	return all
}

// printCells writes a table in Markdown.
func printCells(to io.Writer, heads []string, rows [][]cell) {
	fmt.Fprint(to, "|")
	for _, head := range heads {
		fmt.Fprint(to, strings.TrimRight(" "+head, " "), " |")
	}
	fmt.Fprintf(to, "\n|%s\n", strings.Repeat("---|", len(heads)))
	for _, cells := range rows {
		fmt.Fprint(to, "|")
		for _, c := range cells {
			fmt.Fprintf(to, " %s |", c)
		}
		fmt.Fprintln(to)
	}
}

// anyBad says whether a cell is bad.
func anyBad(rows [][]cell) bool {
	return slices.ContainsFunc(rows, func(cells []cell) bool {
		return slices.ContainsFunc(cells, func(c cell) bool { return c.bad })
	})
}

// formatDuration formats a duration with a unit and few digits.
func formatDuration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d > 0:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return "0"
}

// A fact is a line of a table with two columns.
type fact struct {
	text  string
	value cell
}

func (f fact) cells() []cell { return []cell{{text: f.text}, f.value} }

// A result is a table with two columns.
type result interface {
	title() string
	lines() []fact
}

func printResult(to io.Writer, r result) { printCells(to, []string{r.title(), ""}, lines(r.lines())) }

// isBad says whether a value of a result is bad.
func isBad(r result) bool { return anyBad(lines(r.lines())) }
