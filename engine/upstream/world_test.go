package upstream_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/upstream"
)

// world is a loop, a connector and a resolver that follows a script.
type world struct {
	t    *testing.T
	loop *enginetest.Loop
	*upstream.Connector
	resolver *resolve.Resolver
	settings resolve.Settings
	reports  chan error // what the resolver reports, after it has told the waiters

	mu      sync.Mutex
	answers map[string]chan answer
	failing map[string]error
}

type answer struct {
	addrs []netip.Addr
	err   error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t:       t,
		loop:    enginetest.Start(t, engine.Options{}),
		answers: make(map[string]chan answer),
		reports: make(chan error, 10),
	}
	w.resolver = resolve.New(resolve.Options{
		Lookup: w.lookup,
		Retry:  time.Nanosecond,
		Report: func(_ string, err error) { w.reports <- err },
	})
	t.Cleanup(w.resolver.Close)
	w.Connector = upstream.NewConnector(w.loop.Loop, 1, nil, nil, slog.New(slog.DiscardHandler))
	return w
}

func (w *world) answer(name string) chan answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answers[name] == nil {
		w.answers[name] = make(chan answer, 10)
	}
	return w.answers[name]
}

// lookup waits for the script's next answer.
func (w *world) lookup(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	answers := w.answer(name)
	w.mu.Lock()
	err, fails := w.failing[name]
	w.mu.Unlock()
	if fails && len(answers) == 0 {
		return nil, 0, err
	}
	select {
	case a := <-answers:
		return a.addrs, resolve.UnknownTTL, a.err
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// knows sets addresses that the resolver knows for a name from the start.
func (w *world) knows(name string, addrs ...string) {
	w.t.Helper()
	w.answer(name) <- found(addrs...)
	told := make(chan struct{})
	w.resolver.Name(name).Wait(func([]netip.Addr, error) { close(told) })
	<-told
}

// changes makes the next use of a known name look it up again, with these addresses as the result.
func (w *world) changes(name string, addrs ...string) {
	w.answer(name) <- found(addrs...)
	w.settings.MaxTTL += time.Minute // with new settings all answers expire
	w.resolver.Follow(w.settings)
}

// fails makes lookups of a name fail if there is no other answer.
func (w *world) fails(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing == nil {
		w.failing = make(map[string]error)
	}
	w.failing[name] = err
}

func found(addrs ...string) (a answer) {
	for _, s := range addrs {
		a.addrs = append(a.addrs, netip.MustParseAddr(s))
	}
	return a
}

// group makes a group of hosts, each an "address:port", a "name:port" or a "unix:path", which are tried in this order.
func (w *world) group(hosts ...any) *upstream.Group {
	w.t.Helper()
	b, err := balance.New("first", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	g := &upstream.Group{
		Name:           "app",
		Balance:        balance.NewGroup(len(hosts), b, balance.NewCounters(2, max(len(hosts), 1))),
		ConnectTimeout: enginetest.Patience,
		ResolveTimeout: enginetest.Patience,
	}
	for _, h := range hosts {
		if path, ok := strings.CutPrefix(fmt.Sprint(h), "unix:"); ok {
			g.Hosts = append(g.Hosts, upstream.NewUnixHost(path))
			continue
		}
		host, port, err := net.SplitHostPort(fmt.Sprint(h))
		if err != nil {
			w.t.Fatal(err)
		}
		n, err := net.LookupPort("tcp", port)
		if err != nil {
			w.t.Fatal(err)
		}
		g.Hosts = append(g.Hosts, upstream.NewHost(w.resolver, host, uint16(n)))
	}
	return g
}

// client is an owner of an attempt.
type client struct {
	*enginetest.Probe
	w       *world
	g       *upstream.Group
	conn    engine.Conn
	lease   balance.Lease
	trace   upstream.Trace
	attempt *upstream.Attempt
	outcome []error // one entry per call of Connected
}

func (*client) Ends() (client, local netip.AddrPort) {
	return netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
}

func (c *client) Connected(err error) {
	c.outcome = append(c.outcome, err)
	if err == nil && (!c.conn.Open() || !c.lease.Held()) {
		c.w.t.Errorf("connected, but open %v, lease held %v", c.conn.Open(), c.lease.Held())
	}
	if err != nil && (c.conn.Open() || c.lease.Held()) {
		c.w.t.Errorf("failed, but open %v, lease held %v", c.conn.Open(), c.lease.Held())
	}
	c.Note()
}

func (w *world) client(g *upstream.Group) *client {
	c := &client{Probe: w.loop.Probe(), w: w, g: g}
	w.t.Cleanup(func() { w.loop.Do(c.conn.Close) })
	return c
}

// begin begins an attempt; call it on the loop.
func (c *client) begin() {
	before := len(c.outcome)
	c.attempt = c.w.Connect(c.g, &c.conn, &c.lease, &c.trace, nil, false, c)
	if told := len(c.outcome) > before; told != (c.attempt == nil) {
		c.w.t.Errorf("told at once: %v, but an attempt: %v", told, c.attempt != nil)
	}
}

// connect makes an attempt and returns its outcome.
func (w *world) connect(g *upstream.Group) (*client, error) {
	w.t.Helper()
	c := w.client(g)
	w.loop.Do(c.begin)
	c.Await(w.t, "the outcome", func() bool { return len(c.outcome) > 0 })
	return c, c.result()
}

func (c *client) result() (err error) {
	c.w.t.Helper()
	c.w.loop.Do(func() {
		if len(c.outcome) != 1 {
			c.w.t.Errorf("Connected was called %d times", len(c.outcome))
			return
		}
		err = c.outcome[0]
	})
	return err
}

// expect checks the counts of the group's hosts: active and failed leases.
func expect(t *testing.T, g *upstream.Group, what string, active, failed []int64) {
	t.Helper()
	var a, f []int64
	for i := range g.Hosts {
		a, f = append(a, g.Balance.Hosts().Active(i)), append(f, g.Balance.Hosts().Failed(i))
		if n := g.Balance.Hosts().Served(i); n != 0 {
			t.Errorf("host %d served %d, though no owner said so", i, n)
		}
	}
	if !slices.Equal(a, active) || !slices.Equal(f, failed) {
		t.Errorf("%s: active %v, failed %v, want %v, %v", what, a, f, active, failed)
	}
}

// expectIdle checks that an attempt left nothing behind.
func (c *client) expectIdle() {
	c.w.t.Helper()
	c.w.loop.Do(func() {
		if c.conn.Open() || c.lease.Held() {
			c.w.t.Errorf("open %v, lease held %v", c.conn.Open(), c.lease.Held())
		}
		for i := range c.g.Hosts {
			if n := c.g.Balance.Hosts().Active(i); n != 0 {
				c.w.t.Errorf("host %d has %d leases", i, n)
			}
		}
	})
}

// hello starts a host that greets with its name.
func hello(t *testing.T, at, name string) netip.AddrPort {
	t.Helper()
	return enginetest.Accepting(t, at, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, name)
		enginetest.Hold(c)
	})
}

// greeting reads the host's greeting, which also shows that the owner gets the events.
func (c *client) greeting(want string) {
	c.w.t.Helper()
	if got := c.said(len(want)); got != want {
		c.w.t.Errorf("reached %q, want %q", got, want)
	}
}

// said reads at least n bytes that the host sends.
func (c *client) said(n int) string {
	c.w.t.Helper()
	var got []byte
	read := func(conn *engine.Conn) {
		for conn.Readable() {
			n, err := conn.Read(c.w.loop.Scratch())
			got = append(got, c.w.loop.Scratch()[:n]...)
			if err != nil {
				return
			}
		}
	}
	c.w.loop.Do(func() {
		c.OnReady = read
		read(&c.conn)
	})
	c.Await(c.w.t, "a greeting", func() bool { return len(got) >= n })
	return string(got)
}

// named returns a host with that name on the port of at.
func named(name string, at netip.AddrPort) string { return fmt.Sprintf("%s:%d", name, at.Port()) }

// onPort returns a function that returns "host:port".
func onPort(port uint16) func(host string) string {
	return func(host string) string { return fmt.Sprintf("%s:%d", host, port) }
}

// full is like group, with maxConns clients per host and a queue with that size and timeout.
func (w *world) full(maxConns, size int, timeout time.Duration, hosts ...any) *upstream.Group {
	w.t.Helper()
	g := w.group(hosts...)
	w.counted(g, balance.Options{Algorithm: "first", Hosts: make([]balance.Spec, len(hosts)), Queue: size}, func(s *balance.Spec) { s.MaxConns = maxConns })
	g.Queue = upstream.Queue{Size: size, Timeout: timeout}
	return g
}

// counted makes the hosts of g be counted and chosen as o says; set modifies the Spec of each host.
func (w *world) counted(g *upstream.Group, o balance.Options, set func(*balance.Spec)) {
	w.t.Helper()
	ids := make([]int, len(o.Hosts))
	for i := range o.Hosts {
		ids[i], o.Hosts[i].Weight = i, 1
		if set != nil {
			set(&o.Hosts[i])
		}
	}
	var err error
	if g.Balance, err = balance.NewGroupOf(ids, o, balance.NewCounters(2, len(ids))); err != nil {
		w.t.Fatal(err)
	}
}
