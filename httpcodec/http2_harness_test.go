package httpcodec

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kroxy-ev/engine/enginetest"
)

// startH2C runs a server for clients that begin with HTTP/2 or speak HTTP/1.
func startH2C(t testing.TB, change func(*flat), hosts ...netip.AddrPort) *proxy {
	t.Helper()
	return rig{opts: EntryOptions{Protocols: HTTP1 | H2C}}.start(t, change, hosts...)
}

// transport is net/http's HTTP/2 client, without TLS.
func (p *proxy) transport() *http.Client {
	tr := &http.Transport{MaxConnsPerHost: 1, Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, p.addr)
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 3 * enginetest.Patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// wire is a client's HTTP/2 connection, frame by frame.
type wire struct {
	t       testing.TB
	conn    net.Conn
	framer  *xhttp2.Framer
	block   bytes.Buffer
	hpack   *hpack.Encoder
	answers map[uint32]*answer
	goAways []xhttp2.GoAwayFrame
	pings   [][8]byte // that are not acknowledgements
	slow    uint32    // the stream whose window is not enlarged after DATA, unlike others'
	err     error     // how the connection ended
}

// answer is what arrived on a stream.
type answer struct {
	parts []string // heads, each field as "name: value" and joined by "|", and content in braces
	bytes int      // of content
	ended bool
	reset *xhttp2.ErrCode
}

// String returns everything in one line, without dates.
func (a *answer) String() string {
	s := a.parts
	if a.ended {
		s = append(s, "end")
	}
	if a.reset != nil {
		s = append(s, a.reset.String())
	}
	return strings.Join(s, " / ")
}

// took adds content.
func (a *answer) took(p []byte) {
	a.bytes += len(p)
	if last := len(a.parts) - 1; len(p) > 0 && strings.HasSuffix(a.parts[last], "}") {
		a.parts[last] = strings.TrimSuffix(a.parts[last], "}") + string(p) + "}"
	} else if len(p) > 0 {
		a.parts = append(a.parts, "{"+string(p)+"}")
	}
}

// over reports whether the answer is complete.
func (a *answer) over() bool { return a.ended || a.reset != nil }

// wire connects an HTTP/2 client.
func (p *proxy) wire(settings ...xhttp2.Setting) *wire {
	p.t.Helper()
	return newWire(p.t, p.dial(), settings...)
}

// newWire begins HTTP/2 on c, and waits for the proxy's settings.
func newWire(t testing.TB, c net.Conn, settings ...xhttp2.Setting) *wire {
	t.Helper()
	return newWireBehind(t, c, "", settings...)
}

// newWireBehind is newWire for a client that first sends the given bytes in the same segment.
func newWireBehind(t testing.TB, c net.Conn, before string, settings ...xhttp2.Setting) *wire {
	t.Helper()
	var first bytes.Buffer
	first.WriteString(before + xhttp2.ClientPreface)
	w := &wire{t: t, conn: c, answers: map[uint32]*answer{}}
	w.framer = xhttp2.NewFramer(&first, nil)
	w.check(w.framer.WriteSettings(settings...))
	send(c, first.String(), nil)
	w.framer = xhttp2.NewFramer(c, c)
	w.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.framer.AllowIllegalWrites = true
	w.hpack = hpack.NewEncoder(&w.block)
	greeted := false
	for !greeted {
		f := w.read()
		if f == nil {
			t.Fatalf("no settings: %v", w.err)
		}
		s, ok := f.(*xhttp2.SettingsFrame)
		greeted = ok && !s.IsAck()
	}
	return w
}

func (w *wire) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// ask sends the head of a request to p: method and path, followed by fields as "name: value". End says whether it ends the stream.
func (w *wire) ask(id uint32, end bool, method, path string, fields ...string) {
	w.t.Helper()
	w.head(id, end, append([]string{":method: " + method, ":scheme: http", ":authority: p", ":path: " + path}, fields...)...)
}

// head sends a head with these fields.
func (w *wire) head(id uint32, end bool, fields ...string) {
	w.t.Helper()
	w.block.Reset()
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		w.check(w.hpack.WriteField(hpack.HeaderField{Name: f[:i], Value: strings.TrimPrefix(f[i+1:], " ")}))
	}
	w.check(w.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: w.block.Bytes(), EndStream: end, EndHeaders: true}))
}

