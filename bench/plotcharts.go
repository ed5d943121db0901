package bench

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is a plot of curves: of workloads with the name of one of its curves, over their x.
type chart struct {
	name, title string
	x, y        string // axis labels, with units
	logX, logY  bool
	ticksAtX    bool // the x axis has a tick for each point, and no others
	series      []series
}

// series is one figure of a curve, with one line per contestant.
type series struct {
	curve, unit string
	label       string // after the contestant's name; "" if none is needed
	dashed      bool
}

var charts = []chart{
	{
		name: "load", title: "Latency over offered load (lower is better)", ticksAtX: true, logY: true,
		x: "offered load, % of what the slowest contestant can do", y: "latency, µs",
		series: []series{{curve: "load", unit: "p99-us", label: "p99"}, {curve: "load", unit: "p50-us", label: "p50", dashed: true}},
	},
	{
		name: "conns", title: "CPU per request over connections (lower is better)", ticksAtX: true, logX: true,
		x: "kept-alive connections", y: "CPU per request, µs",
		series: []series{{curve: "conns", unit: "cpu-us/op"}},
	},
	{
		name: "memory", title: "Memory over idle connections (lower is better)",
		x: "idle kept-alive connections", y: "process memory that they add, MB",
		series: []series{{curve: "memory", unit: "MB"}},
	},
	{
		name: "hosts", title: "CPU per request over hosts in the group (lower is better)", ticksAtX: true, logX: true,
		x: "hosts in the group", y: "CPU per request, µs",
		series: []series{
			{curve: "hosts", unit: "cpu-us/op", label: "round_robin"},
			{curve: "hosts-least-conn", unit: "cpu-us/op", label: "least_conn", dashed: true},
		},
	},
	{
		name: "routes", title: "CPU per request over routes (lower is better)", ticksAtX: true, logX: true,
		x: "routes", y: "CPU per request, µs",
		series: []series{{curve: "routes", unit: "cpu-us/op"}},
	},
	{
		name: "rate", title: "HTTP: CPU per request over requests a second, all defaults (lower is better)", ticksAtX: true, logX: true,
		x: "requests a second", y: "CPU per request, µs",
		series: []series{{curve: "rate", unit: "cpu-us/op"}},
	},
	{
		name: "rate-stream", title: "TCP: CPU per request over requests a second, all defaults (lower is better)", ticksAtX: true, logX: true,
		x: "requests a second", y: "CPU per request, µs",
		series: []series{{curve: "rate-stream", unit: "cpu-us/op"}},
	},
	{
		name: "defaults", title: "CPU per request over connections, all defaults (lower is better)", ticksAtX: true, logX: true,
		x: "kept-alive connections", y: "CPU per request, µs",
		series: []series{{curve: "defaults", unit: "cpu-us/op"}},
	},
	{
		name: "handshakes", title: "CPU of a full handshake and a request over handshakes at a time (lower is better)", ticksAtX: true, logX: true,
		x: "handshakes at a time", y: "CPU, µs",
		series: []series{
			{curve: "handshakes", unit: "cpu-us/conn"},
			{curve: "handshakes-loose", unit: "cpu-us/conn", label: "all CPUs", dashed: true},
		},
	},
	{
		name: "size", title: "CPU per response over its size (lower is better)", logX: true, logY: true, ticksAtX: true,
		x: "bytes", y: "CPU per response, µs",
		series: []series{{curve: "size", unit: "cpu-us/op"}},
	},
	{
		name: "workers", title: "CPU per request over worker processes on one CPU (lower is better)", ticksAtX: true,
		x: "worker processes", y: "CPU per request, µs",
		series: []series{{curve: "workers", unit: "cpu-us/op"}},
	},
}

// line is one contestant's part of a series, from left to right.
type line struct {
	name   string // of the contestant
	label  string
	dashed bool
	points []linePoint
}

// linePoint is the median, minimum and maximum of all rounds at x.
type linePoint struct{ x, y, low, high float64 }

// linesOf returns the lines to draw, without points that have no place on the axes, and without empty lines.
func (c chart) linesOf(all []*comparison) []line {
	var lines []line
	for _, s := range c.series {
		for _, n := range contestantsOf(all) {
			l := line{name: n, label: n, dashed: s.dashed}
			if s.label != "" {
				l.label += " " + s.label
			}
			for _, w := range all {
				v := w.values(n, s.unit)
				if w.work.curve != s.curve || len(v) == 0 || !slices.Contains(w.work.units, s.unit) || !finite(append(v, w.work.x)...) {
					continue
				}
				p := linePoint{w.work.x, median(v), slices.Min(v), slices.Max(v)}
				if c.logX && p.x <= 0 || c.logY && p.low <= 0 {
					continue
				}
				l.points = append(l.points, p)
			}
			slices.SortStableFunc(l.points, func(a, b linePoint) int { return cmp.Compare(a.x, b.x) })
			if len(l.points) > 0 {
				lines = append(lines, l)
			}
		}
	}
	return lines
}

// worthDrawing reports whether some line has at least two points.
func worthDrawing(lines []line) bool {
	return slices.ContainsFunc(lines, func(l line) bool { return len(l.points) > 1 })
}

// draw draws lines.
func (c chart) draw(lines []line, looks map[string]look) ([]byte, error) {
	p, legend := newPlot(c.title, c.x, c.y), newLegend()
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = grey, grey
	p.Add(grid)
	most, least := 0.0, math.Inf(1)
	var ticks []plot.Tick
	for _, l := range lines {
		xys, errs := make(plotter.XYs, 0, len(l.points)), make(plotter.YErrors, 0, len(l.points))
		for _, q := range l.points {
			xys = append(xys, plotter.XY{X: q.x, Y: q.y})
			errs = append(errs, struct{ Low, High float64 }{q.y - q.low, q.high - q.y})
			most, least = max(most, q.high), min(least, q.low)
			if !slices.ContainsFunc(ticks, func(t plot.Tick) bool { return t.Value == q.x }) {
				ticks = append(ticks, plot.Tick{Value: q.x, Label: strconv.FormatFloat(q.x, 'f', -1, 64)})
			}
		}
		stroke, glyphs, err := plotter.NewLinePoints(xys)
		if err != nil {
			return nil, err
		}
		whiskers, err := plotter.NewYErrorBars(struct {
			plotter.XYs
			plotter.YErrors
		}{xys, errs})
		if err != nil {
			return nil, err
		}
		look := looks[l.name]
		stroke.Color, stroke.Width = look.colour, 1.6
		if l.dashed {
			stroke.Dashes = []vg.Length{5, 3}
		}
		glyphs.GlyphStyle = draw.GlyphStyle{Color: look.colour, Radius: 3, Shape: look.shape}
		whiskers.Color, whiskers.Width, whiskers.CapWidth = look.colour, 0.6, 4
		p.Add(whiskers, stroke, glyphs)
		legend.Add(label(l.label), stroke, glyphs)
	}
	if c.logX {
		p.X.Scale = plot.LogScale{}
	}
	if c.ticksAtX {
		p.X.Tick.Marker = plot.ConstantTicks(ticks)
	} else {
		p.X.Min = 0
	}
	if c.logY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
		p.Y.Min, p.Y.Max = least/1.2, most*1.2
	} else {
		p.Y.Min, p.Y.Max = 0, most*1.1
	}
	return render(p, legend, plotHeight)
}
