package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Version is the version of a header. The zero value means no header.
type Version uint8

// The versions: V1 is a line of text, V2 is binary.
const (
	None Version = iota
	V1
	V2
)

// Named returns the version with that name, or None.
func Named(name string) Version {
	for _, v := range [...]Version{V1, V2} {
		if v.String() == name {
			return v
		}
	}
	return None
}

// String returns the name of v in a configuration.
func (v Version) String() string { return [...]string{"none", "v1", "v2"}[v] }

// Append appends the header of version V1 or V2 for a connection from source to destination. If one of these is invalid, it appends the
// header for a connection that the sender has made for itself, such as a health check (LOCAL; in version 1 UNKNOWN). If one is IPv4 and
// the other IPv6, both are written as IPv6. Zones are omitted.
func Append(dst []byte, v Version, source, destination netip.AddrPort) []byte {
	from, to := source.Addr().Unmap(), destination.Addr().Unmap()
	known := from.IsValid() && to.IsValid()
	both4 := from.Is4() && to.Is4()
	if known && !both4 {
		from, to = netip.AddrFrom16(from.As16()), netip.AddrFrom16(to.As16())
	}
	if v == V1 {
		if !known {
			return append(dst, v1Start+"UNKNOWN\r\n"...)
		}
		if both4 {
			dst = append(dst, v1Start+"TCP4 "...)
		} else {
			dst = append(dst, v1Start+"TCP6 "...)
		}
		dst = append(from.AppendTo(dst), ' ')
		dst = append(to.AppendTo(dst), ' ')
		dst = append(strconv.AppendUint(dst, uint64(source.Port()), 10), ' ')
		dst = strconv.AppendUint(dst, uint64(destination.Port()), 10)
		return append(dst, "\r\n"...)
	}
	switch {
	case !known:
		return appendV2(dst, v2Local, v2Unspecified, 0)
	case both4:
		a, b := from.As4(), to.As4()
		dst = appendV2(dst, v2Proxy, v2TCP4, v2SizeIPv4)
		dst = append(append(dst, a[:]...), b[:]...)
	default:
		a, b := from.As16(), to.As16()
		dst = appendV2(dst, v2Proxy, v2TCP6, v2SizeIPv6)
		dst = append(append(dst, a[:]...), b[:]...)
	}
	dst = binary.BigEndian.AppendUint16(dst, source.Port())
	return binary.BigEndian.AppendUint16(dst, destination.Port())
}

// appendV2 appends the fixed part of a version 2 header; length is the number of bytes that follow.
func appendV2(dst []byte, command, family byte, length uint16) []byte {
	dst = append(append(dst, v2Signature...), command, family)
	return binary.BigEndian.AppendUint16(dst, length)
}
