package resolve_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/engine/resolve"
)

// first counts which address each connection would try first, and checks that it would try every other address once.
func first(t *testing.T, n *resolve.Name, turns int) map[string]int {
	t.Helper()
	all := slices.SortedFunc(slices.Values(n.Addrs()), netip.Addr.Compare)
	count := make(map[string]int)
	var list []netip.Addr
	for range turns {
		list = n.Turn(list[:0])
		count[list[0].String()]++
		if sorted := slices.SortedFunc(slices.Values(list), netip.Addr.Compare); !slices.Equal(sorted, all) {
			t.Fatalf("a turn is %v, want each of %v once", list, all)
		}
	}
	return count
}

func TestEveryAddressHasItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		d.set("a", "10.0.0.1", "2001:db8::1", "10.0.0.3")
		r := resolve.New(resolve.Options{Lookup: d.lookup})
		defer r.Close()
		n := r.Name("a")
		if list := n.Turn(addrs("192.0.2.1")); len(list) != 1 {
			t.Errorf("a name that is not known yet has %v", list[1:])
		}
		synctest.Wait()
		for addr, count := range first(t, n, 300) {
			if count != 100 {
				t.Errorf("%s was the first %d times of 300", addr, count)
			}
		}
		if list := n.Turn(addrs("192.0.2.1")); len(list) != 4 || list[0] != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("appended: %v", list)
		}
		if list := r.Name("10.0.0.9").Turn(nil); !slices.Equal(list, addrs("10.0.0.9")) {
			t.Errorf("a literal: %v", list)
		}
	})
}

// An address that failed comes last for a while, which grows; then one connection tests it. The other addresses share its turns.
func TestFailedAddressIsTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		d.set("a", "10.0.0.1", "10.0.0.2", "10.0.0.3")
		r := resolve.New(resolve.Options{Lookup: d.lookup, Refresh: time.Hour})
		defer r.Close()
		n := r.Name("a")
		synctest.Wait()
		bad := netip.MustParseAddr("10.0.0.2")
		check := func(what string, tests int) {
			t.Helper()
			count := first(t, n, 200)
			if count["10.0.0.2"] != tests || count["10.0.0.1"]+tests < 99 || count["10.0.0.3"]+tests < 99 {
				t.Fatalf("%s: firsts %v", what, count)
			}
			list := n.Turn(nil)
			if list[2] != bad {
				t.Fatalf("%s: a turn is %v", what, list)
			}
		}
		n.Failed(bad)
		n.Failed(bad) // another connection, begun before the failure
		check("failed", 0)
		for _, pause := range []time.Duration{1, 2, 4, 8, 10, 10} {
			time.Sleep(pause*time.Second - 1)
			check("within the pause", 0)
			time.Sleep(time.Nanosecond)
			check("after the pause", 1)
			n.Failed(bad) // the connection that tested it
		}
		d.set("a", "10.0.0.9", "10.0.0.2", "10.0.0.3")
		time.Sleep(later(time.Hour))
		n.Addrs()
		synctest.Wait()
		if count := first(t, n, 200); count["10.0.0.2"] != 1 || count["10.0.0.9"] < 99 {
			t.Errorf("after another answer: firsts %v", count)
		}
		n.Worked(bad)
		n.Worked(netip.MustParseAddr("10.0.0.1")) // an address that is no longer known
		n.Failed(netip.MustParseAddr("10.0.0.1"))
		for addr, count := range first(t, n, 300) {
			if count != 100 {
				t.Errorf("all well: %s was the first %d times of 300", addr, count)
			}
		}
		for _, a := range n.Addrs() {
			n.Failed(a)
		}
		for addr, count := range first(t, n, 300) {
			if count != 100 {
				t.Errorf("none well: %s was the first %d times of 300", addr, count)
			}
		}
	})
}

func TestManyAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var many []netip.Addr
		for i := range 4000 {
			many = append(many, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		}
		r := resolve.New(resolve.Options{Lookup: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
			return many, 0, nil
		}})
		defer r.Close()
		n := r.Name("a")
		synctest.Wait()
		if count := first(t, n, 256); len(count) != 256 {
			t.Errorf("%d addresses are used, want 256", len(count))
		}
	})
}

func TestTurnDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := resolve.New(resolve.Options{Lookup: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
		return addrs("10.0.0.1", "10.0.0.2", "10.0.0.3"), resolve.UnknownTTL, nil
	}})
	defer r.Close()
	n := r.Name("a")
	got, _ := wait(n)
	<-got
	list := make([]netip.Addr, 0, 3)
	bad := netip.MustParseAddr("10.0.0.2")
	if a := testing.AllocsPerRun(1000, func() { list = n.Turn(list[:0]); n.Failed(bad); n.Worked(bad) }); a != 0 {
		t.Errorf("%v allocations", a)
	}
}
