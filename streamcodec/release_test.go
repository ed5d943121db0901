package streamcodec

import (
	"testing"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/logformat"
)

// A host that has sent nothing may be broken although it accepts connections. It is not to blame for what its client does.
func TestReport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why      Reason
		up, down int64
		tunnel   bool
		want     balance.Class
	}{
		{Completed, 5, 0, false, balance.Served},
		{HostFailed, 0, 0, false, balance.Erred},
		{HostFailed, 5, 0, false, balance.Erred},
		{HostFailed, 5, 1, false, balance.Served},
		{HostFailed, 5, 0, true, balance.Served},
		{HostReadTimeout, 5, 0, false, balance.Erred},
		{HostReadTimeout, 0, 0, false, balance.Served}, // it was sent no request
		{HostReadTimeout, 5, 5, false, balance.Served},
		{HostSendTimeout, 5, 0, false, balance.Erred},
		{ClientFailed, 5, 0, false, balance.Served},
		{ClientReadTimeout, 0, 0, false, balance.Served},
		{Shutdown, 5, 0, false, balance.Served},
	} {
		s := &Session{}
		s.up.Bytes, s.down.Bytes, s.trace.Latency = c.up, c.down, time.Second
		if c.tunnel {
			s.after = func(logformat.End, int64, int64) {}
		}
		r := s.report(c.why)
		if r.Class != c.want || r.Latency != time.Second || (r.Why == "") != (c.want == balance.Served) {
			t.Errorf("%v after %d bytes up and %d down, tunnel %v: %+v, want %v", c.why, c.up, c.down, c.tunnel, r, c.want)
		}
	}
}
