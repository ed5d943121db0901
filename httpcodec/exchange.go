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

// exchange is one request and its response. It is created at the first byte of a request and reused when it is over.
//
// Every exchange ends in finish. Before any byte of the response was sent, a failure becomes an error reply. After that the
// client's connection is reset, so that the client cannot mistake a truncated response for a complete one.
type exchange struct {
	server     *Server
	client     *client
	downstream downstream
	route      *Route  // the request's route; the settings' Unrouted until it is known, and if no route matches
	target     *Target // one of the route's; nil until the request goes to a group
	host       upstream.Claim
	span       *trace.Request // of the exchange; nil if it is not recorded

	req http1.Request
	res http1.Response

	in      []byte // a buffer of the loop: the request head, then bytes that followed it
	head    int    // length of the head in it
	next    int    // in[:next] is the head and the part of the body that was processed
	partial []byte // a buffer of the loop: the incomplete head of a response

	up, down streamcodec.Half
	request  http1.Body
	response http1.Body

	logged headFields // of the response that was sent to the client

	began        int64         // when the request began, in ns on the loop's clock
	answered     int64         // when the host's response head was complete, in ms on the loop's clock; valid if hostStatus is set
	asked        int64         // when the request was sent to the host, in ns on the loop's clock; 0 if it was not
	latency      time.Duration // from asked to answered
	counted      [2]int64      // how many of the bytes sent up and down have been counted
	stickyHost   int           // the host that the client's cookie names, or -1
	hold         int           // while the body is sent, bytes of in below this offset are kept for a retry; 0 if none are
	sentBefore   int64         // bytes sent to earlier hosts
	phase        phase
	end          logformat.End // the first reason for failure
	hasID        bool          // id is set
	id           streamcodec.RequestID
	status       int  // as sent to the client; 0 until then
	hostStatus   int  // of the host's final response; 0 until then
	interims     int  // total size of the heads of 1xx responses
	continued    bool // one of the 1xx responses was a 100
	replied      bool // the final response's head was sent, or is held by down
	closes       bool // the client's connection ends with this exchange
	finSent      bool // a FIN was sent to the client after its response
	excess       bool // the host sent more than its response
	uploadOver   bool // no more of the request is sent to the host
	unbuffered   bool // part of the body was sent without being kept, so the request cannot be repeated
	renewed      bool // the request was sent again because a kept connection had been closed
	refusals     int8 // how often the request was sent again to the same host after the host refused it
	requestTail  bool // the request's content is of known length, and the client's stream may not have ended with it
	responseTail bool // likewise the response's, and the host's stream
	refused      bool // the host refused the request before processing any of it
}

// maxInterims bounds the total size of the heads of the 1xx responses to one request. maxHeadWait bounds the time that they may take.
const maxInterims = 8 * http1.MaxHead

// reset prepares x for a new request of its client.
func (x *exchange) reset() {
	now := x.server.loop.Now()
	x.req.Reset()
	x.res.Reset()
	x.route, x.target = &x.client.settings.Unrouted, nil
	x.head, x.next, x.began, x.phase = 0, 0, x.server.loop.Began(), readingHead
	x.asked, x.counted = 0, [2]int64{}
	x.request.Done = false // neither the head nor, therefore, the body has arrived
	x.host.Observer = nil
	x.host.Trace, x.end, x.hasID, x.hostStatus = upstream.Trace{}, logformat.Complete, false, 0
	x.status, x.interims, x.continued, x.replied, x.closes, x.finSent = 0, 0, false, false, false, false
	x.excess, x.uploadOver, x.unbuffered, x.renewed, x.refused, x.refusals = false, false, false, false, false, 0
	x.requestTail, x.responseTail = false, false
	x.logged.clear()
	x.client.pieces.begin()
	x.up, x.down = streamcodec.Half{From: &x.client.conn, ReadAt: now, WroteAt: now}, streamcodec.Half{To: &x.client.conn, ReadAt: now, WroteAt: now}
}

