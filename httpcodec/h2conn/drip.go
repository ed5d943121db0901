package h2conn

import "kroxy-ev/httpcodec/http2"

// drip watches a window for which something waits. A peer that lets it grow byte by byte would hold what waits for ever, and make a frame of each
// byte: what it grants counts as progress only once it is dripMin bytes.
type drip struct {
	since int64 // when the wait began, or there was progress; ms on the loop's clock. 0 if nothing waits
	grown int64 // since then
}

const (
	// dripMin is how many bytes a window has to grow by in the time that the peer has to take what is sent to it.
	dripMin = 1 << 10
	// dripSmall is how little a window may grow by at once, while something waits for it, without that being counted.
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

// dripped counts what a window has grown by. It returns an error if it has grown too slowly for too long.
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
