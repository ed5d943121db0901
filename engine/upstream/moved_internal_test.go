package upstream

import (
	"net/netip"
	"testing"
)

// Connections to an address that disappears from the answers are kept for a few seconds, and for longer if the name rotates.
func TestHoldAddresses(t *testing.T) {
	t.Parallel()
	list := func(names ...string) (addrs []netip.Addr) {
		for _, n := range names {
			addrs = append(addrs, netip.MustParseAddr(n))
		}
		return addrs
	}
	one, two := list("10.0.0.1")[0], list("10.0.0.2")[0]
	now := int64(1_000_000)
	h := &hostAddrs{}
	expect := func(what string, a netip.Addr, want bool) {
		t.Helper()
		if got := h.holds(a, now); got != want {
			t.Errorf("%s: %v is held: %v", what, a, got)
		}
	}
	h.answered(list("10.0.0.1"), now)
	expect("never seen", two, false)
	now += 3_600_000
	h.answered(list("10.0.0.2"), now) // the first one was in all answers until now
	now += holdMoved - 1
	expect("left out", one, true)
	now++
	expect("moved", one, false)

	h.answered(list("10.0.0.1"), now)
	now += holdRotating - 1
	expect("rotates", two, true)
	now++
	expect("rotates, and is left out for too long", two, false)
	h.answered(list("10.0.0.3"), now)
	now += leftMemory // a rotation long ago does not count
	h.answered(list("10.0.0.4"), now)
	h.answered(list("10.0.0.1"), now)
	now += holdMoved
	expect("rotated long ago", netip.MustParseAddr("10.0.0.4"), false)

	for i := range 3 * mostLeft { // each answer with another address
		h.answered([]netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}, now)
	}
	if n := len(h.left); n != mostLeft {
		t.Errorf("%d addresses are remembered, want %d at most", n, mostLeft)
	}
}
