package resolve

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// answer is what a lookup found. It is immutable, but for the trials.
type answer struct {
	addrs  []netip.Addr
	trials []*trial // by address; none if there is one address only
}

// newAnswer makes the answer of addresses that differ from those of old, nil for none. What is known of an address that stays
// is kept.
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

// trial is the trial of an address, or nil.
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
	// firstPause is for how long an address that failed is tried after the others. It doubles with each further failure, up
	// to maxPause.
	firstPause = time.Second
	maxPause   = 10 * time.Second
)

// trial is how connections to an address went of late. While it is suspected, one connection at a time puts it to the test, when
// its pause is over; all others try it last.
type trial struct {
	until atomic.Int64 // when the pause is over, on the clock of Name.due; 0: it is not suspected
	pause atomic.Int64 // the present one, or the last
}

// begin reports whether the caller is the one to put a suspected address to the test. If that fails the next pause has begun.
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

// failed notes a failure. Within a pause it is old news: the connection was begun before, or is the test.
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

// Turn appends to list the addresses that are known now, in the order in which a connection is to try them, and returns it; it
// is list if there are none yet. Each address is the first in turn. Those that have failed lately are the last, but when
// it is time to see whether one is well again, one connection has it first. Turn does not block, and does not
// allocate if list has room; it starts lookups as Addrs does.
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
	list = append(list, a.addrs...) // the room, to be filled from both ends
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
	if test >= 0 { // there is one place between good and bad
		copy(list[begin+1:good+1], list[begin:good])
		list[begin] = a.addrs[test]
	}
	return list
}

// rotate moves each address k places to the front, and those there to the end.
func rotate(list []netip.Addr, k int) {
	if len(list) < 2 {
		return
	}
	k %= len(list)
	slices.Reverse(list[:k])
	slices.Reverse(list[k:])
	slices.Reverse(list)
}

// Failed says that a connection to one of the name's addresses could not be made.
func (n *Name) Failed(addr netip.Addr) {
	if t := n.answer.Load().trial(addr); t != nil {
		t.failed(n.now())
	}
}

// Worked says that a connection to one of the name's addresses was made.
func (n *Name) Worked(addr netip.Addr) {
	if t := n.answer.Load().trial(addr); t != nil && t.until.Load() != 0 {
		t.until.Store(0)
	}
}
