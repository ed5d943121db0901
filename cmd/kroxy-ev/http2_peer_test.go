package main_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framed is one end of a connection of HTTP/2, client or host. It sends the frames that a test says, even wrong ones, and records those that arrive. Methods
// that add frames only queue them; send writes them.
type framed struct {
	t    *testing.T
	conn net.Conn

	out     sync.Mutex
	pending bytes.Buffer
	framer  *http2.Framer // it writes to pending
	coder   *hpack.Encoder
	coded   bytes.Buffer

	mu       sync.Mutex
	changed  *sync.Cond
	streams  map[uint32]*message
	order    []*message // in the order in which they began
	settings map[http2.SettingID]uint32
	acks     int // acknowledgements of SETTINGS
	pongs    int
	goAways  []http2.GoAwayFrame
	frames   int
	granted  int64 // by WINDOW_UPDATE on the connection
	over     error // why reading has ended

	silent bool                        // it answers no SETTINGS and no PING
	stingy bool                        // it grants no window for what it reads
	onEnd  func(c *framed, m *message) // for a host: called on the reading goroutine when a message is complete
}

// message is what arrived on one stream.
type message struct {
	stream uint32
	heads  [][]hpack.HeaderField // header blocks: interim heads, the head, trailers
	size   int64
	body   []byte // the first bytes
	ended  bool
	reset  bool
	code   http2.ErrCode // of RST_STREAM
}

const keptBody = 1 << 20

// newFramed returns an end that does not read or write yet.
func newFramed(t *testing.T, conn net.Conn) *framed {
	c := &framed{t: t, conn: conn, streams: map[uint32]*message{}, settings: map[http2.SettingID]uint32{}}
	c.changed = sync.NewCond(&c.mu)
	c.framer = http2.NewFramer(&c.pending, nil)
	c.framer.AllowIllegalWrites = true
	c.coder = hpack.NewEncoder(&c.coded)
	return c
}

// framed connects a client that has sent its preface and SETTINGS, and has received the proxy's SETTINGS. A nil config means prior knowledge.
func (p *proxy) framed(t *testing.T, config *tls.Config, settings ...http2.Setting) *framed {
	t.Helper()
	c := newFramed(t, p.dialForHTTP2(config))
	c.sendPreface(settings...)
	return c
}

// dialForHTTP2 connects, and negotiates HTTP/2 by TLS if config is not nil.
func (p *proxy) dialForHTTP2(config *tls.Config) net.Conn {
	p.t.Helper()
	if config == nil {
		return p.dial()
	}
	config = config.Clone()
	config.NextProtos = []string{http2.NextProtoTLS}
	s := p.dialTLS(config)
	if got := s.ConnectionState().NegotiatedProtocol; got != http2.NextProtoTLS {
		p.t.Fatalf("the negotiated protocol is %q", got)
	}
	return s
}

// sendPreface sends a client's preface and SETTINGS, and waits for the other end's.
func (c *framed) sendPreface(settings ...http2.Setting) {
	c.t.Helper()
	c.offerPreface(settings...)
	c.awaitPreface()
}

// offerPreface sends a client's preface and SETTINGS, and reports whether the other end's arrive.
func (c *framed) offerPreface(settings ...http2.Setting) bool {
	c.pending.WriteString(http2.ClientPreface)
	_ = c.framer.WriteSettings(settings...)
	_ = c.send()
	go c.read()
	return c.within(patience, c.agreed)
}

// awaitPreface demands what offerPreface reports.
func (c *framed) awaitPreface() {
	c.t.Helper()
	c.await("the other end has sent SETTINGS and acknowledged ours", c.agreed)
}

func (c *framed) agreed() bool { return len(c.settings) > 0 && c.acks > 0 }

// send writes the pending frames.
func (c *framed) send() error {
	c.out.Lock()
	defer c.out.Unlock()
	return c.flush()
}

