package http1

import "bytes"

var (
	errLine         = newFault(400, "malformed request line")
	errMethod       = newFault(400, "the method is not a token")
	errMethodLength = newFault(501, "method over 64 bytes")
	errVersion      = newFault(400, "malformed http version")
	errVersionNew   = newFault(505, "http version above 1")
	errTargetByte   = newFault(400, "an invalid byte in the request target")
	errTargetLength = newFault(414, "request target over 8192 bytes")
	errTargetForm   = newFault(400, "request target in an unknown form")
	errAuthority    = newFault(400, "malformed authority in the request target")
	errConnect      = newFault(501, "connect is not supported")
)

// startLine is the parsed first line of a head.
type startLine struct {
	minor uint8 // of HTTP/1.x: 0 or 1; above 1 counts as 1 (RFC 9110 section 2.5)

	// request
	method, target span
	absolute       bool      // the target has a scheme and an authority
	authority      authority // of an absolute target
	path           span      // the part of the target that is forwarded; empty if there is no path
	query          bool      // path begins with '?'

	// response
	status int
	reason span
}

// parseRequest parses the request line head[from:end], without CRLF (RFC 9112 section 3).
func (l *startLine) parseRequest(head []byte, from, end int) *fault {
	sp := tokenEnd(head[:end], from)
	if sp == from || sp == end || head[sp] != ' ' {
		return errMethod
	}
	last := from + bytes.LastIndexByte(head[from:end], ' ')
	if last == sp {
		return errVersion // HTTP/0.9, or no target
	}
	if f := l.parseVersion(head[last+1 : end]); f != nil {
		return f
	}
	if sp-from > maxMethod {
		return errMethodLength
	}
	if last == sp+1 {
		return errLine
	}
	if last-sp-1 > maxTarget {
		return errTargetLength
	}
	if !allIn(head[sp+1:last], &isTarget) {
		return errTargetByte
	}
	l.method, l.target = at(from, sp), at(sp+1, last)
	return l.parseTarget(head)
}

func (l *startLine) parseVersion(v []byte) *fault {
	const http = "HTTP/"
	if len(v) != len("HTTP/1.1") || string(v[:len(http)]) != http || v[6] != '.' || !isDigit(v[5]) || !isDigit(v[7]) {
		return errVersion
	}
	switch {
	case v[5] == '0':
		return errVersion
	case v[5] != '1':
		return errVersionNew
	}
	l.minor = min(v[7]-'0', 1)
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// parseTarget distinguishes the four forms of a target (RFC 9112 section 3.2).
func (l *startLine) parseTarget(head []byte) *fault {
	method, target := l.method.of(head), l.target.of(head)
	switch {
	case string(method) == "CONNECT":
		return errConnect
	case target[0] == '/':
		l.path = l.target
		return nil
	case target[0] == '*':
		if len(target) != 1 || string(method) != "OPTIONS" {
			return errTargetForm
		}
		l.path = l.target
		return nil
	}
	var scheme int
	switch {
	case hasPrefixFold(target, "http://"):
		scheme = len("http://")
	case hasPrefixFold(target, "https://"):
		scheme = len("https://")
	default:
		return errTargetForm
	}
	from, to := int(l.target.from)+scheme, int(l.target.to)
	end := from
	for end < to && head[end] != '/' && head[end] != '?' {
		end++
	}
	var ok bool
	if l.authority, ok = parseAuthority(head, at(from, end)); !ok {
		return errAuthority
	}
	l.absolute = true
	l.path = at(end, to)
	l.query = end < to && head[end] == '?'
	return nil
}

// appendTarget appends the target in the form for an origin server (RFC 9112 sections 3.2.1 and 3.2.4).
func (l *startLine) appendTarget(dst, head []byte) []byte {
	switch {
	case l.path.len() == 0 && string(l.method.of(head)) == "OPTIONS":
		return append(dst, '*')
	case l.path.len() == 0 || l.query:
		dst = append(dst, '/')
	}
	return append(dst, l.path.of(head)...)
}
