package httpcodec

import (
	"errors"
	"net/netip"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/trace"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/logformat"
	"kroxy-ev/streamcodec"
)

// exchange is one request and its response. It is made with the first byte of a request, and reused when it is over.
//
// It has one end: finish. Before a byte of the response was sent a failure becomes a reply; after that the client's
// connection is reset, never ended as if the response were whole.
type exchange struct {
	server *Server
	client *client
	ends   downstream // of the client
	route  *Route     // that the request takes; the settings' Unrouted before that is known, and if none does
	target *Target    // of the route; nil before a request goes there
	host   upstream.Claim
	span   *trace.Request // that is recorded; nil for none

	req http1.Request
	res http1.Response

	in      []byte // the loop's buffer: the request's head, then what has come behind it
	head    int    // length of the head in it
	next    int    // what is before this in it belongs to this request and was sent on, or is its head
	partial []byte // the loop's buffer: the beginning of a response head

	up, down streamcodec.Half
	request  http1.Body
	response http1.Body

	logged headFields // of the response that the client was sent

	began      int64         // ns on the loop's clock
	answered   int64         // when the head of the host's response was there, in ms on it, if hostStatus is set
	asked      int64         // when the host got the request, in ns on it; 0 if none has it
	latency    time.Duration // from then to answered
	counted    [2]int64      // of the bytes that were sent up and down, how many were counted
	stuck      int           // the host that the client's cookie names, or -1
	hold       int           // of what is in up to this byte nothing is lost while the body is sent; 0 if it is not kept
	sentBefore int64         // bytes sent to hosts before this one
	phase      phase
	end        logformat.End // the first reason why it failed
	hasID      bool          // id is set
	id         streamcodec.RequestID
	status     int  // sent to the client; 0 before
	hostStatus int  // of the host's final response; 0 before
	interims   int  // bytes of the heads of 1xx responses
	continued  bool // a 100 among them
	replied    bool // the final response's head was sent, or is held
	closes     bool // the client's connection does not outlast this exchange
	told       bool // the client got a FIN behind its response
	excess     bool // the host sent more than its response
	deaf       bool // the host takes no more of the request
	passed     bool // some of the body went on its way and is not at hand any more
	renewed    bool // the request was sent once more since a kept connection had been closed
	refusals   int8 // how often it was sent once more to the same host, since that had refused it
	refused    bool // the host has not begun with the request
}

// maxInterims bounds the 1xx responses to one request: the bytes of their heads. The time that they may take is bounded by
// maxHeadWait.
const maxInterims = 8 * http1.MaxHead

// reset prepares x for a new request of its client.
func (x *exchange) reset() {
	now := x.server.loop.Now()
	x.req.Reset()
	x.res.Reset()
	x.route, x.target = &x.client.settings.Unrouted, nil
	x.head, x.next, x.began, x.phase = 0, 0, x.server.loop.Began(), readingHead
	x.asked, x.counted = 0, [2]int64{}
	x.request.Done = false // while its head is not there, least of all its body is
	x.host.Observer = nil
	x.host.Trace, x.end, x.hasID, x.hostStatus = upstream.Trace{}, logformat.Complete, false, 0
	x.status, x.interims, x.continued, x.replied, x.closes, x.told = 0, 0, false, false, false, false
	x.excess, x.deaf, x.passed, x.renewed, x.refused, x.refusals = false, false, false, false, false, 0
	x.logged.clear()
	x.client.pieces.begin()
	x.up, x.down = streamcodec.Half{From: &x.client.conn, ReadAt: now, WroteAt: now}, streamcodec.Half{To: &x.client.conn, ReadAt: now, WroteAt: now}
}

// start finds the route of the request whose head is there, and goes after a connection to a host.
func (x *exchange) start() {
	c := x.client
	e := c.entry
	c.settings, x.phase = e.Settings, routing
	if x.server.tracing != nil {
		x.beginSpan()
	}
	x.closes = !x.req.KeepAlive || x.ends.isLast()
	why, err := x.findRoute()
	x.request.Begin(http1.FromClient, x.req.Framing, x.req.Length, x.req.Framing, x.route.Policies.Request)
	if why != nil {
		x.fail(*why, err)
		return
	}
	if most := x.route.MaxBodySize; most > 0 && x.req.Length > most {
		x.fail(causeBodySize, nil)
		return
	}
	if x.req.MaxForwards == 0 {
		x.answer()
		return
	}
	if p := &x.route.Policies; p.Redirect != nil || p.Respond != nil {
		x.answerByPolicy()
		return
	}
	x.phase, x.target = connecting, e.target(x.route)
	x.prepareHold()
	x.acquire()
}

