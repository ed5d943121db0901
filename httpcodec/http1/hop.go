package http1

// Connection options (RFC 9110 section 7.6.1) and protocol switches (section 7.8).

// maxOptions bounds the work of looking up the fields that Connection names.
const maxOptions = 32

var errConnectionCount = newFault(400, "more than 32 connection options")

// connection is the meaning of a head's Connection fields.
type connection struct {
	close, keepAlive, upgrade bool
}

// keeps reports whether the sender keeps the connection open (RFC 9112 section 9.3).
func (c connection) keeps(minor uint8) bool {
	return !c.close && (minor > 0 || c.keepAlive)
}

// connection reads the Connection fields and marks the fields they name, which are not forwarded. An invalid option closes the
// connection, since that may have been its meaning.
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
			case len(option) == 0: // an empty member is ignored (RFC 9110 section 5.6.1.2)
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

// protocols yields the members of the Upgrade fields, whether or not they are relayable.
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

// relayable reports whether a switch to p may be relayed: p must be well-formed (anyone may ignore an Upgrade), and must not be
// HTTP, which inside a tunnel would evade this proxy's checks (h2c smuggling).
func relayable(p []byte) bool {
	return validProtocol(p) && !hasPrefixFold(p, "h2") && !hasPrefixFold(p, "http")
}

// appendUpgrade appends Upgrade with the protocols that may be relayed, and the matching Connection, if there are any.
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
