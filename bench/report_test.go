package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// madeUp is the outcome of a run, with invented figures. Odd is a variant of kroxy-ev.
const odd = "a|b<c>&\"d\" *`é\x01\xff"

func madeUp() []*comparison {
	var all []*comparison
	scale := map[string]float64{"nginx": 1, "nginx-tuned": 0.9, "haproxy": 1.2, "haproxy-tuned": 0.8, "haproxy-splice": 0.7, subject: 0.6, odd: 0.65}
	for _, w := range suite {
		c := &comparison{work: w, rounds: map[string][]metrics{}, failed: map[string]error{}, done: 3}
		all = append(all, c)
		for _, p := range append(contestants(allPeers("", "", ""), w), peer{name: odd}) {
			c.names = append(c.names, p.name)
			for round := range 3 {
				m := metrics{}
				for i, unit := range w.units {
					m[unit] = scale[p.name] * (50 + 20*float64(i) + 3*float64(round) + math.Sqrt(w.x))
				}
				m["errors"] = 0
				c.rounds[p.name] = append(c.rounds[p.name], m)
			}
		}
	}
	return all
}

// named returns the comparison of a workload.
func named(t *testing.T, all []*comparison, name string) *comparison {
	t.Helper()
	i := slices.IndexFunc(all, func(c *comparison) bool { return c.work.name == name })
	if i < 0 {
		t.Fatalf("no workload %s", name)
	}
	return all[i]
}

// only returns the comparisons of workloads.
func only(t *testing.T, names ...string) []*comparison {
	t.Helper()
	var list []*comparison
	for _, n := range names {
		list = append(list, named(t, madeUp(), n))
	}
	return list
}

// awkward is the outcome of a run with all that may go wrong: a contestant that never ran, one that failed in its third round, zeros where nginx
// has the figure, figures that are not numbers, and a repetition (-count).
func awkward(t *testing.T) []*comparison {
	all := madeUp()
	c := named(t, all, "HTTPSmall")
	c.failed["haproxy"], c.rounds["haproxy"] = errors.New("bench: haproxy: exit status 1:\n```\n<b>| *no*\n"), nil
	c.failed[subject], c.rounds[subject] = errors.New("it broke"), c.rounds[subject][:2]
	again := *c
	again.rounds = map[string][]metrics{"nginx": {{"cpu-us/op": 7777}}}
	again.failed = nil
	all = append(all, &again)
	for _, m := range named(t, all, "HTTPPost").rounds["nginx"] {
		m["cpu-us/op"] = 0
	}
	for _, m := range named(t, all, "StreamSmall").rounds[subject] {
		m["cpu-us/op"] = math.NaN()
	}
	named(t, all, "HTTPLatency/load=20").rounds["nginx"][0]["p99-us"] = math.Inf(1)
	named(t, all, "HTTPLatency/load=35").rounds["nginx"][0]["p99-us"] = 0
	for _, c := range all {
		if c.work.curve == "workers" {
			for _, n := range c.names {
				for _, m := range c.rounds[n] {
					m["cpu-us/op"] = 0
				}
			}
		}
	}
	return all
}

func reportOf(all []*comparison) *report {
	return &report{
		Directory: "/elsewhere/results", Begin: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Command: "go test -run '^$' -bench . ./bench",
		Tree: revision{"v1, 0123", []string{"engine/loop.go", "a_b|c.go"}},
		outcome: outcome{
			Took: time.Hour, Rounds: 3, Load: 2 * time.Second, Machine: machine{CPU: "A|B", CPUs: 2, Proxies: "0", Rest: "1"}, Programs: []string{"nginx/1"},
			Configurations: []configuration{{modeHTTP, odd, "x.conf", "run it", "# a ``` b ```` c\n<i>\n"}, {"", "nginx-host", "y.conf", "run", "y"}},
			Remarks:        []string{"TLSIdle is skipped: no time"}, results: all,
		},
	}
}

func textOf(t *testing.T, r *report) string {
	t.Helper()
	list, err := r.files()
	if err != nil {
		t.Fatal(err)
	}
	if list[0].name != "2026-01-02.md" {
		t.Fatalf("the first file is %s", list[0].name)
	}
	return string(list[0].text)
}

