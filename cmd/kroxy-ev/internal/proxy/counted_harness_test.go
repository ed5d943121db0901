package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/logformat"
)

// counted is a proxy with two reactors that counts in a table owned by the test, and logs as JSON.
type counted struct {
	*Proxy
	t        *testing.T
	registry *balance.Registry
	table    *metrics.Table
	rows     []int
	dir      string
	ports    []uint16                         // of the servers in its first configuration
	places   map[metrics.Series]metrics.Place // of all series that it has had
	closed   bool
}

const reactors = 2

// serveCounted serves the configuration that file returns for a directory for access logs and a number of ports, which the kernel has chosen.
func serveCounted(t *testing.T, ports int, file func(dir string, ports []uint16) string) *counted {
	t.Helper()
	table, err := metrics.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	c := &counted{t: t, table: table, rows: []int{0, 1}, dir: t.TempDir(), places: make(map[metrics.Series]metrics.Place)}
	opened := make(Sockets)
	byPort := make(map[uint16][]int)
	for range ports {
		at := netip.MustParseAddrPort(enginetest.Loopback)
		for range reactors {
			fd, err := engine.Listen(at)
			if err != nil {
				t.Fatal(err)
			}
			at = enginetest.LocalAddr(t, fd)
			byPort[at.Port()] = append(byPort[at.Port()], fd)
		}
		c.ports = append(c.ports, at.Port())
	}
	counters := balance.NewCounters(reactors, 100)
	c.registry = balance.NewRegistry(counters)
	cfg := c.read(file(c.dir, c.ports))
	for _, l := range Listeners(cfg) {
		opened[l.Key()] = byPort[l.Port]
	}
	o := Options{Counters: counters, Rows: c.rows, Resources: c.resources(cfg)}
	for _, n := range c.rows {
		row, err := table.Row(n)
		if err != nil {
			t.Fatal(err)
		}
		o.Metrics = append(o.Metrics, row)
	}
	if c.Proxy, err = New(cfg, opened, o, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.Start()
	return c
}

// read parses a configuration.
func (c *counted) read(file string) *config.Config {
	c.t.Helper()
	path := filepath.Join(c.dir, "kroxy.json")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		c.t.Fatal(err)
	}
	cfg, _, err := ReadConfig(path)
	if err != nil {
		c.t.Fatal(err)
	}
	return cfg
}

// resources assigns ids and places to cfg, and puts them into force.
func (c *counted) resources(cfg *config.Config) Resources {
	c.t.Helper()
	ids, err := c.registry.Assign(HostKeys(cfg))
	if err != nil {
		c.t.Fatal(err)
	}
	c.registry.Commit()
	series := SeriesOf(cfg)
	places, _ := c.table.Assign(series)
	c.table.Commit()
	for i, s := range series {
		if at, ok := c.places[s]; ok && at != places[i] {
			c.t.Errorf("%v has moved from %d to %d", s, at, places[i])
		}
		c.places[s] = places[i]
	}
	return Resources{IDs: ids, Places: places, Secret: NewSecret()}
}

// reload makes the proxy switch to another configuration with the same ports.
func (c *counted) reload(file string) {
	c.t.Helper()
	cfg := c.read(file)
	s, err := c.Prepare(cfg, c.resources(cfg))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.Commit(s, nil); err != nil {
		c.t.Fatal(err)
	}
}

// log returns the path of the access log of that name.
func (c *counted) log(name string) string { return filepath.Join(c.dir, name+".log") }

// close stops the proxy once no client is connected any more.
func (c *counted) close() {
	if c.closed {
		return
	}
	c.closed = true
	for until := time.Now().Add(enginetest.Patience); c.Active() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			c.t.Errorf("%d clients stay", c.Active())
			c.Abort()
			break
		}
	}
	c.Close()
}

// tally is the sum of lines of the access log.
type tally struct {
	classes  [7]uint64
	ends     map[string]uint64
	up, down uint64
}

func (a *tally) add(l *line) {
	a.classes[metrics.Class(l.Status)]++
	if l.End != "complete" {
		if a.ends == nil {
			a.ends = make(map[string]uint64)
		}
		a.ends[l.End]++
	}
	a.up += l.Up
	a.down += l.Down
}

