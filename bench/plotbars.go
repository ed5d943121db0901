package bench

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// base is the contestant whose bars are 1.
const base = "nginx"

const barsTitle = "CPU per unit of work beside nginx's (lower is better)"

// mainWorkloads are the workloads that have bars, from top to bottom.
var mainWorkloads = []struct{ name, label string }{
	{"HTTPSmall", "HTTP, small responses"},
	{"HTTPPost", "HTTP, POST of 16 KiB"},
	{"HTTPConnect", "HTTP, a connection a request"},
	{"HTTPDownload", "HTTP, 100 MB downloads"},
	{"TLSSmall", "TLS, small responses"},
	{"TLSFullECDSA", "TLS, full handshakes (ECDSA)"},
	{"TLSFullRSA", "TLS, full handshakes (RSA)"},
	{"TLSResumed", "TLS, resumed handshakes"},
	{"TLSDownload", "TLS, 100 MB downloads"},
	{"HTTP2Small", "HTTP/2, small responses"},
	{"HTTP2OneConnection", "HTTP/2, one connection"},
	{"GRPCUnary", "gRPC, unary calls"},
	{"HTTP2Download", "HTTP/2, 100 MB downloads"},
	{"HTTP2Upload", "HTTP/2, 100 MB uploads"},
	{"StreamSmall", "TCP, small messages"},
	{"StreamConnect", "TCP, a connection a message"},
	{"StreamDownload", "TCP, 100 MB downloads"},
	{"StreamUpload", "TCP, 100 MB uploads"},
}

// bar is the median over the rounds of a contestant's figure divided by the base's, as in the table.
type bar struct {
	name             string // of the contestant
	ratio, low, high float64
	note             string // text at its end
}

// group is the bars of one workload.
type group struct {
	label string
	bars  []bar
}

// barsOf returns the bars of the main workloads that the base took part in.
func barsOf(all []*comparison) []group {
	var groups []group
	for _, main := range mainWorkloads {
		i := slices.IndexFunc(all, func(c *comparison) bool { return c.work.name == main.name })
		if i < 0 {
			continue
		}
		c, unit := all[i], all[i].work.units[0]
		g := group{label: main.label}
		own := c.values(base, unit)
		for _, n := range c.names {
			q := c.quotients(n, base, unit)
			if len(q) == 0 || !finite(q...) {
				continue
			}
			b := bar{name: n, ratio: median(q), low: slices.Min(q), high: slices.Max(q)}
			b.note = fmt.Sprintf("%.2f", b.ratio)
			if n == base {
				b.note = "1 = " + figure(median(own)) + " " + words(unit)
			}
			g.bars = append(g.bars, b)
		}
		if len(g.bars) > 1 {
			groups = append(groups, g)
		}
	}
	return groups
}

// words spells out a unit of CPU, such as "cpu-us/op".
func words(unit string) string {
	return strings.NewReplacer("cpu-us", "µs", "cpu-s", "s", "/op", "/request", "/conn", "/connection").Replace(unit)
}

const barHeight = vg.Length(11)

// drawBars draws groups from top to bottom. On the y axis, a bar and the space between two groups take 1 each.
func drawBars(groups []group, looks map[string]look) ([]byte, error) {
	p := newPlot(barsTitle, "nginx = 1; thin lines: from the least round to the most", "")
	legend := newLegend()
	total := 0
	for _, g := range groups {
		total += len(g.bars) + 1
	}
	rows := barRows{looks: looks, note: p.X.Tick.Label}
	rows.note.Font, rows.note.XAlign, rows.note.YAlign = letters(9), draw.XLeft, draw.YCenter
	var ticks []plot.Tick
	seen := map[string]bool{}
	at := float64(total)
	for _, g := range groups {
		at -= 0.5
		ticks = append(ticks, plot.Tick{Value: at - float64(len(g.bars))/2, Label: g.label})
		for _, b := range g.bars {
			at--
			rows.bars, rows.at = append(rows.bars, b), append(rows.at, at)
			if !seen[b.name] {
				seen[b.name] = true
				legend.Add(label(b.name), swatch(looks[b.name].colour))
			}
		}
		at -= 0.5
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Width, grid.Vertical.Color = 0, grey
	p.Add(grid, rows)
	p.X.Min, p.X.Padding = 0, 0
	p.Y.Min, p.Y.Max, p.Y.Padding = 0, float64(total), 0
	p.Y.Tick.Marker, p.Y.Tick.Length = plot.ConstantTicks(ticks), 0
	p.Y.Tick.Label.XAlign = draw.XRight
	return render(p, legend, barHeight*vg.Length(total)+80)
}

// barRows are bars, and where each begins on the y axis.
type barRows struct {
	bars  []bar
	at    []float64
	looks map[string]look
	note  text.Style
}

// Plot implements plot.Plotter.
func (r barRows) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	line := draw.LineStyle{Color: color.Gray{0x33}, Width: 0.7}
	one := draw.LineStyle{Color: color.Black, Width: 0.7, Dashes: []vg.Length{3, 2}}
	c.StrokeLine2(one, x(1), c.Min.Y, x(1), c.Max.Y)
	for i, b := range r.bars {
		bottom, top := y(r.at[i]+0.06), y(r.at[i]+0.94)
		c.SetColor(r.looks[b.name].colour)
		c.Fill(vg.Rectangle{Min: vg.Point{X: x(0), Y: bottom}, Max: vg.Point{X: x(b.ratio), Y: top}}.Path())
		middle := (bottom + top) / 2
		if b.high > b.low {
			c.StrokeLine2(line, x(b.low), middle, x(b.high), middle)
		}
		note := vg.Point{X: x(max(b.high, b.ratio)) + 4, Y: middle}
		c.SetColor(color.White) // so that the line at 1 does not cross numbers
		c.Fill(vg.Rectangle{Min: vg.Point{X: note.X, Y: bottom}, Max: vg.Point{X: note.X + r.note.Width(b.note), Y: top}}.Path())
		c.FillText(r.note, note, b.note)
	}
}

// DataRange implements plot.DataRanger, with room for the notes.
func (r barRows) DataRange() (xmin, xmax, ymin, ymax float64) {
	most := 1.0
	for _, b := range r.bars {
		most = math.Max(most, b.high)
	}
	return 0, most * 1.25, 0, 0
}

// swatch is a bar's colour in a legend.
type swatch color.RGBA

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.SetColor(color.RGBA(s))
	c.Fill(c.Path())
}