var shown = regexp.MustCompile(`!\[([^]]+)\]\(([^)]+)\)`)

// Whatever went wrong, there is a report, all its plots exist and can be parsed, and all rows of a table have the same number of cells.
func TestReport(t *testing.T) {
	t.Parallel()
	for name, all := range map[string][]*comparison{
		"whole": madeUp(), "awkward": awkward(t), "one": only(t, "HTTPSmall"), "one point": only(t, "GrowthConns/conns=64"), "nothing": nil,
		"nobody": {{work: httpSmall}},
	} {
		list, err := reportOf(all).files()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text := string(list[0].text)
		var linked, written []string
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			linked = append(linked, m[2])
		}
		for _, f := range list[1:] {
			written = append(written, f.name)
			checkSVG(t, name+": "+f.name, f.text)
		}
		if !slices.Equal(linked, written) {
			t.Errorf("%s: shows %v, and has %v", name, linked, written)
		}
		checkTables(t, name, text)
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x01\r\x1b") {
			t.Errorf("%s: there is what is no text", name)
		}
		for _, want := range []string{"go test -run '^$' -bench . ./bench", "v1, 0123", "engine/loop.go, a\\_b\\|c.go", "2026-01-02 03:04 UTC, took 1h0m0s", "A\\|B", "no time"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: lacks %q", name, want)
			}
		}
	}
}

// checkTables checks that each table's rows have as many cells as its head, and that the table ends where its block ends.
func checkTables(t *testing.T, name, text string) {
	t.Helper()
	cells, fence := 0, ""
	for i, s := range strings.Split(text, "\n") {
		if m := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz"); fence == "" && strings.HasPrefix(s, "```") {
			fence = m
		} else if fence != "" {
			if s == fence {
				fence = ""
			}
			continue
		}
		if !strings.HasPrefix(s, "| ") {
			if !strings.HasPrefix(s, "|--") {
				cells = 0
			}
			continue
		}
		n := strings.Count(strings.ReplaceAll(s, `\|`, ""), "|")
		if cells != 0 && n != cells {
			t.Errorf("%s: line %d has %d cells and not %d: %s", name, i+1, n-1, cells-1, s)
		}
		cells = n
		if strings.ContainsAny(strings.ReplaceAll(s, "\\`", ""), "<>`") {
			t.Errorf("%s: line %d has what is not text: %s", name, i+1, s)
		}
	}
	if fence != "" {
		t.Errorf("%s: a block that begins with %s does not end", name, fence)
	}
}

func checkSVG(t *testing.T, name string, svg []byte) {
	t.Helper()
	texts := 0
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "text" {
			texts++
		}
	}
	for _, bad := range []string{"NaN", "Inf", "Liberation Sans;"} {
		if bytes.Contains(svg, []byte(bad)) {
			t.Errorf("%s has %s in it", name, bad)
		}
	}
	if texts < 5 || len(svg) > 64<<10 {
		t.Errorf("%s has %d texts, and %d bytes", name, texts, len(svg))
	}
}

// The report has the same rows as the table in the terminal, and the measured figures in its list of rounds.
func TestReportTables(t *testing.T) {
	t.Parallel()
	all := awkward(t)
	for _, p := range reportOf(all).Parts() {
		of := slices.DeleteFunc(slices.Clone(all), func(c *comparison) bool {
			return p.Title != map[mode]string{modeHTTP: "HTTP", modeHTTPS: "HTTP over TLS", modeHTTP2: "HTTP/2 over TLS", modeH2C: "HTTP/2 without TLS", modeGRPC: "gRPC over TLS", modeStream: "TCP", modeFeatures: "What kroxy-ev's features cost"}[c.work.mode]
		})
		var b strings.Builder
		if err := writeTable(&b, of); err != nil {
			t.Fatal(err)
		}
		var terminal, markdown [][]string
		for s := range strings.Lines(b.String()) {
			if f := strings.Fields(s); len(f) > 0 && !strings.HasPrefix(s, "median") {
				terminal = append(terminal, f)
			}
		}
		for s := range strings.Lines(p.Results.Markdown()) {
			if !strings.HasPrefix(s, "|--") {
				s = strings.ReplaceAll(s, escape(odd), odd)
				s = strings.TrimSuffix(strings.TrimPrefix(s, "| "), " |\n")
				markdown = append(markdown, strings.Fields(strings.Join(strings.Split(s, " | "), " ")))
			}
		}
		if !slices.EqualFunc(terminal, markdown, slices.Equal[[]string]) {
			t.Errorf("%s: on a terminal\n%v\nin the report\n%v", p.Title, terminal, markdown)
		}
	}
	text := textOf(t, reportOf(all))
	for _, want := range []string{
		"| HTTPSmall | cpu-us/op | nginx | 50 | 53 | 56 | 7777 |\n",
		"| HTTPSmall | cpu-us/op | haproxy | - | - | - | - |\n",
		"| HTTPSmall | cpu-us/op | kroxy-ev | 30 | 31.8 | - | - |\n",
		"| HTTPPost | cpu-us/op | nginx | 0 | 0 | 0 | - |\n",
		"HTTPSmall: haproxy failed and had no more rounds: bench: haproxy: exit status 1:",
		"HTTPSmall: kroxy-ev failed and had no more rounds: it broke",
		"\n`````\n# a ``` b ```` c\n<i>\n`````\n",
		"<details><summary>nginx-host: y.conf</summary>",
		"<details><summary>a|b&lt;c&gt;&amp;&#34;d&#34; *`é??, http: x.conf</summary>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if strings.Contains(text, "| errors |") {
		t.Error("errors have a row, and there was none")
	}
}

