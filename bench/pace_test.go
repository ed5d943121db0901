package bench

import (
	"slices"
	"testing"
	"time"
)

func TestMatching(t *testing.T) {
	t.Parallel()
	var list []*workload
	for _, name := range []string{"Small", "SmallNoLog", "Growth/conns=1", "Growth/conns=16"} {
		list = append(list, &workload{name: name})
	}
	for pattern, want := range map[string][]string{
		".":                     {"Small", "SmallNoLog", "Growth/conns=1", "Growth/conns=16"},
		"Small":                 {"Small", "SmallNoLog"},
		"^BenchmarkSmall$":      {"Small"},
		"Small$/proxy=nginx":    {"Small"},
		"Growth/conns=1$":       {"Growth/conns=1"},
		"Growth/16/proxy=nginx": {"Growth/conns=16"},
		"NoLog|/conns=16":       {"Small", "SmallNoLog", "Growth/conns=16"},
		"(NoLog|Growth)/=1$":    {"SmallNoLog", "Growth/conns=1"},
		"Growth/[|/1]6":         {"Growth/conns=16"},
		`S[\]m]all$`:            {"Small"},
		"Grow(":                 nil,
		"Large":                 nil,
	} {
		var got []string
		for _, w := range matching(pattern, list) {
			got = append(got, w.name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s chooses %v, want %v", pattern, got, want)
		}
	}
}

func TestFitting(t *testing.T) {
	t.Parallel()
	all := allPeers("nginx", "haproxy", "kroxy-ev")
	small := []*workload{httpSmall}
	once := buildTime + httpSmall.takes(3, usual)
	for _, tc := range []struct {
		chosen []*workload
		count  int
		limit  time.Duration
		want   thoroughness
	}{
		{small, 1, -1, usual},
		{suite, 9, -1, usual},
		{small, 1, once, usual},
		{small, 1, once - 1, thoroughness{3, time.Second}},
		{small, 2, once, thoroughness{2, time.Second}},
		{small, 1, 0, thoroughness{1, time.Second}},
		// What bench/README.md promises: a quarter of an hour, and an hour.
		{suite, 1, 15*time.Minute - endTime, thoroughness{1, time.Second}},
		{suite, 1, time.Hour - endTime, usual},
	} {
		if got := fitting(tc.chosen, all, tc.count, tc.limit); got != tc.want {
			t.Errorf("%d workloads, %d times, in %v: %+v, want %+v", len(tc.chosen), tc.count, tc.limit, got, tc.want)
		}
	}
	total := buildTime
	for _, w := range suite {
		total += w.takes(len(contestants(all, w)), thoroughness{1, time.Second})
	}
	t.Logf("all, one round of a second: %v", total)
	if total > 15*time.Minute-endTime {
		t.Errorf("one round of all takes about %v, more than a quarter of an hour", total)
	}
}

func TestHasTime(t *testing.T) {
	t.Parallel()
	var o options
	o.endBy(time.Now(), 0)
	if !o.hasTime(1000 * time.Hour) {
		t.Error("no time, and no limit")
	}
	o.endBy(time.Now(), time.Hour)
	if left := o.left(); left > time.Hour-endTime || left < time.Hour-endTime-10*time.Second {
		t.Errorf("%v are left of an hour", left)
	}
	if !o.hasTime(50*time.Minute) || o.hasTime(time.Hour) {
		t.Error("an hour is either less than 50 minutes or more than an hour")
	}
	if o.endBy(time.Now().Add(-2*time.Hour), time.Hour); o.hasTime(0) || o.left() != 0 {
		t.Errorf("%v are left of the hour before last", o.left())
	}
}
