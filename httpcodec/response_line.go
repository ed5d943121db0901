package httpcodec

var (
	errStatusLine = newFault(502, "malformed status line")
	errStatus     = newFault(502, "status outside 100 to 599")
	errReason     = newFault(502, "a control character in the reason phrase")
)

// parseStatus reads the status line head[from:end], CRLF not included (RFC 9112 section 4). The space behind the status is
// part of it even if there is no reason phrase.
func (l *startLine) parseStatus(head []byte, from, end int) *fault {
	const version, status = len("HTTP/1.1"), len("200")
	b := head[from:end]
	if len(b) < version+1+status+1 || b[version] != ' ' || b[version+1+status] != ' ' {
		return errStatusLine
	}
	if f := l.parseVersion(b[:version]); f != nil {
		return f
	}
	for _, c := range b[version+1 : version+1+status] {
		if !isDigit(c) {
			return errStatusLine
		}
		l.status = l.status*10 + int(c-'0')
	}
	if l.status < 100 || l.status > 599 {
		return errStatus
	}
	l.reason = at(from+version+1+status+1, end)
	if !allIn(l.reason.of(head), &isValue) {
		return errReason
	}
	return nil
}
