package httpcodec

import (
	"time"

	"github.com/valyala/fasthttp"
)

// dateCache holds the text of Date (RFC 9110 section 5.6.7), which changes once a second.
type dateCache struct {
	second int64
	text   []byte
}

// at returns now as a field value, valid until the next call.
func (d *dateCache) at(now time.Time) []byte {
	if s := now.Unix(); s != d.second || len(d.text) == 0 {
		d.second, d.text = s, fasthttp.AppendHTTPDate(d.text[:0], now)
	}
	return d.text
}
