package http1

import (
	"slices"
	"strconv"

	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
)

// Rewrite says how a request is changed on its way to a host. Its bytes must be valid in a field value.
type Rewrite struct {
	Headers *policy.Headers   // the configured edits; they override what follows
	Record  *logformat.Record // for the variables in Headers; may be nil if these are Fixed
	Target  []byte            // replaces the client's target; nil keeps it

	Authority  []byte // the host's name, with its port unless that is the default, for Host; not empty
	ClientAddr []byte // for X-Forwarded-For, an IPv6 address without brackets; empty if there is none, as on a unix socket

	UpstreamHost bool // Host is Authority; otherwise the client's Host is kept, if it sent one
	Forwarded    bool // X-Forwarded-For, -Proto and -Host are written; otherwise identity fields are forwarded unchanged
	Trusted      bool // the client is a trusted proxy: its identity fields are kept, and its address is appended
	TLS          bool // the client uses TLS, for X-Forwarded-Proto
	// Requests supplies the request's ID, which replaces the X-Request-Id of a client that is not trusted. If it is nil, that
	// field is dropped.
	Requests Identifier
	// Traceparent replaces the client's traceparent; nil keeps it. DropTracestate drops the client's tracestate.
	Traceparent    []byte
	DropTracestate bool

	Close bool // asks the host to close the connection after its response
}

// Identifier supplies the ID of a request.
type Identifier interface {
	// AppendRequestID appends the ID, which must be valid in a field value.
	AppendRequestID(dst []byte) []byte
}

// AppendRequest appends r's head as it is sent to a host: HTTP/1.1, in origin or asterisk form, without hop-by-hop fields, and
// with new framing fields. End-to-end fields keep their order, case and repetition. Host keeps its position, or comes first if
// the client sent none. Fields from w and the framing come last.
func AppendRequest(dst []byte, r *Request, w *Rewrite) []byte {
	head, s := r.head, &r.scan
	dst = slices.Grow(dst, headRoom(len(head)+len(w.Authority)+len(w.ClientAddr)))
	dst = append(dst, s.start.method.of(head)...)
	dst = append(dst, ' ')
	if w.Target != nil {
		dst = append(dst, w.Target...)
	} else {
		dst = s.start.appendTarget(dst, head)
	}
	dst = append(dst, " HTTP/1.1\r\n"...)

	if !r.hostField {
		dst = r.appendHost(dst, w, hostName)
	}
	var seen forwarded
	for i := range s.fields {
		f := &s.fields[i]
		if f.drop || f.id > fieldOwn {
			continue
		}
		name, value := f.name.of(head), f.value.of(head)
		if f.id == fieldHost {
			dst = r.appendHost(dst, w, name)
			continue
		}
		if w.Headers.Drops(name) {
			continue
		}
		if f.id != fieldOther {
			if !r.keeps(f, w, &seen) {
				continue
			}
			if f.id == fieldMaxForwards && r.MaxForwards > 0 {
				dst = append(dst, name...)
				dst = append(dst, ": "...)
				dst = strconv.AppendInt(dst, int64(r.MaxForwards-1), 10)
				dst = append(dst, "\r\n"...)
				continue
			}
		}
		dst = appendField(dst, name, value)
	}
	dst = w.Headers.Append(dst, w.Record)
	if w.Traceparent != nil && !w.Headers.Drops(traceparent) {
		dst = appendField(dst, traceparent, w.Traceparent)
	}
	if w.Forwarded {
		dst = r.appendForwarded(dst, w, seen)
	}
	dst = AppendFraming(dst, r.Framing, r.Length)
	switch {
	case r.Upgrade:
		dst = s.appendUpgrade(dst, head)
	case r.Trailers && w.Close:
		dst = append(dst, "TE: trailers\r\nConnection: TE, close\r\n"...)
	case r.Trailers:
		dst = append(dst, "TE: trailers\r\nConnection: TE\r\n"...)
	case w.Close:
		dst = append(dst, "Connection: close\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// forwarded records which fields of a trusted client were kept, and whether an untrusted one sent an X-Request-Id.
type forwarded struct{ proto, host, requestID bool }

// keeps reports whether a field known to this package is forwarded.
func (r *Request) keeps(f *field, w *Rewrite, seen *forwarded) bool {
	switch f.id {
	case fieldExpect:
		return r.ExpectContinue && f.value.len() > 0
	case fieldTrailer:
		return r.Framing == Chunked && validTrailerList(f.value.of(r.head))
	case fieldTraceparent:
		return w.Traceparent == nil
	case fieldTracestate:
		return !w.DropTracestate
	case fieldForwardedFor:
		return !w.Forwarded // rewritten as one line
	case fieldForwardedProto:
		seen.proto = seen.proto || w.Trusted
		return !w.Forwarded || w.Trusted
	case fieldForwardedHost:
		seen.host = seen.host || w.Trusted
		return !w.Forwarded || w.Trusted
	case fieldRequestID:
		seen.requestID = seen.requestID || !w.Trusted
		return !w.Forwarded || w.Trusted
	case fieldIdentity:
		return !w.Forwarded || w.Trusted
	case fieldIdentityAlias: // proxies do not write such names, but a trusted one may have let it pass
		return !w.Forwarded
	}
	return true
}

// appendHost appends Host. Name is the client's spelling.
func (r *Request) appendHost(dst []byte, w *Rewrite, name []byte) []byte {
	if w.Headers.Decide(policy.Host) {
		return w.Headers.AppendHost(dst, w.Record)
	}
	host := r.Host()
	if w.UpstreamHost || len(host) == 0 {
		host = w.Authority
	}
	return appendField(dst, name, host)
}

var hostName, traceparent = []byte("Host"), []byte("traceparent")

// appendForwarded appends the fields that identify the client.
func (r *Request) appendForwarded(dst []byte, w *Rewrite, seen forwarded) []byte {
	if !w.Headers.Decide(policy.ForwardedFor) {
		dst = r.appendForwardedFor(dst, w)
	}
	if !seen.proto && !w.Headers.Decide(policy.ForwardedProto) {
		if w.TLS {
			dst = append(dst, "X-Forwarded-Proto: https\r\n"...)
		} else {
			dst = append(dst, "X-Forwarded-Proto: http\r\n"...)
		}
	}
	if host := r.Host(); !seen.host && len(host) > 0 && !w.Headers.Decide(policy.ForwardedHost) {
		dst = append(dst, "X-Forwarded-Host: "...)
		dst = append(dst, host...)
		dst = append(dst, "\r\n"...)
	}
	if seen.requestID && w.Requests != nil { // the edits cannot concern it, since a field they drop does not set requestID
		dst = append(dst, "X-Request-Id: "...)
		dst = w.Requests.AppendRequestID(dst)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func (r *Request) appendForwardedFor(dst []byte, w *Rewrite) []byte {
	begin := "X-Forwarded-For: "
	if w.Trusted {
		for i := range r.scan.fields {
			if f := &r.scan.fields[i]; f.id == fieldForwardedFor && f.value.len() > 0 {
				dst = append(dst, begin...)
				dst = append(dst, f.value.of(r.head)...)
				begin = ", "
			}
		}
	}
	if len(w.ClientAddr) > 0 {
		dst = append(dst, begin...)
		dst = append(dst, w.ClientAddr...)
	} else if begin != ", " {
		return dst
	}
	return append(dst, "\r\n"...)
}

// AppendFraming appends the field that delimits the body, if one is needed.
func AppendFraming(dst []byte, f Framing, n int64) []byte {
	switch f {
	case Length:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, n, 10)
		return append(dst, "\r\n"...)
	case Chunked:
		return append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return dst
}
