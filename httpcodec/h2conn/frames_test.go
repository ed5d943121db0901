package h2conn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/httpcodec/http2"
)

// script is an owner that answers each request with the same text, in the form of HTTP/1.1, once it has read the request.
type script struct {
	muxer  *Muxer
	socket engine.Conn
	conn   *Conn
	answer string
	reads  int  // how many bytes of a request are read; 0 for all
	tardy  bool // they are read one piece at a time, with pauses
	closed chan error
	faults chan string
}

func (v *script) Changed()               {}
func (v *script) Closed(err error)       { v.closed <- err }
func (v *script) Refused(e *http2.Error) { v.faults <- e.Reason }
func (v *script) Opened(s *Stream) {
	p := &scripted{v: v}
	s.Attach(&p.conn, p)
}

type scripted struct {
	v    *script
	conn engine.Conn
	read int
	left []byte
	over bool
}

func (p *scripted) Expired(*engine.Timer) {}

func (p *scripted) Ready(*engine.Conn) {
	b := make([]byte, 4096)
	for p.conn.Readable() && (p.v.reads == 0 || p.read < p.v.reads) {
		n, err := p.conn.Read(b)
		if err != nil && !again(err) {
			p.conn.Reset()
			return
		}
		p.read += n
		if p.v.tardy && n > 0 {
			p.v.muxer.loop.Post(func() { p.Ready(&p.conn) })
		}
		if !p.over && bytes.Contains(b[:n], []byte("\r\n\r\n")) {
			p.over, p.left = true, []byte(p.v.answer)
		}
		if p.v.tardy {
			break
		}
	}
	if len(p.left) > 0 && p.conn.Writable() {
		n, err := p.conn.Write(p.left)
		p.left = p.left[n:]
		if err != nil && !again(err) {
			p.conn.Reset()
			return
		}
		if len(p.left) == 0 {
			p.conn.Close()
		}
	}
}

// peer is the client at the other end.
type peer struct {
	*xhttp2.Framer
	t *testing.T
	net.Conn
	block bytes.Buffer
	enc   *hpack.Encoder
}

// serve runs a connection whose owner is v, and returns its client, which has sent the preface and its settings.
func serve(t *testing.T, v *script, limits Limits, times Timeouts) *peer {
	t.Helper()
	return serveOwner(t, v, v, limits, times)
}

// serveOwner is serve for another owner that contains v.
func serveOwner(t *testing.T, v *script, o Owner, limits Limits, times Timeouts) *peer {
	t.Helper()
	loop, err := engine.NewLoop(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v.muxer, v.closed, v.faults = NewMuxer(loop), make(chan error, 1), make(chan string, 1000)
	done := make(chan struct{})
	go func() { defer close(done); _ = loop.Run() }()
	gone := make(chan struct{})
	front := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		f, err := c.File()
		if err != nil {
			return
		}
		_ = c.Close()
		loop.Post(func() {
			if err := loop.Attach(&v.socket, dup(int(f.Fd())), nopHandler{}); err != nil {
				t.Error(err)
			}
			_ = f.Close()
			v.conn = v.muxer.Serve(&v.socket, o, &limits, times)
			close(gone)
		})
		<-gone
	})
	c, err := net.Dial("tcp", front.String())
	if err != nil {
		t.Fatal(err)
	}
	<-gone
	t.Cleanup(func() {
		_ = c.Close()
		loop.Post(func() { v.conn.Abort(ErrAborted) })
		loop.Stop()
		<-done
		loop.Close()
	})
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	p := &peer{Framer: xhttp2.NewFramer(c, c), t: t, Conn: c}
	p.enc = hpack.NewEncoder(&p.block)
	p.AllowIllegalWrites = true
	return p
}

// greet sends the preface.
func (p *peer) greet(settings ...xhttp2.Setting) *peer {
	_, _ = io.WriteString(p, xhttp2.ClientPreface)
	_ = p.WriteSettings(settings...)
	return p
}

// head sends a request's head.
func (p *peer) head(id uint32, end bool, fields ...string) {
	p.block.Reset()
	for _, f := range append([]string{":method POST", ":scheme http", ":path /", ":authority a"}, fields...) {
		name, value, _ := strings.Cut(f, " ")
		_ = p.enc.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	block := p.block.Bytes()
	n := min(len(block), 16384)
	_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: block[:n], EndStream: end, EndHeaders: n == len(block)})
	for block = block[n:]; len(block) > 0; block = block[n:] {
		n = min(len(block), 16384)
		_ = p.WriteContinuation(id, n == len(block), block[:n])
	}
}

