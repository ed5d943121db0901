package metrics_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/shared"
)

func TestSeriesKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	r := row(t, table, 0)
	first := assign(t, table, server("a"), host("x"), server("a"))
	table.Commit()
	if first[0] == 0 || first[1] == 0 || first[0] == first[1] || first[0] != first[2] {
		t.Fatalf("places %v", first)
	}
	r.Host(first[1]).Opened.Add(5)
	// Another configuration, which fails; one without the host; and one that has it again.
	assign(t, table, host("y"))
	assign(t, table, server("a"))
	table.Commit()
	again := assign(t, table, host("y"), host("x"), server("a"))
	table.Commit()
	if again[1] != first[1] || again[2] != first[0] || slices.Contains(first, again[0]) {
		t.Errorf("places %v, then %v", first, again)
	}
	if n := table.Host(again[1]).Opened.Value(); n != 5 {
		t.Errorf("the host that came back has %d connections, want 5", n)
	}
	// A server and a host of the same name are different series, and so are routes of different servers.
	if p := assign(t, table, server("x"), host("x"), metrics.Series{Kind: metrics.KindRoute, Server: "a", Route: "r"}, metrics.Series{Kind: metrics.KindRoute, Server: "b", Route: "r"}); len(slices.Compact(slices.Sorted(slices.Values(p)))) != 4 {
		t.Errorf("places %v", p)
	}
}

// Hosts that come and go for years take no more room than the most recent ones.
func TestRemovedSeriesMakeRoom(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	r := row(t, table, 0)
	held := assign(t, table, host("held"))[0]
	r.Host(held).Open.Add(1)
	table.Commit()
	const remembered, each = 1000, 50
	hosts := func(generation int) (list []metrics.Series) {
		for i := range each {
			list = append(list, host(fmt.Sprint(generation, "-", i)))
		}
		return list
	}
	seen := map[metrics.Place]bool{}
	const generations = 2 * remembered / each
	for i := range generations {
		for _, p := range assign(t, table, hosts(i)...) {
			if p == held {
				t.Fatalf("generation %d got the place of a host that has a connection", i)
			}
			h := table.Host(p)
			if h.Opened.Value() != 0 || h.Connect.Count() != 0 {
				t.Fatalf("generation %d has what another has counted", i)
			}
			r.Host(p).Opened.Add(1)
			r.Host(p).Connect.Observe(1e6)
			seen[p] = true
		}
		table.Commit()
	}
	if len(seen) > remembered+2*each+1 {
		t.Errorf("%d places were used", len(seen))
	}
	// The last ones are remembered.
	if p := assign(t, table, hosts(generations-remembered/each)...)[0]; table.Host(p).Opened.Value() != 1 {
		t.Error("a host that was removed not long ago was forgotten")
	}
}

// Series for which there is no room are not measured, and nothing breaks; eventually removed hosts make room.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	r := row(t, table, 0)
	series := make([]metrics.Series, 20000)
	for i := range series {
		series[i] = host(fmt.Sprint(i))
	}
	places, unmeasured := table.Assign(series)
	table.Commit()
	if unmeasured == 0 || unmeasured > 6000 || places[0] == 0 || places[len(places)-1] != 0 {
		t.Fatalf("%d of %d have no place, the last has %d", unmeasured, len(series), places[len(places)-1])
	}
	last := places[len(series)-unmeasured-1]
	for _, p := range []metrics.Place{places[10], last, 0} {
		r.Host(p).FirstByte.Observe(1e12)
	}
	if n := table.Host(last).FirstByte.Count(); n != 1 {
		t.Errorf("the last that has a place has counted %d", n)
	}
	if n := table.Host(0).FirstByte.Count(); n != 0 {
		t.Errorf("%d were counted nowhere", n)
	}
	table.Assign(series[:10])
	table.Commit()
	if places, unmeasured := table.Assign(slices.Concat(series[:10], []metrics.Series{host("new")})); unmeasured != 0 || places[10] == 0 || table.Host(places[10]).FirstByte.Count() != 0 {
		t.Errorf("a new host got no place, or its place was not cleared: %v", places)
	}
}

// duplicates returns the descriptors as a successor gets them.
func duplicates(tb testing.TB, files []int) []int {
	tb.Helper()
	own := make([]int, len(files))
	for i, fd := range files {
		own[i] = dup(tb, fd)
	}
	return own
}

