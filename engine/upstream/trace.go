package upstream

import (
	"net/netip"
	"time"

	"kroxy-ev/logformat"
)

// Trace records, for logs, how a connection to a host was reached. The zero value records nothing.
type Trace struct {
	// Host is the last host that was tried, nil if none was; Addr is the last of its addresses that was dialled.
	Host *Host
	Addr netip.AddrPort
	// Began is when the first host was chosen, in ms on the loop's clock, not counting waits in a queue or before a retry. The caller
	// of Connect sets it. Took is the time in ms from then until the connection was established; it is set if Connected is.
	Began     int64
	Took      int32
	Connected bool
	// Tries is the number of connections tried.
	Tries uint16
	// Latency is the time from the last connection's dial until it was established; zero for a reused connection.
	Latency time.Duration
}

// reused notes that an existing connection to addr, an address of h, is used.
func (t *Trace) reused(h *Host, addr netip.AddrPort) {
	t.Host = h
	t.dialled(addr)
	t.Took, t.Latency, t.Connected = 0, 0, true
}

// dialled notes that addr is being connected to.
func (t *Trace) dialled(addr netip.AddrPort) {
	t.Addr, t.Connected = addr, false
	if t.Tries+1 != 0 {
		t.Tries++
	}
}

// connected notes that the connection is established.
func (t *Trace) connected(now int64) { t.Took, t.Connected = int32(now-t.Began), true }

// ForLog returns t as the access log records it.
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