// start finds the route of the request, whose head is complete, and starts to acquire a connection to a host.
func (x *exchange) start() {
	c := x.client
	e := c.entry
	c.settings, x.phase = e.Settings, routing
	if x.server.tracing != nil {
		x.beginSpan()
	}
	x.closes = !x.req.KeepAlive || x.downstream.isLast()
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
		x.answerMaxForwards()
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

// acquire starts to acquire a connection to a host, preferably to the one that the client's sticky cookie names.
func (x *exchange) acquire() {
	k, t := x.server.connector, x.target
	x.observeTries()
	if x.stickyHost = -1; t.Sticky != nil {
		cookies := &x.server.routing.View
		cookies.Begin(&x.req, nil)
		x.stickyHost = t.Sticky.host(cookies)
	}
	if x.stickyHost >= 0 {
		k.AcquireHost(t.Group, &x.host, x.stickyHost, x.key(), x)
	} else {
		k.Acquire(t.Group, &x.host, x.key(), x)
	}
	x.giveUpQueued()
}

// giveUpQueued ends the exchange if it waits in the queue for a place at a host and its client has left.
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

// relay sends the request's head and as much of its body as has arrived.
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
	if x.requestTail = mayHaveTail(&x.request, &x.client.conn, x.up.To); x.requestTail {
		holdEnd(&x.client.conn, x.up.To)
	}
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
	x.markAsked()
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
	x.checkClient() // the connection may have failed right after the request, and no other event would tell
}

// unanswered reports whether the request is with a host, or a host is being connected to, and the host has sent nothing yet.
func (x *exchange) unanswered() bool {
	return x.host.Lease.Held() && !x.replied && x.interims == 0 && len(x.partial) == 0
}

// waiting returns which host x waits for, and for which client.
func (x *exchange) waiting() upstream.Waiting {
	return upstream.Waiting{Group: x.host.Group, Host: x.host.Lease.Host(), Client: x.client.peer.Client.Addr()}
}

// clientReady continues the exchange when the client's connection has become readable or writable.
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

