package httpcodec

import (
	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/h2conn"
	"kroxy-ev/httpcodec/http1"
)

// A message of HTTP/2 may have trailers after content whose length its head tells. In HTTP/1.1 it cannot: there the trailers are dropped, as RFC 9110
// section 6.5.1 allows. If both sides speak HTTP/2, the stream to which the content goes is not ended with the content but with the other stream, by
// the trailers if there are any.

// streamOf returns the HTTP/2 stream that c is; nil if it is none.
func streamOf(c *engine.Conn) *h2conn.Stream {
	s, _ := c.Layer().(*h2conn.Stream)
	return s
}

// mayHaveTail reports whether trailers may follow content that is forwarded as b says.
func mayHaveTail(b *http1.Body, from, to *engine.Conn) bool {
	return b.In == http1.Length && b.Out == http1.Length && b.Left > 0 && streamOf(from) != nil && streamOf(to) != nil
}

// holdEnd prepares for content that is forwarded next, and may be the last: if trailers may follow it, it does not end the stream.
func holdEnd(from, to *engine.Conn) { streamOf(to).HoldEnd(streamOf(from).MayHaveTail()) }

// tail returns what follows the content b, as a last chunk, to be sent next; nil if there are no trailers, or none that may be forwarded.
func (x *exchange) tail(b *http1.Body, side http1.Side, s *h2conn.Stream) []byte {
	trailers, _ := s.Tail()
	if len(trailers) == 0 {
		return nil
	}
	v, size, set := x.server, b.Size, x.route.Policies.Request
	if side == http1.FromHost {
		set = x.route.Policies.Response
	}
	b.Begin(side, http1.Chunked, 0, http1.Chunked, set)
	out, _, err := b.Append(v.out[:0], append([]byte("0\r\n"), trailers...))
	v.out = out[:0]
	b.Size, b.Done = size, true
	if err != nil || len(out) == len("0\r\n\r\n") {
		return nil
	}
	return out
}

// endRequest ends the request at the host once the client has ended it.
func (x *exchange) endRequest() bool {
	from, to := streamOf(&x.client.conn), streamOf(&x.host.Conn.Conn)
	if _, ended := from.Tail(); !ended {
		return true
	}
	x.requestTail = false
	x.up.WroteAt = x.server.loop.Now() // from now on the host is waited for
	x.arm()
	if out := x.tail(&x.request, http1.FromClient, from); out != nil {
		return x.sent(x.up.Send(x.server.loop, out, false))
	}
	to.EndHeld()
	return true
}

// endResponse ends the response to the client once the host has ended it, or has failed: its content is complete. Wait reports that neither is the
// case yet. It returns ok false if the exchange has ended.
func (x *exchange) endResponse() (wait, ok bool) {
	conn := &x.host.Conn.Conn
	from, to := streamOf(conn), streamOf(&x.client.conn)
	if _, ended := from.Tail(); !ended && from.Failure() == nil {
		_, _ = conn.Read(x.server.loop.Scratch()) // there is nothing to read, and the next event is for what comes next
		return true, true
	}
	x.responseTail = false
	if out := x.tail(&x.response, http1.FromHost, from); out != nil {
		return false, x.delivered(x.down.Send(x.server.loop, out, false))
	}
	to.EndHeld()
	return false, true
}

// forgoTail ends a response whose content is complete when its host fails or is silent, and no trailers will come. It returns false if the exchange
// is not waiting for the end of such a response.
func (x *exchange) forgoTail() bool {
	if !x.responseTail || !x.replied || !x.response.Done || x.down.Holding() {
		return false
	}
	x.responseTail = false
	streamOf(&x.client.conn).EndHeld()
	return true
}