func TestSuccessorCountsOn(t *testing.T) {
	t.Parallel()
	before := newTable(t)
	places := assign(t, before, server("a"), host("x"))
	before.Commit()
	worker := mapped(t, row(t, before, 3))
	row(t, before, 1).Server(places[0]).Accepted.Add(1)
	before.Service().Reloads.Count(false)
	worker.Server(places[0]).Accepted.Add(1)

	state, files := before.Snapshot()
	after, err := metrics.RestoreTable(state, duplicates(t, files))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(after.Close)
	if again := assign(t, after, host("y"), host("x"), server("a")); again[1] != places[1] || again[2] != places[0] || slices.Contains(places, again[0]) {
		t.Errorf("places %v, then %v", places, again)
	}
	// The predecessor's workers continue in their rows, and the successor's workers in others.
	worker.Server(places[0]).Accepted.Add(1)
	row(t, after, 0).Server(places[0]).Accepted.Add(1)
	if n := after.Server(places[0]).Accepted.Value(); n != 4 {
		t.Errorf("%d accepted, want 4", n)
	}
	if rows := after.Rows(); !slices.Equal(rows, []int{0, 1, 3}) {
		t.Errorf("rows %v", rows)
	}
	if n := after.Service().Reloads.Failed(); n != 1 {
		t.Errorf("%d failed reloads", n)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	assign(t, table, server("a"), host("x"))
	table.Commit()
	row(t, table, 0)
	state, files := table.Snapshot()
	foreign := func() []int {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Ftruncate(fd, 1<<16); err != nil {
			t.Fatal(err)
		}
		return []int{fd, dup(t, files[1])}
	}
	altered := func(change func(s map[string]any)) []byte {
		var s map[string]any
		if err := json.Unmarshal(state, &s); err != nil {
			t.Fatal(err)
		}
		change(s)
		b, _ := json.Marshal(s)
		return b
	}
	series := func(s map[string]any, i int) map[string]any { return s["Series"].([]any)[i].(map[string]any) }
	all := func() []int { return duplicates(t, files) }
	for what, c := range map[string]struct {
		state []byte
		files []int
		says  string
	}{
		"no files":        {state, nil, "0 files"},
		"too few files":   {state, all()[:1], "1 files for 1 rows"},
		"another memory":  {state, foreign(), "magic number is 0x0"},
		"no JSON":         {[]byte("{"), all(), "restoring"},
		"an empty state":  {[]byte("{}"), all(), "2 files for 0 rows"},
		"one row twice":   {altered(func(s map[string]any) { s["Rows"] = []int{0, 0} }), append(all(), dup(t, files[1])), "comes twice"},
		"the next place":  {altered(func(s map[string]any) { s["Next"] = 1 << 30 }), all(), "next place"},
		"a place too far": {altered(func(s map[string]any) { series(s, 0)["Place"] = 1 << 30 }), all(), "not valid"},
		"one in the head": {altered(func(s map[string]any) { series(s, 0)["Place"] = 0 }), all(), "not valid"},
		"overlapping":     {altered(func(s map[string]any) { series(s, 0)["Place"] = series(s, 1)["Place"] }), all(), "not valid"},
		"one twice":       {altered(func(s map[string]any) { s["Series"] = append(s["Series"].([]any), series(s, 0)) }), all(), "not valid"},
		"no such kind":    {altered(func(s map[string]any) { series(s, 0)["Kind"] = 200 }), all(), "not valid"},
		"no series":       {altered(func(s map[string]any) { s["Series"] = []any{nil} }), all(), "not valid"},
	} {
		if r, err := metrics.RestoreTable(c.state, c.files); err == nil || !strings.Contains(err.Error(), c.says) || r != nil {
			t.Errorf("%s: %v, want %q", what, err, c.says)
		}
	}
	if _, err := metrics.RestoreTable(state, foreign()); !errors.Is(err, shared.ErrLayout) {
		t.Errorf("another memory: %v", err)
	}
	if r, err := metrics.RestoreTable(state, all()); err != nil { // the state itself is valid
		t.Error(err)
	} else {
		r.Close()
	}
}

// A row takes memory only for configured series, even if all of it is read: under 4 KiB for each host and route.
func TestMemory(t *testing.T) {
	t.Parallel()
	const hosts, routes = 1000, 5000
	table := newTable(t)
	var series []metrics.Series
	for i := range hosts {
		series = append(series, host(fmt.Sprint("host-", i)))
	}
	for i := range routes {
		series = append(series, metrics.Series{Kind: metrics.KindRoute, Server: "http", Route: fmt.Sprint("route-", i)})
	}
	places := assign(t, table, series...)
	r := row(t, table, 0)
	blocks := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(r.FD(), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if n, page := blocks(), int64(os.Getpagesize()); n > page {
		t.Errorf("a row in which nothing was counted takes %d bytes", n)
	}
	for i, p := range places {
		if i < hosts {
			h := r.Host(p)
			h.Requests.Count(200)
			h.Connect.Observe(2e5)
			h.FirstByte.Observe(3e6)
		} else {
			p := r.Route(p)
			p.Requests.Count(200)
			p.Duration.Observe(4e6)
		}
	}
	used := blocks()
	for i, p := range places {
		if i < hosts {
			table.Host(p)
		} else {
			table.Route(p)
		}
	}
	table.ClearGauges(0)
	if n := blocks(); n > used+used/8 {
		t.Errorf("reading made %d bytes of %d", n, used)
	}
	each := blocks() / (hosts + routes)
	t.Logf("%d bytes for each of %d hosts and %d routes", each, hosts, routes)
	if each >= 4096 {
		t.Errorf("each host and route takes %d bytes", each)
	}
}