// acquire goes after a connection to a host: the one that the client is stuck to, if there is one.
func (x *exchange) acquire() {
	k, t := x.server.connector, x.target
	x.observeTries()
	if x.stuck = -1; t.Sticky != nil {
		cookies := &x.server.routing.View
		cookies.Begin(&x.req, nil)
		x.stuck = t.Sticky.host(cookies)
	}
	if x.stuck >= 0 {
		k.AcquireHost(t.Group, &x.host, x.stuck, x.key(), x)
	} else {
		k.Acquire(t.Group, &x.host, x.key(), x)
	}
	x.giveUpQueued()
}

// giveUpQueued ends an exchange that waits for a place at a host if its client has left.
func (x *exchange) giveUpQueued() {
	if x.host.Queued() && x.client.conn.Ending() {
		x.abort(causeClientEnded, nil)
	}
}

// Ends implements upstream.Owner.
func (x *exchange) Ends() (client, local netip.AddrPort) {
	c := x.client
	return c.peer.Client, c.peer.Local(&c.conn)
}

// Connected implements upstream.Owner.
func (x *exchange) Connected(err error) {
	switch {
	case err == nil:
		x.relay()
	case errors.Is(err, upstream.ErrNoHost) && x.host.Group.Balance.ByName():
		x.fail(causeMisdirected, nil)
	case errors.Is(err, upstream.ErrNoHost):
		x.fail(causeNoHost, nil)
	case errors.Is(err, upstream.ErrQueueTimeout):
		x.fail(causeQueueTimeout, err)
	case errors.Is(err, upstream.ErrFull), errors.Is(err, upstream.ErrQueueFull):
		x.fail(causeQueueFull, err)
	case errors.Is(err, upstream.ErrConnectTimeout), errors.Is(err, upstream.ErrResolveTimeout):
		x.fail(causeConnectTimeout, err)
	default:
		x.fail(causeUnreachable, err)
	}
}

// relay sends the request's head, and what is there of its body.
func (x *exchange) relay() {
	v, set := x.server, x.client.settings
	loop := v.loop
	name := &x.target.Names[x.host.Lease.Host()]
	peer := &x.client.peer
	v.addr = peer.Client.Addr().AppendTo(v.addr[:0])
	v.rewrite = http1.Rewrite{
		Headers: x.route.Policies.Request, Authority: name.Authority, ClientAddr: v.addr,
		UpstreamHost: x.route.UpstreamHost, Forwarded: set.Server.ForwardedHeaders, Trusted: set.Server.ForwardedHeaders && set.trusts(peer.Client.Addr()),
		TLS: peer.Secure(), Requests: x,
	}
	target, err := x.newTarget()
	if err != nil {
		x.fail(causeTarget, err)
		return
	}
	v.rewrite.Target = target
	if v.tracing != nil {
		x.propagate(&v.rewrite)
	}
	if h := v.rewrite.Headers; !h.Fixed() {
		v.rewrite.Record = v.values(x, h.Need())
		v.rewrite.Record.HostName = name.Name
	}
	out := http1.AppendRequest(v.out[:0], &x.req, &v.rewrite)
	x.phase = relaying
	expectResponse(x.host.Conn)
	x.sentBefore = x.up.Bytes
	x.up.To, x.down.From = &x.host.Conn.Conn, &x.host.Conn.Conn
	now := loop.Now()
	x.up.ReadAt, x.up.WroteAt, x.down.ReadAt = now, now, now
	out, n, bad := x.request.Append(out, x.in[x.next:])
	v.out = out[:0]
	x.next += n
	if bad != nil {
		x.failBody(bad)
		return
	}
	if x.oversize() {
		x.fail(causeBodySize, nil)
		return
	}
	out = x.readAlong(out)
	v.out = out[:0]
	x.ask()
	if !x.sent(x.up.Send(loop, out, false)) {
		return
	}
	if !x.pumpUp() {
		return
	}
	if !x.pumpDown() {
		return
	}
	x.arm()
	x.checkClient() // it may have failed right behind its request, of which no other event will tell
}

// unanswered reports whether a host has the request, or is being connected to, and has not said anything yet.
func (x *exchange) unanswered() bool {
	return x.host.Lease.Held() && !x.replied && x.interims == 0 && len(x.partial) == 0
}

