package bench

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	w := &workload{name: "Work", units: []string{"cpu-us/op", "errors"}}
	c := &comparison{work: w, names: []string{subject, "nginx", "haproxy"}, rounds: map[string][]metrics{
		"nginx": {{"cpu-us/op": 10}, {"cpu-us/op": 20}}, subject: {{"cpu-us/op": 5}},
	}}
	more := &comparison{work: w, names: c.names, rounds: map[string][]metrics{
		subject: {{"cpu-us/op": 5}}, "nginx": {{"cpu-us/op": 4000}},
	}}
	var b strings.Builder
	if err := writeTable(&b, []*comparison{c, more}); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(got) != 3 {
		t.Fatalf("%d lines, want a title, a head and one row:\n%s", len(got), &b)
	}
	for i, want := range []string{"workload unit nginx haproxy kroxy-ev /nginx /haproxy", "Work cpu-us/op 20 (19950%) - 5 (0%) 0.25x -"} {
		if s := strings.Join(strings.Fields(got[i+1]), " "); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
	}
	b.Reset()
	if err := writeTable(&b, nil); err != nil || b.Len() != 0 {
		t.Errorf("table of nothing: %q, %v", b.String(), err)
	}
	if s := cell([]float64{5}); s != "5" {
		t.Errorf("one figure: %q, want no spread", s)
	}
}
