package httpcodec

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// statusClientAbort is logged for a client that left before it had received everything, whatever status was sent. nginx uses it, too.
const statusClientAbort = 499

// protocols are the names of the HTTP/1 versions, indexed by minor version.
var protocols = [...]string{"HTTP/1.0", "HTTP/1.1"}

// protocolHTTP2 is the name of HTTP/2 in logs. It is the same as in nginx, since log parsers expect a minor version.
const protocolHTTP2 = "HTTP/2.0"

// maxLoggedLine bounds how much of a malformed request line is logged.
const maxLoggedLine = 512

// account counts and logs an exchange that is over.
func (v *Server) account(x *exchange) {
	x.endSpan()
	v.fill(&v.record, x, false)
	x.countBytes()
	v.count(x.places(), x.finalStatus(), x.end, x.began)
	v.logRecord(x.client, &v.record, x.began, x.route.LogIf)
}

// logRecord logs an exchange of c that began at the given time, unless logIf excludes it. R lacks only the duration.
func (v *Server) logRecord(c *client, r *logformat.Record, began int64, logIf *config.LogIf) {
	v.stats.Exchanges.Add(1)
	v.stats.BytesUp.Add(r.BytesUpstream)
	v.stats.BytesDown.Add(r.BytesDownstream)
	if access := c.entry.Access; access != nil {
		r.Duration = time.Duration(v.loop.Began() - began)
		if logIf != nil && !logIf.Takes(r.Status, r.Duration, r.End, rand.Uint64()) {
			return
		}
		if access.Record(r) {
			v.metrics.Process().Lines.Add(1)
		}
	}
}

// fill makes r the record of x. Without an access log it fills in only the byte counts. It omits values that are expensive and
// that the log's format does not need, unless whole is set: a tunnel's record is logged later, when there may be another log.
func (v *Server) fill(r *logformat.Record, x *exchange, whole bool) {
	access := x.client.entry.Access
	*r = logformat.Record{BytesUpstream: x.up.Bytes, BytesDownstream: x.down.Bytes}
	if access == nil && !whole {
		return
	}
	x.fill(r)
	if whole || access.Needs(logformat.NeedRequestID) {
		r.RequestID = x.requestID()
	}
}

// values returns the record of x for templates that need the given values. It is valid until the next call.
func (v *Server) values(x *exchange, need logformat.Need) *logformat.Record {
	r := &v.record
	*r = logformat.Record{}
	x.fill(r)
	if need&logformat.NeedRequestID != 0 {
		r.RequestID = x.requestID()
	}
	if need&logformat.NeedTime != 0 {
		v.iso = time.Now().UTC().AppendFormat(v.iso[:0], logformat.TimeISO8601)
		r.Time = v.iso
	}
	return r
}

// fill sets the fields of r that cost nothing to find out.
func (x *exchange) fill(r *logformat.Record) {
	c := x.client
	r.Client, r.TLS = c.peer.Client, c.peer.TLS()
	r.End = x.end
	r.Server, r.Route = c.settings.Server.Name, x.route.Name
	if g := x.group(); g != nil {
		r.Group = g.Name
	}
	r.Upstream = x.host.Trace.ForLog()
	if r.Upstream.Status = x.hostStatus; x.hostStatus != 0 {
		r.Upstream.HeaderTime = time.Duration(x.answered-x.host.Trace.Began) * time.Millisecond
	}
	r.Status = x.finalStatus()
	r.Method, r.URI = x.requestLine()
	if p := x.downstream.protocol(x.req.Minor); x.head > 0 || p == protocolHTTP2 { // in HTTP/1 only the head tells the version
		r.Protocol = p
	}
	if x.head > 0 {
		r.Host = x.req.HostInURL()
	}
	r.Messages, r.GRPCStatus = x, x.grpcStatus()
}

// group returns the group that the request goes to; nil if it goes to none, or if that is not known yet.
func (x *exchange) group() *upstream.Group {
	if x.target == nil {
		return nil
	}
	return x.target.Group
}

// finalStatus returns the status with which the exchange is counted and logged.
func (x *exchange) finalStatus() int {
	if x.end == logformat.ClientAbort {
		return statusClientAbort
	}
	return x.status
}

// RequestField implements logformat.Messages.
func (x *exchange) RequestField(low string) []byte { return x.req.Field(low) }

// ResponseField implements logformat.Messages. After the head was sent it knows only the fields that the log's format names;
// before that it knows all fields of the host's response, if that is about to be sent.
func (x *exchange) ResponseField(low string) []byte {
	switch {
	case x.replied:
		return x.logged.get(low)
	case x.phase == relaying && x.hostStatus != 0:
		return x.res.Field(low)
	}
	return nil
}

// maxRequestID bounds the length of a request ID that is accepted from a trusted proxy.
const maxRequestID = 128

// requestID returns the exchange's ID: the one from a trusted proxy, or one that is generated at the first call.
func (x *exchange) requestID() []byte {
	if id := x.req.Field("x-request-id"); len(id) > 0 && len(id) <= maxRequestID && x.client.settings.trusts(x.client.peer.Client.Addr()) {
		return id
	}
	if !x.hasID {
		x.server.ids.Next(&x.id)
		x.hasID = true
	}
	return x.id[:]
}

// AppendRequestID implements http1.Identifier.
func (x *exchange) AppendRequestID(dst []byte) []byte { return append(dst, x.requestID()...) }

// requestBegun reports whether any byte of a request has arrived. Empty lines do not count (RFC 9112 section 2.2).
func (x *exchange) requestBegun() bool { return len(bytes.TrimLeft(x.in, "\r\n")) > 0 }

// requestLine returns the method and the target of the request for logs. If the request line is malformed or incomplete it is
// split as well as possible.
func (x *exchange) requestLine() (method, target []byte) {
	if method = x.req.Method(); len(method) > 0 {
		return method, x.req.Target()
	}
	return cutLine(x.in)
}

// cutLine splits a malformed or incomplete request line.
func cutLine(in []byte) (method, target []byte) {
	line := bytes.TrimLeft(in, "\r\n")
	line = line[:min(len(line), maxLoggedLine)]
	if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
		line = line[:i]
	}
	method, target, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return nil, line
	}
	if last := bytes.LastIndexByte(target, ' '); last >= 0 && bytes.HasPrefix(target[last+1:], []byte("HTTP/")) {
		target = target[:last]
	}
	return method, target
}

// logFailure writes to the error log why an exchange failed.
func (v *Server) logFailure(x *exchange, why cause, err error) {
	level := slog.LevelDebug
	switch {
	case why.status >= 500 && x.phase != readingHead && why != causeDeadline: // not something that clients can cause at will
		level = slog.LevelError
	case why == causeMisdirected:
		level = slog.LevelInfo
	}
	if !v.log.Enabled(context.Background(), level) {
		return
	}
	method, target := x.requestLine()
	attrs := []any{"reason", why.text, "client", x.client.peer.Client.Addr(), "while", x.phase.String(), "method", logformat.Bounded(method), "target", logformat.Bounded(target)}
	if why == causeMisdirected {
		attrs = append(attrs, "name", logformat.Bounded(x.key()))
	}
	if h := x.host.Trace.Host; h != nil {
		attrs = append(attrs, "host", h.Label)
	}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	v.log.Log(context.Background(), level, "http: exchange failed", attrs...)
}