// waiting is whom x waits for.
func (x *exchange) waiting() upstream.Waiting {
	return upstream.Waiting{Group: x.host.Group, Host: x.host.Lease.Host(), Client: x.client.peer.Client.Addr()}
}

// clientReady goes on when the client's connection may be read or written.
func (x *exchange) clientReady() {
	switch x.phase {
	case readingHead:
		x.readHead()
		return
	case connecting:
		if c := &x.client.conn; c.Errored() {
			if err := c.SocketError(); err != nil {
				x.abort(causeClientFailed, err)
				return
			}
		}
		x.giveUpQueued()
		return
	}
	if x.down.Holding() && !x.pumpDown() {
		return
	}
	if x.phase == relaying && !x.pumpUp() {
		return
	}
	x.checkClient()
}

// checkClient ends the exchange if the client's connection has failed and neither a read nor a write would tell.
func (x *exchange) checkClient() {
	if c := &x.client.conn; c.Errored() && (x.request.Done || x.up.Holding() || x.deaf) && !x.down.Holding() {
		if err := c.SocketError(); err != nil {
			x.clientGone(err)
		}
	}
}

// Ready implements engine.Handler for the host's connection.
func (x *exchange) Ready(*engine.Conn) {
	if x.up.Holding() && !x.pumpUp() {
		return
	}
	x.pumpDown()
}

// Expired implements engine.Handler; the client has the exchange's timer.
func (x *exchange) Expired(*engine.Timer) {}

// fail ends the exchange for this cause: by a reply, if nothing was sent to the client and there is something to say.
func (x *exchange) fail(why cause, err error) bool {
	if why.status == 0 || x.replied || x.down.Holding() {
		return x.abort(why, err)
	}
	if x.retryFailed(&why) {
		return false
	}
	x.failed(why, err)
	x.skipBody()
	x.dropHost(&why)
	x.up.Release(x.server.loop)
	x.freePartial() // the next response on this client's connection must not begin with it
	// A client that sends too much is not listened to further.
	x.closes = x.closes || why == causeBodySize || x.phase == readingHead || !x.request.Done || x.ends.isLast()
	x.replyWith(why.status, nil)
	return false
}

// failed notes why the exchange fails. The first reason is the one that counts.
func (x *exchange) failed(why cause, err error) {
	if x.end == logformat.Complete {
		x.end = why.end
	}
	x.server.logFailure(x, why, err)
}

// failRequest is fail for a request of which no more can be sent. It does not touch a response that has begun: that is sent
// to its end, and nothing more of the request is read.
func (x *exchange) failRequest(why cause, err error) bool {
	if !x.replied || x.res.Upgrade {
		return x.fail(why, err)
	}
	if why == causeHostSendTimeout {
		why = causeHostTakesNoMore
	}
	x.server.logFailure(x, why, err)
	x.up.Release(x.server.loop)
	x.deaf, x.closes = true, true
	if x.responded() {
		return x.complete()
	}
	x.arm()
	return true
}

// skipBody passes over what is there of the body of a request that no host gets, so that the client may go on if that is all.
func (x *exchange) skipBody() {
	if (x.phase == routing || x.phase == connecting) && !x.request.Done {
		x.passBody()
	}
}

func (x *exchange) passBody() {
	_, n, err := x.request.Append(x.server.out[:0], x.in[x.next:])
	x.next += n
	x.closes = x.closes || err != nil
}

// failBody replies to a request whose body is malformed; where it would end is not known.
func (x *exchange) failBody(err *http1.HeadError) bool {
	x.closes = true
	return x.failRequest(cause{err.Status, causeBody.text + ": " + err.Reason, causeBody.end}, nil)
}

// failHead replies to a head that is no request.
func (x *exchange) failHead(err *http1.HeadError) {
	x.failed(cause{err.Status, err.Reason, logformat.Refused}, nil)
	x.closes = true
	x.next = len(x.in)
	x.replyWith(err.Status, nil)
}

// answer replies to a request that may not be sent further (RFC 9110 section 7.6.2).
func (x *exchange) answer() {
	x.closes = x.closes || !x.request.Done
	if x.req.IsTrace {
		x.replyWith(200, AppendTrace)
	} else {
		x.replyWith(200, AppendOptions)
	}
}

