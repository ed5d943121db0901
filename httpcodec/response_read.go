package httpcodec

import "kroxy-ev/httpcodec/http1"

// This file reads the response. A head is parsed in the loop's scratch buffer, into which it was read, unless it arrives in pieces.

func (x *exchange) freePartial() {
	if x.partial != nil {
		x.server.loop.FreeBuffer(x.partial)
		x.partial = nil
	}
}

// pumpDown moves the response to the client, and ends the exchange after it.
func (x *exchange) pumpDown() bool {
	v := x.server
	for left := budget; ; {
		if x.down.Holding() {
			if !x.client.conn.Writable() {
				return true
			}
			err := x.down.Flush(v.loop)
			x.countBytes()
			if err != nil {
				return again(err) || x.abort(causeClientFailed, err)
			}
			x.down.ReadAt = v.loop.Now() // the host's timeout begins anew
			x.arm()
		}
		if x.replied && x.response.Done {
			if x.responseTail {
				wait, ok := x.endResponse()
				if wait || !ok {
					return ok
				}
				continue
			}
			if left < budget && x.host.Conn != nil {
				piecesOf(x.host.Conn).checkStall(v.loop.Now())
			}
			return x.awaitRequest()
		}
		if x.phase != relaying || !x.host.Conn.Readable() {
			if x.phase == relaying {
				x.receivedFromHost(budget - left)
			}
			return true
		}
		if left <= 0 {
			v.loop.Again(&x.host.Conn.Conn)
			return true
		}
		n, ok := x.moveDown()
		if !ok {
			return false
		}
		left -= n
	}
}

// moveDown moves some of the response.
func (x *exchange) moveDown() (int, bool) {
	v := x.server
	switch {
	case !x.replied:
		return x.readResponse()
	case x.response.In == http1.Length:
		if x.responseTail {
			holdEnd(x.down.From, &x.client.conn)
		}
		n, source, sink := x.down.Move(v.loop, x.response.Left)
		x.response.Advance(int64(n))
		if !x.delivered(sink) {
			return n, false
		}
		if source != nil && !again(source) && !x.response.Done && !x.down.Holding() { // otherwise the next read reports the error again
			return n, x.hostGone(source)
		}
		return n, true
	}
	p := v.loop.Scratch()[:bodyRead]
	n, err := x.host.Conn.Read(p)
	switch {
	case again(err):
		return 0, true
	case ended(err) && x.response.In == http1.UntilClose:
		out := x.response.End(v.out[:0])
		v.out = out[:0]
		return 0, len(out) == 0 || x.delivered(x.down.Send(v.loop, out, false))
	case err != nil:
		return 0, x.hostGone(err)
	}
	x.down.ReadAt = v.loop.Now()
	out, ok := x.appendBody(v.out[:0], p[:n])
	if !ok || len(out) == 0 {
		return n, ok
	}
	return n, x.delivered(x.down.Send(v.loop, out, false))
}

// appendBody appends what the host sent of the body, framed for the client.
func (x *exchange) appendBody(dst, p []byte) ([]byte, bool) {
	out, n, err := x.response.Append(dst, p)
	x.server.out = out[:0]
	if err != nil {
		return nil, x.fail(causeResponse, err)
	}
	x.excess = x.excess || n < len(p)
	return out, true
}

// readResponse reads what the host sends before the body of its final response.
func (x *exchange) readResponse() (int, bool) {
	v := x.server
	var p []byte
	if x.partial == nil {
		p = v.loop.Scratch()
		p = p[:x.client.conn.Room(len(p))]
	} else {
		x.partial = x.grow(x.partial, 1)
		p = x.partial[len(x.partial):cap(x.partial)]
	}
	n, err := x.host.Conn.Read(p)
	if err != nil {
		return 0, again(err) || x.hostGone(err)
	}
	x.down.ReadAt = v.loop.Now()
	data := p[:n]
	if x.partial != nil {
		x.partial = x.partial[:len(x.partial)+n]
		data = x.partial
	}
	return n, x.respond(data)
}

// respond relays the heads in data, and what follows the final one.
func (x *exchange) respond(data []byte) bool {
	v := x.server
	out := v.out[:0]
	for {
		n, bad := x.res.Parse(data, &x.req)
		if bad != nil {
			return x.fail(causeResponse, bad)
		}
		if n == 0 {
			break
		}
		if !x.res.Interim {
			if x.retryStatus() {
				return false
			}
			return x.respondFinally(out, data[n:])
		}
		if x.interims += n; x.interims > maxInterims {
			return x.fail(causeInterims, nil)
		}
		x.continued = x.continued || x.res.Status == 100
		if x.req.Minor > 0 {
			out = http1.AppendResponse(out, &x.res, &http1.ResponseRewrite{Minor: x.req.Minor})
		}
		data = data[n:]
		x.res.Reset()
	}
	v.out = out[:0]
	x.keepPartial(data)
	if len(out) > 0 && !x.delivered(x.down.Send(v.loop, out, false)) {
		return false
	}
	if x.continued && x.wantsBody() { // having received its 100, the client is now waited for
		x.up.ReadAt = v.loop.Now()
		x.arm()
	}
	return true
}

