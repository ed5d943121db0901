package balance_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/balance"
)

func assign(tb testing.TB, r *balance.Registry, keys ...string) []int {
	tb.Helper()
	ids, err := r.Assign(keys)
	if err != nil {
		tb.Fatal(err)
	}
	return ids
}

// groupOf makes a group whose hosts are counted under ids.
func groupOf(tb testing.TB, algorithm string, ids []int, c *balance.Counters) *balance.Group {
	tb.Helper()
	g, err := balance.NewGroupOf(ids, balance.Options{Algorithm: algorithm, Hosts: plain(make([]string, len(ids))...)}, c)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func acquire(tb testing.TB, g *balance.Group) *balance.Lease {
	tb.Helper()
	lease, ok := g.Acquire(0, nil, tried(), 0)
	if !ok {
		tb.Fatal("no host")
	}
	return &lease
}

func TestIDsStayWithTheirHosts(t *testing.T) {
	t.Parallel()
	r := balance.NewRegistry(balance.NewCounters(1, 10))
	for _, step := range []struct {
		keys string
		want []int
	}{
		{"a b c", []int{0, 1, 2}},
		{"a b c", []int{0, 1, 2}},
		{"c a", []int{2, 0}},
		{"c d a", []int{2, 3, 0}}, // b's id is not reused while there are others
		{"b", []int{1}},           // and b has it again when it comes back
		{"", []int{}},
		{"e d", []int{4, 3}},
	} {
		if got := assign(t, r, strings.Fields(step.keys)...); !slices.Equal(got, step.want) {
			t.Fatalf("%q: ids %v, want %v", step.keys, got, step.want)
		}
		r.Commit()
	}
	if _, err := r.Assign([]string{"x", "y", "x"}); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("one key twice: %v", err)
	}
}

func TestIDsAreReused(t *testing.T) {
	t.Parallel()
	c := balance.NewCounters(2, 3)
	r := balance.NewRegistry(c)
	old := groupOf(t, "first", assign(t, r, "a", "b", "c"), c)
	r.Commit()
	lease := acquire(t, old) // of a
	acquire(t, old).Release(balance.Outcome{Class: balance.Served}, 0)
	for _, o := range []balance.Class{balance.Served, balance.Failed} {
		for row := range 2 {
			l, _ := old.Acquire(row, nil, tried(0), 0)
			l.Release(balance.Outcome{Class: o}, 0)
		}
	}

	// Hosts that are in force are not reused, although the new configuration does not have them.
	if ids, err := r.Assign([]string{"x"}); err == nil {
		t.Fatalf("an id of the configuration in force was given away: %v", ids)
	}
	if got := assign(t, r, "c"); !slices.Equal(got, []int{2}) {
		t.Fatalf("after an error: ids %v", got)
	}
	r.Commit()

	// a is held, so only b is reusable. Its counts are forgotten.
	if _, err := r.Assign([]string{"c", "x", "y"}); err == nil || !strings.Contains(err.Error(), "3 are allowed") {
		t.Fatalf("a held id was given away, or the error does not say how many there may be: %v", err)
	}
	if got := countsOf(old, 1); got != (counts{served: 2, failed: 2}) {
		t.Errorf("after an error: b has %+v", got)
	}
	ids := assign(t, r, "c", "x")
	if !slices.Equal(ids, []int{2, 1}) {
		t.Fatalf("ids %v", ids)
	}
	r.Commit()
	g := groupOf(t, "first", ids, c)
	if got := countsOf(g, 1); got != (counts{}) {
		t.Errorf("a reused id begins with %+v", got)
	}
	// b is now like any new host.
	if ids, err := r.Assign([]string{"c", "x", "b"}); err == nil {
		t.Errorf("b has an id: %v", ids)
	}
	lease.Release(balance.Outcome{Class: balance.Served}, 0)
	if got := assign(t, r, "c", "x", "b"); !slices.Equal(got, []int{2, 1, 0}) {
		t.Errorf("after the last lease of a: ids %v", got)
	}
}

// Ids that were assigned and never came into force are reused first, and then those of the hosts removed longest ago.
func TestTheLongestRemovedIsReusedFirst(t *testing.T) {
	t.Parallel()
	r := balance.NewRegistry(balance.NewCounters(1, 4))
	for _, key := range []string{"c", "a", "b"} { // 0, 1, 2
		assign(t, r, key)
		r.Commit()
	}
	assign(t, r, "b", "aborted") // 3
	assign(t, r, "c")
	r.Commit() // b was removed last
	for i, want := range []int{3, 1, 2} {
		if got := assign(t, r, "c", fmt.Sprint("new", i)); got[1] != want {
			t.Fatalf("new host %d: id %d, want %d", i, got[1], want)
		}
		r.Commit()
	}
	if got := assign(t, r, "c", "new0"); got[1] != 3 {
		t.Errorf("a host that came back: id %d, want 3", got[1])
	}
}