// trailers sends trailers.
func (p *peer) trailers(id uint32, fields ...string) {
	p.block.Reset()
	for _, f := range fields {
		name, value, _ := strings.Cut(f, " ")
		_ = p.enc.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: p.block.Bytes(), EndStream: true, EndHeaders: true})
}

// say describes a received frame.
func say(f xhttp2.Frame) string {
	h := f.Header()
	switch f := f.(type) {
	case *xhttp2.RSTStreamFrame:
		return fmt.Sprintf("rst %d %v", h.StreamID, f.ErrCode)
	case *xhttp2.GoAwayFrame:
		return fmt.Sprintf("goaway %d %v", f.LastStreamID, f.ErrCode)
	case *xhttp2.DataFrame:
		return fmt.Sprintf("data %d %d%s", h.StreamID, len(f.Data()), end(f.StreamEnded()))
	case *xhttp2.HeadersFrame:
		return fmt.Sprintf("headers %d%s", h.StreamID, end(f.StreamEnded()))
	case *xhttp2.PingFrame:
		if f.IsAck() {
			return fmt.Sprintf("pong %s", f.Data)
		}
		return fmt.Sprintf("ping %s", f.Data)
	case *xhttp2.WindowUpdateFrame:
		return fmt.Sprintf("window %d %d", h.StreamID, f.Increment)
	}
	return strings.ToLower(h.Type.String())
}

func end(is bool) string {
	if is {
		return " end"
	}
	return ""
}

// next returns the next frame that is not about settings or windows.
func (p *peer) next() string {
	for {
		f, err := p.ReadFrame()
		if errors.Is(err, io.EOF) {
			return "eof"
		}
		if err != nil {
			return err.Error()
		}
		if s := say(f); s != "settings" && !strings.HasPrefix(s, "window") {
			return s
		}
	}
}

// expect reads these frames.
func (p *peer) expect(list ...string) {
	p.t.Helper()
	for _, want := range list {
		if got := p.next(); got != want {
			p.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

const small = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

var usual = Limits{MaxStreams: 100, Window: 65535, ConnWindow: 1 << 20}

// What a client does wrong or unusually, and the reaction.
func TestFrames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(p *peer)
		want []string
	}{
		{"a request", func(p *peer) { p.head(1, true) }, []string{"headers 1", "data 1 2 end"}},
		{"a body whose end is missing", func(p *peer) { p.head(1, false); _ = p.WriteData(1, false, []byte("x")) }, []string{"headers 1", "data 1 2 end", "rst 1 NO_ERROR"}},
		{"a ping", func(p *peer) { _ = p.WritePing(false, [8]byte([]byte("12345678"))) }, []string{"pong 12345678"}},
		{"an even stream", func(p *peer) { p.head(2, true) }, []string{"goaway 0 PROTOCOL_ERROR", "eof"}},
		{"a lower stream", func(p *peer) { p.head(5, true); p.head(3, true) }, []string{"headers 5", "data 5 2 end", "goaway 5 PROTOCOL_ERROR", "eof"}},
		{"a stream again", func(p *peer) { p.head(1, true); p.head(1, true) }, []string{"headers 1", "data 1 2 end", "goaway 1 STREAM_CLOSED", "eof"}},
		{"data behind the end", func(p *peer) { p.head(1, true); _ = p.WriteData(1, false, []byte("x")) }, []string{"headers 1", "data 1 2 end", "rst 1 STREAM_CLOSED"}},
		{"data of an idle stream", func(p *peer) { _ = p.WriteData(1, false, []byte("x")) }, []string{"goaway 0 PROTOCOL_ERROR", "eof"}},
		{"a reset of an idle stream", func(p *peer) { _ = p.WriteRSTStream(1, xhttp2.ErrCodeCancel) }, []string{"goaway 0 PROTOCOL_ERROR", "eof"}},
		{"a window for an idle stream", func(p *peer) { _ = p.WriteWindowUpdate(3, 1) }, []string{"goaway 0 PROTOCOL_ERROR", "eof"}},
		{"a window overflow", func(p *peer) { _ = p.WriteWindowUpdate(0, 1<<31-1) }, []string{"goaway 0 FLOW_CONTROL_ERROR", "eof"}},
		{"a malformed head", func(p *peer) { p.head(1, true, "Upper case"); p.head(3, true) }, []string{"rst 1 PROTOCOL_ERROR", "headers 3", "data 3 2 end"}},
		{"a body that is too short", func(p *peer) { p.head(1, false, "content-length 5"); _ = p.WriteData(1, true, []byte("x")) },
			[]string{"rst 1 PROTOCOL_ERROR"}},
		{"a body that is too long", func(p *peer) { p.head(1, false, "content-length 5"); _ = p.WriteData(1, false, []byte("xxxxxxx")) },
			[]string{"rst 1 PROTOCOL_ERROR"}},
		{"a body that is over, and a malformed head", func(p *peer) { p.head(1, true); p.head(1, true) }, []string{"rst 1 STREAM_CLOSED"}},
		{"a head that is too large", func(p *peer) { p.head(1, true, "x "+strings.Repeat("a", 10000), "y "+strings.Repeat("b", 30000)) }, []string{"headers 1 end"}},
		{"a field that is too large", func(p *peer) {
			p.head(1, true, "x kept", "y "+strings.Repeat("a", 40_000))
			p.head(3, true, "x kept")
		}, []string{"headers 1 end", "headers 3", "data 3 2 end"}},
		{"a client that leaves and goes on", func(p *peer) {
			p.head(1, true)
			_ = p.WriteGoAway(0, xhttp2.ErrCodeNo, nil)
			p.head(3, true)
		}, []string{"headers 1", "data 1 2 end", "goaway 1 NO_ERROR", "eof"}},
		{"a body that is only padding", func(p *peer) {
			p.head(1, false)
			for range 11 {
				_ = p.WriteDataPadded(1, false, nil, make([]byte, 9))
			}
		}, []string{"goaway 1 ENHANCE_YOUR_CALM", "eof"}},
		{"answers to no ping", func(p *peer) {
			for range 2500 { // the count of a thousand may begin anew meanwhile
				_ = p.WritePing(true, [8]byte{})
			}
		}, []string{"goaway 0 ENHANCE_YOUR_CALM", "eof"}},
		{"heads in pieces", func(p *peer) {
			for n := range 20 {
				p.block.Reset()
				for _, f := range []string{":method GET", ":scheme http", ":path /", ":authority a", "x " + strings.Repeat("a", 700*n), "y b"} {
					name, value, _ := strings.Cut(f, " ")
					_ = p.enc.WriteField(hpack.HeaderField{Name: name, Value: value})
				}
				block := p.block.Bytes()
				most := len(block) - 1
				_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: block[:5], EndStream: true})
				_ = p.WriteContinuation(uint32(2*n+1), false, block[5:most])
				_ = p.WriteContinuation(uint32(2*n+1), true, block[most:])
			}
		}, []string{"headers 1", "data 1 2 end", "headers 3", "data 3 2 end", "headers 5", "data 5 2 end"}},
		{"no preface", func(p *peer) { _, _ = io.WriteString(p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") }, []string{"goaway 0 PROTOCOL_ERROR", "eof"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := &script{answer: small, reads: 1} // it does not wait for the body
			if strings.HasPrefix(tt.name, "a body that") {
				v.answer = ""
			}
			p := serve(t, v, usual, Timeouts{})
			if tt.name != "no preface" {
				p.greet()
			}
			tt.do(p)
			p.expect(tt.want...)
		})
	}
}

