package balance_test

import (
	"strings"
	"testing"

	"kroxy-ev/balance"
)

func TestByName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 253)
	names := []string{"a.example", "B.Example", "a.example", "c.example.", "10.0.0.1", "::1", long}
	for _, c := range []struct {
		key      string
		excluded []int
		want     int
	}{
		{"a.example", nil, 0},
		{"a.example", []int{0}, 2},
		{"a.example", []int{0, 2}, -1},
		{"A.EXAMPLE", nil, 0},
		{"b.example", nil, 1},
		{"b.example.", nil, 1},
		{"b.example..", nil, -1},
		{"c.example", nil, 3},
		{"c.example.", nil, 3},
		{"10.0.0.1", nil, 4},
		{"::1", nil, 5},
		{long, nil, 6},
		{long + ".", nil, 6},
		{long + "a", nil, -1},
		{long + strings.Repeat("a", 1000), nil, -1},
		{"", nil, -1},
		{".", nil, -1},
		{"example", nil, -1},
		{"x.a.example", nil, -1},
	} {
		for algorithm, key := range map[string]balance.Key{"host": balance.KeyHost, "sni": balance.KeyServerName} {
			g := named(t, algorithm, 1, names...)
			if !g.ByName() || g.Key() != key {
				t.Errorf("%s does not choose by its name, but by %d", algorithm, g.Key())
			}
			got := -1
			if lease, ok := g.Acquire(0, []byte(c.key), tried(c.excluded...), 0); ok {
				got = lease.Host()
			}
			if got != c.want {
				t.Errorf("%s: %q without %v: host %d, want %d", algorithm, c.key, c.excluded, got, c.want)
			}
		}
	}
	for _, c := range []struct {
		key      string
		excluded []int
		want     int
	}{
		{"a.example", nil, 1},
		{"A.example.", nil, 1},
		{"a.example", []int{1}, -1}, // the others do not serve it
		{"b.example", nil, 0},
		{"b.example", []int{0}, 3},
		{"b.example", []int{0, 3}, -1},
		{"", nil, 0},
		{"*", nil, 0},
		{long + "a", nil, 0},
		{long + strings.Repeat("a", 1000), []int{0}, 3},
		{"10.0.0.1", nil, 2},
	} {
		b, err := balance.New("sni", plain("*", "a.example", "10.0.0.1", "*"))
		if err != nil {
			t.Fatal(err)
		}
		g := balance.NewGroup(4, b, balance.NewCounters(1, 4))
		got := -1
		if lease, ok := g.Acquire(0, []byte(c.key), tried(c.excluded...), 0); ok {
			got = lease.Host()
		}
		if got != c.want {
			t.Errorf("%q without %v, with others: host %d, want %d", c.key, c.excluded, got, c.want)
		}
	}
	for _, algorithm := range []string{"round_robin", "first", "least_conn"} {
		if g := group(t, algorithm, 1, 1); g.ByName() || g.Key() != balance.KeyNone {
			t.Errorf("%s chooses by name %d", algorithm, g.Key())
		}
	}
}
