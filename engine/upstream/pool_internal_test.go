package upstream

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/tlsconn"
)

// keeper returns a connector on a loop that does not run. Its connections have no sockets.
func keeper(t *testing.T, idle, share int, groups ...*Group) *Connector {
	t.Helper()
	loop, err := engine.NewLoop(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := NewConnector(loop, 0, nil, nil, slog.New(slog.DiscardHandler))
	k.Swap(NewGroups(groups, idle, share))
	t.Cleanup(func() {
		k.Close()
		loop.Close()
	})
	return k
}

// groupOf returns a group that keeps that many idle connections for each host.
func groupOf(name string, keepalive int, labels ...string) *Group {
	b, err := balance.New("first", make([]balance.Spec, len(labels)))
	if err != nil {
		panic(err) // the algorithm exists
	}
	g := &Group{Name: name, Keepalive: keepalive, Balance: balance.NewGroup(len(labels), b, balance.NewCounters(1, len(labels)))}
	for _, label := range labels {
		g.Hosts = append(g.Hosts, Host{Label: label})
	}
	return g
}

// made makes a connection to a host, in use.
func (p *pool) made(index int) *Conn {
	c := p.fresh()
	c.index = index
	p.begin(c)
	return c
}

// expect checks the number of idle connections.
func (p *pool) expect(t *testing.T, want int) {
	t.Helper()
	n := 0
	for i, list := range p.idle {
		n += len(list)
		for _, c := range list {
			if c.pool != p || c.index != i || !c.idle || !c.Used || c.busy {
				t.Errorf("an idle connection to host %d: %+v", i, c)
			}
		}
	}
	if n != want || p.kept != want {
		t.Errorf("%d connections are idle and %d counted, want %d", n, p.kept, want)
	}
}

// However many idle connections each host may have, a loop keeps no more than its own bound over all groups.
func TestIdleConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	one, two := groupOf("one", 2, "a", "b", "c"), groupOf("two", 2, "a")
	k := keeper(t, 3, 0, one, two)
	p, q := k.pool(one), k.pool(two)
	for i, want := range []int{1, 2, 2, 3, 3} {
		p.put(p.made(i / 3))
		p.expect(t, want)
	}
	q.put(q.made(0))
	q.expect(t, 0)
	taken := p.take(1)
	q.put(q.made(0))
	q.expect(t, 1)
	p.put(taken)
	p.expect(t, 2)
	q.drop(q.idle[0][0])
	p.put(p.made(2))
	p.expect(t, 3)
	if k.Idle() != 3 {
		t.Errorf("%d connections are idle, want 3", k.Idle())
	}
}

// With "auto", idle connections may use descriptors that are set aside for connections in use; surplus ones are closed slowly.
func TestIdleConnectionsAuto(t *testing.T) {
	t.Parallel()
	g, other := groupOf("app", KeepaliveAuto, "a", "b"), groupOf("other", KeepaliveAuto, "a")
	k := keeper(t, 2, 10, g, other)
	p, q := k.pool(g), k.pool(other)
	use := func(n, index int) (busy []*Conn) {
		for range n {
			c := p.take(index)
			if c == nil {
				c = p.made(index)
			}
			busy = append(busy, c)
		}
		return busy
	}
	put := func(busy []*Conn, want int) {
		t.Helper()
		for _, c := range busy {
			p.put(c)
		}
		p.expect(t, want)
	}
	busy := use(9, 0)
	put(busy[:5], 5) // 4 in use
	put(busy[5:], 9)
	busy = use(4, 1)
	put(nil, 9)
	put(busy, 10) // in total
	busy = use(9, 0)
	put(busy[:8], 9) // of 10; one is in use
	for range 2 {    // the peak of the last two periods stays
		p.Expired(nil)
		put(nil, 9)
	}
	p.Expired(nil)
	put(nil, 4) // half of 8, and one of 1
	var used []*Conn
	for range 6 {
		used = append(used, q.made(0))
	}
	q.put(used[0]) // of 11, over both groups
	q.expect(t, 0)
	q.put(used[1])
	q.expect(t, 1)
	for _, c := range used[2:] {
		q.discard(c)
	}
	p.discard(busy[8])
	if k.busy != 0 || p.demand[0].busy != 0 || q.demand[0].busy != 0 {
		t.Errorf("%d connections count as in use, %d and %d of the first hosts", k.busy, p.demand[0].busy, q.demand[0].busy)
	}
	others := 5
	k.Others(func() int { return others })
	put([]*Conn{p.made(0)}, 4) // of 10; 5 are in use elsewhere, and one is idle there
	others = 4
	put([]*Conn{p.made(0)}, 5)
	if !k.giveUp() || k.giveUp() || k.Idle() != 0 {
		t.Error("giving up does not say whether there was something")
	}
}