// A response is sent as far as the windows of the stream and the connection allow, however they grow.
func TestWindows(t *testing.T) {
	t.Parallel()
	v := &script{answer: "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000)}
	p := serve(t, v, usual, Timeouts{}).greet(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 10})
	p.head(1, true)
	p.expect("headers 1", "data 1 10")
	_ = p.WriteWindowUpdate(1, 5)
	p.expect("data 1 5")
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	_ = p.WriteWindowUpdate(1, 11)
	p.expect("data 1 1")
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100_000})
	got := 16
	for got < 65535 {
		var n int
		if _, err := fmt.Sscanf(p.next(), "data 1 %d", &n); err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if got != 65535 {
		t.Fatalf("%d bytes, where the connection's window has 65535", got)
	}
	_ = p.WriteWindowUpdate(0, 100_000)
	p.expect("data 1 4465 end")
}

// A client that has to leave is told so, and after a round trip which stream is the last. Streams that it opens before that are
// served.
func TestLeave(t *testing.T) {
	t.Parallel()
	v := &script{answer: small}
	p := serve(t, v, usual, Timeouts{}).greet()
	p.head(1, true)
	p.expect("headers 1", "data 1 2 end")
	v.muxer.loop.Post(v.conn.Leave)
	p.expect("goaway 2147483647 NO_ERROR", "ping draining")
	p.head(3, true)
	p.expect("headers 3", "data 3 2 end")
	_ = p.WritePing(true, drainPing)
	p.expect("goaway 3 NO_ERROR", "eof")
	_ = p.Close()
	if err := <-v.closed; err != nil {
		t.Error(err)
	}
}

