package http1

import "time"

const (
	// keepAliveMargin is subtracted from the time that a host announces, but at most half of that time: the host's clock started
	// earlier than ours, and a request takes a while to arrive.
	keepAliveMargin = time.Second
	// keepAliveMost caps the announced time, in seconds. No idle connection is kept that long.
	keepAliveMost = 1 << 30
)

// keepAliveTimeout returns how long the Keep-Alive fields of a head allow an idle connection to be kept: the shortest time they
// name, minus the margin. It returns false if they name none. Malformed members are ignored.
func (s *headScanner) keepAliveTimeout(head []byte) (shortest time.Duration, some bool) {
	for i := range s.fields {
		if s.fields[i].id != fieldKeepAlive {
			continue
		}
		for rest := s.fields[i].value.of(head); rest != nil; {
			var member []byte
			member, rest = nextMember(rest)
			n, ok := parseTimeout(member)
			if !ok {
				continue
			}
			d := time.Duration(n) * time.Second
			if d -= min(keepAliveMargin, d/2); !some || d < shortest {
				shortest, some = d, true
			}
		}
	}
	return shortest, some
}

// parseTimeout parses "timeout=5", ignoring case. The number may be quoted.
func parseTimeout(member []byte) (seconds int64, ok bool) {
	name := tokenEnd(member, 0)
	if !equalFold(member[:name], "timeout") {
		return 0, false
	}
	value := trimOWS(member[name:])
	if len(value) == 0 || value[0] != '=' {
		return 0, false
	}
	value = trimOWS(value[1:])
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	if seconds, ok = parseNumber(value); !ok {
		return 0, false
	}
	return min(seconds, keepAliveMost), true
}