// replyWith sends a reply of this proxy's own; an error page if there is nothing else to write.
func (x *exchange) replyWith(status int, write func([]byte, *Reply) []byte) {
	v := x.server
	p := x.beginReply(status)
	if !p.Headers.Fixed() {
		p.Record = v.values(x, p.Headers.Need())
	}
	if write != nil {
		v.out = write(v.out[:0], p)
	} else {
		v.out = AppendError(v.out[:0], status, p)
	}
	x.sendReply()
}

// beginReply has x answer with that status, and says how.
func (x *exchange) beginReply(status int) *Reply {
	v := x.server
	x.phase, x.status = replying, status
	v.reply = Reply{Request: &x.req, KeepAlive: !x.closes, Date: v.date.at(v.loop.Now()), Later: retryAfter(x.end), GRPC: x.grpcError(status)}
	v.reply.Headers = x.route.Policies.Response
	return &v.reply
}

// sendReply sends the reply in the server's buffer.
func (x *exchange) sendReply() {
	v := x.server
	x.replied = true
	x.logged.keep(v.out, x.client.entry.Access.SentFields())
	x.response.Begin(http1.FromHost, http1.NoBody, 0, http1.NoBody, nil)
	out := v.out
	v.out = out[:0]
	if x.delivered(x.down.Send(v.loop, out, false)) && x.pumpDown() {
		x.arm()
	}
}

// responded reports whether the client has got the whole response of a host.
func (x *exchange) responded() bool {
	return x.phase == relaying && x.replied && x.response.Done && !x.down.Holding()
}

// complete ends an exchange whose response was sent to its end. It returns false, as what ends an exchange does.
func (x *exchange) complete() bool {
	v, c, ends := x.server, x.client, x.ends
	if x.res.Upgrade && x.phase == relaying {
		if x.deaf {
			return x.abort(causeUpgrade, nil)
		}
		x.tunnel()
		return false
	}
	x.closes = x.closes || !x.request.Done // where the next request begins is not known
	if h := &x.host; h.Conn != nil {
		if x.res.KeepAlive && x.request.Done && !x.up.Holding() && !x.deaf && !x.excess && !v.draining && h.Conn.Quiet() {
			h.Keep(x.res.IdleTime)
		}
		x.dropHost(nil)
	}
	v.account(x)
	x.up.Release(v.loop)
	c.served = true
	if !x.closes {
		x.goOn()
		return false
	}
	// A client that has not said itself that it would send nothing more may be about to.
	expected := x.head == 0 || x.req.KeepAlive || !x.request.Done || x.next < len(x.in) || c.conn.Readable()
	x.finish()
	ends.end(expected)
	return false
}

// goOn begins the client's next request, of which the beginning may be there already. Behind a reply of this proxy's own
// it waits for its turn: no host slows such requests down, and a client that sends them without end must neither keep the
// loop from others nor grow the stack.
func (x *exchange) goOn() {
	c, ends := x.client, x.ends
	if x.next == len(x.in) && !c.conn.Readable() {
		x.finish()
		ends.keep()
		return
	}
	x.in = x.in[:copy(x.in, x.in[x.next:])]
	if len(x.in) == 0 {
		x.freeIn()
	}
	own := x.phase == replying
	x.reset()
	if own {
		x.server.loop.Again(&c.conn)
		return
	}
	x.readHead()
}

// dropHost closes the connection to the host, if there is one, and gives the lease back. A host that has not got the whole
// request must not take what it has for that: its connection is reset.
// It is reported on by its response unless it is to blame for why, by which the exchange ends; nil if it has ended well.
func (x *exchange) dropHost(why *cause) {
	x.countBytes()
	x.endTry(why)
	if c := x.host.Conn; c != nil && (!x.request.Done || x.up.Holding() || x.deaf) {
		c.Reset()
	}
	if why != nil && isHosts(why.end) {
		x.host.Release(x.erred(why))
	} else {
		x.host.Release(x.answerReport())
	}
}

// abort ends the exchange, and the client's connection by a reset. If it was the host that failed, the client is first to get
// what was sent to it before: earlier responses may be among that.
func (x *exchange) abort(why cause, err error) bool {
	x.failed(why, err)
	x.dropHost(&why)
	if x.phase != readingHead || x.spoken() {
		x.server.account(x)
	}
	ends, patience := x.ends, x.route.SendTimeout
	x.finish()
	ends.fail(why, patience)
	return false
}

// finish gives back what the exchange holds, and the exchange.
func (x *exchange) finish() {
	loop := x.server.loop
	x.up.Release(loop)
	x.down.Release(loop)
	x.freeIn()
	x.freePartial()
	x.route, x.target = nil, nil
	x.server.recycle(x)
}
