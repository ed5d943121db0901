package upstream

import (
	"net/netip"
	"slices"
	"testing"
)

func TestMajority(t *testing.T) {
	t.Parallel()
	g := &Group{}
	client := netip.MustParseAddr("10.0.0.1")
	a, b, c := Waiting{g, 0, client}, Waiting{g, 1, client}, Waiting{g, 0, netip.MustParseAddr("10.0.0.2")}
	for _, tc := range []struct {
		list []Waiting
		most Waiting // checked only if there is a majority
		n    int
	}{
		{nil, Waiting{}, 0},
		{[]Waiting{a}, a, 1},
		{[]Waiting{a, b, a}, a, 2},
		{[]Waiting{b, a, a, c, a}, a, 3},
		{[]Waiting{a, a, b, b, b}, b, 3},
		{[]Waiting{a, c, b, c, c, b, c}, c, 4},
		{[]Waiting{a, b, c}, Waiting{}, 0},
		{[]Waiting{a, b, a, b}, Waiting{}, 0},
	} {
		most, n, total := majority(slices.Values(tc.list))
		if total != len(tc.list) {
			t.Errorf("%v: %d in all", tc.list, total)
		}
		if got := 2*n > total; got != (tc.n > 0) || got && (most != tc.most || n != tc.n) {
			t.Errorf("%v: %v, %d of %d; want %v, %d", tc.list, most, n, total, tc.most, tc.n)
		}
	}
}
