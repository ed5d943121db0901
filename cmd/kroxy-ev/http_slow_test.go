package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Thousands of clients that send a byte now and then harm nobody, cost little, and are timed out.
func TestHTTPSlowClients(t *testing.T) {
	skipUnderRace(t, "it is about memory, of which the race detector has its own")
	needFiles(t, 8192)
	const heads, bodies = 1000, 300
	timeout := 12 * time.Second // time for all to connect, a while more, and then as long as a loaded machine may stand still
	h := serve(t, "127.0.0.1", mirror)
	ms := timeout.Milliseconds()
	p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"client_header_timeout": ms, "client_body_timeout": ms / 2, "upstream_keepalive": 4}})
	c := p.client()
	other := func() {
		t.Helper()
		for range 50 {
			if res, body := p.get(c, "/"); res.StatusCode != 200 || body != "hello" {
				t.Fatalf("another client got status %d, body %q", res.StatusCode, body)
			}
			res, err := c.Post(p.url("/echo"), "", strings.NewReader("x"))
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("another client got %v, error %v", res, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
	other()
	before, memory := p.descriptors(), p.status("VmRSS")

	begin := time.Now()
	slowHeads, slowBodies := make([]*net.TCPConn, heads), make([]*net.TCPConn, bodies)
	for i := range slowHeads {
		slowHeads[i] = p.dial()
		send(t, slowHeads[i], "GET / HTTP/1.1\r\nX: ")
	}
	for i := range slowBodies {
		slowBodies[i] = p.dial()
		head := "POST /echo HTTP/1.1\r\nHost: p\r\nContent-Length: 100\r\n\r\n"
		if i%2 == 0 {
			head = "POST /echo HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n"
		}
		send(t, slowBodies[i], head)
	}
	p.awaitSockets(t, "all slow clients are connected", func(n int) bool { return n >= before["socket"]+heads+2*bodies-4*runtime.NumCPU() })
	if grown := p.status("VmRSS") - memory; grown > 16*(heads+bodies) {
		t.Errorf("%d slow clients cost %d KiB, want at most 16 each", heads+bodies, grown)
	}
	for round := 0; time.Since(begin) < timeout/3; round++ {
		for _, s := range slowHeads {
			send(t, s, "x")
		}
		for _, s := range slowBodies {
			send(t, s, "x")
		}
		other()
		if round > 90 {
			break
		}
		time.Sleep(timeout / 100)
	}
	if grown := p.status("VmRSS") - memory; grown > 16*(heads+bodies) {
		t.Errorf("%d slow clients cost %d KiB, want at most 16 each", heads+bodies, grown)
	}
	// Heads are timed as a whole, bodies from their last byte.
	for _, all := range [][]*net.TCPConn{slowHeads, slowBodies} {
		for i, s := range all {
			res, err := http.ReadResponse(bufio.NewReader(s), nil)
			if err != nil || res.StatusCode != 408 || !res.Close {
				t.Fatalf("slow client %d got %v, error %v; want 408", i, res, err)
			}
			_ = s.Close()
		}
	}
	notBefore(t, begin, timeout)
	other()
	c.CloseIdleConnections()
	p.awaitSockets(t, "the slow clients' sockets are closed", func(n int) bool { return n <= before["socket"]+4*runtime.NumCPU() })
	after := p.descriptors()
	if after["anon_inode"] != before["anon_inode"] || after["other"] != before["other"] {
		t.Errorf("descriptors %v, there were %v", after, before)
	}
}

// badHosts are answers of broken hosts, and what a client must get: a status, or 0 for a body that is truncated.
var badHosts = map[string]struct {
	script string
	status int
}{
	"garbage":                    {string(noise[:20_000]) + closes, 502},
	"garbage without end":        {strings.Repeat("garbage ", 20_000), 502},
	"half a head":                {okHead + closes, 502},
	"half a head, reset":         {okHead + resets, 502},
	"nothing":                    {closes, 502},
	"reset":                      {resets, 502},
	"too little":                 {okHead + "Content-Length: 100000\r\n\r\nhello" + closes, 0},
	"too little, reset":          {okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + resets, -1},
	"too few chunks":             {okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + closes, 0},
	"too much":                   {hello + strings.Repeat("more ", 50_000), 200},
	"two answers":                {hello + hello, 200},
	"early":                      {early + hello + closes, 200},
	"early, reset":               {early + hello + resets, -1},
	"interim responses for ever": {strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 1000), -1},
	"endless head":               {okHead + strings.Repeat("X: y\r\n", 20_000), 502},
	"unasked 101":                {"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 502},
	"silent":                     {halts, 504},
	"half an answer, silent":     {okHead + "Content-Length: 100000\r\n\r\nhello" + halts, 0},
	"good":                       {hello, 200},
}

// Broken hosts of all kinds, by the hundred: each client gets the result for its host's answer, and no connection is left behind.
func TestHTTPBadHosts(t *testing.T) {
	needFiles(t, 8192)
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			text, isEarly := strings.CutPrefix(badHosts[req.URL.Query().Get("kind")].script, early)
			if !isEarly {
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					return
				}
			}
			text, isClose := strings.CutSuffix(text, closes)
			text, isReset := strings.CutSuffix(text, resets)
			text, isHalt := strings.CutSuffix(text, halts)
			if write(c, text) != nil {
				return
			}
			switch {
			case isReset:
				reset(c)
				return
			case isClose:
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, in)
				return
			case isHalt:
				_, _ = io.Copy(io.Discard, in)
				return
			}
		}
	})
	p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"proxy_read_timeout": 8 * short, "upstream_keepalive": 0}})
	ask := func(kind, method string, size int) (int, error) {
		c, err := p.tryDial()
		if err != nil {
			return 0, err
		}
		defer c.Close()
		go func() {
			_ = write(c, fmt.Sprintf("%s /?kind=%s HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n\r\n%s", method, strings.ReplaceAll(kind, " ", "+"), size, bulk[:size]))
		}()
		in := bufio.NewReader(c)
		for {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				return 0, nil
			}
			if res.StatusCode == 103 {
				continue
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return 0, nil
			}
			if res.StatusCode == 200 && string(body) != "hello" {
				return 200, fmt.Errorf("got a body of %d bytes", len(body))
			}
			return res.StatusCode, nil
		}
	}
	if status, err := ask("good", "GET", 0); status != 200 || err != nil {
		t.Fatalf("got %d, error %v", status, err)
	}
	before := p.descriptors()
	for round := range 2 {
		var running sync.WaitGroup
		for kind, bad := range badHosts {
			if round > 0 && strings.Contains(kind, "silent") {
				continue // it takes long enough once
			}
			for i := range 20 {
				running.Go(func() {
					method, size := []string{"GET", "POST"}[i%2], []int{0, 5, 20_000, 200_000}[i%4]
					status, err := ask(kind, method, size)
					switch {
					case err != nil:
						t.Errorf("%s: %v", kind, err)
					case bad.status >= 0 && status != bad.status:
						t.Errorf("%s: %s of %d bytes got status %d, want %d", kind, method, size, status, bad.status)
					}
				})
			}
		}
		running.Wait()
	}
	p.awaitSockets(t, "all sockets of exchanges are closed", func(n int) bool { return n <= before["socket"] })
	after := p.descriptors()
	if after["anon_inode"] != before["anon_inode"] || after["other"] != before["other"] {
		t.Errorf("descriptors %v, there were %v", after, before)
	}
	if status, err := ask("good", "GET", 0); status != 200 || err != nil {
		t.Fatalf("a request afterwards: status %d, error %v", status, err)
	}
}

