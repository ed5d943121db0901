package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// writeTable writes one row for each unit of each workload: the contestants' medians with their spread, and the ratios
// of the subject to the others. Comparisons of one workload (-count) are put together.
func writeTable(w io.Writer, all []*comparison) error {
	var rows []*comparison
	var names []string // columns
	for _, c := range all {
		for _, n := range c.names {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
		i := slices.IndexFunc(rows, func(r *comparison) bool { return r.work.name == c.work.name })
		if i < 0 {
			i = len(rows)
			rows = append(rows, &comparison{work: c.work, rounds: map[string][]metrics{}})
		}
		for n, m := range c.rounds {
			rows[i].rounds[n] = append(rows[i].rounds[n], m...)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	// The subject comes last, whichever workload named a contestant first.
	if i := slices.Index(names, subject); i >= 0 {
		names = append(slices.Delete(names, i, i+1), subject)
	}
	fmt.Fprintf(w, "\nmedian (spread) of each contestant; ratio of %s to the others: median over rounds\n", subject)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "workload\tunit\t")
	for _, n := range names {
		fmt.Fprintf(t, "%s\t", n)
	}
	for _, n := range names {
		if n != subject {
			fmt.Fprintf(t, "/%s\t", n)
		}
	}
	fmt.Fprintln(t)
	for _, c := range rows {
		for _, unit := range c.work.units {
			if unit == "errors" && !slices.ContainsFunc(names, func(n string) bool { return slices.ContainsFunc(c.values(n, unit), positive) }) {
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t", c.work.name, unit)
			for _, n := range names {
				fmt.Fprintf(t, "%s\t", cell(c.values(n, unit)))
			}
			for _, n := range names {
				if n == subject {
					continue
				}
				if r, ok := ratio(c.values(subject, unit), c.values(n, unit)); ok {
					fmt.Fprintf(t, "%.2fx\t", r)
				} else {
					fmt.Fprint(t, "-\t")
				}
			}
			fmt.Fprintln(t)
		}
	}
	return t.Flush()
}

func positive(x float64) bool { return x > 0 }

// cell formats a median with its spread, or "-".
func cell(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%.0f%%)", figure(median(v)), 100*spread(v))
}

// figure formats x with three digits, or as a whole number when it has more.
func figure(x float64) string {
	if x >= 1000 || x <= -1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
