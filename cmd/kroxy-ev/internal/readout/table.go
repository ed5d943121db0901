package readout

import (
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Table is rows of cells, in columns that are as wide as needed. The first row has the headings.
type Table struct {
	// Align has a letter per column: 'l' for left-aligned cells, 'r' for right-aligned ones.
	Align string
	Rows  [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Write writes the table with an indent. It writes nothing if there are only headings.
func (t *Table) Write(w io.Writer, indent string) error {
	if len(t.Rows) < 2 {
		return nil
	}
	widths := make([]int, len(t.Align))
	for _, row := range t.Rows {
		for i, cell := range row {
			widths[i] = max(widths[i], ansi.StringWidth(cell))
		}
	}
	for _, row := range t.Rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(Pad(cell, widths[i], t.Align[i] == 'r'))
		}
		if _, err := io.WriteString(w, indent+strings.TrimRight(line.String(), " ")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Pad pads a text to the width of a column. A wider text is cut and gets an ellipsis.
func Pad(text string, width int, right bool) string {
	if n := ansi.StringWidth(text); n > width {
		return Pad(ansi.Truncate(text, width, "…"), width, right)
	} else if right {
		return strings.Repeat(" ", width-n) + text
	} else {
		return text + strings.Repeat(" ", width-n)
	}
}
