package httpcodec

import (
	"strconv"

	"github.com/valyala/fasthttp"
)

// Reply says how this proxy answers by itself.
type Reply struct {
	Request   *Request // or what could be read of it; nil if nothing was
	KeepAlive bool     // the client's connection is kept. Only for a request that was read to its end
	Date      []byte   // as a field value; nil for none
	Hint      string   // a sentence that an error page says besides, without markup; "" for none
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
// if the client would rather have that.
func AppendError(dst []byte, status int, p *Reply) []byte {
	reason := fasthttp.StatusMessage(status)
	line := len("000 ") + len(reason)
	plain := p.Request != nil && p.Request.prefersPlain()

	dst = p.appendHead(dst, status)
	n := line + len("\n")
	if p.Hint != "" {
		n += len(p.Hint) + len("\n")
	}
	if plain {
		dst = append(dst, "Content-Type: text/plain; charset=utf-8\r\n"...)
	} else {
		n = len(htmlBefore) + line + len(htmlMiddle) + line + len(htmlAfter)
		if p.Hint != "" {
			n += len(htmlHint) + len(p.Hint) + len(htmlHinted) - len(htmlAfter)
		}
		dst = append(dst, "Content-Type: text/html; charset=utf-8\r\n"...)
	}
	dst = append(appendFraming(dst, Length, int64(n)), "\r\n"...)
	switch {
	case p.Request != nil && p.Request.forHead():
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
	dst = p.appendHead(dst, 200)
	return append(dst, "Allow: "+allowed+"\r\nContent-Length: 0\r\n\r\n"...)
}

// AppendTrace answers a TRACE request with Max-Forwards 0: with the request's head, without what is secret in it
// (RFC 9110 section 9.3.8).
func AppendTrace(dst []byte, p *Reply) []byte {
	from := len(dst)
	dst = p.Request.appendTrace(dst)
	n := len(dst) - from
	dst = p.appendHead(dst[:from], 200)
	dst = append(dst, "Content-Type: message/http\r\n"...)
	dst = append(appendFraming(dst, Length, int64(n)), "\r\n"...)
	return p.Request.appendTrace(dst)
}

// secret are the fields that TRACE does not show to scripts.
var secret = newNames("authorization", "cookie", "proxy-authorization")

func (r *Request) appendTrace(dst []byte) []byte {
	dst = append(dst, r.Method()...)
	dst = append(dst, ' ')
	dst = append(dst, r.Target()...)
	dst = append(dst, " HTTP/1."...)
	dst = append(dst, '0'+r.Minor, '\r', '\n')
	for i := range r.scan.fields {
		f := &r.scan.fields[i]
		if name := f.name.of(r.head); !secret.has(name) {
			dst = appendField(dst, name, f.value.of(r.head))
		}
	}
	return append(dst, "\r\n"...)
}

func appendStatus(dst []byte, status int, reason string) []byte {
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	return append(dst, reason...)
}

// appendHead writes status line, Date and Connection.
func (p *Reply) appendHead(dst []byte, status int) []byte {
	dst = appendStatus(append(dst, "HTTP/1.1 "...), status, fasthttp.StatusMessage(status))
	dst = append(dst, "\r\n"...)
	if p.Date != nil {
		dst = append(dst, "Date: "...)
		dst = append(dst, p.Date...)
		dst = append(dst, "\r\n"...)
	}
	minor := uint8(1)
	if p.Request != nil {
		minor = p.Request.Minor
	}
	return appendConnection(dst, minor, !p.KeepAlive)
}
