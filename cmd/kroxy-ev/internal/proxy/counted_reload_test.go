package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/metrics"
)

// Connections, tunnels, sessions and waiting requests are decremented where they were incremented, even if other configurations come into force
// meanwhile: names that are removed end at zero, as they began. No request is counted twice or missed.
func TestCountedOverReloads(t *testing.T) {
	t.Parallel()
	main := startHost(t, false)
	echo := enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo)
	var c *counted
	file := func(name, more string) func(dir string, ports []uint16) string {
		return func(dir string, ports []uint16) string {
			return fmt.Sprintf(`{
				"format_log": "json",
				"servers": {
					"main%[1]s":  {"hosts": [{"host": "127.0.0.1", "port": %[2]d}], "upstream_keepalive": 8},
					"full%[1]s":  {"hosts": [{"host": "127.0.0.1", "port": %[2]d, "max_conns": 1}], "queue": {"size": 100, "timeout": "60s"}},
					"echo%[1]s":  {"hosts": [{"host": "127.0.0.1", "port": %[3]d}]}
				},
				"http": [{"name": "web%[1]s", "file_log": %[4]q, "listen": [{"address": "127.0.0.1", "port": %[5]d}], "routes": [
					{"name": "full", "match": {"path_prefix": "/full"}, "proxy_to": "full%[1]s"},
					{"name": "%[1]s", "match": {"path_prefix": "/main"}, "proxy_to": "main%[1]s"}%[7]s]}],
				"stream": [{"name": "stream%[1]s", "file_log": %[4]q, "listen": [{"address": "127.0.0.1", "port": %[6]d}], "proxy_to": "echo%[1]s"}]
			}`, name, main.at.Port(), echo.Port(), dir+"/all.log", ports[0], ports[1], more)
		}
	}
	c = serveCounted(t, 2, file("a", ""))
	const web, stream, clients = 0, 1, 20
	active := func(server string) int64 {
		return c.table.Server(c.places[metrics.Series{Kind: metrics.KindServer, Server: server}]).Active.Value()
	}
	await := func(what string, cond func() bool) {
		t.Helper()
		for until := time.Now().Add(enginetest.Patience); !cond(); time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s: it did not come to that", what)
			}
		}
	}

	// Idle clients, tunnels and sessions of "a", which stay until the end.
	var stay []*net.TCPConn
	for range clients {
		idle, tunnel, session := c.dial(web), c.dial(web), c.dial(stream)
		_, _ = io.WriteString(idle, get("/main"))
		if r, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil || r.StatusCode != 200 {
			t.Fatal(err)
		}
		_, _ = io.WriteString(tunnel, get("/main/upgrade", "Connection: Upgrade\r\nUpgrade: echo\r\n"))
		if r, err := http.ReadResponse(bufio.NewReader(tunnel), nil); err != nil || r.StatusCode != 101 {
			t.Fatal(err)
		}
		_, _ = session.Write([]byte("x"))
		_, _ = io.ReadFull(session, make([]byte, 1))
		stay = append(stay, idle, tunnel, session)
	}
	if n := active("weba"); n != 2*clients {
		t.Errorf("%d connections are active, want %d", n, 2*clients)
	}
	// One request occupies the only slot of a host, and others wait for it.
	first := c.dial(web)
	_, _ = io.WriteString(first, get("/full/hold"))
	<-main.held
	stay = append(stay, first)
	for range clients {
		waits := c.dial(web)
		_, _ = io.WriteString(waits, get("/full"))
		stay = append(stay, waits)
	}
	group := func(name string) *metrics.Group {
		return c.table.Group(c.places[metrics.Series{Kind: metrics.KindGroup, Group: name}])
	}
	await("they wait", func() bool { return group("fulla").Queued.Value() == clients })

	// Traffic during reloads that change names and change them back, including the name of a listener.
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c.ask(web, get("/main"), get("/main/404"), get("/nowhere"), get("/main/chunked"))
				conn := c.dial(stream)
				c.echoes(conn, conn, 1000)
				_ = conn.Close()
			}
		})
	}
	for i := range 10 {
		name := string(rune('a' + (i+1)%3))
		more := ""
		if i%2 == 0 {
			more = `, {"name": "more", "match": {"path_prefix": "/more"}, "respond": {"status": 204}}`
		}
		c.reload(file(name, more)(c.dir, c.ports))
		c.asks(web, []int{200, 404}, get("/main"), get("/nowhere"))
		conn := c.dial(stream)
		c.echoes(conn, conn, 1000)
		_ = conn.Close()
	}
	close(stop)
	running.Wait()
	if n := active("weba"); n < 2*clients+1 {
		t.Errorf("%d connections are active where they began, want %d at least", n, 2*clients+1)
	}
	_ = stay[len(stay)-1].Close() // one of the waiting clients leaves
	enginetest.Reset(first)       // a client that only ends its sending direction still wants its answer
	for _, conn := range stay {
		_ = conn.Close()
	}
	all := c.agree()
	seen := make(map[string]int)
	for _, l := range all {
		seen[l.Server]++
	}
	for _, name := range []string{"a", "b", "c"} {
		if seen["web"+name] == 0 || seen["stream"+name] == 0 {
			t.Errorf("no traffic went by %q: %v", name, seen)
		}
	}
	if waited := group("fulla").Waited.Value(); waited != clients {
		t.Errorf("%d have waited, want %d", waited, clients)
	}
}
