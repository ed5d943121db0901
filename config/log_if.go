package config

import (
	"time"

	"kroxy-ev/logformat"
)

// LogIf is what is worth a line of the access log: what any of its conditions
// holds for, and a share of the rest.
type LogIf struct {
	Status     Statuses      // http only
	SlowerThan time.Duration // 0 is no condition
	Failed     bool          // what has not ended well
	Sample     float64       // the share of the rest, from 0 to 1
}

const logIfExample = `{ "status": ["400-599"], "slower_than": "500ms", "sample": 0.01 }`

// Takes reports whether what ended in this way, with that status (0 for none),
// is worth a line. Lot is drawn from all 64-bit numbers. A nil LogIf takes
// everything.
func (l *LogIf) Takes(status int, took time.Duration, end logformat.End, lot uint64) bool {
	switch {
	case l == nil:
		return true
	case l.SlowerThan > 0 && took > l.SlowerThan, l.Failed && end != logformat.Complete, len(l.Status) > 0 && l.Status.Has(status):
		return true
	}
	return float64(lot>>11) < l.Sample*(1<<53)
}

// logIf decodes "log_if".
func (o object) logIf() *LogIf {
	in, is := o.section("log_if")
	n, _ := o.child("log_if")
	all := false
	if n != nil {
		all, _ = isTrue(n)
	}
	switch {
	case is == absent, all: // true is everything, whatever is further out
		return nil
	case is == off:
		return &LogIf{}
	}
	var l LogIf
	in.fill(ofLogIf, &target{logIf: &l})
	if o.modes&inHTTP == 0 {
		l.Status = nil
	}
	if n, _ = in.child("sample"); n == nil && l.SlowerThan == 0 && !l.Failed && l.Status == nil {
		return nil // no condition at all
	}
	return &l
}