// A client that does not respond is not waited for.
func TestLeaveSilently(t *testing.T) {
	t.Parallel()
	v := &script{answer: small}
	p := serve(t, v, usual, Timeouts{}).greet()
	v.muxer.loop.Post(v.conn.Leave)
	p.expect("goaway 2147483647 NO_ERROR", "ping draining", "goaway 0 NO_ERROR", "eof")
	if err := <-v.closed; err != nil { // it has not closed its end
		t.Error(err)
	}
}

// Every wait times out.
func TestSilence(t *testing.T) {
	t.Parallel()
	const soon = 3 * time.Second // long enough for a client to act in time on a machine that stands still for a moment
	tests := []struct {
		name  string
		times Timeouts
		do    func(p *peer)
		want  []string
	}{
		{"no preface", Timeouts{Head: soon}, func(*peer) {}, []string{"eof"}},
		{"no request", Timeouts{Head: soon}, func(p *peer) { p.greet() }, []string{"goaway 0 NO_ERROR", "eof"}},
		{"no other request", Timeouts{Idle: soon}, func(p *peer) { p.greet(); p.head(1, true) }, []string{"headers 1", "data 1 2 end", "goaway 1 NO_ERROR", "eof"}},
		{"half a head", Timeouts{Head: soon}, func(p *peer) {
			p.greet()
			_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
		}, []string{"eof"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := &script{answer: small}
			p := serve(t, v, usual, tt.times)
			tt.do(p)
			p.expect(tt.want...)
		})
	}
}

// Streams beyond the limit are refused, and open ones continue.
func TestMaxStreams(t *testing.T) {
	t.Parallel()
	v := &script{answer: ""}
	p := serve(t, v, Limits{MaxStreams: 2, Window: 65535, ConnWindow: 65535}, Timeouts{}).greet()
	p.head(1, false)
	p.head(3, false)
	p.head(5, false)
	p.expect("rst 5 REFUSED_STREAM")
	_ = p.WriteRSTStream(3, xhttp2.ErrCodeCancel)
	p.head(7, false)
	p.head(9, false)
	p.expect("rst 9 REFUSED_STREAM")
}

// Unread bytes occupy the windows. Bytes that were read, or belong to closed streams, are granted again.
func TestGrants(t *testing.T) {
	t.Parallel()
	v := &script{answer: "", reads: 1}
	p := serve(t, v, Limits{MaxStreams: 10, Window: 65535, ConnWindow: 65535}, Timeouts{}).greet()
	p.head(1, false)
	p.head(3, false)
	_ = p.WriteData(1, false, make([]byte, 16384))
	_ = p.WriteData(1, false, make([]byte, 16384))
	_ = p.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	for {
		f, err := p.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if say(f) == "window 0 32768" {
			break
		}
	}
	for range 4 { // everything that both windows allow
		_ = p.WriteData(3, false, make([]byte, 16383))
	}
	_ = p.WriteData(3, false, make([]byte, 3))
	_ = p.WriteData(3, false, make([]byte, 1))
	p.expect("goaway 3 FLOW_CONTROL_ERROR") // the connection's window is checked first

	p = serve(t, &script{answer: "", reads: 1}, Limits{MaxStreams: 10, Window: 65535, ConnWindow: 1 << 20}, Timeouts{}).greet()
	p.head(1, false)
	for range 5 {
		_ = p.WriteData(1, false, make([]byte, 16384))
	}
	p.expect("rst 1 FLOW_CONTROL_ERROR")
}

// A window grows to a quarter of the connection's while its data is read on arrival, and keeps its size if data has to wait.
func TestWindowsWiden(t *testing.T) {
	t.Parallel()
	const first = 65535
	for _, test := range []struct {
		name   string
		conn   int
		tardy  bool
		before int // enlarged streams that are still open
		want   int // the final size of the window
	}{
		{"read as it comes", 1 << 20, false, 0, 4 * first},
		{"read late", 1 << 20, true, 0, first},
		{"no room in the connection", 100_000, false, 0, first},
		{"some room in it", 1<<20 - 17, false, 0, 2 * first},
		{"one that has grown", 1 << 20, false, 1, 4 * first},
		{"two that have", 1 << 20, false, 2, first},
		{"four that have", 1 << 20, false, 4, first},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := serve(t, &script{tardy: test.tardy}, Limits{MaxStreams: 100, Window: first, ConnWindow: test.conn}, Timeouts{}).greet()
			conn := first
			for i := range test.before {
				p.fill(uint32(2*i+1), &conn)
			}
			id := uint32(2*test.before + 1)
			// A grant is sent when half of the window has been read.
			if got := p.fill(id, &conn); got > test.want || got <= test.want/2 {
				t.Errorf("%d bytes could be sent at once, want %d to %d", got, test.want/2+1, test.want)
			}
			_ = p.WriteRSTStream(id, xhttp2.ErrCodeCancel)
			if got := p.fill(id+2, &conn); got > test.want || got <= test.want/2 {
				t.Errorf("%d bytes could be sent at once on the next stream, want %d to %d", got, test.want/2+1, test.want)
			}
		})
	}
}