// Plots depend on the figures only, and not on, for example, the time or the order of a map.
func TestImagesAreDeterministic(t *testing.T) {
	t.Parallel()
	first, err := images(madeUp())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		again, err := images(madeUp())
		if err != nil {
			t.Fatal(err)
		}
		for i := range first {
			if !bytes.Equal(first[i].SVG, again[i].SVG) {
				t.Fatalf("%s is not the same again", first[i].Name)
			}
		}
	}
}

func TestReportIsWritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "results")
	r, err := newReport(dir, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), []string{"-test.bench=."})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"2026-01-02-old.svg", "2026-01-01-load.svg", "2026-01-02.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.results = only(t, "HTTPSmall")
	path, err := r.write()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "go test -bench . ./bench") {
		t.Errorf("%v: %s", err, text)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := []string{"2026-01-01-load.svg", "2026-01-02-cpu.svg", "2026-01-02.md"}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	if _, err := newReport(path, time.Now(), nil); err == nil {
		t.Error("a file is taken for a directory")
	}
}

func TestGoTest(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"go test ./bench": nil,
		"go test -timeout 2h0m0s -run '^$' -bench . ./bench -rounds 5 -report results": {"-test.paniconexit0", "-test.timeout=2h0m0s", "-test.run=^$", "-test.bench=.", "-rounds", "5", "-report", "results"},
		"go test -v -failfast=false ./bench -variant 'it'\\''s GOGC=1' ''":             {"-test.testlogfile=/tmp/x", "-test.v=true", "-test.failfast=false", "-variant", "it's GOGC=1", ""},
	} {
		if got := goTest(args); got != want {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}

func TestReadme(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for directory, want := range map[string]string{
		filepath.Join(here, "results"): "../README.md", here: "README.md", filepath.Join(here, "..", "docs", "b"): "../../bench/README.md", t.TempDir(): "",
	} {
		if got := (&report{Directory: directory}).Readme(); got != want {
			t.Errorf("from %s: %q, want %q", directory, got, want)
		}
	}
}

// All units in use are explained, and no others.
func TestUnitMeanings(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, w := range suite {
		for _, u := range w.units {
			used[u] = true
			if !slices.ContainsFunc(unitMeanings, func(m unitMeaning) bool { return m.Unit == u }) {
				t.Errorf("%s: unit %s is not in unitMeanings", w.name, u)
			}
		}
	}
	for _, m := range unitMeanings {
		if !used[m.Unit] {
			t.Errorf("unit %s is in unitMeanings, and in no workload", m.Unit)
		}
	}
	if got, want := fmt.Sprint(reportOf(only(t, "HTTPIdle")).Units()), "B/conn"; !strings.Contains(got, want) || strings.Count(got, "{") != 1 {
		t.Errorf("the units of HTTPIdle are %s", got)
	}
}
