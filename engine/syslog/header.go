package syslog

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"time"
)

// The severities that logs use (RFC 5424 section 6.2.1).
const (
	Error   = 3
	Warning = 4
	Info    = 6
	Debug   = 7
)

// Header is the beginning of messages of one kind.
type Header struct {
	facility int
	rest     string // the part after the time
}

// NewHeader makes the header for messages of a facility, which is a number up to 23. tag is the program's name; kind says what the messages are,
// such as "access". Characters other than printable ASCII are removed from both.
func NewHeader(facility int, tag, kind string) *Header {
	host, _ := os.Hostname()
	return &Header{facility, " " + printable(host, 255) + " " + printable(tag, 48) + " " + strconv.Itoa(os.Getpid()) + " " + printable(kind, 32) + " - "}
}

// printable returns s in the form of a header field: printable ASCII of limited length, or "-" if nothing is left.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, s)
	return cmp.Or(s[:min(len(s), most)], "-")
}

// Append appends the header of a message with this severity and time. It allocates only to grow dst.
func (h *Header) Append(dst []byte, severity int, at time.Time) []byte {
	dst = append(dst, '<')
	dst = strconv.AppendInt(dst, int64(h.facility<<3|severity), 10)
	dst = append(dst, ">1 "...)
	dst = at.UTC().Truncate(time.Microsecond).AppendFormat(dst, time.RFC3339Nano) // a header may have at most six fractional digits
	return append(dst, h.rest...)
}