// fill sends 2 MiB on a new stream, as far as its window and conn, the connection's window, allow. It returns the largest
// window of the stream.
func (p *peer) fill(id uint32, conn *int) (most int) {
	p.t.Helper()
	p.head(id, false)
	stream := 65535
	for left := 2 << 20; left > 0; {
		if n := min(16384, stream, *conn, left); n > 0 {
			_ = p.WriteData(id, false, make([]byte, n))
			stream, *conn, left = stream-n, *conn-n, left-n
			continue
		}
		f, err := p.ReadFrame()
		if err != nil {
			p.t.Fatal(err)
		}
		if w, ok := f.(*xhttp2.WindowUpdateFrame); ok && w.StreamID == 0 {
			*conn += int(w.Increment)
		} else if ok && w.StreamID == id {
			stream += int(w.Increment)
			most = max(most, stream)
		}
	}
	return most
}

// flow is a client that knows its windows.
type flow struct {
	*peer
	conn    int
	streams map[uint32]int
}

func (p *peer) flow() *flow { return &flow{p, 65535, map[uint32]int{}} }

// open begins a request.
func (f *flow) open(id uint32) {
	f.head(id, false)
	f.streams[id] = 65535
}

// sync waits until everything that was sent has been served.
func (f *flow) sync() {
	f.t.Helper()
	_ = f.WritePing(false, [8]byte{1})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			f.t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *xhttp2.PingFrame:
			if frame.IsAck() {
				return
			}
		case *xhttp2.WindowUpdateFrame:
			if frame.StreamID == 0 {
				f.conn += int(frame.Increment)
			} else if _, ok := f.streams[frame.StreamID]; ok {
				f.streams[frame.StreamID] += int(frame.Increment)
			}
		}
	}
}

// send sends up to n bytes of content in frames of that size, as far as the windows allow it, with this much padding in each.
func (f *flow) send(id uint32, n, each, pad int) (sent int) {
	cost := each + pad
	if pad > 0 {
		cost++
	}
	for sent+each <= n && f.conn >= cost && f.streams[id] >= cost {
		if pad > 0 {
			_ = f.WriteDataPadded(id, false, make([]byte, each), make([]byte, pad))
		} else {
			_ = f.WriteData(id, false, make([]byte, each))
		}
		f.conn, f.streams[id], sent = f.conn-cost, f.streams[id]-cost, sent+each
	}
	return sent
}

// Content that is not read may come in any pieces: it is not copied again and again, and takes no more memory than the window.
func TestHeldInSmallPieces(t *testing.T) {
	const read = 600_000
	v := &script{reads: read}
	f := serve(t, v, Limits{MaxStreams: 100, Window: 65535, ConnWindow: 1 << 20}, Timeouts{}).greet().flow()
	f.open(1)
	for sent := 0; sent < read; f.sync() {
		sent += f.send(1, 20_000, 10_000, 0)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := f.send(1, 1<<20, 16, 0)
	f.sync()
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 100 { // the owner allocates 4 KiB whenever it is notified
		t.Errorf("%d MiB were allocated for %d bytes of content", n, sent)
	}
	v.do(func(c *Conn) {
		s := c.find(1)
		if n, most := len(s.content()), cap(s.buf); n < 100_000 || most > 4*65535 {
			t.Errorf("%d bytes are held, in a buffer of %d", n, most)
		}
	})
}

// do calls f on the loop, and waits for it.
func (v *script) do(f func(c *Conn)) {
	done := make(chan struct{})
	v.muxer.loop.Post(func() { f(v.conn); close(done) })
	<-done
}

// Streams whose windows have grown, and that are not read any more, leave half of the connection's window to the others.
func TestWidenedLeaveRoom(t *testing.T) {
	t.Parallel()
	const conn = 1 << 20
	v := &script{reads: 40_000}
	f := serve(t, v, Limits{MaxStreams: 100, Window: 65535, ConnWindow: conn}, Timeouts{}).greet().flow()
	f.sync()
	widened := 0
	for id := uint32(1); id < 100 && f.conn >= 65535; id += 2 {
		f.open(id)
		f.send(id, 45_000, 9000, 0)
		f.sync()
		for f.send(id, conn, 1000, 0) > 0 {
			f.sync()
		}
		v.do(func(c *Conn) {
			if s := c.find(id); s.widened() > 0 {
				widened += len(s.content())
			}
		})
	}
	if widened == 0 || widened > conn/2 {
		t.Errorf("streams that have grown hold %d of %d bytes", widened, conn)
	}
}

// A buffer becomes smaller when most of what it held is read: a stream does not keep a large one for a few bytes.
func TestBuffersShrink(t *testing.T) {
	t.Parallel()
	v := &script{tardy: true, reads: 61_000}
	f := serve(t, v, Limits{MaxStreams: 100, Window: 65535, ConnWindow: 1 << 20}, Timeouts{}).greet().flow()
	f.open(1)
	f.send(1, 65_000, 13_000, 0)
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		var held, room int
		v.do(func(c *Conn) { held, room = len(c.find(1).content()), cap(c.find(1).buf) })
		if held > 0 && held < 8000 && room < 16<<10 {
			return
		}
		if time.Since(begin) > enginetest.Patience {
			t.Fatalf("%d bytes are held in a buffer of %d", held, room)
		}
	}
}