func (c *framed) flush() error {
	_, err := c.conn.Write(c.pending.Bytes())
	c.pending.Reset()
	return err
}

func (c *framed) mustSend() {
	c.t.Helper()
	if err := c.send(); err != nil {
		c.t.Fatalf("sending frames: %v", err)
	}
}

// put has f add to the pending frames.
func (c *framed) put(f func(w *http2.Framer) error) *framed {
	c.out.Lock()
	defer c.out.Unlock()
	if err := f(c.framer); err != nil {
		panic(err) // a mistake in the test
	}
	return c
}

// block encodes a header block. Fields alternates names and values.
func (c *framed) block(fields ...string) []byte {
	c.out.Lock()
	defer c.out.Unlock()
	return c.encode(fields)
}

func (c *framed) encode(fields []string) []byte {
	c.coded.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		_ = c.coder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(c.coded.Bytes())
}

// head adds a header block, as HEADERS and as many CONTINUATION frames as it needs.
func (c *framed) head(stream uint32, end bool, fields ...string) *framed {
	c.out.Lock()
	defer c.out.Unlock()
	c.putBlock(stream, end, c.encode(fields))
	return c
}

// rawHead is head for an encoded header block.
func (c *framed) rawHead(stream uint32, end bool, block []byte) *framed {
	c.out.Lock()
	defer c.out.Unlock()
	c.putBlock(stream, end, block)
	return c
}

func (c *framed) putBlock(stream uint32, end bool, block []byte) {
	const most = 16384
	first := block[:min(most, len(block))]
	block = block[len(first):]
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		piece := block[:min(most, len(block))]
		block = block[len(piece):]
		_ = c.framer.WriteContinuation(stream, len(block) == 0, piece)
	}
}

// get adds a request for path.
func (c *framed) get(stream uint32, path string, more ...string) *framed {
	return c.head(stream, true, append(pseudo("GET", path), more...)...)
}

// post adds the head of a request with a body.
func (c *framed) post(stream uint32, path string, more ...string) *framed {
	return c.head(stream, false, append(pseudo("POST", path), more...)...)
}

func pseudo(method, path string) []string {
	return []string{":method", method, ":scheme", "http", ":path", path, ":authority", "p"}
}

func (c *framed) data(stream uint32, end bool, text string) *framed {
	return c.put(func(w *http2.Framer) error { return w.WriteData(stream, end, []byte(text)) })
}

func (c *framed) rst(stream uint32, code http2.ErrCode) *framed {
	return c.put(func(w *http2.Framer) error { return w.WriteRSTStream(stream, code) })
}

func (c *framed) raw(kind http2.FrameType, flags http2.Flags, stream uint32, payload string) *framed {
	return c.put(func(w *http2.Framer) error { return w.WriteRawFrame(kind, flags, stream, []byte(payload)) })
}

