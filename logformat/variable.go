package logformat

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mode is a set of places where variables may be used.
type Mode uint8

// The places.
const (
	Stream    Mode = 1 << iota // access log lines of sessions
	HTTP                       // access log lines of exchanges
	OnRequest                  // values that are computed when a request arrives: redirect, respond, rewrite
	ToHost                     // request_headers
	ToClient                   // response_headers
	Kroxy                      // Kroxy's "headers", where $host is the name of the chosen host
	OnSession                  // values that are computed when a session begins: hash_key in stream mode

	both       = Stream | HTTP
	templates  = OnRequest | ToHost | ToClient | Kroxy
	everywhere = both | templates | OnSession
	requests   = HTTP | templates
	hosts      = ToHost | ToClient | Kroxy // places where a host has been chosen
)

// String returns the name of a single place.
func (m Mode) String() string {
	switch m {
	case Stream:
		return "stream"
	case HTTP:
		return "http"
	case OnRequest:
		return "request"
	case ToHost:
		return "request_headers"
	case ToClient:
		return "response_headers"
	case OnSession:
		return "session"
	}
	return "headers"
}

// Need is a set of Record fields that are expensive to determine. They may be left empty unless the format needs them.
type Need uint8

// The needs.
const (
	NeedRequestID Need = 1 << iota
	NeedTime
)

// variable declares a variable. Exactly one of its functions is set; it gets the value from a record and determines how the
// value is written:
//
//	in text                in JSON
//	bytes   escaped        a string
//	named   escaped        a string
//	word    escaped        a string
//	plain   as appended    a string; it has no byte that needs escaping
//	number  in decimal     a number
//	millis  with "ms"      a number
//
// A variable with named is a family: its name ends with "_NAME", and named is called with the actual name. Spaces says that
// spaces are escaped in text, too, because a peer could put them into what looks like a single word.
//
// A missing value (an empty one or a negative number) is "-" in text, null in JSON, and omitted in a Template.
type variable struct {
	name   string // without the "$"
	modes  Mode
	need   Need
	doc    string
	hidden bool // an alias, omitted from the JSON form

	spaces bool
	bytes  func(*Record) []byte
	named  func(r *Record, name string) []byte
	word   func(*Record) string
	plain  func([]byte, *Record) []byte
	number func(*Record) int64
	millis func(*Record) time.Duration
}

