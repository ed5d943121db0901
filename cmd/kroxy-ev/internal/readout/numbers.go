package readout

import (
	"fmt"
	"strconv"
	"time"
)

// Bytes formats n bytes, in powers of 1000.
func Bytes(n float64) string {
	text, prefix := scaled(n)
	return text + " " + prefix + "B"
}

// Count formats n in at most five characters, in powers of 1000.
func Count(n float64) string {
	text, prefix := scaled(n)
	return text + prefix
}

// scaled formats n in powers of 1000, and returns the prefix of the unit.
func scaled(n float64) (text, prefix string) {
	const prefixes = " kMGTPE"
	unit := 0
	for ; n >= 999.5 && unit+1 < len(prefixes); unit++ {
		n /= 1000
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f", n), ""
	}
	if n < 99.95 {
		return fmt.Sprintf("%.1f", n), prefixes[unit : unit+1]
	}
	return fmt.Sprintf("%.0f", n), prefixes[unit : unit+1]
}

// Rate formats a rate per second.
func Rate(perSecond float64) string {
	if perSecond > 0 && perSecond < 9.95 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return Count(perSecond)
}

// Milliseconds formats a duration; "-" if nothing was measured.
func Milliseconds(ms float64) string {
	switch {
	case ms <= 0:
		return "-"
	case ms < 0.9995:
		return fmt.Sprintf("%.0f µs", ms*1000)
	case ms < 9.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 999.5:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
}

// Age formats a duration in its two largest units.
func Age(d time.Duration) string {
	s := max(0, int64(d/time.Second))
	for _, u := range []struct {
		seconds, below int64
		name, belows   string
	}{{86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}} {
		if s >= u.seconds {
			text := fmt.Sprintf("%d%s", s/u.seconds, u.name)
			if rest := s % u.seconds / u.below; rest > 0 {
				text += fmt.Sprintf(" %d%s", rest, u.belows)
			}
			return text
		}
	}
	return fmt.Sprintf("%ds", s)
}

// since formats the time since t; "-" if t is zero.
func since(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return Age(now.Sub(t))
}

// Many formats a number of things: "1 host", "2 hosts".
func Many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
