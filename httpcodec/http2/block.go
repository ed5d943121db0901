package http2

import "bytes"

// AppendBlock appends the header block for a head in the form of HTTP/1.1, as package http1 writes it: names in any case, lines
// that end with CRLF, and an empty line at the end. Fields that belong to HTTP/1 connections are left out. Scheme is "http" or
// "https" for a request, and unused otherwise.
//
// The block uses neither the dynamic table nor Huffman coding: it is a few bytes longer, but costs neither memory nor time. So
// blocks may be written in any order, and the peer's table size does not matter.
//
// The returned Form is what the head says about its message.
func AppendBlock(dst, head []byte, k Kind, scheme string) ([]byte, Form) {
	form := Form{Length: -1}
	if k != Trailers {
		var line []byte
		line, head, _ = bytes.Cut(head, crlf)
		if k == Response {
			form.Status = lineStatus(line)
			dst = appendStatus(dst, line)
		} else {
			form.Head = bytes.HasPrefix(line, []byte("HEAD "))
			dst = appendRequestLine(dst, line, head, scheme)
		}
	}
	for {
		var line []byte
		line, head, _ = bytes.Cut(head, crlf)
		if len(line) == 0 {
			return dst, form
		}
		name, value, _ := bytes.Cut(line, colon)
		value = bytes.Trim(value, " \t")
		switch {
		case equalFold(name, "content-length"):
			form.Length = parseLength(value)
		case equalFold(name, "transfer-encoding"): // this proxy writes no other value than chunked
			form.Chunked = true
		}
		if k == Request && equalFold(name, "host") || isHop(name, value) {
			continue
		}
		dst = appendField(dst, name, value)
	}
}

var (
	crlf  = []byte("\r\n")
	colon = []byte(":")
)

// hops are fields that belong to HTTP/1 connections (RFC 9113 section 8.2.2).
var hops = [...]string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}

func isHop(name, value []byte) bool {
	for _, hop := range hops {
		if equalFold(name, hop) {
			return true
		}
	}
	return equalFold(name, "te") && !equalFold(value, "trailers")
}

// equalFold reports whether b equals low, ignoring case. Low must be in lower case.
func equalFold(b []byte, low string) bool {
	if len(b) != len(low) {
		return false
	}
	for i := range b {
		if lower(b[i]) != low[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// appendStatus appends :status, taken from a status line.
func appendStatus(dst, line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte(" "))
	status := rest[:min(3, len(rest))]
	for i, known := range [...]string{"200", "204", "206", "304", "400", "404", "500"} {
		if string(status) == known {
			return append(dst, 0x80|byte(8+i))
		}
	}
	return appendString(appendInt(dst, 0, 4, 8), status)
}

// appendRequestLine appends the pseudo-header fields of a request, taken from its request line and its Host field.
func appendRequestLine(dst, line, head []byte, scheme string) []byte {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	path, _, _ := bytes.Cut(rest, []byte(" "))
	switch string(method) {
	case "GET":
		dst = append(dst, 0x82)
	case "POST":
		dst = append(dst, 0x83)
	default:
		dst = appendString(appendInt(dst, 0, 4, 2), method)
	}
	if scheme == "https" {
		dst = append(dst, 0x87)
	} else {
		dst = append(dst, 0x86)
	}
	for rest := head; len(rest) > 0; {
		var one []byte
		one, rest, _ = bytes.Cut(rest, crlf)
		if name, value, ok := bytes.Cut(one, colon); ok && equalFold(name, "host") {
			dst = appendString(appendInt(dst, 0, 4, 1), bytes.Trim(value, " \t"))
			break
		}
	}
	return appendString(appendInt(dst, 0, 4, 4), path)
}

// appendField appends a field as a literal that is not indexed. A secret field is marked as never to be indexed (RFC 7541 section
// 7.1.3).
func appendField(dst, name, value []byte) []byte {
	first := byte(0)
	if equalFold(name, "authorization") || equalFold(name, "cookie") || equalFold(name, "set-cookie") || equalFold(name, "proxy-authorization") {
		first = 0x10
	}
	if i := staticName(name); i > 0 {
		dst = appendInt(dst, first, 4, uint64(i))
	} else {
		dst = append(dst, first)
		dst = appendInt(dst, 0, 7, uint64(len(name)))
		for _, c := range name {
			dst = append(dst, lower(c))
		}
	}
	return appendString(dst, value)
}

// appendString appends a string literal without Huffman coding (RFC 7541 section 5.2).
func appendString(dst, s []byte) []byte { return append(appendInt(dst, 0, 7, uint64(len(s))), s...) }

// appendInt appends an integer with an n-bit prefix (RFC 7541 section 5.1). First has the other bits of the first byte.
func appendInt(dst []byte, first byte, n int, i uint64) []byte {
	most := uint64(1)<<n - 1
	if i < most {
		return append(dst, first|byte(i))
	}
	dst = append(dst, first|byte(most))
	for i -= most; i >= 0x80; i >>= 7 {
		dst = append(dst, byte(i)|0x80)
	}
	return append(dst, byte(i))
}

// staticNames are the names of the static table that are not pseudo-header fields, beginning at index firstName (RFC 7541 appendix A).
var staticNames = [...]string{
	"accept-charset", "accept-encoding", "accept-language", "accept-ranges", "accept", "access-control-allow-origin", "age", "allow",
	"authorization", "cache-control", "content-disposition", "content-encoding", "content-language", "content-length", "content-location",
	"content-range", "content-type", "cookie", "date", "etag", "expect", "expires", "from", "host", "if-match", "if-modified-since",
	"if-none-match", "if-range", "if-unmodified-since", "last-modified", "link", "location", "max-forwards", "proxy-authenticate",
	"proxy-authorization", "range", "referer", "refresh", "retry-after", "server", "set-cookie", "strict-transport-security",
	"transfer-encoding", "user-agent", "vary", "via", "www-authenticate",
}

const firstName = 15

// byLength has the indexes of staticNames by length of the name, so that few names are compared.
var byLength = func() (table [32][]uint8) {
	for i, name := range staticNames {
		table[len(name)] = append(table[len(name)], uint8(i))
	}
	return table
}()

// staticName returns the index of a name in the static table, or 0.
func staticName(name []byte) int {
	if len(name) >= len(byLength) {
		return 0
	}
	for _, i := range byLength[len(name)] {
		if equalFold(name, staticNames[i]) {
			return firstName + int(i)
		}
	}
	return 0
}
