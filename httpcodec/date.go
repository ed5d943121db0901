package httpcodec

import (
	"time"

	"github.com/valyala/fasthttp"
)

// dateCache holds the text of Date (RFC 9110 section 5.6.7), which changes once a second. The wall clock is asked once a
// second too: somebody may set it.
type dateCache struct {
	until int64 // ms on the loop's clock
	text  []byte
}

// at returns the present date as a field value, valid until the next call. Now is in ms, on the loop's clock.
func (d *dateCache) at(now int64) []byte {
	if now >= d.until {
		d.set(now, time.Now())
	}
	return d.text
}

// set takes t for the date at now.
func (d *dateCache) set(now int64, t time.Time) {
	d.until = now + 1000 - int64(t.Nanosecond()/1e6)
	d.text = fasthttp.AppendHTTPDate(d.text[:0], t)
}
