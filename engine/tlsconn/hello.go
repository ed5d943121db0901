package tlsconn

import "errors"

// MaxHello is the maximum length of a ClientHello, including its header of 4 bytes: what one record can hold.
const MaxHello = 1 << 14

const (
	helloRecordHeader  = 5       // bytes: type, version, length (RFC 8446 section 5.1)
	helloMaxRecord     = 1 << 14 // bytes of plaintext after it
	helloHandshake     = 22      // the record's type
	helloMajor         = 3       // first byte of every version from SSL 3.0 to TLS 1.3
	helloHeader        = 4       // bytes: type and length of a handshake message (RFC 8446 section 4)
	helloClientHello   = 1       // the message's type
	helloVersionRandom = 2 + 32  // bytes
	helloMaxSession    = 32      // bytes
	helloServerName    = 0       // the extension's type
	helloHostName      = 0       // the name's type
)

// ErrNotTLS means that a client's first bytes cannot begin a TLS handshake.
var ErrNotTLS = errors.New("tlsconn: not a TLS handshake")

// HelloError says why bytes that begin like TLS are not an acceptable ClientHello. Values are shared and must not
// be changed.
type HelloError struct {
	Reason string // for the error log: lower-case, short, without anything that the client sent
}

func (e *HelloError) Error() string { return e.Reason }

var (
	errHelloRecordType    = &HelloError{"a record of another type in the hello"}
	errHelloRecordVersion = &HelloError{"a record of an unknown version in the hello"}
	errHelloRecordEmpty   = &HelloError{"an empty record in the hello"}
	errHelloRecordSize    = &HelloError{"a record over 16384 bytes"}
	errHelloType          = &HelloError{"the first message is not a client hello"}
	errHelloSize          = &HelloError{"a hello over 16384 bytes"}
	errHelloShort         = &HelloError{"the hello ends before its session id"}
	errHelloSession       = &HelloError{"malformed session id"}
	errHelloSuites        = &HelloError{"malformed cipher suites"}
	errHelloCompression   = &HelloError{"malformed compression methods"}
	errHelloExtensions    = &HelloError{"malformed extensions"}
	errHelloRepeated      = &HelloError{"a repeated extension"}
	errHelloNames         = &HelloError{"malformed server names"}
	errHelloTwoNames      = &HelloError{"two host names"}
	errHelloDot           = &HelloError{"the host name ends in a dot"}
)

// Hello holds what is needed of a ClientHello before it is answered.
type Hello struct {
	// ServerName is the host name as the client sent it, which may be any bytes; nil if there is none. It is valid until
	// the next Read, and while the bytes that were read are unchanged.
	ServerName []byte
}

// HelloReader reads ClientHellos (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2). The zero value is ready. It keeps a
// buffer for hellos that span several records, and no state of a connection. It is not safe for concurrent use.
type HelloReader struct {
	buf []byte // at most MaxHello bytes
}

// Read examines p, which is everything that the client has sent, from the first byte. n is the length of the records up to
// the end of the hello, including the rest of its last record. n = 0 with a nil error means that more bytes are needed, which
// never happens with 7*MaxHello bytes. The error is ErrNotTLS or a *HelloError; more bytes do not change it.
//
// The last record may contain bytes after the hello, which belong to the next message. Read does not examine extensions other than
// server_name. While more bytes are needed, a call costs one look at each record's header.
func (r *HelloReader) Read(p []byte) (h Hello, n int, err error) {
	if len(p) > 0 && p[0] != helloHandshake || len(p) > 1 && p[1] != helloMajor {
		return Hello{}, 0, ErrNotTLS
	}
	n, size, fault := helloExtent(p)
	if fault != nil {
		return Hello{}, 0, fault
	}
	if n == 0 {
		return Hello{}, 0, nil
	}
	if fault := h.parse(r.message(p, size)); fault != nil {
		return Hello{}, 0, fault
	}
	return h, n, nil
}

// helloExtent returns the length of the records up to the end of the hello, 0 if they are incomplete, and the length of the
// hello itself. It reads only headers, so that nothing is copied repeatedly while records arrive.
func helloExtent(p []byte) (n, size int, err *HelloError) {
	var head [helloHeader]byte // may be spread over four records
	for have := 0; ; {
		record := p[n:]
		switch {
		case len(record) > 0 && record[0] != helloHandshake:
			return 0, 0, errHelloRecordType
		case len(record) > 1 && record[1] != helloMajor:
			return 0, 0, errHelloRecordVersion
		case len(record) < helloRecordHeader:
			return 0, 0, nil
		}
		length := helloRecordLength(record)
		switch {
		case length == 0:
			return 0, 0, errHelloRecordEmpty
		case length > helloMaxRecord:
			return 0, 0, errHelloRecordSize
		}
		data := record[helloRecordHeader:]
		whole := len(data) >= length
		if whole {
			data = data[:length]
		}
		if have < helloHeader {
			if have == 0 && len(data) > 0 && data[0] != helloClientHello {
				return 0, 0, errHelloType
			}
			if have+copy(head[have:], data) == helloHeader {
				size = helloHeader + int(head[1])<<16 + int(head[2])<<8 + int(head[3])
				if size > MaxHello {
					return 0, 0, errHelloSize
				}
			}
		}
		if !whole {
			return 0, 0, nil
		}
		n += helloRecordHeader + length
		if have += length; size > 0 && have >= size {
			return n, size, nil
		}
	}
}

