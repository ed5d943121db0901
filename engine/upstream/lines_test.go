package upstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/upstream"
)

// lines is a Multiplexer with its own protocol, in which a client and a host exchange lines. The host first sends "limit 3",
// and again whenever the number of streams that it takes changes. It sends "goaway" when it takes no more, or "last 3" when it serves no stream
// above 3. The client sends "hello", and for each stream "open 1" and "close 1", or "reset 1".
// Content in either direction is "1 words".
type lines struct {
	loop *engine.Loop
	open int
	last *lineSession
}

func (m *lines) Begin(c *engine.Conn, _ *upstream.Group, o upstream.SessionOwner) upstream.Session {
	m.open++
	s := &lineSession{lines: m, conn: c, owner: o, streams: make(map[int]*lineStream)}
	m.last = s
	c.SetHandler(s)
	s.say("hello")  // the last message of a TLS handshake travels with it
	m.loop.Again(c) // bytes that arrived with that cause no event
	return s
}

var errGoneAway = errors.New("the session is over")

// lineSession is a session of lines.
type lineSession struct {
	*lines
	conn    *engine.Conn
	owner   upstream.SessionOwner
	streams map[int]*lineStream
	in      []byte
	limit   int
	heard   int64
	ids     int // the last stream id
	served  int // how many streams the host serves, if it has said so
	leaving bool
	over    bool
}

func (s *lineSession) Ready(c *engine.Conn) {
	for !s.over && c.Readable() {
		p := s.loop.Scratch()
		n, err := c.Read(p)
		s.in = append(s.in, p[:n]...)
		for !s.over {
			line, rest, ok := bytes.Cut(s.in, []byte("\n"))
			if !ok {
				break
			}
			s.in, s.heard = rest, s.loop.Now()
			s.hear(string(line))
		}
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			s.end(err)
		}
	}
}

func (s *lineSession) Expired(*engine.Timer) {}

func (s *lineSession) hear(line string) {
	first, words, _ := strings.Cut(line, " ")
	switch n, err := strconv.Atoi(first); {
	case first == "limit":
		s.limit, _ = strconv.Atoi(words)
		s.owner.SessionChanged()
	case first == "goaway":
		s.Leave()
	case first == "last":
		s.served, _ = strconv.Atoi(words)
		s.leaving = true
		s.owner.SessionChanged()
		for id, t := range s.streams {
			if id > s.served {
				t.failure = errGoneAway
				t.conn.Failed()
				t.conn.Notify()
			}
		}
	case err == nil && s.streams[n] != nil:
		t := s.streams[n]
		t.in = append(t.in, words...)
		t.conn.HasMore(true)
		t.conn.Notify()
	default:
		s.end(fmt.Errorf("what is %q?", line))
	}
}

func (s *lineSession) say(line string) { _, _ = s.conn.Write([]byte(line + "\n")) }

func (s *lineSession) Free() int {
	if s.leaving || s.over {
		return 0
	}
	return max(s.limit-len(s.streams), 0)
}

func (s *lineSession) Streams() int { return len(s.streams) }
func (s *lineSession) Heard() int64 { return s.heard }
func (s *lineSession) Begun() int   { return s.ids }
func (s *lineSession) Served() int  { return s.served }

func (s *lineSession) Open(c *engine.Conn, h engine.Handler) bool {
	if s.Free() == 0 {
		return false
	}
	s.ids++
	t := &lineStream{session: s, conn: c, id: s.ids}
	s.streams[t.id] = t
	s.loop.AttachStream(c, t, h)
	s.say(fmt.Sprint("open ", t.id))
	return true
}

func (s *lineSession) Leave() {
	s.leaving = true
	if len(s.streams) == 0 {
		s.end(nil)
	}
}

func (s *lineSession) Abort(err error) { s.end(err) }

func (s *lineSession) end(err error) {
	if s.over {
		return
	}
	s.over = true
	s.open--
	for _, t := range s.streams {
		if t.failure = err; err == nil {
			t.failure = errGoneAway
		}
		t.conn.Failed()
		t.conn.Notify()
	}
	s.conn.Close()
	s.owner.SessionClosed(err)
}

// lineStream is a stream of lines.
type lineStream struct {
	session *lineSession
	conn    *engine.Conn
	id      int
	in      []byte
	failure error
}