// A lease of an earlier configuration is given back where it was counted, and counts while it is held.
func TestLeaseOutlivesItsConfiguration(t *testing.T) {
	t.Parallel()
	c := balance.NewCounters(1, 8)
	r := balance.NewRegistry(c)
	before := groupOf(t, "least_conn", assign(t, r, "a", "b"), c)
	r.Commit()
	first, second := acquire(t, before), acquire(t, before) // one per host
	third := acquire(t, before)
	held := third.Host() // the host with two leases

	// The same hosts at other places of the group, and one more.
	after := groupOf(t, "least_conn", assign(t, r, "new", "b", "a"), c)
	r.Commit()
	place := map[int]int{0: 2, 1: 1}
	for host, want := range []int64{0: 1, 1: 1} {
		if host == held {
			want++
		}
		if got := after.Hosts().Active(place[host]); got != want {
			t.Errorf("host %d: %d in the new group, want %d", host, got, want)
		}
	}
	if l := acquire(t, after); l.Host() != 0 {
		t.Errorf("host %d was chosen, and not the one that has nothing", l.Host())
	}
	for _, l := range []*balance.Lease{first, second, third} {
		l.Release(balance.Outcome{Class: balance.Served}, 0)
	}
	var active, served int64
	for i := range 3 {
		active += after.Hosts().Active(i)
		served += after.Hosts().Served(i)
	}
	if active != 1 || served != 3 {
		t.Errorf("in the new group %d are active and %d served, want 1 and 3", active, served)
	}
	if got := after.Hosts().Served(place[held]); got != 2 {
		t.Errorf("served of the host that had two: %d", got)
	}
}

// A later configuration's group continues the turn.
func TestTurnOutlivesItsConfiguration(t *testing.T) {
	t.Parallel()
	c := balance.NewCounters(1, 8)
	r := balance.NewRegistry(c)
	var got []int
	for range 4 {
		got = append(got, pick(t, groupOf(t, "round_robin", assign(t, r, "a", "b", "c"), c)))
		r.Commit()
	}
	if !slices.Equal(got, []int{0, 1, 2, 0}) {
		t.Errorf("picked %v", got)
	}
}

// Groups that are counted in one table do not take each other's turns.
func TestGroupsOfOneTableAreApart(t *testing.T) {
	t.Parallel()
	c := balance.NewCounters(1, 8)
	a, b := groupOf(t, "round_robin", []int{0, 1}, c), groupOf(t, "round_robin", []int{2, 3}, c)
	if got := []int{pick(t, a), pick(t, b), pick(t, a), pick(t, b)}; !slices.Equal(got, []int{0, 0, 1, 1}) {
		t.Errorf("picked %v", got)
	}
}

func TestGroupRefusesIDsOutsideTheCounters(t *testing.T) {
	t.Parallel()
	for _, ids := range [][]int{{-1}, {0, 2}} {
		o := balance.Options{Algorithm: "first", Hosts: plain(make([]string, len(ids))...)}
		if g, err := balance.NewGroupOf(ids, o, balance.NewCounters(1, 2)); err == nil {
			t.Errorf("ids %v: %v", ids, g)
		}
	}
}