func helloRecordLength(record []byte) int { return int(record[3])<<8 | int(record[4]) }

// message returns the handshake message of size bytes in p's records: a slice of p if it is in one record, otherwise a copy.
func (r *HelloReader) message(p []byte, size int) []byte {
	if helloRecordLength(p) >= size {
		return p[helloRecordHeader:][:size:size]
	}
	if cap(r.buf) < size {
		r.buf = make([]byte, 0, size)
	}
	r.buf = r.buf[:0]
	for len(r.buf) < size {
		length := helloRecordLength(p)
		data := p[helloRecordHeader:][:length]
		r.buf = append(r.buf, data[:min(length, size-len(r.buf))]...)
		p = p[helloRecordHeader+length:]
	}
	return r.buf
}

// parse parses a handshake message. It is strict about lengths, because whoever answers the hello must read the same
// as this proxy.
func (h *Hello) parse(message []byte) *HelloError {
	b := message[helloHeader:]
	if len(b) < helloVersionRandom {
		return errHelloShort
	}
	session, b, ok := helloVector(b[helloVersionRandom:], 1)
	if !ok || len(session) > helloMaxSession {
		return errHelloSession
	}
	suites, b, ok := helloVector(b, 2)
	if !ok || len(suites) == 0 || len(suites)%2 != 0 {
		return errHelloSuites
	}
	compression, b, ok := helloVector(b, 1)
	if !ok || len(compression) == 0 {
		return errHelloCompression
	}
	if len(b) == 0 { // TLS 1.2 or earlier, without extensions
		return nil
	}
	extensions, b, ok := helloVector(b, 2)
	if !ok || len(b) > 0 {
		return errHelloExtensions
	}
	var seen [1 << 16 / 64]uint64 // one bit per type, so that thousands of extensions need not be compared with each other
	for len(extensions) > 0 {
		if len(extensions) < 2 {
			return errHelloExtensions
		}
		kind := int(extensions[0])<<8 | int(extensions[1])
		var data []byte
		if data, extensions, ok = helloVector(extensions[2:], 2); !ok {
			return errHelloExtensions
		}
		if seen[kind/64]&(1<<(kind%64)) != 0 {
			return errHelloRepeated
		}
		seen[kind/64] |= 1 << (kind % 64)
		if kind == helloServerName {
			if err := h.names(data); err != nil {
				return err
			}
		}
	}
	return nil
}

// names parses the server_name extension (RFC 6066 section 3). It skips names of an unknown type.
func (h *Hello) names(extension []byte) *HelloError {
	list, rest, ok := helloVector(extension, 2)
	if !ok || len(list) == 0 || len(rest) > 0 {
		return errHelloNames
	}
	for len(list) > 0 {
		kind := list[0]
		var name []byte
		if name, list, ok = helloVector(list[1:], 2); !ok || len(name) == 0 {
			return errHelloNames
		}
		if kind != helloHostName {
			continue
		}
		if h.ServerName != nil {
			return errHelloTwoNames
		}
		if name[len(name)-1] == '.' {
			return errHelloDot
		}
		h.ServerName = name
	}
	return nil
}

// helloVector splits off a vector whose length precedes it in width bytes (RFC 8446 section 3.4).
func helloVector(b []byte, width int) (v, rest []byte, ok bool) {
	if len(b) < width {
		return nil, nil, false
	}
	length := 0
	for _, c := range b[:width] {
		length = length<<8 | int(c)
	}
	if b = b[width:]; len(b) < length {
		return nil, nil, false
	}
	return b[:length:length], b[length:], true
}

// LooksLikeHTTP reports whether p, which is not TLS, begins like the request line of HTTP (RFC 9112 section 3): with a
// method of at least three capital letters, as far as it has arrived. It examines 5 bytes, which is good enough to choose a helpful
// error, and for nothing more.
func LooksLikeHTTP(p []byte) bool {
	for i, c := range p[:min(len(p), 5)] {
		if c == ' ' {
			return i >= 3
		}
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return len(p) > 0
}
