package readout

import (
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Table is rows of cells, in columns as wide as they need to be. The first row are the headings.
type Table struct {
	// Left has a letter for each column: 'l' if its cells are at its left, 'r' at its right.
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

// Pad returns a text as wide as a column, cut with an ellipsis if it is wider.
func Pad(text string, width int, right bool) string {
	if n := ansi.StringWidth(text); n > width {
		return Pad(ansi.Truncate(text, width, "…"), width, right)
	} else if right {
		return strings.Repeat(" ", width-n) + text
	} else {
		return text + strings.Repeat(" ", width-n)
	}
}