// variables is in the order of the JSON form.
var variables = [...]variable{
	{name: "time_iso8601", modes: everywhere &^ OnSession, need: NeedTime, doc: "the time in UTC, in a log the time of the line: `2026-11-28T16:30:00+00:00`",
		bytes: func(r *Record) []byte { return r.Time }},
	{name: "request_id", modes: everywhere &^ OnSession, need: NeedRequestID, doc: "128 random bits in hexadecimal, different for each request or session; in `http`, what a trusted proxy sent in `X-Request-Id`",
		bytes: func(r *Record) []byte { return r.RequestID }},
	{name: "client_addr", modes: everywhere, doc: "the client's address",
		plain: func(dst []byte, r *Record) []byte { return appendAddr(dst, r.Client.Addr()) }},
	{name: "addr", modes: everywhere, hidden: true, doc: "the same as `$client_addr`",
		plain: func(dst []byte, r *Record) []byte { return appendAddr(dst, r.Client.Addr()) }},
	{name: "client_port", modes: everywhere, doc: "the client's port",
		number: func(r *Record) int64 { return present(int64(r.Client.Port())) }},
	{name: "protocol", modes: everywhere, doc: "`HTTP/2.0`, `HTTP/1.1`, `HTTP/1.0`, or `TCP` in stream mode",
		word: func(r *Record) string { return r.Protocol }},
	{name: "tls_version", modes: everywhere, doc: "the client's TLS version: `TLS 1.3`",
		word: func(r *Record) string { return r.tls().Version }},
	{name: "tls_cipher", modes: everywhere, doc: "the cipher suite negotiated with the client",
		word: func(r *Record) string { return r.tls().Cipher }},
	{name: "tls_sni", modes: everywhere, doc: "the name in the client's TLS hello, as received",
		spaces: true, bytes: func(r *Record) []byte { return r.tls().ServerName }},
	{name: "tls_client_subject", modes: everywhere, doc: "the subject of the client's certificate: `CN=alice,O=Example`",
		spaces: true, bytes: func(r *Record) []byte { return r.tls().ClientSubject }},
	{name: "scheme", modes: requests, doc: "`https` if the client speaks TLS, else `http`",
		word: func(r *Record) string {
			if r.TLS != nil {
				return "https"
			}
			return "http"
		}},
	{name: "host", modes: requests &^ Kroxy, doc: "the host name that the client requested, without the port; an IPv6 address is in brackets",
		spaces: true, bytes: func(r *Record) []byte { return r.Host }},
	{name: "host", modes: Kroxy, doc: "the name of the chosen host",
		bytes: func(r *Record) []byte { return r.HostName }},
	{name: "request_method", modes: requests, doc: "the method",
		spaces: true, bytes: func(r *Record) []byte { return r.Method }},
	{name: "request_uri", modes: HTTP, doc: "the request target as received; if the request line is malformed, what follows the first space",
		spaces: true, bytes: func(r *Record) []byte { return r.URI }},
	{name: "request_uri", modes: templates, doc: "path and query as received",
		plain: func(dst []byte, r *Record) []byte {
			path, query := cutTarget(r.URI)
			dst = appendPath(dst, path)
			if query != nil {
				dst = append(append(dst, '?'), query...)
			}
			return dst
		}},
	{name: "path", modes: HTTP, doc: "the path in the target",
		spaces: true, bytes: func(r *Record) []byte { path, _ := cutTarget(r.URI); return path }},
	{name: "path", modes: templates, doc: "the path as received",
		plain: func(dst []byte, r *Record) []byte { path, _ := cutTarget(r.URI); return appendPath(dst, path) }},
	{name: "query", modes: requests, doc: "the query in the target, without the `?`",
		spaces: true, bytes: func(r *Record) []byte { _, query := cutTarget(r.URI); return query }},
	{name: "arg_NAME", modes: requests, doc: "the first value of a query parameter, as received",
		spaces: true, named: func(r *Record, name string) []byte { _, query := cutTarget(r.URI); return parameter(query, name) }},
	{name: "http_user_agent", modes: requests, doc: "the first `User-Agent` field",
		bytes: func(r *Record) []byte { return r.requestField("user-agent") }},
	{name: "http_NAME", modes: requests, doc: "the first request field of that name; `$http_x_tenant` is `X-Tenant`",
		named: (*Record).requestField},
	{name: "cookie_NAME", modes: requests, doc: "the first cookie of that name",
		spaces: true, named: func(r *Record, name string) []byte { return cookie(r.requestField("cookie"), name) }},
	{name: "status", modes: HTTP | ToClient, doc: "the status sent to the client; 499 in the log if the client left before it had everything. For a gRPC client that is told an error by `grpc-status`, the status that other clients would get",
		number: func(r *Record) int64 { return present(int64(r.Status)) }},
	{name: "grpc_status", modes: HTTP, doc: "the outcome of a gRPC call as sent to the client (`grpc-status`): 0 is OK, 14 means that no host could serve it",
		number: func(r *Record) int64 { return number(r.GRPCStatus) }},
	{name: "sent_http_NAME", modes: HTTP | ToClient, doc: "the first field of that name in the response: in the log as sent, in `response_headers` as received from the host",
		named: (*Record).responseField},
	{name: "bytes_sent_upstream", modes: both, doc: "bytes sent to the host; for HTTP/2, as many as HTTP/1.1 would have needed",
		number: func(r *Record) int64 { return r.BytesUpstream }},
	{name: "bytes_sent_downstream", modes: both, doc: "bytes sent to the client; for HTTP/2, as many as HTTP/1.1 would have needed",
		number: func(r *Record) int64 { return r.BytesDownstream }},
	{name: "processing_time", modes: both, doc: "time from accepting the connection, or from the first byte of the request, to the end",
		millis: func(r *Record) time.Duration { return max(r.Duration, 0) }},
	{name: "end_reason", modes: both, doc: "why it ended: one of the words below",
		word: func(r *Record) string { return r.End.String() }},
	{name: "server", modes: everywhere, doc: "the server: its `name`, or its place in the file, such as `http[1]`",
		word: func(r *Record) string { return r.Server }},
	{name: "route", modes: everywhere, doc: "the route: its `name`, or its place in the file, such as `http.routes[2]`",
		word: func(r *Record) string { return r.Route }},
	{name: "group", modes: both | hosts, doc: "the group of hosts that was to serve it; missing if it was answered or refused before",
		word: func(r *Record) string { return r.Group }},
	{name: "upstream_host", modes: both | hosts, doc: "the last host tried, as the configuration names it, with its port",
		word: func(r *Record) string { return r.Upstream.Host }},
	{name: "upstream_addr", modes: both | hosts, doc: "the last address tried, with the port; or `unix:` and the path of a Unix-domain socket",
		plain: func(dst []byte, r *Record) []byte { return appendUpstream(dst, &r.Upstream) }},
	{name: "upstream_tries", modes: both | hosts, doc: "how many connections to hosts were tried, including a reused idle one",
		number: func(r *Record) int64 { return int64(r.Upstream.Tries) }},
	{name: "upstream_status", modes: HTTP | ToClient, doc: "the status of the host's response",
		number: func(r *Record) int64 { return present(int64(r.Upstream.Status)) }},
	{name: "upstream_connect_time", modes: both | hosts, doc: "from choosing a host until a connection was established, including its TLS handshake; 0 for a reused one",
		millis: func(r *Record) time.Duration { return presentIf(r.Upstream.Connected, r.Upstream.ConnectTime) }},
	{name: "upstream_header_time", modes: HTTP | ToClient, doc: "from choosing a host until the head of its response had arrived",
		millis: func(r *Record) time.Duration { return presentIf(r.Upstream.Status != 0, r.Upstream.HeaderTime) }},
}

