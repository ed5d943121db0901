package http1

var (
	errStatusLine = newFault(502, "malformed status line")
	errStatus     = newFault(502, "status below 100")
	errReason     = newFault(502, "a control character in the reason phrase")
)

// parseStatus parses the status line head[from:end], without CRLF (RFC 9112 section 4). Without a reason phrase, the space
// after the status may be missing. The status may be any three digits that do not begin with 0; clients treat those above 599
// as a 5xx (RFC 9110 section 15). Below 100, readers disagree about whether the response is interim.
func (l *startLine) parseStatus(head []byte, from, end int) *fault {
	const version, status = len("HTTP/1.1"), len("200")
	b := head[from:end]
	if len(b) < version+1+status || b[version] != ' ' {
		return errStatusLine
	}
	reason := b[version+1+status:]
	if len(reason) > 0 && reason[0] != ' ' {
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
	if l.status < 100 {
		return errStatus
	}
	l.reason = at(min(from+version+1+status+1, end), end)
	if !allIn(reason, &isValue) {
		return errReason
	}
	return nil
}
