package httpcodec

import (
	"slices"

	"kroxy-ev/httpcodec/http1"
)

// This file reads the request. The head is read into the exchange's own buffer; after that, bytes go through the loop's scratch buffer.

const (
	firstRead = 4 << 10  // first size of the buffer for a head
	lastRead  = 64 << 10 // last size of it, more than a head may have
	bodyRead  = 16 << 10 // size of a read from a body that is framed anew
	budget    = 1 << 20  // bytes that one direction may move before other connections get their turn
)

func (x *exchange) freeIn() {
	if x.in != nil {
		x.server.loop.FreeBuffer(x.in)
		x.in = nil
	}
}

// grow returns a buffer of the loop that has b's contents and room for at least n more bytes.
func (x *exchange) grow(b []byte, n int) []byte {
	loop := x.server.loop
	if b == nil {
		return loop.Buffer(max(n, firstRead))[:0]
	}
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := loop.Buffer(max(len(b)+n, min(2*cap(b), lastRead)))[:len(b)]
	copy(bigger, b)
	loop.FreeBuffer(b)
	return bigger
}

// readHead reads until the head is complete. Part of it may have been read already. It reads at least once, since the loop may
// not have been notified yet.
func (x *exchange) readHead() {
	c := x.client
	if len(x.in) > 0 && x.parseHead() {
		return
	}
	for more := true; more; more = c.conn.Readable() {
		x.in = x.grow(x.in, 1)
		x.req.Rebase(x.in) // so that Method works even if the head never becomes complete
		n, err := c.conn.Read(x.in[len(x.in):cap(x.in)])
		if err != nil {
			if again(err) {
				break
			}
			x.noRequest(err)
			return
		}
		x.in = x.in[:len(x.in)+n]
		if x.parseHead() {
			return
		}
	}
	if len(x.in) == 0 {
		// The readiness was only a hint.
		downstream := x.downstream
		x.finish()
		downstream.wait()
		return
	}
	x.arm()
	c.conn.QuickAck() // there is more to come
}

// noRequest ends a connection whose client sent no complete head.
func (x *exchange) noRequest(err error) {
	if !ended(err) {
		x.abort(causeClientFailed, err)
		return
	}
	if x.requestBegun() {
		x.end = causeClientEnded.end
		x.server.account(x)
	}
	x.closeClient()
}

// closeClient ends the exchange with a client to which no response is owed.
func (x *exchange) closeClient() {
	downstream := x.downstream
	x.finish()
	downstream.close()
}

// parseHead starts the exchange if the head is complete. It returns false if it needs more bytes.
func (x *exchange) parseHead() bool {
	n, err := x.req.Parse(x.in)
	switch {
	case err != nil:
		x.failHead(err)
	case n > 0:
		x.head, x.next = n, n
		x.start()
	default:
		if !x.client.conn.Readable() {
			x.arm()
		}
		return false
	}
	return true
}

// pumpUp moves the request's body to the host. Like all functions that move bytes, it returns false if the exchange has ended;
// the caller must not touch the exchange then.
func (x *exchange) pumpUp() bool {
	v, c := x.server, x.client
	for left := budget; ; {
		if x.up.Holding() {
			if !x.host.Conn.Writable() {
				return true
			}
			if !x.sent(x.up.Flush(v.loop)) {
				return false
			}
			if x.up.Holding() {
				return true
			}
			x.up.ReadAt = v.loop.Now() // the client's timeout begins anew
			x.arm()
		}
		if x.requestTail && x.request.Done && x.phase == relaying && !x.uploadOver {
			if !x.endRequest() {
				return false
			}
			if x.up.Holding() {
				return true
			}
		}
		if x.request.Done && x.responded() {
			return x.complete() // the response was early
		}
		if x.request.Done || x.uploadOver || x.phase != relaying || !c.conn.Readable() {
			if x.phase == relaying && x.wantsBody() && !x.wantsContinue() {
				x.receivedFromClient(budget - left)
			}
			return true
		}
		if left <= 0 {
			v.loop.Again(&c.conn)
			return true
		}
		n, ok := x.moveUp()
		if !ok {
			return false
		}
		if x.request.Done {
			c.pieces.checkStall(v.loop.Now())
			x.arm() // from now on the host is waited for
		}
		left -= n
	}
}

