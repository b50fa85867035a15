package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// clusterTables are the results on a cluster.
type clusterTables struct {
	topologies []*topologyRow
	races      []*raceRow
	faults     []*faultRow
}

func (c *clusterTables) print(to io.Writer) {
	for _, table := range []struct {
		heads []string
		rows  [][]cell
	}{
		{topologyHeads(), lines(c.topologies)},
		{raceHeads(), lines(c.races)},
		{faultHeads(), lines(c.faults)},
	} {
		if len(table.rows) > 0 {
			printCells(to, table.heads, table.rows)
			fmt.Fprintln(to)
		}
	}
}

func (c *clusterTables) bad() bool {
	return anyBad(slices.Concat(lines(c.topologies), lines(c.races), lines(c.faults)))
}

// ofMany formats how many of all went wrong, with the reasons.
func ofMany[K ~string](wrong map[K]int, all int) string {
	sum, how := 0, ""
	for _, what := range slices.Sorted(maps.Keys(wrong)) {
		sum += wrong[what]
		how += fmt.Sprintf(", %d %s", wrong[what], what)
	}
	return fmt.Sprintf("%d of %d%s", sum, all, how)
}
