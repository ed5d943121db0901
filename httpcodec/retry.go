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

// A request that a host has failed may be sent again: on a new connection to the same host, if a kept connection had been closed,
// or to another host, as the group's "retry" says. The repetition must go unnoticed: the client has received nothing from the
// first try, all that was sent is still in the buffer, and repeating the request does no harm (RFC 9110 section 9.2.2).
//
// A request that an HTTP/2 host refused was not processed at all (RFC 9113 section 8.7). It is sent again whatever its method:
// first to the same host, which may just be closing the connection, then to others.

// prepareHold decides whether the body is kept in the buffer for a retry: all of it or nothing.
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

// holds reports whether arriving bytes of the body are kept in the buffer. A chunked body may turn out too long. Once the
// response has begun nothing is kept, since there is no retry.
func (x *exchange) holds() bool {
	if x.hold > 0 && (len(x.in) >= x.hold || x.replied) {
		x.hold = 0
	}
	return x.hold > 0
}

// readHeld reads more of a body that is kept, and appends it to out, framed for the host.
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

// repeatable reports whether the request may be sent again. It may be incomplete, for instance while the client waits for a 100.
func (x *exchange) repeatable() bool {
	return x.host.Conn != nil && x.phase == relaying && !x.replied && x.interims == 0 && !x.unbuffered && (x.req.Idempotent || x.refused || x.isUnsent())
}

// isUnsent reports whether certainly nothing of the request was sent. With TLS, bytes may have been sent that are not counted.
func (x *exchange) isUnsent() bool {
	return x.up.Bytes == x.sentBefore && x.host.Group.Hosts[x.host.Lease.Host()].TLS == nil
}

// isStale reports whether the host may have closed a kept connection without having seen the request.
func (x *exchange) isStale() bool {
	return x.repeatable() && x.host.Conn.Used && !x.renewed && x.partial == nil
}

// isOfStream reports whether err ended only a stream. Its connection still stands, so the host has received the request.
func isOfStream(err error) bool {
	var e *http2.Error
	return errors.As(err, &e) && e.Stream
}

// A host that refuses a request gets it again up to maxRefusals times. A host that closes each connection after a number of
// requests (nginx's keepalive_requests) refuses all others on that connection, and with many requests the same ones several
// times. Such a host gets a request again up to maxMoves times.
const (
	maxRefusals = 3
	maxMoves    = 30
)

// retryRefused sends the request again if the host refused it and it is still in the buffer: first to the same host, then to
// another, and if there is no other to the same host again.
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

// renew sends the request again, for the given cause, on a new connection or stream to the same host.
func (x *exchange) renew(why *cause) {
	x.endTry(why)
	x.rewind()
	x.renewed = true
	x.server.connector.Renew(&x.host, x.key(), x)
}

// rewind returns to the state in which nothing of the request was sent.
func (x *exchange) rewind() {
	x.up.Release(x.server.loop)
	x.freePartial()
	x.res.Reset()
	x.next, x.phase, x.hostStatus, x.asked = x.head, connecting, 0, 0
	x.uploadOver, x.excess, x.refused, x.requestTail = false, false, false, false
	x.request.Begin(http1.FromClient, x.req.Framing, x.req.Length, x.req.Framing, x.route.Policies.Request)
}

// retry sends the request to another host, if it may be repeated and there is another host. A request that its host refused goes
// on without counting as a retry. The last host failed for the cause why; nil means that it failed by its response's status. If
// retry returns true the exchange continues later.
func (x *exchange) retry(why *cause) bool {
	r := x.answerReport()
	if why != nil {
		r = x.erred(why)
	}
	if !x.repeatable() {
		return false
	}
	retried := false
	if k := x.server.connector; x.refused {
		retried = k.Pass(&x.host, r, x.key(), x)
	} else {
		retried = k.Retry(&x.host, r, x.key(), x)
	}
	if !retried {
		return false
	}
	x.endTry(why)
	x.rewind()
	x.renewed, x.refusals = false, 0 // the other host may have closed a connection, too
	m := x.server.metrics
	m.Route(x.route.Place).Retries.Add(1)
	m.Group(x.target.Group.Place).Retries.Add(1)
	x.logRetry(&r)
	return true
}

// retryFailed is retry for a failure that would otherwise become an error reply.
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
	x.markAnswered()
	return x.retry(nil)
}

// logRetry logs that the request goes to another host.
func (x *exchange) logRetry(r *upstream.Report) {
	log := x.server.log
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	method, target := x.requestLine()
	log.Debug("http: a request that a host failed is sent to another host", "reason", r.Why, "status", r.Status, "client", x.client.peer.Client.Addr(),
		"method", logformat.Bounded(method), "target", logformat.Bounded(target))
}