// Clients that leave at any moment leave nothing behind.
func TestHTTPDescriptorsDoNotLeak(t *testing.T) {
	h := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/flood" {
			for {
				if _, err := w.Write(patternBytes); err != nil {
					return
				}
			}
		}
		mirror(w, req)
	})
	p := startHTTP(t, setup{hosts: []endpoint{h.endpoint, refusing(t)}, settings: settings{"upstream_keepalive": 2}})
	kinds := map[string]func(c *net.TCPConn){
		"nothing":            func(*net.TCPConn) {},
		"reset at once":      reset,
		"half a head":        func(c *net.TCPConn) { _, _ = io.WriteString(c, "GET / HT") },
		"half a head, reset": func(c *net.TCPConn) { _, _ = io.WriteString(c, "GET / HT"); reset(c) },
		"no wait":            func(c *net.TCPConn) { _, _ = io.WriteString(c, getRequest) },
		"no wait, reset":     func(c *net.TCPConn) { _, _ = io.WriteString(c, getRequest); reset(c) },
		"half a body":        func(c *net.TCPConn) { _, _ = io.WriteString(c, postHead+"Content-Length: 9\r\n\r\nhell") },
		"half a chunk, end": func(c *net.TCPConn) {
			_, _ = io.WriteString(c, chunkedHead+"9\r\nhell")
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		},
		"during an upload, reset": func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "POST /echo HTTP/1.1\r\nHost: p\r\nContent-Length: 90000000\r\n\r\n"+bulk[:1<<20])
			reset(c)
		},
		"during a download": func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "GET /flood HTTP/1.1\r\nHost: p\r\n\r\n")
			_, _ = io.ReadFull(c, make([]byte, 1<<20))
		},
		"regular end": func(c *net.TCPConn) {
			_, _ = io.WriteString(c, getRequest+getRequest)
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		},
		"a bad request": func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "nonsense\r\n\r\n")
			_, _ = io.Copy(io.Discard, c)
		},
		"pipelined and gone": func(c *net.TCPConn) {
			_, _ = io.WriteString(c, strings.Repeat(getRequest, 100))
			_, _ = io.ReadFull(c, make([]byte, 1000))
		},
	}
	before := p.descriptors()
	for range 3 {
		var running sync.WaitGroup
		for _, kind := range kinds {
			for range 15 {
				c := p.dial()
				running.Go(func() {
					kind(c)
					_ = c.Close()
				})
			}
		}
		running.Wait()
	}
	kept := 2 * runtime.NumCPU()
	p.awaitSockets(t, "all sockets of exchanges are closed", func(n int) bool { return n <= before["socket"]+kept })
	eventually(t, "the host has no more connections than are kept", func() bool { return h.open.Load() <= int64(kept) })
	after := p.descriptors()
	for _, kind := range []string{"anon_inode", "other"} {
		if after[kind] != before[kind] {
			t.Errorf("%d descriptors of kind %s, there were %d", after[kind], kind, before[kind])
		}
	}
	// Each reactor keeps at most 16 pipes, each with two descriptors, for later flows.
	if pipes := after["pipe"] - before["pipe"]; pipes > runtime.NumCPU()*16*2 {
		t.Errorf("%d descriptors of pipes are left", pipes)
	}
}

