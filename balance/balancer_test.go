package balance_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"kroxy-ev/balance"
)

// group makes a group of n hosts with the named algorithm, and counters with this number of rows. The hosts have the empty name, which no
// key asks for, so that algorithms by name can offer all of them.
func group(tb testing.TB, algorithm string, n, rows int) *balance.Group {
	tb.Helper()
	return named(tb, algorithm, rows, make([]string, n)...)
}

// named makes a group of hosts with these names and the named algorithm, and counters with this number of rows.
func named(tb testing.TB, algorithm string, rows int, names ...string) *balance.Group {
	tb.Helper()
	return groupWith(tb, balance.NewCounters(rows, len(names)), balance.Options{Algorithm: algorithm, Hosts: plain(names...)})
}

// plain returns hosts that differ only in their names.
func plain(names ...string) []balance.Spec {
	specs := make([]balance.Spec, len(names))
	for i, name := range names {
		specs[i] = balance.Spec{ID: strconv.Itoa(i), Name: name, Weight: 1}
	}
	return specs
}

// groupWith makes a group whose hosts are the first hosts in c.
func groupWith(tb testing.TB, c *balance.Counters, o balance.Options) *balance.Group {
	tb.Helper()
	ids := make([]int, len(o.Hosts))
	for i := range ids {
		ids[i] = i
	}
	g, err := balance.NewGroupOf(ids, o, c)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// pick acquires a host that is not excluded and releases it at once.
func pick(tb testing.TB, g *balance.Group, excluded ...int) int {
	tb.Helper()
	lease, ok := g.Acquire(0, nil, tried(excluded...), 0)
	if !ok {
		return -1
	}
	defer lease.Release(balance.Outcome{Class: balance.Unused}, 0)
	return lease.Host()
}

func tried(hosts ...int) *balance.Tried {
	var t balance.Tried
	for _, i := range hosts {
		t.Add(i)
	}
	return &t
}

func TestOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		algorithm string
		hosts     int
		excluded  []int
		want      []int
	}{
		{"round_robin", 1, nil, []int{0, 0, 0}},
		{"round_robin", 3, nil, []int{0, 1, 2, 0, 1, 2, 0}},
		{"round_robin", 3, []int{0}, []int{1, 2, 1, 2, 1}},
		{"round_robin", 3, []int{1}, []int{0, 2, 0, 2, 0}},
		{"round_robin", 4, []int{0, 1, 2}, []int{3, 3, 3}},
		{"round_robin", 2, []int{0, 1}, []int{-1, -1}},
		{"first", 3, nil, []int{0, 0, 0}},
		{"first", 3, []int{0}, []int{1, 1}},
		{"first", 3, []int{0, 1}, []int{2, 2}},
		{"first", 3, []int{0, 1, 2}, []int{-1}},
		{"first", 70, []int{0, 1, 2}, []int{3}},
		{"least_conn", 1, nil, []int{0, 0}},
		{"least_conn", 3, nil, []int{0, 1, 2, 0, 1, 2}}, // all idle: ties are broken in turn
		{"least_conn", 3, []int{0, 2}, []int{1, 1, 1}},
		{"least_conn", 3, []int{0, 1, 2}, []int{-1}},
	} {
		t.Run(fmt.Sprint(c.algorithm, c.hosts, c.excluded), func(t *testing.T) {
			t.Parallel()
			g := group(t, c.algorithm, c.hosts, 1)
			var got []int
			for range c.want {
				got = append(got, pick(t, g, c.excluded...))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("picked %v, want %v", got, c.want)
			}
		})
	}
}

// What hosts that are down would have got is spread over the others, whether a connection knows that they are down or finds out itself and
// tries the next host.
func TestRoundRobinSpreadsWhatFailedHostsLeave(t *testing.T) {
	t.Parallel()
	const hosts, rounds = 5, 300
	for _, down := range [][]int{{0}, {2}, {4}, {0, 1}, {1, 3}} {
		g := group(t, "round_robin", hosts, 1)
		served := make([]int, hosts)
		for range rounds {
			var seen balance.Tried
			for {
				lease, ok := g.Acquire(0, nil, &seen, 0)
				if !ok {
					t.Fatalf("down %v: no host", down)
				}
				i := lease.Host()
				if !slices.Contains(down, i) {
					served[i]++
					lease.Release(balance.Outcome{Class: balance.Served}, 0)
					break
				}
				lease.Release(balance.Outcome{Class: balance.Failed}, 0)
			}
		}
		share := rounds / (hosts - len(down))
		for i, n := range served {
			if want := share; !slices.Contains(down, i) && (n < want-1 || n > want+1) {
				t.Errorf("down %v: served %v, want %d each", down, served, share)
				break
			}
		}
	}
}

