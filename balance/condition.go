package balance

import (
	"sync/atomic"
	"time"
)

// Condition is what is wrong with a host, if anything, for log lines and the status.
type Condition uint8

const (
	// Well means that nothing is wrong.
	Well Condition = iota
	// FailingChecks means that the host fails its active checks.
	FailingChecks
	// Unreachable means that connections to the host fail.
	Unreachable
	// Out means that the host is ejected because it erred too often.
	Out
)

func (c Condition) String() string {
	return [...]string{"well", "fails its checks", "connections to it fail", "it failed too often"}[c]
}

// Condition returns the condition of host i and how long the host has been in it; zero if that is not known. The time now is as for
// Acquire.
func (h *Hosts) Condition(i int, now int64) (Condition, time.Duration) {
	line := h.counters.line(h.ids[i])
	at := func(word int) uint64 { return atomic.LoadUint64(&line[word]) }
	switch fails := failing(at(lineFails)); {
	case h.checked && fails != 0:
		return FailingChecks, since(uint64(fails>>1), now)
	case !h.passive.off && at(lineHealth) != 0:
		return Unreachable, since(at(lineSince), now)
	case h.passive.failures > 0 && at(lineEjected) != 0:
		return Out, since(uint64(ejectionHistory(at(lineEjections)).at()), now)
	}
	return Well, since(at(lineBegan), now)
}

// InUse reports whether host i is healthy and gets clients other than sticky ones.
func (h *Hosts) InUse(i int) bool { return h.getsClients(i) && h.healthy(i) }
