package httpcodec

import (
	"slices"

	"kroxy-ev/httpcodec/http1"
)

// The request's bytes: read into the exchange's own buffer as far as they are its head, and through the loop's scratch
// buffer after that.

const (
	firstRead = 4 << 10  // of a head
	lastRead  = 64 << 10 // more than a head may be long
	bodyRead  = 16 << 10 // of a body that has to be framed anew
	budget    = 1 << 20  // bytes that one direction may move before other connections get their turn
)

func (x *exchange) freeIn() {
	if x.in != nil {
		x.server.loop.FreeBuffer(x.in)
		x.in = nil
	}
}

// grow makes room in a buffer of the loop's for at least n bytes more.
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

// readHead reads until the head is there. Some of it may have been read already. It reads at least once: the loop may not
// have been told yet.
func (x *exchange) readHead() {
	c := x.client
	if len(x.in) > 0 && x.parseHead() {
		return
	}
	for more := true; more; more = c.conn.Readable() {
		x.in = x.grow(x.in, 1)
		x.req.Rebase(x.in) // for whoever asks for the method of a head that will not come
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
		// It was a hint only.
		ends := x.ends
		x.finish()
		ends.wait()
		return
	}
	x.arm()
	c.conn.QuickAck() // there is more to come
}

// noRequest ends a connection whose client sent no whole head.
func (x *exchange) noRequest(err error) {
	if !ended(err) {
		x.abort(causeClientFailed, err)
		return
	}
	if x.spoken() {
		x.end = causeClientEnded.end
		x.server.account(x)
	}
	x.leave()
}

// leave ends a client that is owed no answer.
func (x *exchange) leave() {
	ends := x.ends
	x.finish()
	ends.close()
}

// parseHead looks whether the head is there, and begins with it. It reports false if more is needed.
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

// pumpUp moves the request's body. Like all that pumps it reports false when the exchange has ended; nothing of it may be
// touched then.
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
			x.up.ReadAt = v.loop.Now() // the client is waited for anew
			x.arm()
		}
		if x.request.Done && x.responded() {
			return x.complete() // the response was early
		}
		if x.request.Done || x.deaf || x.phase != relaying || !c.conn.Readable() {
			if x.phase == relaying && x.wantsBody() && !x.wantsContinue() {
				x.cameFromClient(budget - left)
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
			c.pieces.look(v.loop.Now())
			x.arm() // the host is waited for now
		}
		left -= n
	}
}

// readAlong reads more of the body right behind the head that is about to be sent, if the client's first bytes were as many as
// fit: a middling upload then goes to the host in one write, which costs more than a read. What the read says of the client
// is found out again by whoever reads next.
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
	x.up.ReadAt, x.passed = x.server.loop.Now(), true
	x.request.Took(int64(k))
	return out[:n+k]
}

// moveUp moves some of the body.
func (x *exchange) moveUp() (int, bool) {
	v := x.server
	if x.holds() {
		out, n, bad, err := x.readHeld(v.out[:0])
		if err != nil {
			return 0, again(err) || x.clientGone(err)
		}
		return n, x.sendBody(out, bad)
	}
	if x.request.In == http1.Length {
		n, source, sink := x.up.Move(v.loop, x.request.Left)
		x.request.Took(int64(n))
		x.passed = x.passed || n > 0
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
	x.up.ReadAt, x.passed = v.loop.Now(), true
	out, k, bad := x.request.Append(v.out[:0], p[:n])
	if k < n && bad == nil {
		x.in = append(x.grow(x.in, n-k), p[k:n]...)
		x.req.Rebase(x.in)
		x.next = len(x.in) - (n - k)
	}
	return n, x.sendBody(out, bad)
}

// sendBody sends a piece of the body, framed for the host, unless it is malformed or makes the body too long.
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

// oversize reports whether more of the body came than it may be long.
func (x *exchange) oversize() bool {
	limit := x.route.MaxBodySize
	return limit > 0 && x.request.Size > limit
}

// clientGone ends the exchange: the client ended its stream, or its connection failed, inside the request. One that has its
// response may do so.
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

// sent looks at the outcome of sending to the host. A host that takes no more may have answered early: its response is
// still wanted.
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
	x.deaf = true
	return x.pumpDown() && x.waitOrFail(err)
}

// waitOrFail gives the exchange up if nothing can be read from a host that takes no more.
func (x *exchange) waitOrFail(err error) bool {
	if x.phase == relaying && !x.replied {
		return x.hostGone(err)
	}
	x.arm() // the client is not waited for any more
	return true
}
