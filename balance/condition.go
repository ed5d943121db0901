package balance

import (
	"sync/atomic"
	"time"
)

// Condition is what is known against a host, for people.
type Condition uint8

const (
	// Well means that nothing is.
	Well Condition = iota
	// FailingChecks means that it fails its active checks.
	FailingChecks
	// Unreachable means that connections to it fail.
	Unreachable
	// Out means that it is ejected since it erred too often.
	Out
)

func (c Condition) String() string {
	return [...]string{"well", "fails its checks", "connections to it fail", "it erred too often"}[c]
}

// Condition returns what is known against host i, and for how long it has been so; zero if that is not known. Now is as for Acquire.
func (h *Hosts) Condition(i int, now int64) (Condition, time.Duration) {
	line := h.counters.line(h.ids[i])
	at := func(word int) uint64 { return atomic.LoadUint64(&line[word]) }
	switch fails := failing(at(lineFails)); {
	case h.checked && fails != 0:
		return FailingChecks, since(uint64(fails>>1), now)
	case !h.passive.off && at(lineHealth) != 0:
		return Unreachable, since(at(lineSince), now)
	case h.passive.failures > 0 && at(lineEjected) != 0:
		return Out, since(uint64(spell(at(lineSpell)).at()), now)
	}
	return Well, since(at(lineBegan), now)
}

// InUse reports whether host i gets other clients than those who are stuck to it, and nothing is known against it.
func (h *Hosts) InUse(i int) bool { return h.gets(i) && h.well(i) }
