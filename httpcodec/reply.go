package httpcodec

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
)

// Reply says how this proxy answers by itself.
type Reply struct {
	Request   *http1.Request // or what could be read of it; nil if nothing was
	KeepAlive bool           // the client's connection is kept. Only for a request that was read to its end
	Date      []byte         // as a field value; nil for none
	Later     int            // after how many seconds the client may come again; 0 for nothing of that kind
	Hint      string         // a sentence that an error page says besides, without markup; "" for none

	GRPC int // the grpc-status that an error is told by; 0 for what is told by HTTP

	Location []byte            // where a redirect leads to; nil for none
	Headers  *policy.Headers   // the configured edits of responses
	Record   *logformat.Record // for variables; it may be nil if there are none
}

// The methods that are relayed; any other token is, too, but for CONNECT.
const allowed = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE"

const (
	htmlBefore = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>"
	htmlMiddle = "</title></head>\n<body><h1>"
	htmlHint   = "</h1>\n<p>"
	htmlHinted = "</p></body></html>\n"
	htmlAfter  = "</h1></body></html>\n"
)

// AppendError writes a whole response that says status, and the hint if there is one, and nothing else: a small page, or text
// if the client would rather have that; of an error in a call of gRPC, the status that it has there.
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

// AppendOptions answers an OPTIONS request with Max-Forwards 0 (RFC 9110 section 9.3.7).
func AppendOptions(dst []byte, p *Reply) []byte {
	dst = append(p.appendHead(dst, 200), "Allow: "+allowed+"\r\n"...)
	return p.appendEnd(dst, 0)
}

// AppendTrace answers a TRACE request with Max-Forwards 0: with the request's head, without what is secret in it
// (RFC 9110 section 9.3.8).
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

// AppendRespond writes the response that the configuration says; an error page if that has no body for an error.
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

// appendHead writes status line, Date, Connection and Location.
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

// appendType writes Content-Type.
func (p *Reply) appendType(dst []byte, kind string) []byte {
	if p.Headers.Decide(policy.ContentType) {
		return dst
	}
	dst = append(dst, "Content-Type: "...)
	dst = append(dst, kind...)
	return append(dst, "\r\n"...)
}

// appendLater writes Retry-After.
func (p *Reply) appendLater(dst []byte) []byte {
	if p.Later == 0 || p.Headers.Drops(later) {
		return dst
	}
	dst = append(dst, "Retry-After: "...)
	dst = strconv.AppendInt(dst, int64(p.Later), 10)
	return append(dst, "\r\n"...)
}

var later = []byte("Retry-After")

// appendEnd writes what is configured, and the end of a head whose body is n bytes long.
func (p *Reply) appendEnd(dst []byte, n int64) []byte {
	dst = p.Headers.Append(dst, p.Record)
	return append(http1.AppendFraming(dst, http1.Length, n), "\r\n"...)
}