// Whatever clients do, windows add up, and nothing is left of them when the streams are over.
func TestWindowsAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			const conn = 1 << 20
			v := &script{tardy: seed%4 == 3, reads: int(seed%4) * 150_000}
			f := serve(t, v, Limits{MaxStreams: 100, Window: 65535, ConnWindow: conn}, Timeouts{}).greet().flow()
			f.sync()
			var ids []uint32
			next := uint32(1)
			for range 400 {
				if len(ids) < 12 && r.IntN(4) == 0 {
					f.open(next)
					ids = append(ids, next)
					next += 2
				}
				if len(ids) == 0 {
					continue
				}
				i := r.IntN(len(ids))
				id := ids[i]
				switch r.IntN(12) {
				case 0:
					_ = f.WriteRSTStream(id, xhttp2.ErrCodeCancel)
					ids = append(ids[:i], ids[i+1:]...)
					time.Sleep(2 * time.Millisecond) // fewer than what counts as an attack
				case 1:
					_ = f.WriteData(id, true, nil)
					ids = append(ids[:i], ids[i+1:]...)
				case 2:
					f.send(id, 50, 1, 0)
				case 3:
					f.send(id, 2000, 100, 255)
				case 4:
					_ = f.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: uint32(r.IntN(1 << 20))})
				default:
					f.send(id, r.IntN(200_000), 1+r.IntN(16384), 0)
				}
				f.sync()
				v.do(func(c *Conn) {
					sum, held := 0, 0
					for _, s := range c.table {
						for ; s != nil; s = s.chain {
							sum += s.widened()
							held += len(s.content())
							if n := cap(s.buf); n > max(int(s.grant.Size), engine.ScratchSize) {
								t.Errorf("a buffer of %d bytes for a window of %d", n, s.grant.Size)
							}
						}
					}
					if sum != c.widened || sum > conn/2 || held > conn || int(c.recvWindow) < f.conn || int(c.recvWindow) > f.conn && !v.tardy {
						t.Errorf("windows that have grown have %d bytes, and %d are counted; %d are held; the connection's has %d, and its peer knows of %d", sum, c.widened, held, c.recvWindow, f.conn)
					}
				})
				if t.Failed() {
					return
				}
			}
			for _, id := range ids {
				_ = f.WriteRSTStream(id, xhttp2.ErrCodeCancel)
			}
			f.sync()
			v.do(func(c *Conn) {
				for i := range c.table { // those that were ended by the client, and of which not all was read
					for s := c.table[i]; s != nil; s = c.table[i] {
						s.conn.Reset()
					}
				}
				if c.widened != 0 || c.open != 0 || int(c.recvWindow) <= conn/2 {
					t.Errorf("at the end %d streams are open, windows that have grown have %d bytes, and that of the connection %d", c.open, c.widened, c.recvWindow)
				}
			})
		})
	}
}

// A window that grows byte by byte makes no progress. If it is a stream's, the stream ends; if it is the connection's, the
// connection ends.
func TestDrip(t *testing.T) {
	t.Parallel()
	for _, stream := range []uint32{1, 0} {
		v := &script{answer: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000)}
		initial, has := uint32(1), 1
		if stream == 0 {
			initial, has = 1<<20, 65535
		}
		p := serve(t, v, usual, Timeouts{Send: 300 * time.Millisecond}).greet(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: initial})
		p.head(1, true)
		p.expect("headers 1")
		got, began := "", time.Now()
		for strings.HasPrefix(got, "data") || got == "" {
			var n int
			got = p.next()
			if _, _ = fmt.Sscanf(got, "data 1 %d", &n); n > 0 {
				has -= n
			}
			if has <= 0 {
				time.Sleep(10 * time.Millisecond)
				has++
				_ = p.WriteWindowUpdate(stream, 1)
			}
		}
		if want := map[uint32]string{1: "rst 1 ENHANCE_YOUR_CALM", 0: "goaway 1 ENHANCE_YOUR_CALM"}[stream]; got != want || time.Since(began) < 200*time.Millisecond {
			t.Errorf("window of %d: %q after %v, want %q", stream, got, time.Since(began), want)
		}
	}
}