// missing is the value of a number that is missing.
const missing = -1

// present returns n, or missing if n is 0.
func present(n int64) int64 {
	if n == 0 {
		return missing
	}
	return n
}

// number parses the decimal digits of a gRPC status.
func number(digits []byte) int64 {
	if len(digits) == 0 || len(digits) > 3 {
		return missing
	}
	n := int64(0)
	for _, c := range digits {
		if !isDigit(c) {
			return missing
		}
		n = 10*n + int64(c-'0')
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

// cutTarget splits a request target of any form (RFC 9112 section 3.2) into path and query.
func cutTarget(target []byte) (path, query []byte) {
	if i := bytes.Index(target, []byte("://")); i > 0 && bytes.IndexByte(target[:i], '/') < 0 {
		target = target[i+3:]
		target = target[min(uint(bytes.IndexAny(target, "/?")), uint(len(target))):]
	}
	path, query, _ = bytes.Cut(target, []byte("?"))
	return path, query
}

// appendPath appends the path of a target (RFC 9112 section 3.3): "*" has none, and an absolute target that ends after its
// authority has "/".
func appendPath(dst, path []byte) []byte {
	switch string(path) {
	case "*":
		return dst
	case "":
		return append(dst, '/')
	}
	return append(dst, path...)
}

// parameter returns the first value of a query parameter; nil if there is none. Names are case-sensitive.
func parameter(query []byte, name string) []byte {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
			return pair[len(name)+1:]
		}
	}
	return nil
}

// cookie returns the first value of a cookie in a Cookie field (RFC 6265 section 5.4), without surrounding quotes; nil if there
// is none. Names are case-sensitive.
func cookie(field []byte, name string) []byte {
	for len(field) > 0 {
		var pair []byte
		pair, field, _ = bytes.Cut(field, []byte(";"))
		pair = bytes.TrimLeft(pair, " \t")
		if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
			value := bytes.TrimRight(pair[len(name)+1:], " \t")
			if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value
		}
	}
	return nil
}

// appendAddr appends an address without its zone, which is a local name and the only part of an address that could contain
// unusual bytes.
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

// appendUpstream appends the address of u, or the path of a unix socket. A path that would need escaping is omitted;
// $upstream_host has it.
func appendUpstream(dst []byte, u *Upstream) []byte {
	if !u.Addr.IsValid() && strings.HasPrefix(u.Host, "unix:/") && strings.IndexFunc(u.Host, needsEscape) < 0 {
		return append(dst, u.Host...)
	}
	return appendAddrPort(dst, u.Addr)
}

func needsEscape(c rune) bool { return c <= ' ' || c == '"' || c == '\\' || c >= 0x7f }

// family is the end of a family's name.
const family = "_NAME"

// lookUp returns the variable with the given name; families are not considered. It returns nil if the mode does not have the name.
func lookUp(name string, m Mode) *variable {
	for i := range variables {
		if v := &variables[i]; v.named == nil && v.name == name && v.modes&m != 0 {
			return v
		}
	}
	return nil
}

// find is lookUp including families. For a family it returns a variable with the given name.
func find(name string, m Mode) *variable {
	if v := lookUp(name, m); v != nil {
		return v
	}
	for i := range variables {
		v := &variables[i]
		if v.named == nil || v.modes&m == 0 {
			continue
		}
		prefix := strings.TrimSuffix(v.name, family[1:])
		if part, ok := strings.CutPrefix(name, prefix); ok && part != "" {
			if strings.Contains(prefix, "http") {
				part = fieldName(part)
			}
			one := *v
			one.name = name
			one.bytes, one.named = func(r *Record) []byte { return v.named(r, part) }, nil
			return &one
		}
	}
	return nil
}

// fieldName returns the field name, in lower case, for the part of a variable's name that has underscores instead of hyphens.
func fieldName(part string) string { return strings.ReplaceAll(strings.ToLower(part), "_", "-") }

// Known reports whether a variable, given without its "$", is known in any place of m.
func Known(name string, m Mode) bool { return find(name, m) != nil }

// Names returns the variables that may be used in any place of m, without the "$"; a family is named like "http_NAME". The
// caller owns the slice.
func Names(m Mode) []string { return names(func(v *variable) bool { return v.modes&m != 0 }) }

// Members returns the variables in an object of the form "json". The caller owns the slice.
func Members(m Mode) []string {
	return names(func(v *variable) bool { return v.modes&m != 0 && v.named == nil && !v.hidden })
}

func names(wanted func(*variable) bool) []string {
	var names []string
	for i := range variables {
		if v := &variables[i]; wanted(v) && !slices.Contains(names, v.name) {
			names = append(names, v.name)
		}
	}
	return names
}

// appendText appends a value to a line of text.
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

// appendInJSON appends a value inside a JSON string.
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

// appendJSONValue appends a value as a JSON value.
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

// appendSafe appends a value that needs no escaping, or nothing if it is missing.
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
