package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/metrics"
)

// The metrics of each server, route and group agree with the access log, and the metrics of a host with what that host has done, whatever happens
// to a request: routed or not, answered by a host, by the proxy or not at all, tried twice, aborted, or upgraded.
func TestCountedAsLogged(t *testing.T) {
	t.Parallel()
	main, second, broken := startHost(t, false), startHost(t, false), startHost(t, true)
	refusing := enginetest.Refusing(t, enginetest.Loopback)
	echo := enginetest.Accepting(t, enginetest.Loopback, enginetest.Echo)
	resets := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1))
		enginetest.Reset(c)
	})
	const web, impatient, slow, one, stream, broke, dead = 0, 1, 2, 3, 4, 5, 6
	silent := enginetest.Accepting(t, enginetest.Loopback, enginetest.Hold)
	c := serveCounted(t, 7, func(dir string, ports []uint16) string {
		return fmt.Sprintf(`{
			"format_log": "json",
			"servers": {
				"main":    {"hosts": [{"host": "127.0.0.1", "port": %d}], "retry": {"attempts": 0, "on": ["connect"]}},
				"twice":   {"balancing_algo": "first", "hosts": [{"host": "127.0.0.1", "port": %d}, {"host": "127.0.0.1", "port": %d}],
				            "retry": {"attempts": 1, "on": ["reset", "503"], "budget": 100}},
				"silent":  {"hosts": [{"host": "127.0.0.1", "port": %d}]},
				"refused": {"hosts": [{"host": "127.0.0.1", "port": %d}]},
				"echo":    {"hosts": [{"host": "127.0.0.1", "port": %d}]},
				"resets":  {"hosts": [{"host": "127.0.0.1", "port": %d}]}
			},
			"http": [
				{"name": "web", "file_log": %q, "listen": [{"address": "127.0.0.1", "port": %d}], "routes": [
					{"name": "main", "match": {"path_prefix": "/main"}, "proxy_to": "main"},
					{"name": "small", "match": {"path_prefix": "/small"}, "max_body_size": 10, "proxy_to": "main"},
					{"name": "retried", "match": {"path_prefix": "/retried"}, "proxy_to": "twice"},
					{"name": "refused", "match": {"path_prefix": "/refused"}, "proxy_to": "refused"},
					{"name": "redirect", "match": {"path_prefix": "/redirect"}, "redirect": {"to": "https://$host/"}},
					{"match": {"path_prefix": "/respond"}, "respond": {"status": 200, "body": "hi"}}
				]},
				{"name": "impatient", "file_log": %q, "listen": [{"address": "127.0.0.1", "port": %d}], "client_header_timeout": "0.1s", "proxy_to": "main"},
				{"name": "slow", "file_log": %q, "listen": [{"address": "127.0.0.1", "port": %d}], "proxy_read_timeout": "0.1s", "proxy_to": "silent"},
				{"name": "one", "file_log": %q, "listen": [{"address": "127.0.0.1", "port": %d}], "proxy_to": "main"}
			],
			"stream": [
				{"name": "stream", "file_log": %q, "listen": [{"address": "127.0.0.1", "port": %d}], "proxy_to": "echo"},
				{"name": "broken", "file_log": %q, "listen": [{"address": "127.0.0.1", "port": %d}], "proxy_to": "resets"},
				{"name": "dead", "file_log": %q, "listen": [{"address": "127.0.0.1", "port": %d}], "proxy_to": "refused"}
			]}`,
			main.at.Port(), broken.at.Port(), second.at.Port(), silent.Port(), refusing.Port(), echo.Port(), resets.Port(),
			dir+"/web.log", ports[web], dir+"/web.log", ports[impatient], dir+"/one.log", ports[slow], dir+"/one.log", ports[one], dir+"/stream.log", ports[stream], dir+"/stream.log", ports[broke], dir+"/stream.log", ports[dead])
	})
	const times = 4
	var leaving sync.Mutex // one client at a time leaves, when its own request is being held
	upgrade := "Connection: Upgrade\r\nUpgrade: echo\r\n"
	body := "Content-Length: 5\r\n"
	cases := []func(){
		func() {
			c.asks(web, []int{200, 404, 500, 302, 200, 200}, get("/main/200"), get("/main/404"), get("/main/500"), get("/main/302"), get("/main/chunked"), get("/main"))
		},
		func() {
			c.asks(web, []int{404, 308, 200, 404}, get("/nowhere"), get("/redirect"), get("/respond"), get("/"))
		},
		func() { c.asks(web, []int{200}, get("/main/late")) },
		func() { c.asks(web, []int{400}, "GET / HTTP/1.1\r\n\r\n") },
		func() { c.asks(web, []int{505}, "GET / HTTP/9.9\r\nHost: a\r\n\r\n") },
		func() { c.asks(one, []int{400}, "what?\r\n\r\n") },
		func() { c.asks(one, []int{200, 200}, "POST / HTTP/1.1\r\nHost: a\r\n"+body+"\r\nabcde", get("/")) },
		func() {
			c.asks(web, []int{413}, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nabcdeabcdea")
		},
		func() {
			c.asks(web, []int{413}, "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nabcdeabcdea\r\n0\r\n\r\n")
		},
		func() {
			c.asks(web, []int{502, 200}, "POST /main/drop HTTP/1.1\r\nHost: a\r\n"+body+"\r\nabcde", get("/main"))
		},
		func() { c.asks(web, []int{502, 502}, get("/main/bad"), get("/main/bad")) },
		func() { c.asks(web, []int{502, 502}, get("/refused"), get("/refused")) },
		func() {
			c.asks(web, []int{200, 200, 502}, get("/retried"), get("/retried"), "POST /retried HTTP/1.1\r\nHost: a\r\n"+body+"\r\nabcde")
		},
		func() { c.asks(web, []int{503}, get("/retried/503")) },
		func() { c.asks(slow, []int{504}, get("/")) },
		func() { c.ask(impatient, "GET / HTTP") }, // 408, or nothing if the machine is so busy that nothing has arrived in time
		func() { // a response that is cut short
			conn := c.dial(web)
			_, _ = io.WriteString(conn, get("/main/cut"))
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		},
		func() { // a client that leaves
			leaving.Lock()
			defer leaving.Unlock()
			conn := c.dial(web)
			_, _ = io.WriteString(conn, get("/main/hold"))
			<-main.held
			enginetest.Reset(conn)
			_ = conn.Close()
		},
		func() { // two requests at once
			conn := c.dial(web)
			_, _ = io.WriteString(conn, get("/main")+get("/redirect")+get("/main/404", "Connection: close\r\n"))
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		},
		func() { // nobody gets a response
			conn := c.dial(impatient)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		},
		func() { // half of a request's head
			conn := c.dial(web)
			_, _ = io.WriteString(conn, "GET /main HTTP/1.1\r\n")
			_ = conn.CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		},
		func() { // a tunnel
			conn := c.dial(web)
			in := bufio.NewReader(conn)
			_, _ = io.WriteString(conn, get("/main/upgrade", upgrade))
			if r, err := http.ReadResponse(in, nil); err != nil || r.StatusCode != 101 {
				t.Errorf("no upgrade: %v", err)
			}
			c.echoes(conn, in, 100_000)
			_ = conn.Close()
		},
		func() { // a session
			conn := c.dial(stream)
			c.echoes(conn, conn, 300_000)
			_ = conn.Close()
		},
		func() { // a session that its client cuts short
			conn := c.dial(stream)
			_, _ = conn.Write([]byte("x"))
			_, _ = io.ReadFull(conn, make([]byte, 1))
			enginetest.Reset(conn)
			_ = conn.Close()
		},
		func() { // sessions that their hosts cut short
			for _, server := range []int{broke, dead} {
				conn := c.dial(server)
				_, _ = conn.Write([]byte("x"))
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}
		},
	}
	var running sync.WaitGroup
	for range times {
		for _, do := range cases {
			running.Go(do)
		}
	}
	running.Wait()
	all := slices.DeleteFunc(c.agree(), func(l line) bool { return l.Server == "impatient" })
	if want := times * (6 + 4 + 1 + 1 + 1 + 1 + 2 + 1 + 1 + 2 + 2 + 2 + 3 + 1 + 1 + 1 + 1 + 3 + 1 + 1 + 1 + 1 + 2); len(all) != want {
		t.Errorf("%d lines, want %d", len(all), want)
	}
	c.expect("main", main, map[string]uint64{"reset": 2 * times, "bad_response": 2 * times})
	c.expect("twice", broken, map[string]uint64{"reset": 4 * times})
	c.expect("twice", second, map[string]uint64{})
	host := func(group string, port uint16) *metrics.Host {
		return c.table.Host(c.places[metrics.Series{Kind: metrics.KindHost, Group: group, Host: fmt.Sprintf("127.0.0.1:%d", port)}])
	}
	c.faults("refused", host("refused", refusing.Port()), map[string]uint64{"connect": 3 * times})
	c.faults("silent", host("silent", silent.Port()), map[string]uint64{"timeout": times})
	c.faults("resets", host("resets", resets.Port()), map[string]uint64{"reset": times})
	if m := host("echo", echo.Port()); m.Requests[0].Value() != 2*times || m.Opened.Value() != 2*times || m.Bytes.Up() != times*300_001 || m.Bytes.Down() != times*300_001 {
		t.Errorf("the host of sessions had %d, %d connections, %d and %d bytes", m.Requests[0].Value(), m.Opened.Value(), m.Bytes.Up(), m.Bytes.Down())
	}
	// A quantile is accurate to 9 percent.
	slowest := func(h *metrics.Histogram) time.Duration { return h.Quantile(1 - 1/float64(2*h.Count())) }
	if d := slowest(&c.table.Route(c.places[metrics.Series{Kind: metrics.KindRoute, Server: "web", Route: "main"}]).Duration); d < lateness*9/10 {
		t.Errorf("the slowest request took %v, want %v at least", d, lateness)
	}
	if d := slowest(&host("main", main.at.Port()).FirstByte); d < lateness*9/10 {
		t.Errorf("the slowest answer came after %v, want %v at least", d, lateness)
	}
	retried := c.table.Route(c.places[metrics.Series{Kind: metrics.KindRoute, Server: "web", Route: "retried"}]).Retries.Value()
	if n := c.table.Group(c.places[metrics.Series{Kind: metrics.KindGroup, Group: "twice"}]).Retries.Value(); n != retried || n != 3*times {
		t.Errorf("%d and %d retries, want %d", n, retried, 3*times)
	}
}

// echoes sends n bytes and receives them back, and closes the connection properly.
func (c *counted) echoes(conn *net.TCPConn, in io.Reader, n int) {
	go func() {
		_, _ = io.Copy(enginetest.OnlyWriter{Writer: conn}, io.LimitReader(strings.NewReader(strings.Repeat("x", n)), int64(n)))
		_ = conn.CloseWrite()
	}()
	if got, err := io.Copy(io.Discard, in); err != nil || got != int64(n) {
		c.t.Errorf("%d of %d bytes came back: %v", got, n, err)
	}
}
