package httpcodec

import (
	"context"
	"log/slog"

	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/logformat"
)

// A request that a host has failed may be sent once more: on a new connection to the same host, if the one that was kept had been closed,
// or to another host, as the group's "retry" says. It may be if nobody can tell that it was: the client has seen nothing of the first
// try, all that was sent is still at hand, and to do twice what it asks for does no harm (RFC 9110 section 9.2.2).

// prepareHold decides how much of the body is kept at hand: all of it or nothing.
func (x *exchange) prepareHold() {
	x.hold = 0
	r := &x.target.Retry
	if !x.req.Idempotent || r.Attempts == 0 || !r.On.Reset && !r.On.Timeout && len(r.On.Status) == 0 {
		return
	}
	if x.req.Framing == http1.Chunked || x.req.Framing == http1.Length && x.req.Length <= int64(r.Buffer) {
		x.hold = x.head + r.Buffer
	}
}

// holds reports whether what comes of the body is kept at hand. Of a chunked one nobody knows how long it will be.
func (x *exchange) holds() bool {
	if x.hold > 0 && len(x.in) >= x.hold {
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
	return x.host.Conn != nil && x.phase == relaying && !x.replied && x.interims == 0 && !x.passed && (x.req.Idempotent || x.isUnsent())
}

// isUnsent reports whether certainly nothing of the request was sent. Of what goes by TLS a part may have been that is not counted.
func (x *exchange) isUnsent() bool {
	return x.up.Bytes == x.sentBefore && x.host.Group.Hosts[x.host.Lease.Host()].TLS == nil
}

// isStale reports whether the host has closed a connection that was kept, and may not have seen the request.
func (x *exchange) isStale() bool {
	return x.repeatable() && x.host.Conn.Used && !x.renewed && x.partial == nil
}

// renew sends the request once more, on a new connection to the same host.
func (x *exchange) renew() {
	x.rewind()
	x.renewed = true
	x.server.connector.Renew(&x.host, x.key(), x)
}

// rewind goes back to where nothing of the request was sent.
func (x *exchange) rewind() {
	x.up.Release(x.server.loop)
	x.freePartial()
	x.res.Reset()
	x.next, x.phase, x.hostStatus = x.head, connecting, 0
	x.deaf, x.excess = false, false
	x.request.Begin(http1.FromClient, x.req.Framing, x.req.Length, x.req.Framing, x.route.Policies.Request)
}

// retry sends the request to another host, with that report on the one that has failed it, if it may be sent once more and there is one.
// If so the exchange goes on later.
func (x *exchange) retry(r upstream.Report) bool {
	if !x.repeatable() || !x.server.connector.Retry(&x.host, r, x.key(), x) {
		return false
	}
	x.rewind()
	x.renewed = false // another host may have closed a connection, too
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
		return on.Reset && x.retry(erred(why))
	case logformat.ProxyReadTimeout, logformat.ProxySendTimeout:
		return (on.Timeout || *why == causeTryTimeout) && x.retry(erred(why))
	}
	return false
}

// retryStatus is retry for a response whose status says that another host may do better.
func (x *exchange) retryStatus() bool {
	if on := x.target.Retry.On.Status; len(on) == 0 || !on.Has(x.res.Status) {
		return false
	}
	x.hear()
	return x.retry(x.answerReport())
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
