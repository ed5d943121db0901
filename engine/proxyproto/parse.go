package proxyproto

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

const (
	// MaxV1 is the maximum length of a version 1 header in bytes, including CRLF (section 2.1).
	MaxV1 = 107
	// MaxV2 is the maximum accepted length of a version 2 header, in bytes. The specification allows 16+65535 bytes; real
	// headers have a few hundred, or more if they contain a client certificate.
	MaxV2 = 4096
	// MaxHeader is the maximum accepted length of a header, in bytes.
	MaxHeader = max(MaxV1, MaxV2)
)

const (
	v1Start     = "PROXY "
	v2Signature = "\r\n\r\n\x00\r\nQUIT\n"
	v2Fixed     = 16 // bytes: signature, version and command, family and transport, length of the rest
	v2Local     = 0x20
	v2Proxy     = 0x21

	// Families and transports of version 2, and the lengths of their addresses in bytes.
	v2Unspecified = 0x00
	v2TCP4        = 0x11
	v2UDP4        = 0x12
	v2TCP6        = 0x21
	v2UDP6        = 0x22
	v2UnixStream  = 0x31
	v2UnixPacket  = 0x32
	v2SizeIPv4    = 4 + 4 + 2 + 2
	v2SizeIPv6    = 16 + 16 + 2 + 2
	v2SizeUnix    = 108 + 108
)

// Header is the content of a header. Either both addresses are valid or neither is. If the sender speaks for itself (LOCAL), or has no
// IP addresses (UNKNOWN, unix sockets), the addresses of the connection apply.
type Header struct {
	// Source is the client's address and port; Destination is what the client connected to. IPv4-mapped addresses are returned as
	// IPv4.
	Source, Destination netip.AddrPort
}

// Error says why bytes are not an acceptable header. Values are shared and must not be changed.
type Error struct {
	Reason string // for logs: lower-case, short, without anything that the peer sent
}

// Error implements error.
func (e *Error) Error() string { return e.Reason }

var (
	errNoHeader   = &Error{"the connection does not begin with a PROXY header"}
	errV1Length   = &Error{"a PROXY header of version 1 over 107 bytes"}
	errV1BareLF   = &Error{"a PROXY header with a line feed without a carriage return"}
	errV1BareCR   = &Error{"a PROXY header with a carriage return without a line feed"}
	errV1Protocol = &Error{"a PROXY header with an unknown protocol"}
	errV1Fields   = &Error{"a PROXY header without exactly two addresses and two ports"}
	errV1Address  = &Error{"a PROXY header with a malformed address, or one of another family"}
	errV1Port     = &Error{"a PROXY header with a malformed port"}
	errV2Version  = &Error{"a PROXY header with an unknown version or command"}
	errV2Family   = &Error{"a PROXY header with an unknown address family"}
	errV2Datagram = &Error{"a PROXY header for datagrams"}
	errV2Length   = &Error{"a PROXY header of version 2 over 4096 bytes"}
	errV2Short    = &Error{"a PROXY header that is too short for its addresses"}
)

// Parse examines p, which is everything that the peer has sent so far. n is the length of the header at the beginning of p. n = 0 with a nil
// error means that more bytes are needed, which never happens with MaxHeader bytes. The error is an *Error. More bytes change neither an error
// nor a complete header.
//
// Parse ignores what follows the addresses in version 2 (TLVs), as the specification allows.
func Parse(p []byte) (h Header, n int, err error) {
	var fault *Error
	if len(p) > 0 && p[0] == v2Signature[0] {
		h, n, fault = parseV2(p)
	} else {
		h, n, fault = parseV1(p)
	}
	if fault != nil {
		return Header{}, 0, fault
	}
	return h, n, nil
}

// begins reports whether p, which may be incomplete, is consistent with beginning with s.
func begins(p []byte, s string) bool {
	n := min(len(p), len(s))
	return string(p[:n]) == s[:n]
}

func parseV1(p []byte) (h Header, n int, err *Error) {
	if !begins(p, v1Start) {
		return Header{}, 0, errNoHeader
	}
	seen := p[:min(len(p), MaxV1)]
	end := bytes.IndexAny(seen, "\r\n")
	switch {
	case end < 0 && len(seen) < MaxV1:
		return Header{}, 0, nil
	case end < 0, end+1 == MaxV1 && seen[end] == '\r':
		return Header{}, 0, errV1Length
	case seen[end] == '\n':
		return Header{}, 0, errV1BareLF
	case end+1 == len(seen):
		return Header{}, 0, nil
	case seen[end+1] != '\n':
		return Header{}, 0, errV1BareCR
	}
	if err := h.readV1(p[len(v1Start):end]); err != nil {
		return Header{}, 0, err
	}
	return h, end + 2, nil
}

// readV1 parses the part between "PROXY " and CRLF.
func (h *Header) readV1(line []byte) *Error {
	protocol, rest, more := bytes.Cut(line, []byte(" "))
	var address func([]byte) (netip.Addr, bool)
	switch string(protocol) {
	case "UNKNOWN":
		return nil // the rest is ignored
	case "TCP4":
		address = parseIPv4
	case "TCP6":
		address = parseIPv6
	default:
		return errV1Protocol
	}
	var fields [4][]byte
	for i := range fields {
		if !more {
			return errV1Fields
		}
		fields[i], rest, more = bytes.Cut(rest, []byte(" "))
	}
	if more {
		return errV1Fields
	}
	var addrs [2]netip.Addr
	var ports [2]uint16
	for i := range addrs {
		var ok bool
		if addrs[i], ok = address(fields[i]); !ok {
			return errV1Address
		}
		if ports[i], ok = parsePort(fields[2+i]); !ok {
			return errV1Port
		}
	}
	h.Source = netip.AddrPortFrom(addrs[0], ports[0])
	h.Destination = netip.AddrPortFrom(addrs[1], ports[1])
	return nil
}

func parseV2(p []byte) (h Header, n int, err *Error) {
	if !begins(p, v2Signature) {
		return Header{}, 0, errNoHeader
	}
	if len(p) > 12 && p[12] != v2Local && p[12] != v2Proxy {
		return Header{}, 0, errV2Version
	}
	size := 0 // size of the addresses
	if len(p) > 13 {
		switch p[13] {
		case v2Unspecified:
		case v2TCP4:
			size = v2SizeIPv4
		case v2TCP6:
			size = v2SizeIPv6
		case v2UnixStream:
			size = v2SizeUnix
		case v2UDP4, v2UDP6, v2UnixPacket:
			if p[12] == v2Proxy {
				return Header{}, 0, errV2Datagram
			}
		default:
			return Header{}, 0, errV2Family
		}
		if p[12] == v2Local {
			size = 0 // any addresses are meaningless
		}
	}
	if len(p) < v2Fixed {
		return Header{}, 0, nil
	}
	length := int(binary.BigEndian.Uint16(p[14:]))
	n = v2Fixed + length
	switch {
	case n > MaxV2:
		return Header{}, 0, errV2Length
	case length < size:
		return Header{}, 0, errV2Short
	case len(p) < n:
		return Header{}, 0, nil
	}
	switch b := p[v2Fixed:]; size {
	case v2SizeIPv4:
		h = Header{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), binary.BigEndian.Uint16(b[8:])),
			netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:])), binary.BigEndian.Uint16(b[10:])),
		}
	case v2SizeIPv6:
		h = Header{
			netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[32:])),
			netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[16:])).Unmap(), binary.BigEndian.Uint16(b[34:])),
		}
	}
	return h, n, nil
}