func TestGroupWithoutHosts(t *testing.T) {
	t.Parallel()
	for _, algorithm := range algorithms() {
		if got := pick(t, group(t, algorithm, 0, 1)); got != -1 {
			t.Errorf("%s: host %d", algorithm, got)
		}
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	c := balance.NewCounters(1, 5)
	r := balance.NewRegistry(c)
	for _, keys := range []string{"a b", "b c", "b d"} {
		assign(t, r, strings.Fields(keys)...)
		r.Commit()
	}
	assign(t, r, "b", "pending")
	successor, err := balance.RestoreRegistry(c, r.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	// b and d are in force there too, and the order of reuse is kept: pending, a, c.
	for _, step := range []struct {
		keys string
		want []int
	}{
		{"d b", []int{3, 1}},
		{"b d x", []int{1, 3, 4}},
		{"b d x y", []int{1, 3, 4, 0}},
		{"b d x y z", []int{1, 3, 4, 0, 2}},
	} {
		if got := assign(t, successor, strings.Fields(step.keys)...); !slices.Equal(got, step.want) {
			t.Errorf("%q: ids %v, want %v", step.keys, got, step.want)
		}
	}
	if ids, err := successor.Assign([]string{"x", "y", "z", "v"}); err == nil {
		t.Errorf("a host in force was reused: %v", ids)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	const sound = `{"version":1,"commits":2,"hosts":[{"key":"a","id":0,"last":1},{"key":"b","id":1,"last":2}]}`
	if _, err := balance.RestoreRegistry(balance.NewCounters(1, 2), []byte(sound)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new string }{
		{sound, ""},
		{sound, "{"},
		{sound, "[]"},
		{`"version":1`, `"version":2`},
		{`"commits":2`, `"commits":1`},
		{`"key":"b"`, `"key":"a"`},
		{`"id":1`, `"id":0`},
		{`"id":1`, `"id":-1`},
		{`"id":1`, `"id":7`},
		{`"last":1`, `"last":-1`},
		{`{"key":"b","id":1,"last":2}`, `null`},
		{`}]`, `},{"key":"c","id":2,"last":1}]`},
	} {
		snapshot := strings.Replace(sound, c.old, c.new, 1)
		if r, err := balance.RestoreRegistry(balance.NewCounters(1, 2), []byte(snapshot)); err == nil || r != nil {
			t.Errorf("%s was restored", snapshot)
		}
	}
}

// Compared with a slow, obvious version: configurations come and go at random, some are not committed, leases are held across them, and now and
// then the
// registry is handed over.
func TestRegistryKeepsItsPromises(t *testing.T) {
	t.Parallel()
	const rows, room, names = 3, 12, 30
	c := balance.NewCounters(rows, room)
	r := balance.NewRegistry(c)
	type use struct {
		key   string
		lease balance.Lease
	}
	var (
		rng     = rand.New(rand.NewPCG(1, 2))
		inForce = map[string]int{}
		held    []use
		refused int
	)
	for step := range 5000 {
		var keys []string
		for _, i := range rng.Perm(names)[:rng.IntN(7)] {
			keys = append(keys, fmt.Sprint(i))
		}
		ids, err := r.Assign(keys)
		if err != nil {
			refused++
			all := map[string]bool{}
			for _, key := range keys {
				all[key] = true
			}
			for key := range inForce {
				all[key] = true
			}
			for _, u := range held {
				all[u.key] = true
			}
			if len(all) <= room {
				t.Fatalf("step %d: %v, but only %d hosts are in use", step, err, len(all))
			}
			// Otherwise no lease would ever be released.
			for i := range held {
				held[i].lease.Release(balance.Outcome{Class: balance.Unused}, 0)
			}
			held = nil
			continue
		}
		seen := map[int]string{}
		for i, key := range keys {
			if other, ok := seen[ids[i]]; ok {
				t.Fatalf("step %d: %s and %s have id %d", step, key, other, ids[i])
			}
			seen[ids[i]] = key
			if id, ok := inForce[key]; ok && id != ids[i] {
				t.Fatalf("step %d: %s had id %d and now has %d", step, key, id, ids[i])
			}
		}
		for key, id := range inForce {
			if other, ok := seen[id]; ok && other != key {
				t.Fatalf("step %d: %s got the id of %s, which is in force", step, other, key)
			}
		}
		if len(keys) == 0 || rng.IntN(4) == 0 {
			continue
		}
		r.Commit()
		inForce = map[string]int{}
		for i, key := range keys {
			inForce[key] = ids[i]
		}
		want := make([]int64, len(keys))
		for _, u := range held {
			if i := slices.Index(keys, u.key); i >= 0 {
				want[i]++
			}
		}
		g := groupOf(t, "round_robin", ids, c)
		for i, key := range keys {
			if got := g.Hosts().Active(i); got != want[i] {
				t.Fatalf("step %d: %s has %d leases, want %d", step, key, got, want[i])
			}
		}
		for range rng.IntN(3) {
			lease, _ := g.Acquire(rng.IntN(rows), nil, tried(), 0)
			held = append(held, use{keys[lease.Host()], lease})
		}
		for len(held) > 0 && rng.IntN(3) > 0 {
			i := rng.IntN(len(held))
			held[i].lease.Release(balance.Outcome{Class: balance.Class(rng.IntN(4))}, 0)
			held = slices.Delete(held, i, i+1)
		}
		if rng.IntN(20) == 0 {
			if r, err = balance.RestoreRegistry(c, r.Snapshot()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if refused == 0 || refused > 2500 {
		t.Errorf("%d of 5000 configurations were refused: the test does not try what it should", refused)
	}
}

// What can be restored is restored completely, and continues to assign ids that are in the counters.
func FuzzRestoreRegistry(f *testing.F) {
	f.Add([]byte(`{"version":1,"commits":2,"hosts":[{"key":"a","id":0,"last":1},{"key":"b","id":1,"last":2}]}`))
	f.Add([]byte(`{"version":1,"hosts":[null]}`))
	f.Add([]byte(`{"version":1,"commits":-1,"hosts":[{"key":"a","id":0,"last":-1}]}`))
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		const room = 3
		c := balance.NewCounters(1, room)
		r, err := balance.RestoreRegistry(c, snapshot)
		if err != nil {
			return
		}
		again, err := balance.RestoreRegistry(c, r.Snapshot())
		if err != nil || string(again.Snapshot()) != string(r.Snapshot()) {
			t.Fatalf("%s became %s, %v", snapshot, r.Snapshot(), err)
		}
		if ids, err := r.Assign([]string{"x", "y"}); err == nil && (ids[0] == ids[1] || max(ids[0], ids[1]) >= room || min(ids[0], ids[1]) < 0) {
			t.Errorf("%s assigns %v", snapshot, ids)
		}
		r.Commit()
	})
}
