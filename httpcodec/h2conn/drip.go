package h2conn

import "kroxy-ev/httpcodec/http2"

// drip watches a window for which something waits. A peer that enlarges its window byte by byte would delay the sender for ever
// and force a frame for each byte. Growth therefore counts as progress only once it totals dripMin bytes.
type drip struct {
	since int64 // when the wait began or the last progress was made, in ms on the loop's clock; 0 if nothing waits
	grown int64 // bytes since then
}

const (
	// dripMin is how many bytes a window has to grow by within the send timeout.
	dripMin = 1 << 10
	// dripSmall is the size below which an increment counts as an event, while something waits for the window.
	dripSmall = 256
)

var errDrip = &http2.Error{Code: http2.EnhanceYourCalm, Stream: true, Reason: "the peer takes bytes too slowly (send_timeout)"}

// begin notes that something waits.
func (d *drip) begin(now int64) {
	if d.since == 0 {
		d.since, d.grown = max(now, 1), 0
	}
}

// end notes that nothing waits any more.
func (d *drip) end() { d.since = 0 }

// dripped records that a window has grown by n. It returns an error if the window has grown too slowly for too long.
func (c *Conn) dripped(d *drip, n int64) *http2.Error {
	if d.since == 0 {
		return nil
	}
	now, most := c.loop.Now(), c.timeouts.Send.Milliseconds()
	if n < dripSmall {
		c.count(http2.EventOther)
	}
	if d.grown += n; d.grown >= dripMin {
		d.since, d.grown = max(now, 1), 0
	} else if most > 0 && now-d.since > most {
		return errDrip
	}
	return nil
}
