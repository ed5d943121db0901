package config

import (
	"time"

	"kroxy-ev/logformat"
)

// LogIf selects what the access log gets lines for: everything for which a
// condition holds, and a share of the rest.
type LogIf struct {
	Status     Statuses      // http only
	SlowerThan time.Duration // 0 for no condition
	Failed     bool          // what has not ended well
	Sample     float64       // share of the rest, from 0 to 1
}

const logIfExample = `{ "status": ["400-599"], "slower_than": "500ms", "sample": 0.01 }`

// Takes reports whether something that ended in this way, with this status (0 for
// none), gets a line. Lot must be a random 64-bit number. A nil
// LogIf takes everything.
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
	case is == absent, all: // true means everything, whatever outer levels say
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
