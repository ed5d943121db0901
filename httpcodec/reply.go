package httpcodec

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
)

// Reply describes a reply of the proxy's own.
type Reply struct {
	Request   *http1.Request // the request, as far as it was read; nil if nothing was
	KeepAlive bool           // the client's connection is kept; only for a request that was read completely
	Date      []byte         // as a field value; nil to omit it
	Later     int            // the value of Retry-After in seconds; 0 to omit it
	Hint      string         // an additional sentence in an error page, without markup; "" for none

	GRPC int // the grpc-status that reports an error; 0 if the HTTP status does

	Location []byte            // the target of a redirect; nil for none
	Headers  *policy.Headers   // the configured edits of responses
	Record   *logformat.Record // for variables; nil if none are used
}

// The methods in Allow. Other methods are relayed too, except CONNECT.
const allowed = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE"

const (
	htmlBefore = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>"
	htmlMiddle = "</title></head>\n<body><h1>"
	htmlHint   = "</h1>\n<p>"
	htmlHinted = "</p></body></html>\n"
	htmlAfter  = "</h1></body></html>\n"
)

// AppendError appends a complete response with the given status, and the hint if there is one. The body is a small HTML page, or
// plain text if the client prefers that. A gRPC call gets the gRPC status instead.
func AppendError(dst []byte, status int, p *Reply) []byte {
	if p.GRPC != 0 {
		return appendGRPCError(dst, status, p)
	}
	reason := fasthttp.StatusMessage(status)
	line := len("000 ") + len(reason)
	plain := p.Request != nil && p.Request.PrefersPlain()

	dst = p.appendHead(dst, status)
	n := line + len("\n")
	if p.Hint != "" {
		n += len(p.Hint) + len("\n")
	}
	kind := "text/plain; charset=utf-8"
	if !plain {
		kind = "text/html; charset=utf-8"
		n = len(htmlBefore) + line + len(htmlMiddle) + line + len(htmlAfter)
		if p.Hint != "" {
			n += len(htmlHint) + len(p.Hint) + len(htmlHinted) - len(htmlAfter)
		}
	}
	dst = p.appendEnd(p.appendLater(p.appendType(dst, kind)), int64(n))
	switch {
	case p.Request != nil && p.Request.WantsHead():
		return dst
	case plain:
		dst = append(appendStatus(dst, status, reason), '\n')
		if p.Hint != "" {
			dst = append(append(dst, p.Hint...), '\n')
		}
		return dst
	}
	dst = appendStatus(append(dst, htmlBefore...), status, reason)
	dst = appendStatus(append(dst, htmlMiddle...), status, reason)
	if p.Hint != "" {
		dst = append(append(dst, htmlHint...), p.Hint...)
		return append(dst, htmlHinted...)
	}
	return append(dst, htmlAfter...)
}

// AppendOptions appends the reply to an OPTIONS request with Max-Forwards 0 (RFC 9110 section 9.3.7).
func AppendOptions(dst []byte, p *Reply) []byte {
	dst = append(p.appendHead(dst, 200), "Allow: "+allowed+"\r\n"...)
	return p.appendEnd(dst, 0)
}

// AppendTrace appends the reply to a TRACE request with Max-Forwards 0: the request's head without its secrets (RFC 9110 section
// 9.3.8).
func AppendTrace(dst []byte, p *Reply) []byte {
	from := len(dst)
	dst = p.Request.AppendTrace(dst)
	n := len(dst) - from
	dst = p.appendHead(dst[:from], 200)
	dst = p.appendEnd(p.appendType(dst, "message/http"), int64(n))
	return p.Request.AppendTrace(dst)
}

func appendStatus(dst []byte, status int, reason string) []byte {
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	return append(dst, reason...)
}

// AppendRespond appends the configured response, or an error page if the configuration has only an error status.
func AppendRespond(dst []byte, r *policy.Respond, p *Reply) []byte {
	if !r.HasBody() && r.Status >= 400 && r.Headers == nil {
		return AppendError(dst, r.Status, p)
	}
	if r.Headers.Decide(policy.Date) {
		p.Date = nil
	}
	from := len(dst)
	dst = r.AppendBody(dst, p.Record)
	n := len(dst) - from
	dst = p.appendHead(dst[:from], r.Status)
	if n > 0 && !r.Headers.Decide(policy.ContentType) {
		dst = p.appendType(dst, "text/plain; charset=utf-8")
	}
	dst = r.Headers.AppendUnless(dst, p.Record, p.Headers)
	if r.Status == 204 || r.Status == 304 {
		return append(p.Headers.Append(dst, p.Record), "\r\n"...)
	}
	dst = p.appendEnd(dst, int64(n))
	if p.Request != nil && p.Request.WantsHead() {
		return dst
	}
	return r.AppendBody(dst, p.Record)
}

// appendHead appends the status line, Date, Connection and Location.
func (p *Reply) appendHead(dst []byte, status int) []byte {
	dst = appendStatus(append(dst, "HTTP/1.1 "...), status, fasthttp.StatusMessage(status))
	dst = append(dst, "\r\n"...)
	if p.Date != nil && !p.Headers.Decide(policy.Date) {
		dst = append(dst, "Date: "...)
		dst = append(dst, p.Date...)
		dst = append(dst, "\r\n"...)
	}
	minor := uint8(1)
	if p.Request != nil {
		minor = p.Request.Minor
	}
	dst = http1.AppendConnection(dst, minor, !p.KeepAlive)
	if p.Location != nil && !p.Headers.Drops(location) {
		dst = append(dst, "Location: "...)
		dst = append(dst, p.Location...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

var location = []byte("Location")

// appendType appends Content-Type.
func (p *Reply) appendType(dst []byte, kind string) []byte {
	if p.Headers.Decide(policy.ContentType) {
		return dst
	}
	dst = append(dst, "Content-Type: "...)
	dst = append(dst, kind...)
	return append(dst, "\r\n"...)
}

// appendLater appends Retry-After.
func (p *Reply) appendLater(dst []byte) []byte {
	if p.Later == 0 || p.Headers.Drops(later) {
		return dst
	}
	dst = append(dst, "Retry-After: "...)
	dst = strconv.AppendInt(dst, int64(p.Later), 10)
	return append(dst, "\r\n"...)
}

var later = []byte("Retry-After")

// appendEnd appends the configured fields and ends the head of a response whose body is n bytes long.
func (p *Reply) appendEnd(dst []byte, n int64) []byte {
	dst = p.Headers.Append(dst, p.Record)
	return append(http1.AppendFraming(dst, http1.Length, n), "\r\n"...)
}
