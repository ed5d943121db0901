package top

import "strings"

// spark draws the newest width values as a line of bars, scaled to the greatest of them.
func spark(values []float64, width int) string {
	if width <= 0 {
		return ""
	}
	values = values[max(0, len(values)-width):]
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(values)))
	levels := []rune("▁▂▃▄▅▆▇█")
	for _, v := range values {
		level := 0
		if top > 0 {
			level = int(v / top * float64(len(levels)-1))
			if v > 0 && level == 0 {
				level = 1 // a small value must differ from zero
			}
		}
		b.WriteRune(levels[level])
	}
	return b.String()
}
