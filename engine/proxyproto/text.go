package proxyproto

import "net/netip"

// The parsers for version 1's text addresses and ports. net/netip parses only strings and keeps them in its errors, which would
// allocate, and it accepts some forms that are not allowed here.

// parsePort reads a decimal number without leading zeros.
func parsePort(b []byte) (uint16, bool) {
	n, ok := parseNumber(b, 5, 65535)
	return uint16(n), ok
}

// parseNumber parses a decimal number without leading zeros, of at most the given number of digits and at most limit.
func parseNumber(b []byte, digits, limit int) (int, bool) {
	if len(b) == 0 || len(b) > digits || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, n <= limit
}

// parseIPv4 parses four numbers separated by dots.
func parseIPv4(b []byte) (netip.Addr, bool) {
	var ip [4]byte
	if !readIPv4(ip[:], b) {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4(ip), true
}

// readIPv4 parses all of b into the four bytes of ip.
func readIPv4(ip, b []byte) bool {
	for i := range ip {
		n := 0
		for n < len(b) && b[n] != '.' {
			n++
		}
		v, ok := parseNumber(b[:n], 3, 255)
		if last := i == len(ip)-1; !ok || last != (n == len(b)) {
			return false
		}
		ip[i] = byte(v)
		b = b[min(n+1, len(b)):]
	}
	return true
}

// parseIPv6 parses an address in one of the forms of RFC 4291 section 2.2, without a zone. An IPv4-mapped address is returned as
// IPv4.
func parseIPv6(b []byte) (netip.Addr, bool) {
	var ip [16]byte
	n, gap := 0, -1 // bytes parsed so far, and the position of "::"
	if begins(b, "::") && len(b) >= 2 {
		gap, b = 0, b[2:]
	}
	for len(b) > 0 {
		if n == len(ip) {
			return netip.Addr{}, false
		}
		group, digits := parseHex(b)
		if digits == 0 || digits > 4 {
			return netip.Addr{}, false
		}
		if digits < len(b) && b[digits] == '.' { // the last four bytes are in IPv4 form
			if n > 12 || !readIPv4(ip[n:n+4], b) {
				return netip.Addr{}, false
			}
			n += 4
			break
		}
		ip[n], ip[n+1] = byte(group>>8), byte(group)
		n += 2
		if b = b[digits:]; len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return netip.Addr{}, false
		}
		if b = b[1:]; b[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			gap, b = n, b[1:]
		}
	}
	if (gap >= 0) == (n == len(ip)) { // "::" stands for at least one group
		return netip.Addr{}, false
	}
	if gap >= 0 {
		behind := len(ip) - (n - gap)
		copy(ip[behind:], ip[gap:n])
		clear(ip[gap:behind])
	}
	return netip.AddrFrom16(ip).Unmap(), true
}

// parseHex parses up to five hexadecimal digits at the beginning of b.
func parseHex(b []byte) (value, digits int) {
	for _, c := range b[:min(len(b), 5)] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return value, digits
		}
		value, digits = value<<4|int(c), digits+1
	}
	return value, digits
}