// data sends DATA.
func (w *wire) data(id uint32, end bool, s string) {
	w.t.Helper()
	w.check(w.framer.WriteData(id, end, []byte(s)))
}

// reset sends RST_STREAM.
func (w *wire) reset(id uint32, code xhttp2.ErrCode) {
	w.t.Helper()
	w.check(w.framer.WriteRSTStream(id, code))
}

// read reads and records a frame. It returns nil at the end of the connection. The proxy may have ended the connection behind the
// frame, so that it cannot be answered any more.
func (w *wire) read() xhttp2.Frame {
	w.t.Helper()
	f, err := w.framer.ReadFrame()
	if err != nil {
		w.err = err
		return nil
	}
	a := w.answer(f.Header().StreamID)
	switch f := f.(type) {
	case *xhttp2.MetaHeadersFrame:
		var fields []string
		for _, h := range f.Fields {
			if h.Name != "date" {
				fields = append(fields, h.Name+": "+h.Value)
			}
		}
		a.parts = append(a.parts, strings.Join(fields, "|"))
		a.ended = f.StreamEnded()
	case *xhttp2.DataFrame:
		a.took(f.Data())
		a.ended = f.StreamEnded()
		if n := uint32(len(f.Data())); n > 0 {
			_ = w.framer.WriteWindowUpdate(0, n)
			if !a.ended && f.StreamID != w.slow {
				_ = w.framer.WriteWindowUpdate(f.StreamID, n)
			}
		}
	case *xhttp2.RSTStreamFrame:
		code := f.ErrCode
		a.reset = &code
	case *xhttp2.SettingsFrame:
		if !f.IsAck() {
			_ = w.framer.WriteSettingsAck()
		}
	case *xhttp2.GoAwayFrame:
		w.goAways = append(w.goAways, *f)
	case *xhttp2.PingFrame:
		if !f.IsAck() {
			w.pings = append(w.pings, f.Data)
		}
	}
	return f
}

func (w *wire) answer(id uint32) *answer {
	a := w.answers[id]
	if a == nil {
		a = &answer{}
		w.answers[id] = a
	}
	return a
}

// await reads until done returns true or the connection ends.
func (w *wire) await(done func() bool) {
	w.t.Helper()
	for !done() && w.read() != nil {
	}
}

// get reads until the answer is complete, and returns it.
func (w *wire) get(id uint32) string {
	w.t.Helper()
	a := w.answer(id)
	w.await(a.over)
	return a.String()
}

// getReset is get for an answer after which the rest of the request is refused.
func (w *wire) getReset(id uint32) string {
	w.t.Helper()
	a := w.answer(id)
	w.await(func() bool { return a.reset != nil })
	return a.String()
}

// ends reads until the connection ends, and says how: by GOAWAY with these codes, and then eof or reset.
func (w *wire) ends() string {
	w.t.Helper()
	w.await(func() bool { return false })
	var s strings.Builder
	for _, g := range w.goAways {
		fmt.Fprintf(&s, "%v(%d) ", g.ErrCode, g.LastStreamID)
	}
	return s.String() + endingOf(w.err)
}

// ping waits until the proxy has read everything sent before.
func (w *wire) ping() {
	w.t.Helper()
	w.check(w.framer.WritePing(false, [8]byte{1}))
	for {
		f := w.read()
		if f == nil {
			w.t.Fatalf("no answer to a PING: %v", w.err)
		}
		if p, ok := f.(*xhttp2.PingFrame); ok && p.IsAck() {
			return
		}
	}
}

// exchange asks for stream 1, and fails the test unless that gets what is wanted and the connection serves another request.
func (w *wire) exchange(ask func(*wire), want string) {
	w.t.Helper()
	ask(w)
	get := w.get
	if strings.HasSuffix(want, "NO_ERROR") {
		get = w.getReset
	}
	if got := get(1); got != want {
		w.t.Errorf("the client got %s\nwant %s", got, want)
	}
	w.stillServed(3)
}

// stillServed fails the test unless the connection serves another request.
func (w *wire) stillServed(id uint32) {
	w.t.Helper()
	w.ask(id, true, "OPTIONS", "*", "max-forwards: 0")
	if got, want := w.get(id), ":status: 200|allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE|content-length: 0 / end"; got != want {
		w.t.Errorf("after the last request: %s\nwant %s", got, want)
	}
}