// line contains the fields of a log line that the comparison needs.
type line struct {
	Server, Route, Group string
	Status               int
	Protocol             string
	End                  string `json:"end_reason"`
	Up                   uint64 `json:"bytes_sent_upstream"`
	Down                 uint64 `json:"bytes_sent_downstream"`
}

// lines returns the lines of all access logs.
func (c *counted) lines() (all []line) {
	c.t.Helper()
	names, err := filepath.Glob(c.log("*"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			c.t.Fatal(err)
		}
		for b := range bytes.Lines(text) {
			var l line
			if err := json.Unmarshal(b, &l); err != nil {
				c.t.Fatalf("%v in %s", err, b)
			}
			all = append(all, l)
		}
	}
	return all
}

// agree stops the proxy, and compares all counters with the access log.
func (c *counted) agree() (all []line) {
	c.t.Helper()
	c.close()
	all = c.lines()
	want := make(map[metrics.Series]*tally)
	of := func(s metrics.Series) *tally {
		if want[s] == nil {
			want[s] = new(tally)
		}
		return want[s]
	}
	for i := range all {
		l := &all[i]
		of(metrics.Series{Kind: metrics.KindServer, Server: l.Server}).add(l)
		if l.Route != "" {
			of(metrics.Series{Kind: metrics.KindRoute, Server: l.Server, Route: l.Route}).add(l)
		}
		if l.Group != "" {
			of(metrics.Series{Kind: metrics.KindGroup, Group: l.Group}).add(l)
		}
	}
	for s := range want {
		if _, ok := c.places[s]; !ok {
			c.t.Errorf("the access log has %v, which is not measured", s)
		}
	}
	var lines uint64
	for _, n := range c.rows {
		lines += c.table.Process(n).Lines.Value()
	}
	if lines != uint64(len(all)) {
		c.t.Errorf("%d lines are counted, and %d are there", lines, len(all))
	}
	for s, p := range c.places {
		c.compare(s, p, of(s))
	}
	return all
}

// compare compares the counters of a series with the sum of its lines in the log.
func (c *counted) compare(s metrics.Series, p metrics.Place, want *tally) {
	c.t.Helper()
	var got tally
	count := func(r *metrics.Classes, e *metrics.Ends, b *metrics.Bytes) {
		for i := range r {
			got.classes[i] = r[i].Value()
		}
		got.ends = ends(e)
		got.up, got.down = b.Up(), b.Down()
	}
	switch s.Kind {
	case metrics.KindServer:
		m := c.table.Server(p)
		count(&m.Requests, &m.Failures, &m.Bytes)
		if n := m.Active.Value(); n != 0 {
			c.t.Errorf("%v: %d connections are said to be active", s, n)
		}
	case metrics.KindRoute:
		m := c.table.Route(p)
		count(&m.Requests, &m.Failures, &m.Bytes)
		if n := m.Duration.Count(); n != m.Requests.Total() {
			c.t.Errorf("%v: %d durations of %d requests", s, n, m.Requests.Total())
		}
	case metrics.KindGroup:
		m := c.table.Group(p)
		count(&m.Requests, &m.Failures, &m.Bytes)
		if n := m.Queued.Value(); n != 0 {
			c.t.Errorf("%v: %d are said to wait", s, n)
		}
	default:
		if n := c.table.Host(p).Open.Value(); n != 0 {
			c.t.Errorf("%v: %d connections are said to be open", s, n)
		}
		return
	}
	if got.classes != want.classes || !maps.Equal(got.ends, want.ends) || got.up != want.up || got.down != want.down {
		c.t.Errorf("%v: counted %+v, in the access log %+v", s, got, *want)
	}
}

// ends returns the failures that were counted.
func ends(e *metrics.Ends) map[string]uint64 {
	var m map[string]uint64
	for end := range e {
		if n := e[end].Value(); n > 0 {
			if m == nil {
				m = make(map[string]uint64)
			}
			m[logformat.End(end).String()] = n
		}
	}
	return m
}

// lateness is the delay of a late answer.
const lateness = 30 * time.Millisecond

// host is an HTTP host that behaves as the last segment of the path says, and records what it has answered.
type host struct {
	at   netip.AddrPort
	held chan struct{} // signals that a request is being held

	mu      sync.Mutex
	answers [7]uint64 // by class; the first is of requests that got no status
}

