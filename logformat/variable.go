package logformat

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mode is a set of the places that variables may stand in.
type Mode uint8

// The places.
const (
	Stream    Mode = 1 << iota // access log lines of sessions
	HTTP                       // access log lines of exchanges
	OnRequest                  // what is made as soon as a request is there: redirect, respond, rewrite
	ToHost                     // request_headers
	ToClient                   // response_headers
	Kroxy                      // "headers", as Kroxy has it: there $host is the name of the host that was chosen
	OnSession                  // what is made as soon as a session is there: hash_key in stream mode

	both       = Stream | HTTP
	templates  = OnRequest | ToHost | ToClient | Kroxy
	everywhere = both | templates | OnSession
	requests   = HTTP | templates
	hosts      = ToHost | ToClient | Kroxy // a host was chosen
)

// String names a single place.
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

// Need is a set of those fields of a Record that cost something to find out. They may be left empty unless the format
// needs them.
type Need uint8

// The needs.
const (
	NeedRequestID Need = 1 << iota
	NeedTime
)

// variable is the declaration of one. The function that is not nil gets its value from a record, and with that decides how
// it is written:
//
//	in text                in JSON
//	bytes   escaped        a string
//	named   escaped        a string
//	word    escaped        a string
//	plain   as appended    a string; it has no byte that needs escaping
//	number  in decimal     a number
//	millis  with "ms"      a number
//
// A variable with named is a family: its name ends with "_NAME", which stands for what is passed to named.
// Where a peer could put a space into what looks like one word, spaces says that it is escaped too, in text.
//
// A value that is missing, which is an empty one or a negative number, is "-" in text, null in JSON, and nothing in a Template.
type variable struct {
	name   string // without the "$"
	modes  Mode
	need   Need
	doc    string
	hidden bool // not in the JSON form: another name of a variable

	spaces bool
	bytes  func(*Record) []byte
	named  func(r *Record, name string) []byte
	word   func(*Record) string
	plain  func([]byte, *Record) []byte
	number func(*Record) int64
	millis func(*Record) time.Duration
}