// checkClient ends the exchange if the client's connection has failed while the exchange neither reads from it nor writes to it,
// and so would not notice.
func (x *exchange) checkClient() {
	if c := &x.client.conn; c.Errored() && (x.request.Done || x.up.Holding() || x.uploadOver) && !x.down.Holding() {
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

// Expired implements engine.Handler. It does nothing: the exchange uses the client's timer.
func (x *exchange) Expired(*engine.Timer) {}

// fail ends the exchange for the given cause. It sends an error reply if the cause has a status and nothing was sent to the
// client yet; otherwise it aborts.
func (x *exchange) fail(why cause, err error) bool {
	if isHostFault(why.end) && x.forgoTail() {
		return x.pumpDown()
	}
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
	// No more is read from a client that sends too much.
	x.closes = x.closes || why == causeBodySize || x.phase == readingHead || !x.request.Done || x.downstream.isLast()
	x.replyWith(why.status, nil)
	return false
}

// failed records why the exchange fails. The first reason counts.
func (x *exchange) failed(why cause, err error) {
	if x.end == logformat.Complete {
		x.end = why.end
	}
	x.server.logFailure(x, why, err)
}

// failRequest is fail for the case that no more of the request can be sent. If the response has begun it is sent to its end, but
// nothing more of the request is read.
func (x *exchange) failRequest(why cause, err error) bool {
	if !x.replied || x.res.Upgrade {
		return x.fail(why, err)
	}
	if why == causeHostSendTimeout {
		why = causeHostTakesNoMore
	}
	x.server.logFailure(x, why, err)
	x.up.Release(x.server.loop)
	x.uploadOver, x.closes = true, true
	if x.responded() {
		return x.complete()
	}
	x.arm()
	return true
}

// skipBody discards the part of the body that has arrived, for a request that no host gets. If that is the whole body the
// client's connection can be kept.
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

// failBody replies to a request whose body is malformed. The connection must close, since the end of the body is unknown.
func (x *exchange) failBody(err *http1.HeadError) bool {
	x.closes = true
	return x.failRequest(cause{err.Status, causeBody.text + ": " + err.Reason, causeBody.end}, nil)
}

// failHead replies to a malformed request head.
func (x *exchange) failHead(err *http1.HeadError) {
	x.failed(cause{err.Status, err.Reason, logformat.Refused}, nil)
	x.closes = true
	x.next = len(x.in)
	x.replyWith(err.Status, nil)
}

// answerMaxForwards replies to a request that may not be forwarded further (RFC 9110 section 7.6.2).
func (x *exchange) answerMaxForwards() {
	x.closes = x.closes || !x.request.Done
	if x.req.IsTrace {
		x.replyWith(200, AppendTrace)
	} else {
		x.replyWith(200, AppendOptions)
	}
}

// replyWith sends a reply of the proxy's own: what write appends, or an error page if write is nil.
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

// beginReply starts a reply of the proxy's own with the given status, and returns its parameters.
func (x *exchange) beginReply(status int) *Reply {
	v := x.server
	x.phase, x.status = replying, status
	v.reply = Reply{Request: &x.req, KeepAlive: !x.closes, Date: v.date.at(v.loop.Now()), Later: retryAfter(x.end), GRPC: x.grpcError(status)}
	v.reply.Headers = x.route.Policies.Response
	return &v.reply
}

// sendReply sends the reply that is in the server's output buffer.
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

// responded reports whether the client has received the whole response of a host.
func (x *exchange) responded() bool {
	return x.phase == relaying && x.replied && x.response.Done && !x.responseTail && !x.down.Holding()
}

// complete ends an exchange whose response was sent completely. Like all functions that end the exchange, it returns false.
func (x *exchange) complete() bool {
	v, c, downstream := x.server, x.client, x.downstream
	if x.res.Upgrade && x.phase == relaying {
		if x.uploadOver {
			return x.abort(causeUpgrade, nil)
		}
		x.tunnel()
		return false
	}
	x.closes = x.closes || !x.request.Done // the start of the next request is unknown
	if h := &x.host; h.Conn != nil {
		if x.res.KeepAlive && x.request.Done && !x.up.Holding() && !x.uploadOver && !x.excess && !v.draining && h.Conn.Quiet() {
			h.Keep(x.res.IdleTime)
		}
		x.dropHost(nil)
	}
	v.account(x)
	x.up.Release(v.loop)
	c.served = true
	if !x.closes {
		x.nextRequest()
		return false
	}
	// The client may be about to send more, unless its request said that it was the last.
	expected := x.head == 0 || x.req.KeepAlive || !x.request.Done || x.next < len(x.in) || c.conn.Readable()
	x.finish()
	downstream.end(expected)
	return false
}

// nextRequest begins the client's next request, part of which may already have arrived. After a reply of the proxy's own, it
// waits for the next loop iteration: no host slows such requests down, and a client that sends them without end must neither
// starve other connections nor grow the stack.
func (x *exchange) nextRequest() {
	c, downstream := x.client, x.downstream
	if x.next == len(x.in) && !c.conn.Readable() {
		x.finish()
		downstream.keep()
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

// dropHost closes the connection to the host, if there is one, and returns the lease. If the host has not received the whole
// request, its connection is reset, so that the host cannot mistake a truncated request for a complete one.
//
// The exchange ends for the cause why; nil means that it ended well. If the host is to blame for that cause it is reported as
// failed; otherwise the report depends on its response.
func (x *exchange) dropHost(why *cause) {
	x.countBytes()
	x.endTry(why)
	if c := x.host.Conn; c != nil && (!x.request.Done || x.up.Holding() || x.uploadOver) {
		c.Reset()
	}
	if why != nil && isHostFault(why.end) {
		x.host.Release(x.erred(why))
	} else {
		x.host.Release(x.answerReport())
	}
}

// abort ends the exchange and resets the client's connection. If the host failed, the client first receives what was already sent
// to it, which may include earlier responses.
func (x *exchange) abort(why cause, err error) bool {
	x.failed(why, err)
	x.dropHost(&why)
	if x.phase != readingHead || x.requestBegun() {
		x.server.account(x)
	}
	downstream, timeout := x.downstream, x.route.SendTimeout
	x.finish()
	downstream.fail(why, timeout)
	return false
}

// finish releases what the exchange holds, and recycles the exchange.
func (x *exchange) finish() {
	loop := x.server.loop
	x.up.Release(loop)
	x.down.Release(loop)
	x.freeIn()
	x.freePartial()
	x.route, x.target = nil, nil
	x.server.recycle(x)
}