// readAlong appends more of the body to out, behind the head that is about to be sent, if the first read filled its buffer. A
// medium-sized upload then goes to the host in one write, which saves more than the extra read costs. Errors of the read are
// ignored, since the next read reports them again.
func (x *exchange) readAlong(out []byte) []byte {
	c := &x.client.conn
	if x.request.In != http1.Length || x.request.Done || x.req.ExpectContinue || !c.Readable() {
		return out
	}
	if x.holds() {
		out, _, _, _ = x.readHeld(out)
		return out
	}
	n := len(out)
	out = slices.Grow(out, bodyRead)
	k, _ := c.Read(out[n : n+int(min(x.request.Left, bodyRead))])
	if k <= 0 {
		return out
	}
	x.up.ReadAt, x.unbuffered = x.server.loop.Now(), true
	x.request.Advance(int64(k))
	return out[:n+k]
}

// moveUp moves some of the body.
func (x *exchange) moveUp() (int, bool) {
	v := x.server
	if x.requestTail {
		holdEnd(&x.client.conn, x.up.To)
	}
	if x.holds() {
		out, n, bad, err := x.readHeld(v.out[:0])
		if err != nil {
			return 0, again(err) || x.clientGone(err)
		}
		return n, x.sendBody(out, bad)
	}
	if x.request.In == http1.Length {
		n, source, sink := x.up.Move(v.loop, x.request.Left)
		x.request.Advance(int64(n))
		x.unbuffered = x.unbuffered || n > 0
		if source != nil && !again(source) && !x.request.Done {
			return n, x.clientGone(source)
		}
		return n, x.sent(sink)
	}
	p := v.loop.Scratch()[:bodyRead]
	n, err := x.client.conn.Read(p)
	if err != nil {
		return 0, again(err) || x.clientGone(err)
	}
	x.up.ReadAt, x.unbuffered = v.loop.Now(), true
	out, k, bad := x.request.Append(v.out[:0], p[:n])
	if k < n && bad == nil {
		x.in = append(x.grow(x.in, n-k), p[k:n]...)
		x.req.Rebase(x.in)
		x.next = len(x.in) - (n - k)
	}
	return n, x.sendBody(out, bad)
}

// sendBody sends a piece of the body, framed for the host. It fails if the piece is malformed or makes the body too large.
func (x *exchange) sendBody(out []byte, bad *http1.HeadError) bool {
	v := x.server
	v.out = out[:0]
	switch {
	case bad != nil:
		return x.failBody(bad)
	case x.oversize():
		return x.failRequest(causeBodySize, nil)
	case len(out) == 0:
		return true
	}
	return x.sent(x.up.Send(v.loop, out, false))
}

// oversize reports whether the body received so far is larger than max_body_size.
func (x *exchange) oversize() bool {
	limit := x.route.MaxBodySize
	return limit > 0 && x.request.Size > limit
}

// clientGone handles a client that ended its stream, or whose connection failed, inside the request. That is allowed if the
// client has its response.
func (x *exchange) clientGone(err error) bool {
	if x.responded() && !x.res.Upgrade {
		return x.complete()
	}
	why := causeClientFailed
	if ended(err) {
		why, err = causeClientEnded, nil
	}
	return x.abort(why, err)
}

// sent handles the result of sending to the host. A host whose connection takes no more may have answered early, and its response
// is still wanted.
func (x *exchange) sent(err error) bool {
	x.countBytes()
	if err == nil {
		return true
	}
	if again(err) {
		x.up.WroteAt = x.server.loop.Now()
		x.arm()
		return true
	}
	x.up.Release(x.server.loop)
	x.uploadOver = true
	return x.pumpDown() && x.waitOrFail(err)
}

// waitOrFail fails the exchange if a host that takes no more of the request has not begun its response.
func (x *exchange) waitOrFail(err error) bool {
	if x.phase == relaying && !x.replied {
		return x.hostGone(err)
	}
	x.arm() // the client is not waited for any more
	return true
}
