package metrics_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/engine/metrics"
)

var update = flag.Bool("update", false, "write the tables in docs/metrics.md anew")

// The tables in docs/metrics.md match the declarations.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	const file = "../../docs/metrics.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for _, k := range allKinds {
		var table strings.Builder
		fmt.Fprint(&table, "| metric | kind | labels | meaning |\n|---|---|---|---|\n")
		for _, c := range metrics.Columns(k) {
			kind := map[metrics.Type]string{metrics.TypeCounter: "counter", metrics.TypeTime: "counter", metrics.TypeGauge: "gauge", metrics.TypeMoment: "gauge", metrics.TypeHistogram: "histogram"}[c.Type]
			fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", c.Name, kind, labels(k, &c), c.Help)
		}
		before, rest, ok := strings.Cut(want, "<!-- "+k.String()+": ")
		comment, rest, ok2 := strings.Cut(rest, "-->\n")
		_, after, ok3 := strings.Cut(rest, "<!-- end -->")
		if !ok || !ok2 || !ok3 {
			t.Fatalf("%s has no place for the metrics of a %v", file, k)
		}
		want = before + "<!-- " + k.String() + ": " + comment + "-->\n" + table.String() + "<!-- end -->" + after
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the tables in %s are old; run: go test ./engine/metrics -run TestDocumentation -update", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// labels returns the labels of a column, with the values of its own labels.
func labels(k metrics.Kind, c *metrics.Column) string {
	var list []string
	for _, name := range k.Labels() {
		list = append(list, "`"+name+"`")
	}
	for i, name := range c.Labels {
		var values []string
		for _, v := range c.Values {
			if v == nil || slices.Contains(values, v[i]) {
				continue
			}
			if values = append(values, v[i]); v[i] == "" {
				values[len(values)-1] = "none"
			}
		}
		all := strings.Join(values, ", ")
		if name == "reason" && len(values) > 10 {
			all = "a word of [$end_reason](logging.md)"
		}
		list = append(list, "`"+name+"`: "+all)
	}
	return strings.Join(list, "; ")
}
