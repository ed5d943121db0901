package resolve

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// answer is the result of a lookup. It is immutable, except for the trials.
type answer struct {
	addrs  []netip.Addr
	trials []*trial // by address; nil if there is only one address
}

// newAnswer returns an answer with addrs, which differ from those of old; old may be nil. An address that stays keeps its
// trial.
func newAnswer(addrs []netip.Addr, old *answer) *answer {
	a := &answer{addrs: addrs}
	if len(addrs) == 1 {
		return a
	}
	for _, addr := range addrs {
		t := old.trial(addr)
		if t == nil {
			t = new(trial)
		}
		a.trials = append(a.trials, t)
	}
	return a
}

// trial returns the trial of an address, or nil.
func (a *answer) trial(addr netip.Addr) *trial {
	if a == nil || a.trials == nil {
		return nil
	}
	if i := slices.Index(a.addrs, addr); i >= 0 {
		return a.trials[i]
	}
	return nil
}

const (
	// firstPause is how long an address that failed is tried after the others. The pause doubles with each further failure, up
	// to maxPause.
	firstPause = time.Second
	maxPause   = 10 * time.Second
)

// trial records how recent connections to an address went. While the address is suspect, all connections try it last, except that one
// connection tests it whenever its pause is over.
type trial struct {
	until atomic.Int64 // when the pause is over, in ns on the clock of Name.due; 0 if not suspect
	pause atomic.Int64 // the current or last pause, in ns
}

// begin reports whether the caller must test a suspect address. It also begins the next pause, in case the test fails.
func (t *trial) begin(now int64) bool {
	until := t.until.Load()
	if now < until {
		return false
	}
	pause := min(2*t.pause.Load(), int64(maxPause))
	if !t.until.CompareAndSwap(until, now+pause) {
		return false
	}
	t.pause.Store(pause)
	return true
}

// failed records a failure. Failures within a pause are ignored: the connection began earlier, or it is the test.
func (t *trial) failed(now int64) {
	until := t.until.Load()
	if now < until {
		return
	}
	if until == 0 {
		t.pause.Store(int64(firstPause))
	}
	t.until.CompareAndSwap(until, now+t.pause.Load())
}

// Turn appends to list the currently known addresses, in the order in which a connection should try them; it appends nothing if
// none are known yet. Addresses take turns at being first. Those that have failed recently come last, except that
// one connection gets such an address first when it is time to test it. Turn does not block, and does not
// allocate if list has room. It starts lookups as Addrs does.
func (n *Name) Turn(list []netip.Addr) []netip.Addr {
	n.use()
	a := n.answer.Load()
	switch {
	case a == nil:
		return list
	case a.trials == nil:
		return append(list, a.addrs...)
	}
	begin, now := len(list), n.now()
	list = append(list, a.addrs...) // only to make room, which is filled from both ends
	good, bad, test := begin, len(list), -1
	for i, addr := range a.addrs {
		switch t := a.trials[i]; {
		case t.until.Load() == 0:
			list[good] = addr
			good++
		case test < 0 && t.begin(now):
			test = i
		default:
			bad--
			list[bad] = addr
		}
	}
	turn := int(n.turn.Add(1) - 1)
	rotate(list[begin:good], turn)
	rotate(list[bad:], turn)
	if test >= 0 { // one place is free between good and bad
		copy(list[begin+1:good+1], list[begin:good])
		list[begin] = a.addrs[test]
	}
	return list
}

// rotate rotates list to the left by k places.
func rotate(list []netip.Addr, k int) {
	if len(list) < 2 {
		return
	}
	k %= len(list)
	slices.Reverse(list[:k])
	slices.Reverse(list[k:])
	slices.Reverse(list)
}

// Failed records that a connection to one of the name's addresses could not be made.
func (n *Name) Failed(addr netip.Addr) {
	if t := n.answer.Load().trial(addr); t != nil {
		t.failed(n.now())
	}
}

// Worked records that a connection to one of the name's addresses was made.
func (n *Name) Worked(addr netip.Addr) {
	if t := n.answer.Load().trial(addr); t != nil && t.until.Load() != 0 {
		t.until.Store(0)
	}
}
