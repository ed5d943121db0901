package bench

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed report.tmpl
var reportText string

// report is what a run writes to a directory: DATE.md and its plots, DATE-NAME.svg. A later run on the same day replaces them.
type report struct {
	Directory string // absolute
	Begin     time.Time
	Command   string // that made the report
	Tree      revision
	outcome
}

// outcome is what is known at the end of a run.
type outcome struct {
	Took           time.Duration
	Rounds         int
	Load           time.Duration // in each round
	Machine        machine
	Programs       []string // installed programs
	Configurations []configuration
	Remarks        []string // what was left out, and why
	results        []*comparison
}

// newReport makes the directory, so that a report that cannot be written fails before a run that may take hours. The args are this program's. The
// revision is determined now too, because kroxy-ev is built at the beginning of a run.
func newReport(directory string, begin time.Time, args []string) (*report, error) {
	path, err := filepath.Abs(directory)
	if err == nil {
		err = os.MkdirAll(path, 0o755)
	}
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err == nil {
		err = unix.Access(path, unix.W_OK)
	}
	if err != nil {
		return nil, fmt.Errorf("bench: directory for the report: %w", err)
	}
	return &report{Directory: path, Begin: begin, Command: goTest(args), Tree: revisionOf(".", path)}, nil
}

// outcomeOf collects what is reported of a run.
func outcomeOf(h *harness, all []*comparison, skipped []string, took time.Duration) outcome {
	o := outcome{
		Took: took.Round(time.Second), Rounds: h.rounds, Load: h.load, Machine: lookAtMachine(h.cores, h.files), Programs: h.programs,
		Configurations: h.configurations, Remarks: slices.Clone(h.lacks), results: all,
	}
	for _, s := range skipped {
		o.Remarks = append(o.Remarks, strings.TrimPrefix(s, "bench: "))
	}
	return o
}

// goTest returns the "go test" command that runs a test binary with args.
func goTest(args []string) string {
	words, own := []string{"go", "test"}, []string{}
	for _, a := range args {
		name, isTests := strings.CutPrefix(a, "-test.")
		switch {
		case !isTests:
			own = append(own, a)
		case name == "paniconexit0" || strings.HasPrefix(name, "testlogfile="): // added by go test itself
		default:
			flag, value, ok := strings.Cut(name, "=")
			switch {
			case !ok || value == "true":
				words = append(words, "-"+flag)
			case value == "false": // as a separate word it would be a package
				words = append(words, "-"+name)
			default:
				words = append(words, "-"+flag, value)
			}
		}
	}
	words = slices.Concat(words, []string{"./bench"}, own)
	for i, w := range words {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

// quote returns s as a word for a shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./,:=+@%", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// file is one of the files of a report.
type file struct {
	name string
	text []byte
}

// files makes the files of the report.
func (r *report) files() ([]file, error) {
	plots, err := images(r.results)
	if err != nil {
		return nil, err
	}
	t, err := template.New("report").Funcs(template.FuncMap{
		"escape": escape, "html": html.EscapeString, "fence": fence, "join": strings.Join,
	}).Parse(reportText)
	if err != nil {
		return nil, fmt.Errorf("bench: the report: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, struct {
		*report
		Plots []image
	}{r, plots}); err != nil {
		return nil, fmt.Errorf("bench: the report: %w", err)
	}
	// Names and programs' outputs may contain anything, and git would take the file for a binary one.
	text := bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return legible(r)
	}, b.Bytes())
	list := []file{{r.Date() + ".md", text}}
	for _, p := range plots {
		list = append(list, file{r.Date() + "-" + p.Name + ".svg", p.SVG})
	}
	return list, nil
}

// write writes the report and returns the path of its text. It removes plots of an earlier report of the same day.
func (r *report) write() (string, error) {
	list, err := r.files()
	if err != nil {
		return "", err
	}
	old, err := os.ReadDir(r.Directory)
	if err != nil {
		return "", fmt.Errorf("bench: plots of an earlier report: %w", err)
	}
	for _, e := range old {
		if !strings.HasPrefix(e.Name(), r.Date()+"-") || !strings.HasSuffix(e.Name(), ".svg") {
			continue
		}
		if err := os.Remove(filepath.Join(r.Directory, e.Name())); err != nil {
			return "", fmt.Errorf("bench: a plot of an earlier report: %w", err)
		}
	}
	for _, f := range list {
		if err := os.WriteFile(filepath.Join(r.Directory, f.name), f.text, 0o644); err != nil {
			return "", fmt.Errorf("bench: writing the report: %w", err)
		}
	}
	return filepath.Join(r.Directory, list[0].name), nil
}

