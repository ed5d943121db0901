package upstream

// demand tracks how many connections to one host a loop has recently needed at once. It decides how many idle ones are kept if
// upstream_keepalive is "auto": those beyond the recent peak are surplus.
//
// A connection is made only when none is idle, so there are never more connections than were in use at once at some time. Old peaks
// are forgotten slowly: each check closes half of the connections that were not needed since the check before the
// last, so that traffic that comes in waves finds its connections again.
type demand struct {
	busy   int // connections in use now
	peak   int // the most in use at once since the last check
	before int // the same for the period before the last check
}

// demandEvery is the time between two checks of the demand, in ms.
const demandEvery = 5000

func (d *demand) begin() {
	d.busy++
	d.peak = max(d.peak, d.busy)
}

func (d *demand) end() { d.busy-- }

// look begins a new period. It returns how many of the given number of idle connections should be closed.
func (d *demand) look(idle int) int {
	surplus := d.busy + idle - max(d.peak, d.before)
	d.before, d.peak = d.peak, d.busy
	return max(surplus+1, 0) / 2
}
