package httpcodec

import (
	"time"

	"github.com/valyala/fasthttp"
)

// dateCache caches the text of Date (RFC 9110 section 5.6.7), which changes once a second. It also reads the wall clock once a
// second, since the clock may be set.
type dateCache struct {
	until int64 // ms on the loop's clock
	text  []byte
}

// at returns the current date as a field value, valid until the next call. Now is in ms on the loop's clock.
func (d *dateCache) at(now int64) []byte {
	if now >= d.until {
		d.set(now, time.Now())
	}
	return d.text
}

// set makes t the date at now.
func (d *dateCache) set(now int64, t time.Time) {
	d.until = now + 1000 - int64(t.Nanosecond()/1e6)
	d.text = fasthttp.AppendHTTPDate(d.text[:0], t)
}