func (t *lineStream) Read(c *engine.Conn, p []byte) (int, error) {
	n := copy(p, t.in)
	if t.in = t.in[n:]; n > 0 {
		return n, nil
	}
	if t.failure != nil {
		return 0, t.failure
	}
	c.HasMore(false)
	return 0, unix.EAGAIN
}

func (t *lineStream) Write(_ *engine.Conn, p []byte, _ bool) (int, error) {
	if t.failure != nil {
		return 0, t.failure
	}
	t.session.say(fmt.Sprintf("%d %s", t.id, p))
	return len(p), nil
}

func (t *lineStream) CloseWrite(*engine.Conn) error { return nil }
func (t *lineStream) Writable(*engine.Conn)         {}
func (t *lineStream) Unsent() int                   { return 0 }
func (t *lineStream) Room(n int) int                { return n }
func (t *lineStream) Failure() error                { return t.failure }
func (t *lineStream) Socket() *engine.Conn          { return t.session.conn }

func (t *lineStream) Closing(_ *engine.Conn, reset bool) {
	s := t.session
	delete(s.streams, t.id)
	if s.over {
		return
	}
	word := "close"
	if reset {
		word = "reset"
	}
	s.say(fmt.Sprintf("%s %d", word, t.id))
	if s.leaving && len(s.streams) == 0 {
		s.end(nil)
	}
}

// lineHost is a host that speaks the protocol of lines. It records the lines that it gets, and echoes the content of streams. It greets, and
// counts, only clients that say hello: not a probe, such as that of a host for which a request has waited, on a machine that stood still.
type lineHost struct {
	greeting string // what it sends first on each connection

	mu    sync.Mutex
	conns []*net.TCPConn
	told  []string
}

func (h *lineHost) serve(c *net.TCPConn) {
	var in []byte
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		for in = append(in, buf[:n]...); ; {
			line, rest, ok := bytes.Cut(in, []byte("\n"))
			if !ok {
				break
			}
			in = rest
			h.mu.Lock()
			h.told = append(h.told, string(line))
			if string(line) == "hello" {
				h.conns = append(h.conns, c)
				_, _ = io.WriteString(c, h.greeting)
			}
			h.mu.Unlock()
			if line[0] >= '0' && line[0] <= '9' {
				_, _ = fmt.Fprintf(c, "%s\n", line)
			}
		}
		if err != nil {
			return
		}
	}
}

// greet changes the greeting for later connections.
func (h *lineHost) greet(words string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.greeting = words
}

// conn waits for the nth connection and returns it.
func (h *lineHost) conn(nth int) *net.TCPConn {
	for begin := time.Now(); h.connections() <= nth && time.Since(begin) < enginetest.Patience; {
		time.Sleep(time.Millisecond)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns[nth]
}

// say sends a line on the nth connection.
func (h *lineHost) say(nth int, line string) { _, _ = fmt.Fprintln(h.conn(nth), line) }

// connections returns how many connections there have been.
func (h *lineHost) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// heard returns how often the host got that line.
func (h *lineHost) heard(line string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.told {
		if l == line {
			n++
		}
	}
	return n
}

// lineHost starts a host with that greeting.
func (w *world) lineHost(greeting string) (*lineHost, string) {
	h := &lineHost{greeting: greeting}
	return h, enginetest.Accepting(w.t, enginetest.Loopback, h.serve).String()
}

// sharing returns a world whose hosts speak lines, and a group of those hosts that keeps that many idle connections for each.
func sharing(t *testing.T, keep int, hosts ...any) (*world, *lines, *upstream.Group) {
	t.Helper()
	w := newWorld(t)
	m := &lines{loop: w.loop.Loop}
	w.loop.Do(func() { w.Multiplex(m) })
	g := w.group(hosts...)
	g.Protocol = upstream.HTTP2
	w.keeps(g, keep)
	return w, m, g
}

// free returns how many streams the last session takes.
func (w *world) free(m *lines) (n int) {
	w.loop.Do(func() { n = m.last.Free() })
	return n
}

// last returns the state of the last session.
func (w *world) last(m *lines) (s lineSession) {
	w.loop.Do(func() { s = *m.last })
	return s
}