// Endless pings are a flood, unless content is sent or received between them.
func TestPings(t *testing.T) {
	t.Parallel()
	p := serve(t, &script{answer: small}, usual, Timeouts{}).greet()
	for i := range uint32(300) {
		_ = p.WritePing(false, [8]byte{})
		p.head(2*i+1, true)
		p.expect("pong \x00\x00\x00\x00\x00\x00\x00\x00", fmt.Sprintf("headers %d", 2*i+1), fmt.Sprintf("data %d 2 end", 2*i+1))
	}
	for range 500 { // more than enough, since the count may begin anew meanwhile
		_ = p.WritePing(false, [8]byte{})
	}
	const pong = "pong \x00\x00\x00\x00\x00\x00\x00\x00"
	got := pong
	for got == pong {
		got = p.next()
	}
	if got != "goaway 599 ENHANCE_YOUR_CALM" {
		t.Errorf("got %q", got)
	}
}

// Resets that waste work, one after another, are a flood. Resets after a complete response, or while it is on its way, are not.
func TestResets(t *testing.T) {
	t.Parallel()
	p := serve(t, &script{answer: small}, usual, Timeouts{}).greet()
	id := uint32(1)
	for range 300 {
		p.head(id, true)
		p.expect(fmt.Sprintf("headers %d", id), fmt.Sprintf("data %d 2 end", id))
		_ = p.WriteRSTStream(id, xhttp2.ErrCodeCancel)
		id += 2
	}
	p = serve(t, &script{answer: ""}, usual, Timeouts{}).greet()
	for id = 1; id < 4000; id += 2 { // more than may come within the time that this takes
		p.head(id, true)
		_ = p.WriteRSTStream(id, xhttp2.ErrCodeCancel)
	}
	if got := p.next(); !strings.HasSuffix(got, "ENHANCE_YOUR_CALM") {
		t.Errorf("got %q", got)
	}
}

// WINDOW_UPDATEs for streams that ended long ago are not a flood if there is a request for every few of them: a distant client
// does not know of the end yet.
func TestWindowsComeLate(t *testing.T) {
	t.Parallel()
	p := serve(t, &script{answer: small}, usual, Timeouts{}).greet()
	const late = 2 * 250 // more than are remembered
	id := uint32(1)
	for range 1500 {
		p.head(id, true)
		p.expect(fmt.Sprintf("headers %d", id), fmt.Sprintf("data %d 2 end", id))
		if id > late {
			_ = p.WriteWindowUpdate(id-late, 1000)
		}
		id += 2
	}
	for range 20_000 { // even if the stream has ended recently
		_ = p.WriteWindowUpdate(id-2, 1000)
	}
	p.expect(fmt.Sprintf("goaway %d ENHANCE_YOUR_CALM", id-2))
}

// Frames that were on their way when this side reset the stream are not an error.
func TestDataBehindReset(t *testing.T) {
	t.Parallel()
	p := serve(t, &script{answer: ""}, usual, Timeouts{}).greet()
	p.head(1, false, "content-length 5")
	_ = p.WriteData(1, false, []byte("xxxxxxx"))
	for range 200 {
		_ = p.WriteData(1, false, []byte("x"))
	}
	_ = p.WritePing(false, [8]byte([]byte("12345678")))
	p.expect("rst 1 PROTOCOL_ERROR", "pong 12345678")
}

// The same goes for trailers, however many streams have ended meanwhile. They are decoded, since later heads may refer to them,
// and too many are a flood. A stream that this side has not reset cannot begin again.
func TestTrailersBehindReset(t *testing.T) {
	t.Parallel()
	const streams = 250 // more than are remembered
	begin := func() *peer {
		p := serve(t, &script{answer: small, reads: 1}, usual, Timeouts{}).greet()
		p.head(1, true)
		p.expect("headers 1", "data 1 2 end")
		p.head(3, false)
		_ = p.WriteData(3, false, []byte("x"))
		p.expect("headers 3", "data 3 2 end", "rst 3 NO_ERROR")
		for id := uint32(5); id < 2*streams; id += 2 {
			p.head(id, true)
			p.expect(fmt.Sprintf("headers %d", id), fmt.Sprintf("data %d 2 end", id))
		}
		return p
	}
	last := fmt.Sprintf("goaway %d ", 2*streams-1)

	p := begin()
	p.trailers(3, "x-late first")
	p.head(2*streams+1, true, "x-late first")
	p.expect(fmt.Sprintf("headers %d", 2*streams+1), fmt.Sprintf("data %d 2 end", 2*streams+1))
	p.trailers(2, "x-late first")
	p.expect(fmt.Sprintf("goaway %d PROTOCOL_ERROR", 2*streams+1), "eof")

	p = begin()
	p.trailers(5, "x-late first")
	p.expect(last+"PROTOCOL_ERROR", "eof")

	p = begin()
	for range 10_000 {
		p.trailers(3, "x-late first")
	}
	p.expect(last + "ENHANCE_YOUR_CALM")
}