// Date returns the day of the run, which is the name of the report.
func (r *report) Date() string { return r.Begin.Format(time.DateOnly) }

// Began returns the time when the run began.
func (r *report) Began() string { return r.Begin.Format("2006-01-02 15:04 MST") }

// Readme returns the path, relative to the report's directory, of the file that explains how to read the report; "" if the report is outside of the
// module's tree, because the link would break if the report were moved.
func (r *report) Readme() string {
	here, err := filepath.Abs(".") // go test runs in the package's directory
	if err != nil {
		return ""
	}
	if place, err := filepath.Rel(filepath.Dir(here), r.Directory); err != nil || !filepath.IsLocal(place) {
		return ""
	}
	path, err := filepath.Rel(r.Directory, filepath.Join(here, "README.md"))
	if err != nil {
		return ""
	}
	return filepath.ToSlash(path)
}

// part is the workloads of one mode.
type part struct {
	Title   string
	Results table
	Rounds  table
}

// Parts returns the modes that have results.
func (r *report) Parts() []part {
	var list []part
	for _, m := range []struct {
		mode  mode
		title string
	}{{modeHTTP, "HTTP"}, {modeHTTPS, "HTTP over TLS"}, {modeHTTP2, "HTTP/2 over TLS"}, {modeH2C, "HTTP/2 without TLS"}, {modeGRPC, "gRPC over TLS"}, {modeStream, "TCP"}, {modeFeatures, "What kroxy-ev's features cost"}} {
		of := slices.DeleteFunc(slices.Clone(r.results), func(c *comparison) bool { return c.work.mode != m.mode })
		if len(of) > 0 {
			list = append(list, part{m.title, tableOf(of), roundsOf(of)})
		}
	}
	return list
}

// Faults lists what was left out and which contestants failed, one per line.
func (r *report) Faults() string {
	list := slices.Clone(r.Remarks)
	for _, c := range merged(r.results) {
		for _, n := range c.names {
			if err := c.failed[n]; err != nil {
				list = append(list, fmt.Sprintf("%s: %s failed and had no more rounds: %v", c.work.name, n, err))
			}
		}
	}
	return strings.Join(list, "\n")
}

// Units explains the units of the results.
func (r *report) Units() []unitMeaning {
	return slices.DeleteFunc(slices.Clone(unitMeanings), func(u unitMeaning) bool {
		return !slices.ContainsFunc(r.results, func(c *comparison) bool { return slices.Contains(c.units(), u.Unit) })
	})
}

// unitMeaning explains a unit in one line.
type unitMeaning struct{ Unit, Meaning string }

var unitMeanings = []unitMeaning{
	{"cpu-us/op", "the proxy's CPU time for a request or message, in microseconds; lower is better"},
	{"cpu-us/conn", "the proxy's CPU time for a connection with one request or message, in microseconds; lower is better"},
	{"cpu-s/GB", "the proxy's CPU time for 10^9 bytes, in seconds; lower is better"},
	{"ops/s", "requests or messages a second; higher is better, but at a fixed rate it only tells that rate, and else load and hosts on their own CPUs limit it"},
	{"conns/s", "connections a second; as ops/s"},
	{"GB/s", "10^9 bytes a second; as ops/s"},
	{"B/conn", "the proxy's process memory for a connection, in bytes; lower is better"},
	{"B/stream", "the proxy's process memory for a stream, in bytes; lower is better"},
	{"MB", "the proxy's process memory, in 10^6 bytes; lower is better"},
	{"p50-us", "latency that half of the requests stay below, in microseconds; lower is better"},
	{"p99-us", "latency that 99 of 100 requests stay below, in microseconds; lower is better"},
	{"p99-slow-us", "p99-us beside slow clients; lower is better"},
	{"p99-new-us", "p99-us beside new connections with handshakes; lower is better"},
	{"p99-new/p99", "p99-new-us by p99-us; lower is better"},
	{"cpu-%", "the share of its CPU that the proxy used at a fixed rate; lower is better"},
	{"cpu-new-%", "cpu-% beside new connections with handshakes; lower is better"},
	{"counted-%", "the share of the time in which no other program disturbed, and latency counted; neither good nor bad"},
	{"calls/op", "system calls of the proxy for a request; lower is better"},
	{"waits/op", "those of them that wait for events; lower is better"},
	{"errors", "requests that failed"},
}

// fence returns text as a code block for Markdown, whatever is in it.
func fence(language, text string) string {
	marks := "```"
	for strings.Contains(text, marks) {
		marks += "`"
	}
	return marks + language + "\n" + strings.TrimRight(text, "\n") + "\n" + marks
}
