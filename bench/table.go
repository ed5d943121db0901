package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// table is figures as text. Each row has as many cells as the head.
type table struct {
	head  []string
	rows  [][]string
	words int // number of leading columns with names instead of figures
}

// merged merges the comparisons of each workload (-count), in the order of their first occurrence. A contestant that failed in one of them keeps
// the
// rounds of the others in their places, so that only figures that were measured together are divided by one another.
func merged(all []*comparison) []*comparison {
	var list []*comparison
	for _, c := range all {
		i := slices.IndexFunc(list, func(m *comparison) bool { return m.work.name == c.work.name })
		if i < 0 {
			i = len(list)
			list = append(list, &comparison{work: c.work, rounds: map[string][]metrics{}, failed: map[string]error{}})
		}
		m, before := list[i], 0
		for _, rounds := range m.rounds {
			before = max(before, len(rounds))
		}
		for _, n := range c.names {
			if !slices.Contains(m.names, n) {
				m.names = append(m.names, n)
			}
			missing := make([]metrics, before-len(m.rounds[n]))
			m.rounds[n] = slices.Concat(m.rounds[n], missing, c.rounds[n])
			if err := c.failed[n]; err != nil && m.failed[n] == nil {
				m.failed[n] = err
			}
		}
		m.done += c.done
	}
	return list
}

// contestantsOf returns the names of all contestants, the subject last, whichever workload named it first.
func contestantsOf(all []*comparison) []string {
	var names []string
	for _, c := range all {
		for _, n := range c.names {
			if n != subject && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	if slices.ContainsFunc(all, func(c *comparison) bool { return slices.Contains(c.names, subject) }) {
		names = append(names, subject)
	}
	return names
}

// tableOf makes one row per unit of each workload: the contestants' medians with their spread, and the ratios of the subject to the others.
func tableOf(all []*comparison) table {
	names := contestantsOf(all)
	t := table{head: append([]string{"workload", "unit"}, names...), words: 2}
	others := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == subject })
	for _, n := range others {
		t.head = append(t.head, "/"+n)
	}
	for _, c := range merged(all) {
		for _, unit := range c.units() {
			row := []string{c.work.name, unit}
			for _, n := range names {
				row = append(row, cell(c.values(n, unit)))
			}
			for _, n := range others {
				if q := c.quotients(subject, n, unit); len(q) > 0 {
					row = append(row, fmt.Sprintf("%.2fx", median(q)))
				} else {
					row = append(row, "-")
				}
			}
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// roundsOf makes one row per unit of each workload and contestant: its figure in each round.
func roundsOf(all []*comparison) table {
	t := table{head: []string{"workload", "unit", "contestant"}, words: 3}
	list := merged(all)
	most := 0
	for _, c := range list {
		for _, m := range c.rounds {
			most = max(most, len(m))
		}
	}
	for i := range most {
		t.head = append(t.head, strconv.Itoa(i+1))
	}
	for _, c := range list {
		for _, unit := range c.units() {
			for _, n := range c.names {
				row := []string{c.work.name, unit, n}
				for _, m := range c.rounds[n] {
					if m == nil {
						row = append(row, "-")
					} else {
						row = append(row, figure(m[unit]))
					}
				}
				for len(row) < len(t.head) {
					row = append(row, "-")
				}
				t.rows = append(t.rows, row)
			}
		}
	}
	return t
}

// units returns the units of c's rows: those of its workload, without errors if there were none.
func (c *comparison) units() []string {
	return slices.DeleteFunc(slices.Clone(c.work.units), func(unit string) bool {
		return unit == "errors" && !slices.ContainsFunc(c.names, func(n string) bool { return slices.ContainsFunc(c.values(n, unit), positive) })
	})
}

// writeTable writes the table of all to a terminal.
func writeTable(w io.Writer, all []*comparison) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nmedian (spread) of each contestant; ratio of %s to the others: median over rounds\n", subject)
	t := tableOf(all)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(out, strings.Join(row, "\t")+"\t")
	}
	return out.Flush()
}

// Markdown returns t in GitHub's dialect.
func (t table) Markdown() string {
	var b strings.Builder
	line := func(row []string) {
		for _, s := range row {
			b.WriteString("| " + escape(s) + " ")
		}
		b.WriteString("|\n")
	}
	line(t.head)
	for i := range t.head {
		if i < t.words {
			b.WriteString("|---")
		} else {
			b.WriteString("|---:")
		}
	}
	b.WriteString("|\n")
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// escape returns s as plain text for Markdown, on one line, suitable for a table cell.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\n", " ", "\r", " ", `\`, `\\`, "|", `\|`, "*", `\*`, "_", `\_`,
		"`", "\\`", "[", `\[`, "]", `\]`, "~", `\~`).Replace(s)
}

func positive(x float64) bool { return x > 0 }

// cell formats a median with its spread, which a single figure does not have; "-" if v is empty.
func cell(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	if len(v) == 1 {
		return figure(v[0])
	}
	return fmt.Sprintf("%s (%.0f%%)", figure(median(v)), 100*spread(v))
}

// figure formats x with three digits, or as a whole number if it has more.
func figure(x float64) string {
	if x >= 1000 || x <= -1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