func TestRoundRobinIsExactOverGoroutines(t *testing.T) {
	t.Parallel()
	const hosts, writers, each = 7, 8, 1000
	g := group(t, "round_robin", hosts, writers)
	var wg sync.WaitGroup
	for row := range writers {
		wg.Go(func() {
			for range each {
				var seen balance.Tried
				lease, ok := g.Acquire(row, nil, &seen, 0)
				if !ok {
					t.Error("no host")
					return
				}
				lease.Release(balance.Outcome{Class: balance.Served}, 0)
			}
		})
	}
	wg.Wait()
	for i := range hosts {
		n := g.Hosts().Served(i)
		if floor := int64(writers * each / hosts); n != floor && n != floor+1 {
			t.Errorf("host %d served %d, want %d or one more", i, n, floor)
		}
		if n := g.Hosts().Active(i); n != 0 {
			t.Errorf("host %d still has %d", i, n)
		}
	}
}

// A connection finds every host exactly once, whatever others do meanwhile.
func TestEveryHostIsFoundOnce(t *testing.T) {
	t.Parallel()
	const hosts, writers, rounds = 67, 8, 50
	for _, algorithm := range algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			g := group(t, algorithm, hosts, writers)
			var wg sync.WaitGroup
			for row := range writers {
				wg.Go(func() {
					for range rounds {
						var seen balance.Tried
						found := make(map[int]bool)
						for {
							lease, ok := g.Acquire(row, nil, &seen, 0)
							if !ok {
								break
							}
							if found[lease.Host()] {
								t.Errorf("host %d was offered twice", lease.Host())
							}
							found[lease.Host()] = true
							lease.Release(balance.Outcome{Class: balance.Failed}, 0)
						}
						if len(found) != hosts {
							t.Errorf("%d hosts were offered, want %d", len(found), hosts)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestLeastConnStaysWithinOne(t *testing.T) {
	t.Parallel()
	const hosts = 5
	g := group(t, "least_conn", hosts, 2)
	var held []*balance.Lease
	spread := func() int64 {
		var counts []int64
		for i := range hosts {
			counts = append(counts, g.Hosts().Active(i))
		}
		return slices.Max(counts) - slices.Min(counts)
	}
	for n := range 503 {
		lease, ok := g.Acquire(n%2, nil, tried(), 0)
		if !ok {
			t.Fatal("no host")
		}
		held = append(held, &lease)
		if s := spread(); s > 1 {
			t.Fatalf("after %d acquired: the counts differ by %d", n+1, s)
		}
	}
	// A host that loses all its connections is chosen until it has caught up.
	var kept []*balance.Lease
	freed := 0
	for _, lease := range held {
		if lease.Host() == 3 {
			lease.Release(balance.Outcome{Class: balance.Served}, 0)
			freed++
		} else {
			kept = append(kept, lease)
		}
	}
	for n := range freed - 1 {
		lease, _ := g.Acquire(0, nil, tried(), 0)
		if lease.Host() != 3 {
			t.Fatalf("pick %d of %d after host 3 was emptied: host %d", n, freed-1, lease.Host())
		}
		kept = append(kept, &lease)
	}
	// Replacing the oldest lease keeps the balance.
	for range 1000 {
		kept[0].Release(balance.Outcome{Class: balance.Served}, 0)
		lease, _ := g.Acquire(1, nil, tried(), 0)
		kept = append(kept[1:], &lease)
		if s := spread(); s > 2 {
			t.Fatalf("while replacing: the counts differ by %d", s)
		}
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	names := algorithms()
	if names[0] != "round_robin" {
		t.Errorf("the default is %q", names[0])
	}
	for _, name := range []string{"first", "hash", "host", "ip_hash", "least_conn", "least_time", "random_two", "round_robin", "sni"} {
		if !slices.Contains(names, name) {
			t.Errorf("%v lack %q", names, name)
		}
	}
	for _, a := range balance.Algorithms() {
		b, err := balance.New(a.Name, nil)
		if err != nil || b == nil {
			t.Errorf("New(%q): %v, %v", a.Name, b, err)
		}
		by := balance.KeyNone
		if k, ok := b.(balance.Keyed); ok {
			by = k.Key()
		}
		if by != a.Key {
			t.Errorf("%s chooses by key %d, and says %d", a.Name, by, a.Key)
		}
		if g := made(t, a.Name, 1, nil); g.Left(nil, tried()) != 0 {
			t.Errorf("%s has something left of no hosts", a.Name)
		} else if lease, ok := g.Acquire(0, []byte("x"), tried(), 0); ok {
			t.Errorf("%s has chosen host %d of none", a.Name, lease.Host())
		}
	}
	for _, name := range []string{"", "random", "Round_Robin"} {
		b, err := balance.New(name, nil)
		if err == nil || b != nil {
			t.Fatalf("New(%q): %v, %v, want an error", name, b, err)
		}
		for _, want := range append(names, fmt.Sprintf("%q", name)) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("New(%q): %q does not mention %s", name, err, want)
			}
		}
	}
}

// Groups do not take each other's turns.
func TestGroupsAreApart(t *testing.T) {
	t.Parallel()
	a, b := group(t, "round_robin", 2, 1), group(t, "round_robin", 2, 1)
	if got := []int{pick(t, a), pick(t, b), pick(t, a), pick(t, b)}; !slices.Equal(got, []int{0, 0, 1, 1}) {
		t.Errorf("picked %v", got)
	}
}

func TestAcquireAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, algorithm := range algorithms() {
		for _, hosts := range []int{1, 10, 200} {
			g := group(t, algorithm, hosts, 4)
			var seen balance.Tried
			seen.Add(hosts - 1) // the memory of the set is reused from here on
			n := testing.AllocsPerRun(100, func() {
				seen.Clear()
				lease, ok := g.Acquire(3, nil, &seen, 0)
				if !ok {
					t.Error("no host")
				}
				lease.Release(balance.Outcome{Class: balance.Served}, 0)
			})
			if n != 0 {
				t.Errorf("%s, %d hosts: %v allocations", algorithm, hosts, n)
			}
		}
	}
}

func BenchmarkAcquire(b *testing.B) {
	for _, algorithm := range algorithms() {
		for _, hosts := range []int{2, 10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", algorithm, hosts), func(b *testing.B) {
				g := group(b, algorithm, hosts, 2)
				var seen balance.Tried
				b.ReportAllocs()
				for b.Loop() {
					seen.Clear()
					lease, _ := g.Acquire(0, nil, &seen, 0)
					lease.Release(balance.Outcome{Class: balance.Served}, 0)
				}
			})
		}
	}
}

// The cost of a choice in the best case, and when every host has a lease, so that algorithms by load must compare.
func BenchmarkPick(b *testing.B) {
	for _, algorithm := range balance.Algorithms() {
		for _, hosts := range []int{2, 10, 1000} {
			for held, what := range []string{"idle", "busy"} {
				b.Run(fmt.Sprintf("%s/%d/%s", algorithm.Name, hosts, what), func(b *testing.B) {
					g := group(b, algorithm.Name, hosts, 2)
					for i := range hosts {
						for range held {
							answered(b, g, i)
							keep(b, g, i, 1)
						}
					}
					balancer, err := balance.New(algorithm.Name, plain(make([]string, hosts)...))
					if err != nil {
						b.Fatal(err)
					}
					var none balance.Tried
					var key []byte
					if !g.ByName() {
						key = []byte("192.0.2.123")
					}
					b.ReportAllocs()
					for b.Loop() {
						if balancer.Pick(g.Hosts(), key, &none) < 0 {
							b.Fatal("no host")
						}
					}
				})
			}
		}
	}
}
