package httpcodec

import (
	"context"
	"errors"
	"log/slog"

	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/h2conn"
	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/http2"
	"kroxy-ev/logformat"
)

// A request that a host has failed may be sent once more: on a new connection to the same host, if the one that was kept had been closed,
// or to another host, as the group's "retry" says. It may be if nobody can tell that it was: the client has seen nothing of the first
// try, all that was sent is still at hand, and to do twice what it asks for does no harm (RFC 9110 section 9.2.2). What a host of HTTP/2 has
// refused was not done at all (RFC 9113 section 8.7): it is sent once more, whatever it asks for: to the same host, which
// may just be about to leave the connection, and then to others.

// prepareHold decides how much of the body is kept at hand: all of it or nothing.
func (x *exchange) prepareHold() {
	x.hold = 0
	r := &x.target.Retry
	may := x.req.Idempotent && (r.On.Reset || r.On.Timeout || len(r.On.Status) > 0) || x.target.Group.Protocol != upstream.HTTP1
	if r.Attempts == 0 || !may {
		return
	}
	if x.req.Framing == http1.Chunked || x.req.Framing == http1.Length && x.req.Length <= int64(r.Buffer) {
		x.hold = x.head + r.Buffer
	}
}

// holds reports whether what comes of the body is kept at hand. Of a chunked one nobody knows how long it will be. What has been answered is not
// sent once more.
func (x *exchange) holds() bool {
	if x.hold > 0 && (len(x.in) >= x.hold || x.replied) {
		x.hold = 0
	}
	return x.hold > 0
}

// readHeld reads more of a body that is kept at hand, and frames it behind out.
func (x *exchange) readHeld(out []byte) ([]byte, int, *http1.HeadError, error) {
	c := &x.client.conn
	room := min(bodyRead, x.hold-len(x.in))
	if x.request.In == http1.Length {
		room = int(min(int64(room), x.request.Left))
	}
	x.in = x.grow(x.in, room)
	x.req.Rebase(x.in)
	n, err := c.Read(x.in[len(x.in) : len(x.in)+room])
	if err != nil {
		return out, 0, nil, err
	}
	x.in = x.in[:len(x.in)+n]
	x.up.ReadAt = x.server.loop.Now()
	out, took, bad := x.request.Append(out, x.in[x.next:])
	x.next += took
	return out, n, bad, nil
}

// repeatable reports whether the request may be sent once more. The client may owe the rest, as one does that waits for a 100.
func (x *exchange) repeatable() bool {
	return x.host.Conn != nil && x.phase == relaying && !x.replied && x.interims == 0 && !x.passed && (x.req.Idempotent || x.refused || x.isUnsent())
}

// isUnsent reports whether certainly nothing of the request was sent. Of what goes by TLS a part may have been that is not counted.
func (x *exchange) isUnsent() bool {
	return x.up.Bytes == x.sentBefore && x.host.Group.Hosts[x.host.Lease.Host()].TLS == nil
}

// isStale reports whether the host has closed a connection that was kept, and may not have seen the request.
func (x *exchange) isStale() bool {
	return x.repeatable() && x.host.Conn.Used && !x.renewed && x.partial == nil
}

// isOfStream reports whether err is the end of a stream only. Its connection stands, so the host has got the request.
func isOfStream(err error) bool {
	var e *http2.Error
	return errors.As(err, &e) && e.Stream
}

// A host that refuses a request gets it again, up to maxRefusals times. One that closes each connection after some requests (nginx's
// keepalive_requests) refuses all others that are on it, the same ones several times if there are many: it gets them again up to maxMoves times.
const (
	maxRefusals = 3
	maxMoves    = 30
)

// retryRefused sends the request once more if the host has not begun with it, and it is at hand: to the same host at first, then to another, and if
// there is none to the same again.
func (x *exchange) retryRefused(err error) bool {
	if !errors.Is(err, h2conn.ErrRefused) {
		return false
	}
	x.refused = true
	most := int8(maxRefusals)
	moved := errors.Is(err, h2conn.ErrMoved)
	if moved {
		most = maxMoves
	}
	if x.refusals > 0 && (!moved || x.refusals >= most) && x.retry(&causeRefused) {
		return true
	}
	if !x.repeatable() || x.refusals >= most {
		return false
	}
	x.refusals++
	x.renew(&causeRefused)
	return true
}

// renew sends the request once more, on a new connection or stream to the same host, for that cause.
func (x *exchange) renew(why *cause) {
	x.endTry(why)
	x.rewind()
	x.renewed = true
	x.server.connector.Renew(&x.host, x.key(), x)
}

// rewind goes back to where nothing of the request was sent.
func (x *exchange) rewind() {
	x.up.Release(x.server.loop)
	x.freePartial()
	x.res.Reset()
	x.next, x.phase, x.hostStatus, x.asked = x.head, connecting, 0, 0
	x.deaf, x.excess, x.refused = false, false, false
	x.request.Begin(http1.FromClient, x.req.Framing, x.req.Length, x.req.Framing, x.route.Policies.Request)
}

// retry sends the request to another host, if it may be repeated and there is one. Why is the cause for which the last host failed; nil if it was
// the status of its response. If it returns true the exchange goes on later.
func (x *exchange) retry(why *cause) bool {
	r := x.answerReport()
	if why != nil {
		r = x.erred(why)
	}
	if !x.repeatable() || !x.server.connector.Retry(&x.host, r, x.key(), x) {
		return false
	}
	x.endTry(why)
	x.rewind()
	x.renewed, x.refusals = false, 0 // another host may have closed a connection, too
	m := x.server.metrics
	m.Route(x.route.Place).Retries.Add(1)
	m.Group(x.target.Group.Place).Retries.Add(1)
	x.logRetry(&r)
	return true
}

// retryFailed is retry for a failure that is to be a reply otherwise.
func (x *exchange) retryFailed(why *cause) bool {
	if x.target == nil {
		return false
	}
	on := &x.target.Retry.On
	switch why.end {
	case logformat.HostCut, logformat.BadResponse:
		return on.Reset && x.retry(why)
	case logformat.ProxyReadTimeout, logformat.ProxySendTimeout:
		return (on.Timeout || *why == causeTryTimeout) && x.retry(why)
	}
	return false
}

// retryStatus is retry for a response whose status says that another host may do better.
func (x *exchange) retryStatus() bool {
	if on := x.target.Retry.On.Status; len(on) == 0 || !on.Has(x.res.Status) {
		return false
	}
	x.hear()
	return x.retry(nil)
}

// logRetry says that the request goes to another host.
func (x *exchange) logRetry(r *upstream.Report) {
	log := x.server.log
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	method, target := x.requestLine()
	log.Debug("http: a host has failed a request, which is sent to another", "reason", r.Why, "status", r.Status, "client", x.client.peer.Client.Addr(),
		"method", logformat.Bounded(method), "target", logformat.Bounded(target))
}
