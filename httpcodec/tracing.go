package httpcodec

import (
	"bytes"
	"net/netip"
	"time"

	"kroxy-ev/engine/trace"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/logformat"
)

// Trace makes r record spans of requests whose heads are read from now on; nil records none. It must be called on the loop's goroutine.
func (v *Server) Trace(r *trace.Recorder) { v.tracing = r }

// beginSpan starts to record the exchange, whose request head is complete, if its trace is sampled.
func (x *exchange) beginSpan() {
	parent, known := trace.Parse(x.req.Traceparent())
	x.span = x.server.tracing.Begin(parent, known, x.wall(x.began))
	if x.span != nil && known {
		var state trace.State
		for value := range x.req.Tracestates {
			state.Add(value)
		}
		x.span.Stateful = state.Valid()
	}
}

// wall converts a time in ns on the loop's clock to Unix time.
func (x *exchange) wall(at int64) int64 {
	return time.Now().UnixNano() - (x.server.loop.Clock() - at)
}

// propagate sets the traceparent that the host receives: the span of this try if the exchange is recorded. A trace that is not
// sampled is passed on unchanged, or begins here.
func (x *exchange) propagate(w *http1.Rewrite) {
	v := x.server
	var at trace.Context
	if s := x.span; s != nil {
		t := &x.host.Trace
		at = s.BeginTry(trace.Try{Began: x.wall(t.Began * int64(time.Millisecond)), Host: t.Host.Label, Addr: t.Addr, Connected: int64(t.Latency)})
		w.DropTracestate = !s.Stateful
	} else if _, known := trace.Parse(x.req.Traceparent()); known {
		return
	} else {
		at = v.tracing.Unsampled()
		w.DropTracestate = true
	}
	v.traceparent = at.Append(v.traceparent[:0])
	w.Traceparent = v.traceparent
}

// Unreached implements upstream.Observer.
func (x *exchange) Unreached(h *upstream.Host, addr netip.AddrPort, since int64, err error) {
	if x.span != nil {
		x.span.AddTry(trace.Try{Began: x.wall(since * int64(time.Millisecond)), Ended: time.Now().UnixNano(), Host: h.Label, Addr: addr, Failure: logformat.Unreachable.String(), Why: err.Error()})
	}
}

// observeTries makes the exchange record hosts that cannot be reached.
func (x *exchange) observeTries() {
	if x.span != nil {
		x.host.Observer = x
	}
}

// answerTry records that the head of a response is complete.
func (x *exchange) answerTry() {
	if x.span == nil {
		return
	}
	if t := x.span.Try(); t != nil {
		t.Answered, t.Status = time.Now().UnixNano(), x.res.Status
	}
}

// endTry ends the span of the current try at a host, if there is one. The try failed for the cause why; nil means that it did not
// fail, or failed only by its status.
func (x *exchange) endTry(why *cause) {
	switch {
	case x.span == nil:
	case why == nil:
		x.span.EndTry(time.Now().UnixNano(), "", "")
	default:
		x.span.EndTry(time.Now().UnixNano(), why.end.String(), why.text)
	}
}

// endSpan exports the spans of an exchange that is over.
func (x *exchange) endSpan() {
	s, c := x.span, x.client
	if s == nil {
		return
	}
	x.span = nil
	method, target := x.requestLine()
	path, _, _ := bytes.Cut(target, question)
	s.Texts(method, path, x.req.HostInURL(), x.req.Field("user-agent"))
	s.Server, s.Route = c.settings.Server.Name, x.route.Name
	if g := x.group(); g != nil {
		s.Group = g.Name
	}
	if s.Protocol = x.downstream.protocol(x.req.Minor); s.Protocol == protocolHTTP2 {
		s.Protocol = "HTTP/2" // the name that OpenTelemetry uses
	}
	s.Client, s.Secure, s.Status, s.Reason = c.peer.Client, c.peer.Secure(), x.finalStatus(), x.end.String()
	s.Cut = s.Status > 0 && s.Status < 500 && (isHostFault(x.end) || x.end == logformat.Shutdown)
	s.Attempts, s.SentUp, s.SentDown = int(x.host.Trace.Tries), x.up.Bytes, x.down.Bytes
	s.End(time.Now().UnixNano())
}
