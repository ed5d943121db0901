package httpcodec

import (
	"bufio"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
)

// held is a host that responds only when it is told to.
type held struct {
	addr  netip.AddrPort
	asked chan string   // the target of each request
	let   chan struct{} // lets one response go
}

func startHeld(t testing.TB) *held {
	h, over := &held{asked: make(chan string, 100), let: make(chan struct{}, 100)}, make(chan struct{})
	h.addr = enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			h.asked <- req.RequestURI
			select {
			case <-h.let:
				send(c, hi, nil)
			case <-over:
				return
			}
		}
	})
	t.Cleanup(func() { close(over) })
	return h
}

// next waits for a request.
func (h *held) next(t testing.TB) {
	t.Helper()
	select {
	case <-h.asked:
	case <-time.After(enginetest.Patience):
		t.Fatal("the host is not asked")
	}
}

// answerPings acknowledges the proxy's PINGs. The proxy may have given up waiting for that, and have ended the connection.
func (w *wire) answerPings() {
	for _, data := range w.pings {
		_ = w.framer.WritePing(true, data)
	}
	w.pings = nil
}

// leave makes the proxy drain its HTTP/2 clients, in each of the possible ways.
var leave = map[string]func(p *proxy, gone func()){
	"shutdown": func(p *proxy, gone func()) { p.server.Shutdown(gone) },
	"entry": func(p *proxy, gone func()) {
		p.server.listeners.Close()
		p.entry.Leave()
		p.entry.WhenEmpty(gone)
	},
}

// A client is told to leave in two steps: streams that it opens before it has read the first step are served, if they come within a second.
func TestHTTP2Drain(t *testing.T) {
	t.Parallel()
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, _ time.Duration) {
				h := startHeld(t)
				p := startH2C(t, nil, h.addr)
				w, gone := p.wire(), make(chan struct{})
				w.ask(1, true, "GET", "/1")
				h.next(t)
				p.loop.Post(func() { leave(p, func() { close(gone) }) })
				w.await(func() bool { return len(w.pings) > 0 })
				w.ask(3, true, "GET", "/3")
				h.next(t)
				w.answerPings()
				w.await(func() bool { return len(w.goAways) > 1 })
				w.ask(5, true, "GET", "/5") // against what it was told, so it gets no response
				close(h.let)
				for _, id := range []uint32{1, 3} {
					if got := w.get(id); got != h2hi {
						t.Errorf("stream %d got %s", id, got)
					}
				}
				if got := w.ends(); got != "NO_ERROR(2147483647) NO_ERROR(3) eof" {
					t.Errorf("the connection ended with %s", got)
				}
				if a := w.answer(5); len(a.parts) > 0 {
					t.Errorf("behind the second GOAWAY the client got %s", a)
				}
				w.conn.Close()
				<-gone
				if n := len(h.asked); n > 0 {
					t.Errorf("the host was asked for %q", <-h.asked)
				}
			})
		})
	}
}

// Clients without a request are gone after a round trip, even if they are silent; so are those that have sent nothing at all.
func TestHTTP2DrainOfIdleClients(t *testing.T) {
	t.Parallel()
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startH2C(t, nil)
			fresh, idle, silent, gone := p.dial(), p.wire(), p.wire(), make(chan struct{})
			idle.stillServed(1)
			silent.stillServed(1)
			p.loop.Post(func() { leave(p, func() { close(gone) }) })
			idle.await(func() bool { return len(idle.pings) > 0 })
			idle.answerPings()
			for _, w := range []*wire{idle, silent} {
				if got := w.ends(); got != "NO_ERROR(2147483647) NO_ERROR(1) eof" {
					t.Errorf("a connection ended with %s", got)
				}
				w.conn.Close()
			}
			if got, how := readAll(fresh); got != "" || how != "eof" {
				t.Errorf("the client that has sent nothing got %q, %s", got, how)
			}
			<-gone
		})
	}
}

// A client that has connected, and whose first request is under way, gets its response before it must leave. One that makes none is gone after a while.
func TestHTTP2DrainOfFreshClients(t *testing.T) {
	t.Parallel()
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, _ time.Duration) {
				p := startH2C(t, nil)
				late, never, gone := p.wire(), p.wire(), make(chan struct{})
				late.ping()
				never.ping()
				left, begin := make(chan struct{}), time.Now()
				p.loop.Post(func() {
					leave(p, func() { close(gone) })
					close(left)
				})
				<-left
				late.ping()
				if n := len(late.goAways); n > 0 && time.Since(begin) < time.Second {
					t.Errorf("%d GOAWAY before the first request", n)
				}
				late.stillServed(1)
				late.answerPings()
				if got := late.ends(); got != "NO_ERROR(2147483647) NO_ERROR(1) eof" {
					t.Errorf("the connection ended with %s", got)
				}
				never.await(func() bool { return len(never.pings) > 0 })
				never.answerPings()
				if got := never.ends(); got != "NO_ERROR(2147483647) NO_ERROR(0) eof" {
					t.Errorf("the connection without a request ended with %s", got)
				}
				late.conn.Close()
				never.conn.Close()
				<-gone
			})
		})
	}
}

// After AnnounceClose the next request of a client is its last; after Resume it is not.
func TestHTTP2AnnounceClose(t *testing.T) {
	t.Parallel()
	h := startRecorder(t, always+hi)
	p := startH2C(t, nil, h.addr)
	w := p.wire()
	w.stillServed(1)
	p.server.AnnounceClose()
	w.ask(3, true, "GET", "/")
	if got := w.get(3); got != h2hi {
		t.Errorf("got %s", got)
	}
	w.await(func() bool { return len(w.pings) > 0 })
	w.answerPings()
	if got := w.ends(); got != "NO_ERROR(2147483647) NO_ERROR(3) eof" {
		t.Errorf("the connection ended with %s", got)
	}
	p.loop.Post(p.server.Resume)
	w = p.wire()
	w.stillServed(1)
	w.stillServed(3)
	if len(w.goAways) > 0 {
		t.Error("a client that has come after Resume is told to go")
	}
}

// Requests in progress when everything is aborted are logged as such.
func TestHTTP2Abort(t *testing.T) {
	t.Parallel()
	h := startHeld(t)
	l := rig{opts: EntryOptions{Protocols: H2C}}.startLogged(t, h2line, nil, h.addr)
	w := l.wire()
	for id := uint32(1); id < 10; id += 2 {
		w.ask(id, true, "GET", "/")
		<-h.asked
	}
	want := slices.Repeat([]string{"HTTP/2.0 GET / - shutdown"}, 5)
	if got, _ := l.lines(t); !slices.Equal(got, want) {
		t.Errorf("logged %q\nwant %q", got, want)
	}
	if w.ends(); w.err == nil {
		t.Error("the connection goes on")
	}
	close(h.let)
}

// Requests use the settings in force when they begin.
func TestHTTP2Swap(t *testing.T) {
	t.Parallel()
	old, young := startHeld(t), startHeld(t)
	p := startH2C(t, nil, old.addr)
	w := p.wire()
	w.ask(1, true, "GET", "/1")
	<-old.asked
	p.swap(young.addr)
	w.ask(3, true, "GET", "/3")
	<-young.asked
	close(old.let)
	close(young.let)
	for _, id := range []uint32{1, 3} {
		if got := w.get(id); got != h2hi {
			t.Errorf("stream %d got %s", id, got)
		}
	}
	if len(w.goAways) > 0 {
		t.Error("the client was told to go")
	}
}
