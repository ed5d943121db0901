package upstream

import (
	"net/netip"
	"time"

	"kroxy-ev/logformat"
)

// Trace says what was tried to get a connection to a host, for logs. The zero value is none.
type Trace struct {
	// Host is the last host that was tried, nil if none was; Addr is the last address of it that was connected to.
	Host *Host
	Addr netip.AddrPort
	// Began is when the first host was chosen, in ms on the loop's clock; who calls Connect sets it. A wait in a queue or before a retry
	// comes before that. Took is how long, in ms, it took from then until the connection stood; it is set if Connected is.
	Began     int64
	Took      int32
	Connected bool
	// Tries is how many connections were tried.
	Tries uint16
	// Latency is how long the last connection took to stand, from its socket on; zero of one that was kept.
	Latency time.Duration
}

// reused notes that a connection serves which was made to addr, an address of h, for somebody else.
func (t *Trace) reused(h *Host, addr netip.AddrPort) {
	t.Host = h
	t.dialled(addr)
	t.Took, t.Latency, t.Connected = 0, 0, true
}

// dialled notes that addr is connected to.
func (t *Trace) dialled(addr netip.AddrPort) {
	t.Addr, t.Connected = addr, false
	if t.Tries+1 != 0 {
		t.Tries++
	}
}

// connected notes that the connection stands.
func (t *Trace) connected(now int64) { t.Took, t.Connected = int32(now-t.Began), true }

// ForLog is t as a line of the access log has it.
func (t *Trace) ForLog() logformat.Upstream {
	u := logformat.Upstream{
		Addr: t.Addr, Tries: int(t.Tries),
		ConnectTime: time.Duration(t.Took) * time.Millisecond, Connected: t.Connected,
	}
	if t.Host != nil {
		u.Host = t.Host.Label
	}
	return u
}
