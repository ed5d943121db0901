package accesslog

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Record is what a line tells of one finished session (stream mode) or exchange (http mode). The byte slices are
// borrowed for the length of the call they are passed to.
type Record struct {
	// Client is the peer's address; the zero Addr prints as "-". A zone is not printed.
	Client netip.Addr
	// BytesUpstream and BytesDownstream are the bytes sent to the host and to the client.
	BytesUpstream, BytesDownstream int64
	// Duration is the time from accepting (or from the request's first byte) to the end; printed in whole milliseconds.
	Duration time.Duration

	// TLS is what the client's TLS came to; nil, there was none, prints as "-".
	TLS *TLS

	// The rest is unused in stream mode. URI is the request target as it came.
	Method, URI, UserAgent []byte
	// Status is the status code sent to the client; 0, none was sent, prints as "-".
	Status int
}

// TLS is what a line tells of a client's TLS. What is empty prints as "-".
type TLS struct {
	// Version and Cipher are the names of what was agreed on.
	Version, Cipher string
	// ServerName is the name in the client's hello, as it came. It is not changed.
	ServerName []byte
}

type variable uint8

// literal is a part that is not a variable.
const (
	literal variable = iota
	clientAddr
	bytesSentUpstream
	bytesSentDownstream
	processingTime
	tlsVersion
	tlsCipher
	tlsSNI
	requestURI
	requestMethod
	status
	httpUserAgent
)

// variables has the stream mode's names first: stream mode knows the first streamVariables of them, http mode all.
var variables = []struct {
	name string
	kind variable
}{
	{"client_addr", clientAddr},
	{"bytes_sent_upstream", bytesSentUpstream},
	{"bytes_sent_downstream", bytesSentDownstream},
	{"processing_time", processingTime},
	{"tls_version", tlsVersion},
	{"tls_cipher", tlsCipher},
	{"tls_sni", tlsSNI},
	{"request_uri", requestURI},
	{"request_method", requestMethod},
	{"status", status},
	{"http_user_agent", httpUserAgent},
}

const streamVariables = 7

// StreamVariables answers the names a stream format may use, without the "$". The slice is the caller's.
func StreamVariables() []string { return names(false) }

// HTTPVariables answers the names an http format may use, without the "$". The slice is the caller's.
func HTTPVariables() []string { return names(true) }

func names(http bool) []string {
	known := variables
	if !http {
		known = known[:streamVariables]
	}
	list := make([]string, len(known))
	for i, v := range known {
		list[i] = v.name
	}
	return list
}

// Format is a compiled format string. It is immutable and may be shared.
type Format struct {
	parts []part
}

type part struct {
	kind variable
	text string // of a literal
}

// Compile compiles a format string for stream or http mode. A variable is "$" and the run of ASCII letters and
// underscores after it; a "$" that no such run follows stands for itself. Other text is copied as it is, control bytes
// included: the format is the operator's. The error names every unknown variable.
func Compile(format string, http bool) (*Format, error) {
	f := new(Format)
	var unknown []string
	text := 0 // where the literal being read began
	for i := 0; i < len(format); {
		end := i + 1
		if format[i] == '$' {
			for end < len(format) && isNameByte(format[end]) {
				end++
			}
		}
		if end == i+1 {
			i = end
			continue
		}
		f.addText(format[text:i])
		name := format[i+1 : end]
		if kind := lookUp(name, http); kind != literal {
			f.parts = append(f.parts, part{kind: kind})
		} else if !slices.Contains(unknown, "$"+name) {
			unknown = append(unknown, "$"+name)
		}
		i, text = end, end
	}
	f.addText(format[text:])
	if unknown != nil {
		mode := "stream"
		if http {
			mode = "http"
		}
		return nil, fmt.Errorf("accesslog: format: unknown %s; %s mode knows $%s",
			strings.Join(unknown, ", "), mode, strings.Join(names(http), ", $"))
	}
	return f, nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}

// lookUp answers literal for an unknown name.
func lookUp(name string, http bool) variable {
	for i, v := range variables {
		if v.name == name && (http || i < streamVariables) {
			return v.kind
		}
	}
	return literal
}

func (f *Format) addText(text string) {
	if text != "" {
		f.parts = append(f.parts, part{text: text})
	}
}

// Append appends the expanded format, without time and newline, to dst and answers the longer slice. Bytes that the
// client chose are escaped, so a client can neither end a line nor a quoted string. It allocates only to grow dst.
func (f *Format) Append(dst []byte, r *Record) []byte {
	tls := r.TLS
	if tls == nil {
		tls = &noTLS
	}
	for i := range f.parts {
		p := &f.parts[i]
		switch p.kind {
		case literal:
			dst = append(dst, p.text...)
		case clientAddr:
			dst = appendAddr(dst, r.Client)
		case bytesSentUpstream:
			dst = strconv.AppendInt(dst, r.BytesUpstream, 10)
		case bytesSentDownstream:
			dst = strconv.AppendInt(dst, r.BytesDownstream, 10)
		case processingTime:
			dst = strconv.AppendInt(dst, max(r.Duration, 0).Milliseconds(), 10)
			dst = append(dst, "ms"...)
		case tlsVersion:
			dst = appendEscaped(dst, tls.Version)
		case tlsCipher:
			dst = appendEscaped(dst, tls.Cipher)
		case tlsSNI:
			dst = appendEscaped(dst, tls.ServerName)
		case requestURI:
			dst = appendEscaped(dst, r.URI)
		case requestMethod:
			dst = appendEscaped(dst, r.Method)
		case status:
			if r.Status == 0 {
				dst = append(dst, '-')
			} else {
				dst = strconv.AppendInt(dst, int64(r.Status), 10)
			}
		case httpUserAgent:
			dst = appendEscaped(dst, r.UserAgent)
		}
	}
	return dst
}

var noTLS TLS // all of it prints as "-"

// appendAddr drops the zone: it is a local name, and the only part of an address that could hold an odd byte.
func appendAddr(dst []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(dst, '-')
	}
	return a.Unmap().WithZone("").AppendTo(dst)
}

// unsafeByte tells the bytes that nginx's default log escape writes as \xHH.
var unsafeByte = func() (set [256]bool) {
	for c := range set {
		set[c] = c < 0x20 || c >= 0x7f || c == '"' || c == '\\'
	}
	return set
}()

func appendEscaped[S []byte | string](dst []byte, s S) []byte {
	const hex = "0123456789ABCDEF"
	if len(s) == 0 {
		return append(dst, '-')
	}
	start := 0
	for i := range len(s) {
		c := s[i]
		if !unsafeByte[c] {
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, '\\', 'x', hex[c>>4], hex[c&15])
		start = i + 1
	}
	return append(dst, s[start:]...)
}