// variables has the order of the JSON form.
var variables = [...]variable{
	{name: "time_iso8601", modes: everywhere &^ OnSession, need: NeedTime, doc: "the time in UTC, in a log that of the line: `2026-11-28T16:30:00+00:00`",
		bytes: func(r *Record) []byte { return r.Time }},
	{name: "request_id", modes: everywhere &^ OnSession, need: NeedRequestID, doc: "128 random bits in hexadecimal, other ones for each request or session; in `http`, what a trusted proxy sent in `X-Request-Id`",
		bytes: func(r *Record) []byte { return r.RequestID }},
	{name: "client_addr", modes: everywhere, doc: "the client's address",
		plain: func(dst []byte, r *Record) []byte { return appendAddr(dst, r.Client.Addr()) }},
	{name: "addr", modes: everywhere, hidden: true, doc: "the same as `$client_addr`",
		plain: func(dst []byte, r *Record) []byte { return appendAddr(dst, r.Client.Addr()) }},
	{name: "client_port", modes: everywhere, doc: "the client's port",
		number: func(r *Record) int64 { return present(int64(r.Client.Port())) }},
	{name: "protocol", modes: everywhere, doc: "`HTTP/2.0`, `HTTP/1.1`, `HTTP/1.0`, or `TCP` in stream mode",
		word: func(r *Record) string { return r.Protocol }},
	{name: "tls_version", modes: everywhere, doc: "the version of TLS that the client speaks: `TLS 1.3`",
		word: func(r *Record) string { return r.tls().Version }},
	{name: "tls_cipher", modes: everywhere, doc: "the cipher suite that was agreed on with the client",
		word: func(r *Record) string { return r.tls().Cipher }},
	{name: "tls_sni", modes: everywhere, doc: "the name in the client's TLS hello, as it came",
		spaces: true, bytes: func(r *Record) []byte { return r.tls().ServerName }},
	{name: "tls_client_subject", modes: everywhere, doc: "the distinguished name in the client's certificate: `CN=alice,O=Example`",
		spaces: true, bytes: func(r *Record) []byte { return r.tls().ClientSubject }},
	{name: "scheme", modes: requests, doc: "`https` if the client speaks TLS, else `http`",
		word: func(r *Record) string {
			if r.TLS != nil {
				return "https"
			}
			return "http"
		}},
	{name: "host", modes: requests &^ Kroxy, doc: "the host that the client asked for, without a port; an IPv6 address is in brackets",
		spaces: true, bytes: func(r *Record) []byte { return r.Host }},
	{name: "host", modes: Kroxy, doc: "the name of the host that was chosen",
		bytes: func(r *Record) []byte { return r.HostName }},
	{name: "request_method", modes: requests, doc: "the method",
		spaces: true, bytes: func(r *Record) []byte { return r.Method }},
	{name: "request_uri", modes: HTTP, doc: "the request target as it came; of a malformed request line, what follows the first space",
		spaces: true, bytes: func(r *Record) []byte { return r.URI }},
	{name: "request_uri", modes: templates, doc: "path and query as they came",
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
	{name: "path", modes: templates, doc: "the path as it came",
		plain: func(dst []byte, r *Record) []byte { path, _ := cutTarget(r.URI); return appendPath(dst, path) }},
	{name: "query", modes: requests, doc: "the query in the target, without the `?`",
		spaces: true, bytes: func(r *Record) []byte { _, query := cutTarget(r.URI); return query }},
	{name: "arg_NAME", modes: requests, doc: "the first value of a parameter in the query, as it came",
		spaces: true, named: func(r *Record, name string) []byte { _, query := cutTarget(r.URI); return parameter(query, name) }},
	{name: "http_user_agent", modes: requests, doc: "the first `User-Agent` field",
		bytes: func(r *Record) []byte { return r.requestField("user-agent") }},
	{name: "http_NAME", modes: requests, doc: "the first field of that name in the request; `$http_x_tenant` is `X-Tenant`",
		named: (*Record).requestField},
	{name: "cookie_NAME", modes: requests, doc: "the first cookie of that name",
		spaces: true, named: func(r *Record, name string) []byte { return cookie(r.requestField("cookie"), name) }},
	{name: "status", modes: HTTP | ToClient, doc: "the status that the client was sent; 499 in the log if the client left before it had everything. Where a gRPC client is told an error by `grpc-status`, it is the one that others would get",
		number: func(r *Record) int64 { return present(int64(r.Status)) }},
	{name: "grpc_status", modes: HTTP, doc: "the outcome of a gRPC call that the client was sent (`grpc-status`): 0 is OK, 14 that nobody could serve it",
		number: func(r *Record) int64 { return number(r.GRPCStatus) }},
	{name: "sent_http_NAME", modes: HTTP | ToClient, doc: "the first field of that name in the response: in the log as it was sent, in `response_headers` as it came from the host",
		named: (*Record).responseField},
	{name: "bytes_sent_upstream", modes: both, doc: "bytes sent to the host; of HTTP/2 those that HTTP/1.1 would have",
		number: func(r *Record) int64 { return r.BytesUpstream }},
	{name: "bytes_sent_downstream", modes: both, doc: "bytes sent to the client; of HTTP/2 those that HTTP/1.1 would have",
		number: func(r *Record) int64 { return r.BytesDownstream }},
	{name: "processing_time", modes: both, doc: "from accepting the connection, or the first byte of the request, to the end",
		millis: func(r *Record) time.Duration { return max(r.Duration, 0) }},
	{name: "end_reason", modes: both, doc: "why it ended, in one of the words below",
		word: func(r *Record) string { return r.End.String() }},
	{name: "server", modes: everywhere, doc: "the server in the file: its `name`, or where it stands, as in `http[1]`",
		word: func(r *Record) string { return r.Server }},
	{name: "route", modes: everywhere, doc: "the route that was taken: its `name`, or where it stands, as in `http.routes[2]`",
		word: func(r *Record) string { return r.Route }},
	{name: "group", modes: both | hosts, doc: "the group of hosts that was to serve it; none if it was answered or refused before",
		word: func(r *Record) string { return r.Group }},
	{name: "upstream_host", modes: both | hosts, doc: "the last host that was tried, as the configuration has it, and its port",
		word: func(r *Record) string { return r.Upstream.Host }},
	{name: "upstream_addr", modes: both | hosts, doc: "the last address that was tried, and the port; or `unix:` and the path of a Unix-domain socket",
		plain: func(dst []byte, r *Record) []byte { return appendUpstream(dst, &r.Upstream) }},
	{name: "upstream_tries", modes: both | hosts, doc: "how many connections to hosts were tried, one that was kept from before included",
		number: func(r *Record) int64 { return int64(r.Upstream.Tries) }},
	{name: "upstream_status", modes: HTTP | ToClient, doc: "the status of the host's response",
		number: func(r *Record) int64 { return present(int64(r.Upstream.Status)) }},
	{name: "upstream_connect_time", modes: both | hosts, doc: "from choosing a host until a connection stood, its TLS handshake included; 0 for one that was kept from before",
		millis: func(r *Record) time.Duration { return presentIf(r.Upstream.Connected, r.Upstream.ConnectTime) }},
	{name: "upstream_header_time", modes: HTTP | ToClient, doc: "from choosing a host until the head of its response was there",
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

// number is what decimal digits say, of those that a status of gRPC may have.
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

// cutTarget finds path and query in a request target of whatever form (RFC 9112 section 3.2).
func cutTarget(target []byte) (path, query []byte) {
	if i := bytes.Index(target, []byte("://")); i > 0 && bytes.IndexByte(target[:i], '/') < 0 {
		target = target[i+3:]
		target = target[min(uint(bytes.IndexAny(target, "/?")), uint(len(target))):]
	}
	path, query, _ = bytes.Cut(target, []byte("?"))
	return path, query
}

// appendPath appends the path that a target stands for (RFC 9112 section 3.3): "*" has none, and an absolute target that ends
// behind its authority has "/".
func appendPath(dst, path []byte) []byte {
	switch string(path) {
	case "*":
		return dst
	case "":
		return append(dst, '/')
	}
	return append(dst, path...)
}

// parameter finds the first value of a parameter in a query; nil if there is none. Letter case counts.
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

// cookie finds the first value of a cookie in a Cookie field (RFC 6265 section 5.4), without quotes around it; nil if there is
// none. Letter case counts.
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

// appendUpstream appends the address of u, or the path of a unix socket. A path that would have to be escaped is left out: $upstream_host has it.
func appendUpstream(dst []byte, u *Upstream) []byte {
	if !u.Addr.IsValid() && strings.HasPrefix(u.Host, "unix:/") && strings.IndexFunc(u.Host, needsEscape) < 0 {
		return append(dst, u.Host...)
	}
	return appendAddrPort(dst, u.Addr)
}

func needsEscape(c rune) bool { return c <= ' ' || c == '"' || c == '\\' || c >= 0x7f }

// family is how the name of a variable ends that stands for many.
const family = "_NAME"

// lookUp finds a variable by its whole name, without families. It answers nil for a name that the mode does not know.
func lookUp(name string, m Mode) *variable {
	for i := range variables {
		if v := &variables[i]; v.named == nil && v.name == name && v.modes&m != 0 {
			return v
		}
	}
	return nil
}

// find is lookUp with families: of one it answers the variable of that name.
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

// fieldName is the name of a field, in small letters, that a variable's name has underscores in.
func fieldName(part string) string { return strings.ReplaceAll(strings.ToLower(part), "_", "-") }

// Known reports whether a variable, without its "$", is known in some place of m.
func Known(name string, m Mode) bool { return find(name, m) != nil }

// Names answers the variables that may stand in some place of m, without the "$"; a family as "http_NAME". The slice is the
// caller's.
func Names(m Mode) []string { return names(func(v *variable) bool { return v.modes&m != 0 }) }

// Members answers the variables that an object of the form "json" has. The slice is the caller's.
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