// A new configuration takes over the idle connections to hosts that it also has, in a group of the same name.
func TestSwapMovesIdleConnections(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		to    *Group
		index int
		want  int
	}{
		"same":               {groupOf("app", 9, "a"), 0, 2},
		"another index":      {groupOf("app", 9, "b", "a"), 1, 2},
		"fewer":              {groupOf("app", 1, "a"), 0, 1},
		"none":               {groupOf("app", 0, "a"), 0, 0},
		"without the host":   {groupOf("app", 9, "b"), 0, 0},
		"of another name":    {groupOf("other", 9, "a"), 0, 0},
		"TLS":                {&Group{Name: "app", Keepalive: 9, Hosts: []Host{{Label: "a", TLS: &tlsconn.Client{}}}}, 0, 0},
		"demand":             {groupOf("app", KeepaliveAuto, "a"), 0, 2},
		"more than the loop": {groupOf("app", 9, "a", "a"), 1, 2},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			from, stays := groupOf("app", KeepaliveAuto, "a"), groupOf("stays", 9, "a")
			k := keeper(t, 3, 100, from, stays)
			p, q := k.pool(from), k.pool(stays)
			busy := p.made(0)
			p.made(0).keep(time.Minute)
			p.made(0).keep(time.Minute)
			q.made(0).keep(0)
			until := p.idle[0][0].until
			k.Swap(NewGroups([]*Group{c.to, stays}, 3, 100))
			p.expect(t, 0)
			to := k.pool(c.to)
			to.expect(t, c.want)
			if to.kept > 0 && (len(to.idle[c.index]) != c.want || to.idle[c.index][0].until != until || until == 0) {
				t.Errorf("moved: %+v, want those that are kept until %d at %d", to.idle, until, c.index)
			}
			if k.pool(stays) != q || k.Idle() != c.want+1 {
				t.Errorf("%d connections are idle; the pool of a group that stays is another: %v", k.Idle(), k.pool(stays) != q)
			}
			q.expect(t, 1)
			p.put(busy)
			p.expect(t, 0) // a connection in use does not return to a group that is gone
			late := k.pool(from)
			late.put(late.made(0))
			late.expect(t, 0)
			if len(k.pools) != 2 || k.busy != 0 {
				t.Errorf("%d pools are left, %d connections count as in use", len(k.pools), k.busy)
			}
		})
	}
}

// If several groups have the same name, each takes over the connections of the group in the same position.
func TestSwapKeepsGroupsOfOneNameApart(t *testing.T) {
	t.Parallel()
	var from, to []*Group
	for range 2 {
		from, to = append(from, groupOf("app", 9, "a")), append(to, groupOf("app", 9, "a"))
	}
	k := keeper(t, 9, 0, from...)
	for i, g := range from {
		for range i + 1 {
			p := k.pool(g)
			p.put(p.made(0))
		}
	}
	k.Swap(NewGroups(to, 9, 0))
	for i, g := range to {
		k.pool(g).expect(t, i+1)
	}
}

// The struct of a connection that was not made, or is closed, is reused.
func TestNoConnIsLost(t *testing.T) {
	t.Parallel()
	g := groupOf("app", 1, "a")
	k := keeper(t, 3, 0, g)
	p := k.pool(g)
	one, two := p.made(0), p.made(0)
	p.put(one)
	p.put(two)
	if p.fresh() != two {
		t.Error("a connection that was one too many is lost")
	}
	k.giveUp()
	if p.fresh() != one || one.Used {
		t.Error("a connection that was given up is lost, or counts as used")
	}
	b, err := balance.New("first", nil)
	if err != nil {
		t.Fatal(err)
	}
	g.Hosts[0], g.Balance = NewUnixHost(t.TempDir()), balance.NewGroup(1, b, balance.NewCounters(1, 1))
	var c Claim
	k.freeConns.Put(two)
	if k.Acquire(g, &c, nil, nobody{t}); c.Conn != nil || k.freeConns.Get() != two {
		t.Error("a connection that could not be made is lost")
	}
}

// nobody owns a claim that gets no outcome.
type nobody struct{ t *testing.T }

func (nobody) Ends() (client, local netip.AddrPort) { return netip.AddrPort{}, netip.AddrPort{} }

func (n nobody) Connected(err error) {
	if !errors.Is(err, unix.ECONNREFUSED) {
		n.t.Errorf("outcome: %v", err)
	}
}

func (nobody) Ready(*engine.Conn) {}

func (nobody) Expired(*engine.Timer) {}

// A draining host keeps no idle connections: it is about to go, and they would only be reset.
func TestDrainedHostsKeepNoConnections(t *testing.T) {
	t.Parallel()
	g := groupOf("app", 9, "stays", "goes")
	var err error
	g.Balance, err = balance.NewGroupOf([]int{0, 1}, balance.Options{
		Algorithm: "first", Hosts: []balance.Spec{{Weight: 1}, {Weight: 1, Drain: true}},
	}, balance.NewCounters(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	p := keeper(t, 10, 10, g).pool(g)
	p.made(0).keep(0)
	p.made(1).keep(0)
	if p.expect(t, 1); len(p.idle[1]) != 0 {
		t.Error("a connection to the drained host is kept")
	}
}