// keepPartial keeps the beginning of a head until more of it arrives.
func (x *exchange) keepPartial(data []byte) {
	if len(data) == 0 {
		x.freePartial()
		return
	}
	if x.partial != nil {
		x.partial = x.partial[:copy(x.partial, data)]
		return
	}
	x.partial = append(x.grow(nil, len(data)), data...)
}

// respondFinally sends the head of the final response and as much of its body as has arrived.
func (x *exchange) respondFinally(out, rest []byte) bool {
	v, r := x.server, &x.res
	if r.Upgrade && x.wantsContinue() {
		return x.fail(causeUpgrade, nil) // whether the client will send its body is unknown
	}
	x.markAnswered()
	framing := r.ClientFraming(x.req.Minor)
	// A client that is answered early may or may not send the rest of its body, so the start of its next request is unknown.
	x.closes = x.closes || framing == http1.UntilClose || !x.request.Done || x.uploadOver || x.downstream.isLast()
	x.response.Begin(http1.FromHost, r.Framing, r.Length, framing, x.route.Policies.Response)
	if x.responseTail = mayHaveTail(&x.response, x.down.From, &x.client.conn); x.responseTail {
		holdEnd(x.down.From, &x.client.conn)
	}
	from := len(out)
	w := http1.ResponseRewrite{Minor: x.req.Minor, Close: x.closes, Date: v.date.at(v.loop.Now()), Headers: x.route.Policies.Response}
	x.status = r.Status
	if !w.Headers.Fixed() {
		w.Record = v.values(x, w.Headers.Need())
	}
	if s := x.target.Sticky; s != nil && x.host.Lease.Host() != x.stickyHost {
		w.Cookie = s.cookie(x.host.Lease.Host(), x.client.peer.Secure())
	}
	out = http1.AppendResponse(out, r, &w)
	x.logged.keep(out[from:], x.client.entry.Access.SentFields())
	if r.Upgrade {
		x.response.Done = true
		out = append(out, rest...)
	} else {
		var ok bool
		if out, ok = x.appendBody(out, rest); !ok {
			return false
		}
	}
	x.replied = true
	x.freePartial()
	if !x.request.Done {
		x.arm() // the client is not waited for any more
	}
	v.out = out[:0]
	return x.delivered(x.down.Send(v.loop, out, x.response.Done && x.closes && !r.Upgrade))
}

// awaitRequest ends the exchange after its response, but not before the request is complete. A host that has answered early gets
// the rest of the request as long as it takes it. A host that switches protocols gets the whole request first.
func (x *exchange) awaitRequest() bool {
	switch {
	case x.phase != relaying || x.uploadOver || x.request.Done && !x.up.Holding():
		return x.complete()
	case x.res.Upgrade: // what the host sends now belongs to the other protocol
		x.arm()
		return true
	case x.wantsContinue(): // the client need not send its body now (RFC 9110 section 10.1.1)
		return x.complete()
	case !x.host.Conn.Quiet(): // the host has ended its stream, or sent unexpected bytes
		x.uploadOver = true
		return x.complete()
	}
	if x.closes && !x.finSent {
		x.finSent = true
		if x.client.conn.CloseWrite() != nil { // the client has left after its response
			x.uploadOver = true
			return x.complete()
		}
	}
	x.arm()
	return true
}

// delivered handles the result of sending to the client.
func (x *exchange) delivered(err error) bool {
	x.countBytes()
	if err == nil {
		return true
	}
	if again(err) {
		x.down.WroteAt = x.server.loop.Now()
		x.arm()
		return true
	}
	return x.abort(causeClientFailed, err)
}

// hostGone handles a host that ended its stream, or whose connection failed, before its response was complete. A kept connection
// may have been closed by a host that had not seen the request; the request is then sent again on a new connection, if it may be
// repeated (RFC 9110 section 9.2.2).
func (x *exchange) hostGone(err error) bool {
	if x.retryRefused(err) {
		return false
	}
	if x.isStale() && !isOfStream(err) {
		x.renew(&causeHostEnded)
		return false
	}
	if x.refused {
		return x.fail(causeRefused, err)
	}
	if x.pastDeadline(err) {
		return x.fail(causeDeadline, nil)
	}
	if ended(err) {
		return x.fail(causeHostEnded, nil)
	}
	return x.fail(causeHostFailed, err)
}
