package top

import (
	"github.com/charmbracelet/x/ansi"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

// theme is the colours of a screen. Colours only repeat what the text says.
type theme struct{ title, dim, head, good, bad, warn, trend ansi.Style }

// themeFor returns colours that are readable on a dark or a light background.
func themeFor(dark bool) theme {
	colour := func(onDark, onLight ansi.IndexedColor) ansi.Style {
		if dark {
			return ansi.NewStyle().ForegroundColor(onDark)
		}
		return ansi.NewStyle().ForegroundColor(onLight)
	}
	return theme{
		title: ansi.NewStyle().Bold(),
		dim:   colour(245, 242),
		head:  colour(250, 238).Underline(true),
		good:  colour(114, 28),
		bad:   colour(203, 160),
		warn:  colour(221, 130),
		trend: colour(110, 25),
	}
}

// ofState returns the colour of a host's state.
func (t theme) ofState(state string) ansi.Style {
	switch state {
	case admin.StateUp:
		return t.good
	case admin.StateDown:
		return t.bad
	default:
		return t.warn
	}
}
