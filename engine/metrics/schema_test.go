package metrics_test

import (
	"regexp"
	"strings"
	"testing"

	"kroxy-ev/engine/metrics"
)

var allKinds = []metrics.Kind{metrics.KindServer, metrics.KindRoute, metrics.KindGroup, metrics.KindHost, metrics.KindProcess, metrics.KindService}

// The declared columns follow Prometheus's conventions.
func TestColumnsAreDeclaredWell(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^kroxy_[a-z]+(_[a-z]+)*$`)
	seen := map[string]bool{}
	for _, k := range allKinds {
		if len(metrics.Columns(k)) == 0 {
			t.Errorf("%v has no columns", k)
		}
		for _, c := range metrics.Columns(k) {
			if !name.MatchString(c.Name) || seen[c.Name] {
				t.Errorf("%s: not a name, or that of another column", c.Name)
			}
			seen[c.Name] = true
			if !strings.HasSuffix(c.Help, ".") || strings.ToUpper(c.Help[:1]) != c.Help[:1] {
				t.Errorf("%s: %q is not a sentence", c.Name, c.Help)
			}
			if total := strings.HasSuffix(c.Name, "_total"); total != (c.Type == metrics.TypeCounter || c.Type == metrics.TypeTime) {
				t.Errorf("%s: counters, and nothing else, end with _total", c.Name)
			}
			if seconds := strings.Contains(c.Name, "_seconds"); seconds != (c.Type == metrics.TypeTime || c.Type == metrics.TypeMoment || c.Type == metrics.TypeHistogram) {
				t.Errorf("%s: times, and nothing else, are in seconds", c.Name)
			}
			values := map[string]bool{}
			for _, v := range c.Values {
				if v == nil {
					continue
				}
				if len(v) != len(c.Labels) || values[strings.Join(v, ",")] {
					t.Errorf("%s: %q for the labels %q", c.Name, v, c.Labels)
				}
				values[strings.Join(v, ",")] = true
			}
		}
	}
}

// A view matches its columns.
func TestViewsAreTheirColumns(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	p := assign(t, table, host("h"))[0]
	h := row(t, table, 0).Host(p)
	h.Failures.Count(metrics.FaultTimeout)
	h.FirstByte.Observe(5e6)
	h.Open.Add(3)
	sums := table.Sum(metrics.KindHost, p, nil)
	found := 0
	for _, c := range metrics.Columns(metrics.KindHost) {
		for i := range c.Values {
			switch {
			case c.Type == metrics.TypeHistogram:
				want := uint64(0)
				if c.Name == "kroxy_host_first_byte_seconds" {
					want = 1
					found++
				}
				if n := sums.Histogram(&c, i).Count(); n != want {
					t.Errorf("%s has %d, want %d", c.Name, n, want)
				}
			case c.Name == "kroxy_host_failures_total" && c.Values[i][0] == metrics.FaultTimeout.String():
				if n := sums.Value(&c, i); n != 1 {
					t.Errorf("%d timeouts", n)
				}
				found++
			case c.Name == "kroxy_host_connections_open":
				if n := sums.Value(&c, i); n != 3 {
					t.Errorf("%d open", n)
				}
				found++
			default:
				if n := sums.Value(&c, i); n != 0 {
					t.Errorf("%s has %d", c.Name, n)
				}
			}
		}
	}
	if found != 3 {
		t.Errorf("%d of 3 were found", found)
	}
}
