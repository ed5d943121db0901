package http1

// Options of one connection (RFC 9110 section 7.6.1) and switching protocols (section 7.8).

// maxOptions bounds the work of finding the fields that Connection names.
const maxOptions = 32

var errConnectionCount = newFault(400, "more than 32 connection options")

// connection is what the Connection fields of a head say.
type connection struct {
	close, keepAlive, upgrade bool
}

// keeps reports whether the sender will keep the connection (RFC 9112 section 9.3).
func (c connection) keeps(minor uint8) bool {
	return !c.close && (minor > 0 || c.keepAlive)
}

// connection reads the Connection fields and marks the fields they name: those are not sent on. What is no option names no
// field, and may have been meant to close the connection.
func (s *headScanner) connection(head []byte) (c connection, _ *fault) {
	options := 0
	for i := range s.fields {
		if s.fields[i].id != fieldConnection {
			continue
		}
		for rest := s.fields[i].value.of(head); rest != nil; {
			var option []byte
			option, rest = nextMember(rest)
			switch {
			case len(option) == 0: // an empty member means nothing (RFC 9110 section 5.6.1.2)
			case equalFold(option, "close"):
				c.close = true
			case equalFold(option, "keep-alive"):
				c.keepAlive = true
			case equalFold(option, "upgrade"):
				c.upgrade = true
			case !validToken(option):
				c.close = true
			default:
				if options++; options > maxOptions {
					return c, errConnectionCount
				}
				s.dropNamed(head, option)
			}
		}
	}
	return c, nil
}

func (s *headScanner) dropNamed(head, name []byte) {
	for i := range s.fields {
		f := &s.fields[i]
		if f.name.len() == len(name) && !connectionKeeps(f.id) && sameFold(f.name.of(head), name) {
			f.drop = true
		}
	}
}

// protocols goes over the members of the Upgrade fields. What of them may be relayed is left to relayable.
func (s *headScanner) protocols(head []byte, yield func(protocol []byte) bool) bool {
	for i := range s.fields {
		if s.fields[i].id != fieldUpgrade {
			continue
		}
		for rest := s.fields[i].value.of(head); rest != nil; {
			var p []byte
			p, rest = nextMember(rest)
			if len(p) > 0 && !yield(p) {
				return false
			}
		}
	}
	return true
}

// validProtocol reports whether p is protocol-name ["/" protocol-version].
func validProtocol(p []byte) bool {
	i := tokenEnd(p, 0)
	return i > 0 && (i == len(p) || p[i] == '/' && validToken(p[i+1:]))
}

// relayable reports whether a switch to p may be relayed: p is well-formed (anyone may ignore an Upgrade), and no HTTP, which
// inside a tunnel would pass this proxy's checks by (h2c smuggling).
func relayable(p []byte) bool {
	return validProtocol(p) && !hasPrefixFold(p, "h2") && !hasPrefixFold(p, "http")
}

// appendUpgrade writes Upgrade with those protocols that may be relayed, and Connection to go with it, if there are any.
func (s *headScanner) appendUpgrade(dst, head []byte) []byte {
	before := len(dst)
	dst = append(dst, "Upgrade: "...)
	from := len(dst)
	s.protocols(head, func(p []byte) bool {
		if relayable(p) {
			if len(dst) > from {
				dst = append(dst, ", "...)
			}
			dst = append(dst, p...)
		}
		return true
	})
	if len(dst) == from {
		return dst[:before]
	}
	return append(dst, "\r\nConnection: upgrade\r\n"...)
}