// startHost starts a host; a broken one closes each connection after its first request.
func startHost(t *testing.T, broken bool) *host {
	t.Helper()
	h := &host{held: make(chan struct{})}
	h.at = enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if broken {
				h.answered(0)
				return
			}
			if !h.serve(c, in, r.URL.Path) {
				return
			}
		}
	})
	return h
}

func (h *host) answered(status int) {
	h.mu.Lock()
	h.answers[metrics.Class(status)]++
	h.mu.Unlock()
}

// serve answers one request, and reports whether the connection stays open.
func (h *host) serve(c *net.TCPConn, in io.Reader, path string) bool {
	what := path[strings.LastIndexByte(path, '/')+1:]
	switch what {
	case "late":
		time.Sleep(lateness)
	case "cut":
		h.answered(200)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
		return false
	case "bad":
		h.answered(0)
		_, _ = io.WriteString(c, "what?\r\n\r\n")
		return false
	case "drop":
		h.answered(0)
		return false
	case "hold":
		h.answered(0)
		h.held <- struct{}{}
		_, _ = io.Copy(io.Discard, in)
		return false
	case "upgrade":
		h.answered(101)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(enginetest.OnlyWriter{Writer: c}, in)
		return false
	case "chunked":
		h.answered(200)
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
		return err == nil
	}
	status, err := strconv.Atoi(what)
	if err != nil {
		status = 200
	}
	h.answered(status)
	_, err = fmt.Fprintf(c, "HTTP/1.1 %d Text\r\nContent-Length: 5\r\n\r\nhello", status)
	return err == nil
}

// series returns the series of h in a group.
func (h *host) series(group string) metrics.Series {
	return metrics.Series{Kind: metrics.KindHost, Group: group, Host: h.at.String()}
}

// expect compares the counters of h with what it has answered.
func (c *counted) expect(group string, h *host, failures map[string]uint64) {
	c.t.Helper()
	m := c.table.Host(c.places[h.series(group)])
	var got [7]uint64
	for i := range m.Requests {
		got[i] = m.Requests[i].Value()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if got != h.answers {
		c.t.Errorf("%s has answered %v by class, and %v are counted", group, h.answers, got)
	}
	answered := m.Requests.Total() - got[0]
	if n := m.FirstByte.Count(); n != answered {
		c.t.Errorf("%s: %d times to the first byte of %d responses", group, n, answered)
	}
	if o, n := m.Opened.Value(), m.Connect.Count(); o != n || o == 0 && m.Requests.Total() > 0 {
		c.t.Errorf("%s: %d connections were made, of which %d took some time", group, o, n)
	}
	c.faults(group, m, failures)
}

// faults compares the failures of a host with the expected ones.
func (c *counted) faults(group string, m *metrics.Host, want map[string]uint64) {
	c.t.Helper()
	got := make(map[string]uint64)
	for f := range metrics.Fault(len(m.Failures)) {
		if n := m.Failures[f].Value(); n > 0 {
			got[f.String()] = n
		}
	}
	if !maps.Equal(got, want) {
		c.t.Errorf("the host of %s has failures %v, want %v", group, got, want)
	}
}

// dial connects to the server with that index.
func (c *counted) dial(server int) *net.TCPConn {
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), c.ports[server])))
	if err != nil {
		c.t.Error(err)
		return nil
	}
	_ = conn.SetDeadline(time.Now().Add(enginetest.Patience))
	return conn
}

// ask sends requests on one connection, each after the status of the previous one has arrived; the last one may remain without a complete answer.
func (c *counted) ask(server int, requests ...string) (statuses []int) {
	conn := c.dial(server)
	if conn == nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for _, request := range requests {
		if _, err := io.WriteString(conn, request); err != nil {
			return statuses
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			return append(statuses, 0)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		statuses = append(statuses, r.StatusCode)
	}
	return statuses
}

// get returns a GET request.
func get(path string, more ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + strings.Join(more, "") + "\r\n"
}

// asks is ask that fails the test unless it returns these statuses.
func (c *counted) asks(server int, want []int, requests ...string) {
	c.t.Helper()
	if got := c.ask(server, requests...); !slices.Equal(got, want) {
		c.t.Errorf("%.60q was answered %v, want %v", requests, got, want)
	}
}
