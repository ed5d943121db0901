package logformat

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"
)

// Mode is a set of the proxy's modes.
type Mode uint8

// The modes.
const (
	Stream Mode = 1 << iota
	HTTP

	both = Stream | HTTP
)

// String names a single mode.
func (m Mode) String() string {
	if m == HTTP {
		return "http"
	}
	return "stream"
}

// Need is a set of those fields of a Record that cost something to find out. They may be left empty unless the format
// needs them.
type Need uint8

// The needs.
const (
	NeedRequestID Need = 1 << iota
	NeedUserAgent
	NeedTime
)

// variable is the declaration of one. The function that is not nil gets its value from a record, and with that decides how
// it is written:
//
//	in text                in JSON
//	bytes   escaped        a string
//	word    escaped        a string
//	plain   as appended    a string; it has no byte that needs escaping
//	number  in decimal     a number
//	millis  with "ms"      a number
//
// Where a peer could put a space into what looks like one word, spaces says that it is escaped too, in text.
//
// A value that is missing, which is an empty one or a negative number, is "-" in text and null in JSON.
type variable struct {
	name  string // without the "$"
	modes Mode
	need  Need
	doc   string

	spaces bool
	bytes  func(*Record) []byte
	word   func(*Record) string
	plain  func([]byte, *Record) []byte
	number func(*Record) int64
	millis func(*Record) time.Duration
}

// variables has the order of the JSON form.
var variables = [...]variable{
	{name: "time_iso8601", modes: both, need: NeedTime, doc: "when the line was written, in UTC: `2026-11-28T16:30:00+00:00`",
		bytes: func(r *Record) []byte { return r.Time }},
	{name: "request_id", modes: both, need: NeedRequestID, doc: "128 random bits in hexadecimal, other ones for each request or session; the same as in `headers`",
		bytes: func(r *Record) []byte { return r.RequestID }},
	{name: "client_addr", modes: both, doc: "the client's address",
		plain: func(dst []byte, r *Record) []byte { return appendAddr(dst, r.Client.Addr()) }},
	{name: "client_port", modes: both, doc: "the client's port",
		number: func(r *Record) int64 { return present(int64(r.Client.Port())) }},
	{name: "protocol", modes: both, doc: "`HTTP/1.1`, `HTTP/1.0`, or `TCP` in stream mode",
		word: func(r *Record) string { return r.Protocol }},
	{name: "tls_version", modes: both, doc: "the version of TLS that the client speaks: `TLS 1.3`",
		word: func(r *Record) string { return r.tls().Version }},
	{name: "tls_cipher", modes: both, doc: "the cipher suite that was agreed on with the client",
		word: func(r *Record) string { return r.tls().Cipher }},
	{name: "tls_sni", modes: both, doc: "the name in the client's TLS hello, as it came",
		spaces: true, bytes: func(r *Record) []byte { return r.tls().ServerName }},
	{name: "scheme", modes: HTTP, doc: "`https` if the client speaks TLS, else `http`",
		word: func(r *Record) string {
			if r.TLS != nil {
				return "https"
			}
			return "http"
		}},
	{name: "host", modes: HTTP, doc: "the host that the client asked for, without a port (in `headers` it is the name of the host that was chosen)",
		spaces: true, bytes: func(r *Record) []byte { return r.Host }},
	{name: "request_method", modes: HTTP, doc: "the method",
		spaces: true, bytes: func(r *Record) []byte { return r.Method }},
	{name: "request_uri", modes: HTTP, doc: "the request target as it came; of a malformed request line, what follows the first space",
		spaces: true, bytes: func(r *Record) []byte { return r.URI }},
	{name: "path", modes: HTTP, doc: "the path in the target",
		spaces: true, bytes: func(r *Record) []byte { path, _ := cutTarget(r.URI); return path }},
	{name: "query", modes: HTTP, doc: "the query in the target, without the `?`",
		spaces: true, bytes: func(r *Record) []byte { _, query := cutTarget(r.URI); return query }},
	{name: "http_user_agent", modes: HTTP, need: NeedUserAgent, doc: "the first `User-Agent` field",
		bytes: func(r *Record) []byte { return r.UserAgent }},
	{name: "status", modes: HTTP, doc: "the status that the client was sent; 499 if the client left before it had everything",
		number: func(r *Record) int64 { return present(int64(r.Status)) }},
	{name: "bytes_sent_upstream", modes: both, doc: "bytes sent to the host",
		number: func(r *Record) int64 { return r.BytesUpstream }},
	{name: "bytes_sent_downstream", modes: both, doc: "bytes sent to the client",
		number: func(r *Record) int64 { return r.BytesDownstream }},
	{name: "processing_time", modes: both, doc: "from accepting the connection, or the first byte of the request, to the end",
		millis: func(r *Record) time.Duration { return max(r.Duration, 0) }},
	{name: "end_reason", modes: both, doc: "why it ended, in one of the words below",
		word: func(r *Record) string { return r.End.String() }},
	{name: "group", modes: both, doc: "the group of hosts",
		word: func(r *Record) string { return r.Group }},
	{name: "upstream_host", modes: both, doc: "the last host that was tried, as the configuration has it, and its port",
		word: func(r *Record) string { return r.Upstream.Host }},
	{name: "upstream_addr", modes: both, doc: "the last address that was tried, and the port",
		plain: func(dst []byte, r *Record) []byte { return appendAddrPort(dst, r.Upstream.Addr) }},
	{name: "upstream_tries", modes: both, doc: "how many connections to hosts were tried, one that was kept from before included",
		number: func(r *Record) int64 { return int64(r.Upstream.Tries) }},
	{name: "upstream_status", modes: HTTP, doc: "the status of the host's response",
		number: func(r *Record) int64 { return present(int64(r.Upstream.Status)) }},
	{name: "upstream_connect_time", modes: both, doc: "from choosing a host until a connection stood, its TLS handshake included; 0 for one that was kept from before",
		millis: func(r *Record) time.Duration { return presentIf(r.Upstream.Connected, r.Upstream.ConnectTime) }},
	{name: "upstream_header_time", modes: HTTP, doc: "from choosing a host until the head of its response was there",
		millis: func(r *Record) time.Duration { return presentIf(r.Upstream.Status != 0, r.Upstream.HeaderTime) }},
}