func (c *framed) window(stream, n uint32) *framed {
	return c.put(func(w *http2.Framer) error {
		return w.WriteRawFrame(http2.FrameWindowUpdate, 0, stream, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	})
}

// read records frames until the connection ends. It answers SETTINGS and PING, and grants windows.
func (c *framed) read() {
	in := http2.NewFramer(nil, c.conn)
	in.SetMaxReadFrameSize(16384) // the default: no SETTINGS of ours allow more
	in.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	in.MaxHeaderListSize = 1 << 20
	for {
		f, err := in.ReadFrame()
		if err == nil {
			err = c.take(f)
		}
		if err != nil {
			c.mu.Lock()
			c.over = err
			c.changed.Broadcast()
			c.mu.Unlock()
			if !errors.Is(err, io.EOF) {
				_, _ = io.Copy(io.Discard, c.conn) // so that the other end can write on
			}
			return
		}
	}
}

// take records a frame and answers it.
func (c *framed) take(f http2.Frame) error {
	ended, err := c.note(f)
	if err != nil {
		return err
	}
	c.answer(f)
	if ended != nil && c.onEnd != nil {
		c.onEnd(c, ended)
	}
	return nil
}

func (c *framed) note(f http2.Frame) (ended *message, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed.Broadcast()
	c.frames++
	m := c.message(f.Header().StreamID)
	was := m != nil && m.ended
	if m != nil && (m.ended || m.reset) {
		switch f.(type) {
		case *http2.DataFrame, *http2.MetaHeadersFrame:
			return nil, fmt.Errorf("%v on a stream that has ended", f)
		}
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			c.acks++
		} else {
			c.settings[0] = 0 // the entry says that SETTINGS have arrived
			_ = f.ForeachSetting(func(s http2.Setting) error { c.settings[s.ID] = s.Val; return nil })
		}
	case *http2.PingFrame:
		if f.IsAck() {
			c.pongs++
		}
	case *http2.GoAwayFrame:
		c.goAways = append(c.goAways, http2.GoAwayFrame{FrameHeader: f.FrameHeader, LastStreamID: f.LastStreamID, ErrCode: f.ErrCode})
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.granted += int64(f.Increment)
		}
	case *http2.RSTStreamFrame:
		m.reset, m.code = true, f.ErrCode
	case *http2.MetaHeadersFrame:
		m.heads = append(m.heads, slices.Clone(f.Fields))
		m.ended = f.StreamEnded()
	case *http2.DataFrame:
		m.size += int64(len(f.Data()))
		if len(m.body) < keptBody {
			m.body = append(m.body, f.Data()...)
		}
		m.ended = f.StreamEnded()
	}
	if m != nil && m.ended && !was {
		ended = m
	}
	return ended, nil
}

// message returns the message of a stream.
func (c *framed) message(stream uint32) *message {
	if stream == 0 {
		return nil
	}
	m := c.streams[stream]
	if m == nil {
		m = &message{stream: stream}
		c.streams[stream] = m
		c.order = append(c.order, m)
	}
	return m
}

func (c *framed) answer(f http2.Frame) {
	if c.silent {
		return
	}
	c.out.Lock()
	defer c.out.Unlock()
	held := bytes.Clone(c.pending.Bytes()) // frames that the test has queued
	c.pending.Reset()
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			_ = c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = c.framer.WritePing(true, f.Data)
		}
	case *http2.DataFrame:
		if n := f.Header().Length; n > 0 && !c.stingy {
			_ = c.framer.WriteWindowUpdate(0, n)
			if !f.StreamEnded() {
				_ = c.framer.WriteWindowUpdate(f.StreamID, n)
			}
		}
	}
	if c.pending.Len() > 0 {
		_ = c.flush()
	}
	c.pending.Write(held)
}

// await waits until ok returns true. Ok may look at what has arrived.
func (c *framed) await(what string, ok func() bool) {
	c.t.Helper()
	if !c.within(patience, ok) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.t.Fatalf("timed out or ended, waiting until: %s; got %d frames, GOAWAY %v, error %v", what, c.frames, c.goAways, c.over)
	}
}

// within waits until ok returns true, for d at most, or until nothing more can arrive. It returns ok's last result.
func (c *framed) within(d time.Duration, ok func() bool) bool {
	late := false
	clock := time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		late = true
		c.changed.Broadcast()
	})
	defer clock.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !ok() {
		if late || c.over != nil {
			return false
		}
		c.changed.Wait()
	}
	return true
}

// response waits until a stream ends or is reset, and returns its message.
func (c *framed) response(stream uint32) *message {
	c.t.Helper()
	c.await(fmt.Sprintf("stream %d is answered", stream), func() bool {
		m := c.streams[stream]
		return m != nil && (m.ended || m.reset)
	})
	return c.streams[stream]
}

// expectStatus demands a response with this status.
func (c *framed) expectStatus(stream uint32, status string) *message {
	c.t.Helper()
	m := c.response(stream)
	if m.status() != status || m.reset && m.code != http2.ErrCodeNo {
		c.t.Fatalf("stream %d: %v, want status %s", stream, m, status)
	}
	return m
}

