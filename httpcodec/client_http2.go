package httpcodec

import (
	"context"
	"log/slog"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/opening"
	"kroxy-ev/httpcodec/h2conn"
	"kroxy-ev/httpcodec/http2"
)

// h2client is a client's HTTP/2 connection. Each of its streams is the client of one exchange. It is the connection that is
// listed, counted as active and given a place at the listener; it is released when both it and its last exchange are over.
type h2client struct {
	under   *h1client // the owner of the socket
	conn    *h2conn.Conn
	streams int  // that have an exchange
	leaves  bool // the client was told that it may open no more streams
	closed  bool // the socket is closed
}

// choose finds out which version of HTTP a client speaks that may speak both. HTTP/2 begins with its preface, which is not a
// valid HTTP/1 request (RFC 9113 section 3.4).
func (c *h1client) choose() {
	p := c.server.loop.Scratch()[:len(http2.Preface)]
	n, err := c.conn.Peek(p)
	switch {
	case again(err):
	case err == nil && string(p[:n]) == http2.Preface:
		c.multiplex()
	case err == nil && string(p[:n]) == http2.Preface[:n] && !c.conn.Ending():
		c.conn.QuickAck() // the rest is to come
	default:
		c.state = clientOpen
		c.Ready(&c.conn)
	}
}

// multiplex makes the connection carry HTTP/2 from now on. The connection may be over when multiplex returns.
func (c *h1client) multiplex() {
	v, set := c.server, &c.settings.Server
	v.loop.Disarm(&c.timer)
	h := &h2client{under: c}
	c.state, c.h2 = clientMultiplexed, h
	h.conn = v.muxer.Serve(&c.conn, h, &c.settings.HTTP2, h2conn.Timeouts{
		Head: set.ClientHeaderTimeout, Idle: set.KeepaliveTimeout, Send: c.settings.Unrouted.SendTimeout,
	})
	if c.leaving() {
		h.leave()
	}
}

// leave tells the client that no more streams are served; the connection closes after the last one.
func (h *h2client) leave() {
	if !h.leaves && !h.closed {
		h.leaves = true
		h.conn.Leave()
	}
}

// Opened implements h2conn.Owner. The connection's place at the listener covers one stream. A further stream needs a place of its
// own; if there is none it is refused, and the client may retry it.
func (h *h2client) Opened(s *h2conn.Stream) {
	c := h.under
	if h.streams > 0 && !c.listener.Share() {
		h.Refused(errNoPlace)
		return
	}
	t := c.server.stream(h)
	s.Attach(&t.conn, t)
	t.begin()
	if c.isLast() {
		h.leave()
	}
}

// errNoPlace is the reason for which a stream is refused when the listener has no free place.
var errNoPlace = &http2.Error{Code: http2.RefusedStream, Stream: true, Reason: "the limit on clients is reached"}

// Refused implements h2conn.Owner.
func (h *h2client) Refused(err *http2.Error) {
	h.under.server.log.Debug("http: a request was refused", "client", h.under.peer.Client.Addr(), "error", err)
}

// Changed implements h2conn.Owner. Only connections to hosts need it.
func (h *h2client) Changed() {}

// Closed implements h2conn.Owner.
func (h *h2client) Closed(err error) {
	v := h.under.server
	if err != nil && v.log.Enabled(context.Background(), slog.LevelDebug) {
		v.log.Debug("http: a client's HTTP/2 connection has ended", "client", h.under.peer.Client.Addr(), "error", err)
	}
	h.closed = true
	h.release()
}

// release releases the connection once it is closed and has no streams.
func (h *h2client) release() {
	if h.closed && h.streams == 0 {
		h.under.server.closed(h.under)
	}
}

// stream is a stream of a client's HTTP/2 connection. It has one exchange.
type stream struct {
	client
	of   *h2client
	next *stream // in the server's list
	prev *stream
}

// stream returns an unused stream of h and adds it to the active ones.
func (v *Server) stream(h *h2client) *stream {
	t := v.freeStreams.Get()
	if t == nil {
		t = &stream{client: client{server: v}}
		t.timer.Handler = t
	}
	if t.next = v.streams; t.next != nil {
		t.next.prev = t
	}
	v.streams = t
	h.streams++
	c := h.under
	t.of, t.entry, t.settings, t.peer = h, c.entry, c.entry.Settings, c.peer
	return t
}

// begin gives t its exchange.
func (t *stream) begin() { t.server.begin(&t.client, t) }

// Ready implements engine.Handler.
func (t *stream) Ready(*engine.Conn) { t.x.clientReady() }

// Expired implements engine.Handler.
func (t *stream) Expired(*engine.Timer) { t.x.expired(t.server.loop.Now()) }

// protocol implements downstream.
func (*stream) protocol(uint8) string { return protocolHTTP2 }

// isLast implements downstream. The response is the last on its stream, even if the connection goes on.
func (*stream) isLast() bool { return true }

// keep implements downstream. It is never called, since a response is always the last on its stream.
func (t *stream) keep() { t.end(true) }

// wait implements downstream. There is hardly anything to wait for: a stream is opened with its complete head.
func (t *stream) wait() { t.begin() }

// end implements downstream.
func (t *stream) end(bool) { t.close() }

// close implements downstream.
func (t *stream) close() {
	t.conn.Close()
	t.free()
}

// fail implements downstream. What was written before is sent before the reset. CANCEL tells gRPC clients that a call ended
// because of its deadline.
func (t *stream) fail(why cause, _ time.Duration) {
	if s, ok := t.conn.Layer().(*h2conn.Stream); ok && why == causeDeadline {
		s.Cancel()
	}
	t.conn.Reset()
	t.free()
}

// free recycles the stream.
func (t *stream) free() {
	v, h := t.server, t.of
	v.loop.Disarm(&t.timer)
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		v.streams = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.of, t.next, t.prev, t.entry, t.settings, t.peer, t.served, t.pieces = nil, nil, nil, nil, nil, opening.Peer{}, false, pieces{}
	v.freeStreams.Put(t)
	if h.streams--; h.streams > 0 {
		h.under.listener.Unshare()
	}
	h.release()
}
