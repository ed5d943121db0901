package bench

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// image is a plot as a file. The same figures produce the same bytes.
type image struct {
	Name  string // of the file, without date and extension
	Title string
	SVG   []byte
}

// images makes the plots for which the run has figures.
func images(all []*comparison) ([]image, error) {
	all = merged(all)
	looks := looksOf(contestantsOf(all))
	var list []image
	if groups := barsOf(all); len(groups) > 0 {
		svg, err := drawBars(groups, looks)
		if err != nil {
			return nil, fmt.Errorf("bench: plot of CPU: %w", err)
		}
		list = append(list, image{"cpu", barsTitle, svg})
	}
	for _, c := range charts {
		lines := c.linesOf(all)
		if !worthDrawing(lines) {
			continue
		}
		svg, err := c.draw(lines, looks)
		if err != nil {
			return nil, fmt.Errorf("bench: plot of %s: %w", c.name, err)
		}
		list = append(list, image{c.name, c.title, svg})
	}
	return list, nil
}

// look is how a contestant is drawn; it is the same in all plots.
type look struct {
	colour color.RGBA
	shape  draw.GlyphDrawer // distinguishes lines without colour
}

// known has the colours of Okabe and Ito, which are distinguishable with any colour vision, and lighter ones for tuned variants of the same
// program.
// They are visible on white, which every plot is drawn on, because its surroundings may be dark.
var known = map[string]look{
	"nginx":          {color.RGBA{0x00, 0x9e, 0x73, 0xff}, draw.CircleGlyph{}},
	"nginx-tuned":    {color.RGBA{0x7f, 0xce, 0xb9, 0xff}, draw.RingGlyph{}},
	"haproxy":        {color.RGBA{0x00, 0x72, 0xb2, 0xff}, draw.BoxGlyph{}},
	"haproxy-tuned":  {color.RGBA{0x7f, 0xb8, 0xd8, 0xff}, draw.SquareGlyph{}},
	"haproxy-splice": {color.RGBA{0x56, 0xb4, 0xe9, 0xff}, draw.SquareGlyph{}},
	subject:          {color.RGBA{0xd5, 0x5e, 0x00, 0xff}, draw.PyramidGlyph{}},
}

// spare are the looks of variants of the subject, used in turn.
var spare = []look{
	{color.RGBA{0xcc, 0x79, 0xa7, 0xff}, draw.CrossGlyph{}},
	{color.RGBA{0xe6, 0x9f, 0x00, 0xff}, draw.PlusGlyph{}},
	{color.RGBA{0x55, 0x55, 0x55, 0xff}, draw.TriangleGlyph{}},
	{color.RGBA{0x88, 0x22, 0x55, 0xff}, draw.CrossGlyph{}},
}

func looksOf(names []string) map[string]look {
	looks, others := map[string]look{}, 0
	for _, n := range names {
		l, ok := known[n]
		if !ok {
			l = spare[others%len(spare)]
			others++
		}
		looks[n] = l
	}
	return looks
}

const (
	plotWidth  = 8.2 * vg.Inch
	plotHeight = 4.2 * vg.Inch
)

var grey = color.RGBA{0xdd, 0xdd, 0xdd, 0xff}

// newPlot makes an empty plot with the common fonts.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font = letters(13)
	p.Title.Padding = 10
	p.X.Label.TextStyle.Font, p.Y.Label.TextStyle.Font = letters(11), letters(11)
	p.X.Label.Padding, p.Y.Label.Padding = 4, 4
	p.X.Tick.Label.Font, p.Y.Tick.Label.Font = letters(10), letters(10)
	p.X.Tick.Marker, p.Y.Tick.Marker = steps{}, steps{}
	return p
}

func letters(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// newLegend makes a legend that is beside the plot, so that it covers nothing.
func newLegend() plot.Legend {
	l := plot.NewLegend()
	l.TextStyle.Font = letters(10)
	l.Top, l.Left, l.Padding = true, true, 3
	return l
}

// render draws a plot and its legend as SVG.
func render(p *plot.Plot, l plot.Legend, height vg.Length) ([]byte, error) {
	canvas := vgsvg.New(plotWidth, height)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Path())
	beside := min(l.Rectangle(all).Size().X+16, plotWidth/2)
	p.Draw(draw.Crop(all, 6, -beside, 6, -6))
	l.Draw(draw.Crop(all, plotWidth-beside+8, 0, 0, -34))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, err
	}
	// Without Liberation fonts, use fonts of the same widths instead of the browser's serifs. The fonts are not embedded, because the file would be
	// 200 kB.
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal;"),
		[]byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), nil
}

// label makes s valid in XML.
func label(s string) string { return strings.Map(legible, s) }

// legible returns r, or a question mark if r is not printable.
func legible(r rune) rune {
	if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

// finite reports whether all of v can be drawn.
func finite(v ...float64) bool {
	return !slices.ContainsFunc(v, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
}

// steps puts ticks on a linear axis, at most seven, whose distance is 1, 2 or 5 times a power of ten.
type steps struct{}

// Ticks implements plot.Ticker.
func (steps) Ticks(least, most float64) []plot.Tick {
	power := math.Pow(10, math.Floor(math.Log10((most-least)/6)))
	step := power * 10
	for _, digit := range []float64{5, 2, 1} {
		if (most-least)/(digit*power) <= 6 {
			step = digit * power
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(least / step); i*step <= most; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: strconv.FormatFloat(i*step, 'g', 6, 64)})
	}
	return ticks
}

// decades puts ticks on a logarithmic axis at 1, 2 and 5 times the powers of ten.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(least)); power <= math.Log10(most); power++ {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * math.Pow(10, power); v >= least && v <= most {
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
			}
		}
	}
	return ticks
}
