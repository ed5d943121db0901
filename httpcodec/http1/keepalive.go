package http1

import "time"

const (
	// keepAliveMargin is taken off what a host says, but not more than half of that: its clock began earlier than ours, and a
	// request is on its way for a while.
	keepAliveMargin = time.Second
	// keepAliveMost is the longest time in s that is read; more than any idle connection is kept.
	keepAliveMost = 1 << 30
)

// keepAliveTimeout is for how long the Keep-Alive fields of a head allow an idle connection to be kept: the shortest time of
// those they name, less the margin. It reports false if they name none. What cannot be read is passed over.
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

// parseTimeout reads "timeout=5" in any letter case, the number in quotes or not.
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
