package bench

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

// All names in the plots exist in the suite, and each curve of the suite has a plot.
func TestPlotsNameTheSuite(t *testing.T) {
	t.Parallel()
	for _, main := range mainWorkloads {
		if c := named(t, madeUp(), main.name); !strings.HasPrefix(c.work.units[0], "cpu-") || words(c.work.units[0]) == c.work.units[0] {
			t.Errorf("%s: bars of %s", main.name, c.work.units[0])
		}
	}
	drawn, names := map[string]bool{}, map[string]bool{"cpu": true}
	for _, c := range charts {
		if names[c.name] {
			t.Errorf("two plots are called %s", c.name)
		}
		names[c.name] = true
		for _, s := range c.series {
			drawn[s.curve] = true
			if !slices.ContainsFunc(suite, func(w *workload) bool { return w.curve == s.curve && slices.Contains(w.units, s.unit) }) {
				t.Errorf("plot %s: nothing measures %s of curve %q", c.name, s.unit, s.curve)
			}
		}
	}
	for _, w := range suite {
		if w.curve != "" && !drawn[w.curve] {
			t.Errorf("%s: no plot has the curve %s", w.name, w.curve)
		}
	}
	for _, p := range allPeers("", "", "") {
		if _, ok := known[p.name]; !ok && p.mode != modeFeatures {
			t.Errorf("%s has no colour of its own", p.name)
		}
	}
}

func namesOf(list []image) []string {
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

func TestImages(t *testing.T) {
	t.Parallel()
	alone := only(t, "HTTPSmall") // without figures to compare it with
	alone[0].names = []string{subject}
	for _, tc := range []struct {
		what string
		all  []*comparison
		want []string
	}{
		{"whole", madeUp(), []string{"cpu", "load", "conns", "memory", "hosts", "routes", "rate", "rate-stream", "defaults", "handshakes", "size", "workers"}},
		{"one point", only(t, "GrowthConns/conns=64"), nil},
		{"one point twice", only(t, "GrowthConns/conns=64", "GrowthConns/conns=64"), nil},
		{"a point of each of two curves", only(t, "GrowthHosts/hosts=1", "GrowthHostsLeastConn/hosts=100"), nil},
		{"two points", only(t, "GrowthConns/conns=64", "GrowthConns/conns=256"), []string{"conns"}},
		{"not a main workload", only(t, "HTTPSmall512"), nil},
		{"nobody beside", alone, nil},
	} {
		got, err := images(tc.all)
		if err != nil || !slices.Equal(namesOf(got), tc.want) {
			t.Errorf("%s: %v, %v; want %v", tc.what, namesOf(got), err, tc.want)
		}
		for _, i := range got {
			if !bytes.Contains(i.SVG, []byte("#D55E00")) {
				t.Errorf("%s: plot %s does not have %s in its colour", tc.what, i.Name, subject)
			}
		}
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	groups := barsOf(merged(awkward(t)))
	if groups[0].label != mainWorkloads[0].label || groups[1].label == mainWorkloads[1].label {
		t.Errorf("the first groups are %q and %q: HTTPPost has nothing to be divided by", groups[0].label, groups[1].label)
	}
	// kroxy-ev's two rounds are 30 and 31.8; haproxy has none.
	want := []bar{{"nginx", 1, 1, 1, "1 = 54.5 µs/request"}, {subject, 0.6, 0.6, 0.6, "0.60"}, {odd, 0.65, 0.65, 0.65, "0.65"}}
	if !slices.EqualFunc(groups[0].bars, want, func(a, b bar) bool {
		return a.name == b.name && a.note == b.note && math.Abs(a.ratio-b.ratio) < 1e-9 && math.Abs(a.low-b.low) < 1e-9 && math.Abs(a.high-b.high) < 1e-9
	}) {
		t.Errorf("HTTPSmall has the bars\n%+v, want\n%+v", groups[0].bars, want)
	}
	for _, g := range groups {
		if g.label == "TCP, small messages" && slices.ContainsFunc(g.bars, func(b bar) bool { return b.name == subject }) {
			t.Error("a figure that is none has a bar")
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	at := func(x float64, values ...float64) *comparison {
		c := &comparison{work: &workload{curve: "c", x: x, units: []string{"u", "v"}}, names: []string{"nginx", subject}, rounds: map[string][]metrics{}}
		for _, v := range values {
			c.rounds["nginx"] = append(c.rounds["nginx"], metrics{"u": v})
		}
		return c
	}
	all := []*comparison{at(4, 1, 9, 2), at(0, 5), at(2, 0, 3), at(8), at(1, math.NaN()), {work: &workload{x: 3, units: []string{"u"}}}}
	for _, tc := range []struct {
		chart
		want []linePoint
	}{
		{chart{}, []linePoint{{0, 5, 5, 5}, {2, 1.5, 0, 3}, {4, 2, 1, 9}}},
		{chart{logX: true}, []linePoint{{2, 1.5, 0, 3}, {4, 2, 1, 9}}},
		{chart{logY: true}, []linePoint{{0, 5, 5, 5}, {4, 2, 1, 9}}},
	} {
		tc.series = []series{{curve: "c", unit: "u", label: "l"}, {curve: "c", unit: "w"}, {curve: "d", unit: "u"}}
		lines := tc.linesOf(all)
		if len(lines) != 1 || lines[0].label != "nginx l" || !slices.Equal(lines[0].points, tc.want) {
			t.Errorf("%+v: %+v", tc.chart, lines)
		}
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		plot.Ticker
		least, most float64
		want        string
	}{
		{steps{}, 0, 1, "0 0.2 0.4 0.6 0.8 1"},
		{steps{}, 0, 13.2, "0 5 10"},
		{steps{}, 0, 6, "0 1 2 3 4 5 6"},
		{steps{}, 3, 8000, "2000 4000 6000 8000"},
		{decades{}, 45, 1100, "50 100 200 500 1000"},
		{decades{}, 0.9, 4, "1 2"},
	} {
		var got []string
		for _, tick := range tc.Ticks(tc.least, tc.most) {
			got = append(got, tick.Label)
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%T from %v to %v: %s, want %s", tc.Ticker, tc.least, tc.most, s, tc.want)
		}
	}
}
