package http1

// authority is a host with an optional port, as in Host (RFC 9110 section 7.2) and in absolute targets.
type authority struct {
	text span // the whole authority, but without the colon before an empty port
	name span // the host; an IPv6 address without brackets
}

// parseAuthority parses uri-host [":" port] of RFC 3986. An empty port counts as no port, and its colon is omitted (section
// 3.2.3). It is strict: the host must not be empty, a port must be from 1 to 65535, and user information, zones and commas are
// refused.
func parseAuthority(head []byte, text span) (a authority, ok bool) {
	a.text = text
	b := text.of(head)
	end := 0
	if len(b) > 0 && b[0] == '[' {
		for end < len(b) && b[end] != ']' {
			end++
		}
		if end == len(b) || !isIPv6(b[1:end]) {
			return a, false
		}
		a.name = at(int(text.from)+1, int(text.from)+end)
		end++
	} else {
		for end < len(b) && b[end] != ':' {
			switch {
			case isDomain[b[end]]:
				end++
			case b[end] == '%' && end+2 < len(b) && isHex[b[end+1]] && isHex[b[end+2]]:
				end += 3
			default:
				return a, false
			}
		}
		if end == 0 {
			return a, false
		}
		a.name = at(int(text.from), int(text.from)+end)
	}
	if end == len(b) {
		return a, true
	}
	if b[end] != ':' {
		return a, false
	}
	if end+1 == len(b) {
		a.text = at(int(text.from), int(text.from)+end)
		return a, true
	}
	port, ok := parseNumber(b[end+1:])
	return a, ok && port >= 1 && port <= 65535
}

// isIPv6 reports whether b is the text of an IPv6 address (RFC 4291 section 2.2) without a zone.
func isIPv6(b []byte) bool {
	groups, gap := 0, false
	for i := 0; ; {
		if i == len(b) {
			return gap && groups < 8 || groups == 8 && !gap
		}
		if b[i] == ':' {
			// Only "::" can begin here: a single colon is consumed together with the group before it.
			if gap || i+1 == len(b) || b[i+1] != ':' {
				return false
			}
			gap = true
			i += 2
			continue
		}
		from := i
		for i < len(b) && isHex[b[i]] {
			i++
		}
		if i < len(b) && b[i] == '.' {
			groups += 2
			return isIPv4(b[from:]) && (groups == 8 && !gap || groups < 8 && gap)
		}
		if i == from || i-from > 4 {
			return false
		}
		if groups++; groups > 8 {
			return false
		}
		if i == len(b) {
			continue
		}
		if b[i] != ':' || i+1 == len(b) {
			return false
		}
		if b[i+1] != ':' {
			i++
		}
	}
}

func isIPv4(b []byte) bool {
	i := 0
	for part := 0; part < 4; part++ {
		if part > 0 {
			if i == len(b) || b[i] != '.' {
				return false
			}
			i++
		}
		from, v := i, 0
		for i < len(b) && isDigit(b[i]) && i-from < 3 {
			v = v*10 + int(b[i]-'0')
			i++
		}
		if i == from || v > 255 || i-from > 1 && b[from] == '0' {
			return false
		}
	}
	return i == len(b)
}
