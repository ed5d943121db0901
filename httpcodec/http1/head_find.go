package http1

import "bytes"

// FindField returns the first value of a field in a head that was validated or written by this proxy; nil if there is none.
func FindField(head []byte, low string) []byte {
	for len(head) > 0 {
		var line []byte
		line, head, _ = bytes.Cut(head, []byte("\r\n"))
		if len(line) > len(low) && line[len(low)] == ':' && equalFold(line[:len(low)], low) {
			return trimOWS(line[len(low)+1:])
		}
	}
	return nil
}