// status returns the status of the final head.
func (m *message) status() string {
	for _, head := range m.heads {
		if s := value(head, ":status"); s != "" && s[0] != '1' {
			return s
		}
	}
	return ""
}

func (m *message) String() string {
	end := "open"
	if m.reset {
		end = "reset by " + m.code.String()
	} else if m.ended {
		end = "ended"
	}
	return fmt.Sprintf("%v, %d bytes (%.100q), %s", m.heads, m.size, m.body, end)
}

// value returns the value of the first field with this name.
func value(head []hpack.HeaderField, name string) string {
	for _, f := range head {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// goAway waits until the connection ends, and returns the codes of the GOAWAY frames before the end.
func (c *framed) goAway(d time.Duration) (codes []http2.ErrCode, over bool) {
	over = c.within(d, func() bool { return c.over != nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.goAways {
		codes = append(codes, f.ErrCode)
	}
	return codes, over
}

// expectNotLate demands that the connection did not end because the test's own deadline had passed.
func (c *framed) expectNotLate(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.over, os.ErrDeadlineExceeded) {
		t.Errorf("the other end did not end the connection: %v", c.over)
	}
}

// expectGoAway demands that the connection ends with one of the codes.
func (c *framed) expectGoAway(codes ...http2.ErrCode) {
	c.t.Helper()
	got, over := c.goAway(patience)
	if !over {
		c.t.Fatalf("the connection did not end; GOAWAY so far: %v", got)
	}
	if len(got) == 0 || !slices.Contains(codes, got[len(got)-1]) {
		c.t.Errorf("the connection ended with GOAWAY %v and error %v, want one of %v", got, c.over, codes)
	}
}

// framedHost is a host that speaks HTTP/2 frame by frame and records everything that arrives.
type framedHost struct {
	endpoint
	mu    sync.Mutex
	conns []*framed
}

// startFramedHost starts a framedHost that answers with onEnd. A nil config means prior knowledge. Begin, if not nil, is called instead of sending SETTINGS.
func startFramedHost(t *testing.T, config *tls.Config, begin func(c *framed), onEnd func(c *framed, m *message)) *framedHost {
	t.Helper()
	h := &framedHost{}
	serve := func(conn net.Conn) {
		c := newFramed(t, conn)
		c.onEnd = onEnd
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(conn, preface); err != nil {
			return
		}
		if string(preface) != http2.ClientPreface {
			t.Errorf("a host of HTTP/2 got %q instead of a preface", preface)
			return
		}
		h.mu.Lock()
		h.conns = append(h.conns, c)
		h.mu.Unlock()
		if begin == nil {
			_ = c.framer.WriteSettings()
			_ = c.send()
		} else {
			begin(c)
		}
		c.read()
	}
	if config == nil {
		h.endpoint = listen(t, "127.0.0.1", func(c *net.TCPConn) { serve(c) }).endpoint
		return h
	}
	config = config.Clone()
	config.NextProtos = []string{http2.NextProtoTLS}
	h.endpoint = listenTLS(t, config, func(c *tls.Conn) { serve(c) }).endpoint
	return h
}

// answerHello answers a message regularly.
func answerHello(c *framed, m *message) {
	c.head(m.stream, false, ":status", "200", "date", "now", "content-length", "5").data(m.stream, true, "hello")
	_ = c.send()
}

// connections returns all connections so far.
func (h *framedHost) connections() []*framed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.conns)
}

// forget drops what was recorded.
func (h *framedHost) forget() {
	for _, c := range h.connections() {
		c.mu.Lock()
		c.order = nil
		c.mu.Unlock()
	}
}

// requests returns the requests, in their order on each connection, in the form of plain.
func (h *framedHost) requests() (all []string) {
	for _, c := range h.connections() {
		c.mu.Lock()
		for _, m := range c.order {
			all = append(all, m.plain())
		}
		c.mu.Unlock()
	}
	return all
}

// plain formats what a request means, in the form that plainRequests uses for HTTP/1.
func (m *message) plain() string {
	var p plain
	for i, head := range m.heads {
		for _, f := range head {
			switch {
			case i > 0:
				p.trailers = append(p.trailers, f.Name+": "+f.Value)
			case f.Name == ":method":
				p.line = f.Value + " " + p.line
			case f.Name == ":path":
				p.line += f.Value
			case f.Name == ":authority":
				p.fields = append(p.fields, "host: "+f.Value)
			case f.Name == ":scheme":
			default:
				p.fields = append(p.fields, f.Name+": "+f.Value)
			}
		}
	}
	p.body, p.whole = string(m.body), m.ended && !m.reset
	return p.String()
}

// plain is the meaning of a message, independent of the version of HTTP.
type plain struct {
	line             string
	fields, trailers []string
	body             string
	whole            bool
}

func (p *plain) String() string {
	name := func(a, b string) int {
		first, _, _ := strings.Cut(a, ":")
		second, _, _ := strings.Cut(b, ":")
		return strings.Compare(first, second)
	}
	var crumbs []string // cookies may be joined and split on the way (RFC 9113 section 8.2.3)
	p.fields = slices.DeleteFunc(p.fields, func(f string) bool {
		crumb, ok := strings.CutPrefix(f, "cookie: ")
		if ok {
			crumbs = append(crumbs, crumb)
		}
		return ok
	})
	if crumbs != nil {
		p.fields = append(p.fields, "cookie: "+strings.Join(crumbs, "; "))
	}
	slices.SortStableFunc(p.fields, name)
	slices.SortStableFunc(p.trailers, name)
	end := "cut"
	if p.whole {
		end = "whole"
	}
	return fmt.Sprintf("%s\n%s\n\n%s\n%s\n%s", p.line, strings.Join(p.fields, "\n"), p.body, strings.Join(p.trailers, "\n"), end)
}

// plainRequests parses requests of HTTP/1 as strictly as any host would. A request that extends beyond text counts as truncated.
func plainRequests(text string) (all []string) {
	for text != "" {
		var p plain
		text = p.read(text)
		all = append(all, p.String())
	}
	return all
}

// read parses one message and returns what follows it.
func (p *plain) read(text string) string {
	head, rest, ok := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	p.line = strings.TrimSuffix(lines[0], " HTTP/1.1")
	length, chunked := 0, false
	for _, line := range lines[1:] {
		name, value, colon := strings.Cut(line, ": ")
		name = strings.ToLower(name)
		switch {
		case !colon:
			p.fields = append(p.fields, line)
			continue
		case name == "transfer-encoding" && value == "chunked":
			chunked = true
			continue
		case name == "connection" && value == "TE":
			continue
		case name == "content-length":
			_, _ = fmt.Sscan(value, &length)
		}
		p.fields = append(p.fields, name+": "+value)
	}
	if !ok {
		return ""
	}
	if !chunked {
		n := min(length, len(rest))
		p.body, p.whole = rest[:n], n == length
		return rest[n:]
	}
	for {
		line, after, ok := strings.Cut(rest, "\r\n")
		var size int
		if n, err := fmt.Sscanf(line, "%x", &size); !ok || n != 1 || err != nil || len(after) < size+2 && size > 0 {
			p.body += after[:min(size, len(after))]
			return ""
		}
		if size == 0 {
			rest = after
			break
		}
		p.body += after[:size]
		rest = after[size+2:]
	}
	for {
		line, after, ok := strings.Cut(rest, "\r\n")
		if !ok {
			return ""
		}
		rest = after
		if line == "" {
			p.whole = true
			return rest
		}
		name, value, _ := strings.Cut(line, ": ")
		p.trailers = append(p.trailers, strings.ToLower(name)+": "+value)
	}
}
