package screenshots

import (
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// The size of a character, in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 18.0
	border     = 14.0
)

// look is the style in which characters are drawn.
type look struct {
	colour          string
	bold, underline bool
}

// Colours of a terminal with a dark background.
const (
	background = "#16181d"
	foreground = "#d8dbe2"
)

// svg draws a screen of a terminal, lines of text with the escape sequences of their colours (ECMA-48, SGR), as an SVG picture. Everything is at
// the same position as in a terminal, whatever font the viewer uses.
func svg(screen string, columns, rows int) string {
	var b strings.Builder
	width, height := float64(columns)*cellWidth+2*border, float64(rows)*cellHeight+2*border
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
	for y, line := range strings.Split(screen, "\n") {
		x := 0
		now := look{colour: foreground}
		for line != "" {
			text, rest, escaped := strings.Cut(line, "\x1b[")
			x += run(&b, text, x, y, now)
			line = rest
			if escaped {
				codes, rest, _ := strings.Cut(rest, "m")
				now, line = now.sgr(codes), rest
			}
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// sgr returns the style after an SGR sequence with these parameters.
func (l look) sgr(codes string) look {
	list := strings.Split(codes, ";")
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case "", "0":
			l = look{colour: foreground}
		case "1":
			l.bold = true
		case "4":
			l.underline = true
		case "38":
			if i+2 < len(list) && list[i+1] == "5" {
				n, _ := strconv.Atoi(list[i+2])
				r, g, b, _ := ansi.IndexedColor(n).RGBA()
				l.colour = fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
				i += 2
			}
		}
	}
	return l
}

// run draws a text in a single style, and returns how many columns it occupies.
func run(b *strings.Builder, text string, x, y int, l look) int {
	columns := ansi.StringWidth(text)
	for piece := text; piece != ""; {
		r, size := utf8.DecodeRuneInString(piece)
		if '▁' <= r && r <= '█' {
			high := float64(r-'▁'+1) / 8 * (cellHeight - 4)
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n",
				left(x), above(y)+cellHeight-2-high, cellWidth-1, high, l.colour)
			x, piece = x+1, piece[size:]
			continue
		}
		end := strings.IndexFunc(piece, func(r rune) bool { return '▁' <= r && r <= '█' })
		if end < 0 {
			end = len(piece)
		}
		words(b, piece[:end], x, y, l)
		x, piece = x+ansi.StringWidth(piece[:end]), piece[end:]
	}
	if l.underline && columns > 0 {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="1" fill="%s"/>`+"\n", left(x-columns), above(y)+cellHeight-2, float64(columns)*cellWidth, l.colour)
	}
	return columns
}

// words draws each word at its own position: spaces may have another width in another font.
func words(b *strings.Builder, text string, x, y int, l look) {
	bold := ""
	if l.bold {
		bold = ` font-weight="bold"`
	}
	for text != "" {
		trimmed := strings.TrimLeft(text, " ")
		x += len(text) - len(trimmed)
		word, _, _ := strings.Cut(trimmed, " ")
		text = trimmed[len(word):]
		if n := ansi.StringWidth(word); n > 0 {
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s"%s textLength="%.1f">%s</text>`+"\n", left(x), above(y)+13, l.colour, bold, float64(n)*cellWidth, html.EscapeString(word))
			x += n
		}
	}
}

func left(x int) float64  { return border + float64(x)*cellWidth }
func above(y int) float64 { return border + float64(y)*cellHeight }

func TestSVG(t *testing.T) {
	t.Parallel()
	got := svg("a \x1b[1;38;5;203m<b>\x1b[m▁█\n\x1b[4m  c d\x1b[m", 10, 2)
	for _, want := range []string{
		`<svg xmlns="http://www.w3.org/2000/svg" width="112" height="64"`,
		`<text x="14.0" y="27.0" fill="#d8dbe2" textLength="8.4">a</text>`,
		`<text x="30.8" y="27.0" fill="#ff5f5f" font-weight="bold" textLength="25.2">&lt;b&gt;</text>`,
		`<rect x="56.0" y="28.2" width="7.4" height="1.8" fill="#d8dbe2"/>`,
		`<rect x="64.4" y="16.0" width="7.4" height="14.0" fill="#d8dbe2"/>`,
		`<text x="30.8" y="45.0" fill="#d8dbe2" textLength="8.4">c</text>`,
		`<text x="47.6" y="45.0" fill="#d8dbe2" textLength="8.4">d</text>`,
		`<rect x="14.0" y="48.0" width="42.0" height="1" fill="#d8dbe2"/>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
	d := xml.NewDecoder(strings.NewReader(got))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}
