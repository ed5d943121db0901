package upstream

// demand is how many connections to one host a loop has needed at once of late. It decides how many are kept where
// upstream_keepalive is "auto": an idle one is in surplus only when that many others are there.
//
// A connection is made only when none is idle, so there are never more of them than were in use at once at some time. What
// is left to do is to forget such a time, slowly: each look closes half of what was not needed since the look before the
// last, so that traffic that comes in waves finds its connections again.
type demand struct {
	busy   int // connections in use now
	peak   int // in use at once, at most, since the last look
	before int // likewise, between the two last looks
}

// lookEvery is how far two looks at the demand are apart, in ms.
const lookEvery = 5000

func (d *demand) begin() {
	d.busy++
	d.peak = max(d.peak, d.busy)
}

func (d *demand) end() { d.busy-- }

// look begins a new period. It returns how many of so many idle connections are to be closed.
func (d *demand) look(idle int) int {
	surplus := d.busy + idle - max(d.peak, d.before)
	d.before, d.peak = d.peak, d.busy
	return max(surplus+1, 0) / 2
}