// Idle connections to hosts must not use up the descriptors that clients need.
func TestHTTPFilesSuffice(t *testing.T) {
	t.Parallel()
	const names = 6
	var fit atomic.Int64
	var hosts []endpoint
	for i := range names {
		addr := fmt.Sprintf("127.0.0.%d", i+1)
		needAddress(t, addr, addr)
		var mu sync.Mutex
		waiting, all := int64(0), make(chan struct{})
		hosts = append(hosts, serve(t, addr, func(http.ResponseWriter, *http.Request) {
			mu.Lock()
			release := all
			if waiting++; waiting == fit.Load() { // all clients at once
				close(all)
				waiting, all = 0, make(chan struct{})
			}
			mu.Unlock()
			<-release
		}).endpoint)
	}
	p := startHTTP(t, setup{hosts: hosts, algorithm: "host", prepare: withFiles(128), settings: settings{"reactors_num": 1, "proxy_read_timeout": (patience / 2).Milliseconds()}})
	n, err := strconv.Atoi(p.await(p.stderr, `max_connections=(\d+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	fit.Store(int64(n))
	conns, readers := make([]*net.TCPConn, n), make([]*bufio.Reader, n)
	for i := range conns {
		conns[i] = p.dial()
		readers[i] = bufio.NewReader(conns[i])
	}
	for round := range 2 * names {
		name := hosts[round%names].Host
		for _, c := range conns {
			send(t, c, "GET / HTTP/1.1\r\nHost: "+name+"\r\n\r\n")
		}
		failed := map[int]int{}
		for _, in := range readers {
			if res, _ := reply(t, in, http.MethodGet); res.StatusCode != 200 {
				failed[res.StatusCode]++
			}
		}
		if len(failed) > 0 {
			t.Fatalf("round %d, %s: of %d clients, all within max_connections, statuses: %v", round, name, n, failed)
		}
	}
}