// missing is a number that is not there.
const missing = -1

// present takes 0 for missing.
func present(n int64) int64 {
	if n == 0 {
		return missing
	}
	return n
}

func presentIf(ok bool, d time.Duration) time.Duration {
	if !ok {
		return missing
	}
	return max(d, 0)
}

var noTLS TLS

func (r *Record) tls() *TLS {
	if r.TLS == nil {
		return &noTLS
	}
	return r.TLS
}

// cutTarget finds path and query in a request target of whatever form (RFC 9112 section 3.2).
func cutTarget(target []byte) (path, query []byte) {
	if i := bytes.Index(target, []byte("://")); i > 0 && bytes.IndexByte(target[:i], '/') < 0 {
		target = target[i+3:]
		target = target[min(uint(bytes.IndexAny(target, "/?")), uint(len(target))):]
	}
	path, query, _ = bytes.Cut(target, []byte("?"))
	return path, query
}

// appendAddr drops the zone: it is a local name, and the only part of an address that could hold an odd byte.
func appendAddr(dst []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return dst
	}
	return a.Unmap().WithZone("").AppendTo(dst)
}

func appendAddrPort(dst []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return dst
	}
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()).AppendTo(dst)
}

// lookUp answers nil for a name that the mode does not know.
func lookUp(name string, m Mode) *variable {
	for i := range variables {
		if v := &variables[i]; v.name == name && v.modes&m != 0 {
			return v
		}
	}
	return nil
}

// Names answers the variables that a format of that mode may have, without the "$". The slice is the caller's.
func Names(m Mode) []string {
	var names []string
	for i := range variables {
		if variables[i].modes&m != 0 {
			names = append(names, variables[i].name)
		}
	}
	return names
}

// appendText appends a value as text has it.
func (v *variable) appendText(dst []byte, r *Record) []byte {
	before, set := len(dst), &unsafeByte
	if v.spaces {
		set = &unsafeOrSpace
	}
	switch {
	case v.bytes != nil:
		dst = appendEscaped(dst, v.bytes(r), set)
	case v.word != nil:
		dst = appendEscaped(dst, v.word(r), set)
	default:
		dst = v.appendSafe(dst, r, "ms")
	}
	if len(dst) == before {
		dst = append(dst, '-')
	}
	return dst
}

// appendInJSON appends a value as the inside of a string in JSON has it.
func (v *variable) appendInJSON(dst []byte, r *Record) []byte {
	before := len(dst)
	switch {
	case v.bytes != nil:
		dst = appendJSON(dst, v.bytes(r))
	case v.word != nil:
		dst = appendJSON(dst, v.word(r))
	default:
		dst = v.appendSafe(dst, r, "ms")
	}
	if len(dst) == before {
		dst = append(dst, '-')
	}
	return dst
}

// appendJSONValue appends a value as JSON has it.
func (v *variable) appendJSONValue(dst []byte, r *Record) []byte {
	before := len(dst)
	if v.number != nil || v.millis != nil {
		dst = v.appendSafe(dst, r, "")
	} else {
		dst = append(dst, '"')
		switch {
		case v.bytes != nil:
			dst = appendJSON(dst, v.bytes(r))
		case v.word != nil:
			dst = appendJSON(dst, v.word(r))
		default:
			dst = v.plain(dst, r)
		}
		if len(dst) > before+1 {
			return append(dst, '"')
		}
		dst = dst[:before]
	}
	if len(dst) == before {
		dst = append(dst, "null"...)
	}
	return dst
}

// appendSafe appends a value that needs no escaping, and nothing if it is missing.
func (v *variable) appendSafe(dst []byte, r *Record, unit string) []byte {
	switch {
	case v.plain != nil:
		return v.plain(dst, r)
	case v.number != nil:
		if n := v.number(r); n >= 0 {
			dst = strconv.AppendInt(dst, n, 10)
		}
	default:
		if d := v.millis(r); d >= 0 {
			dst = strconv.AppendInt(dst, d.Milliseconds(), 10)
			dst = append(dst, unit...)
		}
	}
	return dst
}