// heads is an owner whose streams record what their first read returns.
type heads struct {
	*script
	reads chan string
}

func (v *heads) Opened(s *Stream) {
	p := &headRead{v: v}
	s.Attach(&p.conn, p)
}

type headRead struct {
	v    *heads
	conn engine.Conn
	told bool
}

func (p *headRead) Expired(*engine.Timer) {}

func (p *headRead) Ready(*engine.Conn) {
	if p.told {
		return
	}
	p.told = true
	b := make([]byte, 4096)
	n, _ := p.conn.Read(b)
	_, body, _ := strings.Cut(string(b[:n]), "\r\n\r\n")
	p.v.reads <- body
}

// The user is notified of a head together with content that has arrived with it, or of the head alone if something else has arrived.
func TestHeadAndContentAtOnce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		send func(*peer)
		want []string
	}{
		{"content", func(p *peer) { p.head(1, false, "content-length 3"); _ = p.WriteData(1, true, []byte("abc")) }, []string{"abc"}},
		{"chunks", func(p *peer) { p.head(1, false); _ = p.WriteData(1, true, []byte("abc")) }, []string{"3\r\nabc\r\n0\r\n\r\n"}},
		{"a part", func(p *peer) { p.head(1, false); _ = p.WriteData(1, false, []byte("abc")) }, []string{"3\r\nabc\r\n"}},
		{"nothing", func(p *peer) { p.head(1, false) }, []string{""}},
		{"an end", func(p *peer) { p.head(1, false); _ = p.WriteData(1, true, nil) }, []string{"0\r\n\r\n"}},
		{"others", func(p *peer) {
			p.head(1, false)
			p.head(3, false)
			_ = p.WriteData(1, true, []byte("abc"))
			_ = p.WriteData(3, true, []byte("de"))
		}, []string{"", ""}},
		{"a ping", func(p *peer) {
			p.head(1, false)
			_ = p.WritePing(false, [8]byte{})
			_ = p.WriteData(1, true, []byte("abc"))
		}, []string{""}},
		{"too much", func(p *peer) {
			p.head(1, false, "content-length 2")
			_ = p.WriteData(1, true, []byte("abc"))
			p.head(3, true)
		}, []string{"", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := &heads{&script{}, make(chan string, 10)}
			p := serveOwner(t, v.script, v, DefaultLimits, Timeouts{}).greet()
			conn := p.Framer
			var all bytes.Buffer
			p.Framer = xhttp2.NewFramer(&all, nil) // so that everything arrives at once
			tc.send(p)
			p.Framer = conn
			if _, err := p.Write(all.Bytes()); err != nil {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				select {
				case got := <-v.reads:
					if got != want {
						t.Errorf("read %q behind the head, want %q", got, want)
					}
				case <-time.After(enginetest.Patience):
					t.Fatal("nothing is told")
				}
			}
		})
	}
}

// Many small frames at once are all served, in turns.
func TestTurns(t *testing.T) {
	t.Parallel()
	p := serve(t, &script{answer: ""}, usual, Timeouts{}).greet()
	p.head(1, false)
	for range 5 * frameBudget {
		_ = p.WriteData(1, false, []byte("x"))
	}
	_ = p.WritePing(false, [8]byte([]byte("12345678")))
	p.expect("pong 12345678")
}

// The total size of the heads of open requests is limited; requests that are over do not count.
func TestManyHeads(t *testing.T) {
	t.Parallel()
	p := serve(t, &script{answer: ""}, usual, Timeouts{}).greet()
	const each = 30_000 // its fields are never in the table
	long := "x " + strings.Repeat("a", each)
	id := uint32(1)
	for range maxHeads / (each + 200) {
		p.head(id, true, long)
		id += 2
	}
	p.head(id, true, long)
	p.expect(fmt.Sprintf("rst %d REFUSED_STREAM", id))
	_ = p.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	p.head(id+2, true, long)
	_ = p.WritePing(false, [8]byte([]byte("12345678")))
	p.expect("pong 12345678")
}
