package http2

import (
	"math"
	"strings"
)

// Form is what a head says about where its message ends.
type Form struct {
	Status  int   // of a response
	Head    bool  // a request's method is HEAD
	Length  int64 // the value of content-length; -1 if there is none or it is not a number
	Chunked bool  // the body is chunked in the form of HTTP/1.1
}

// Interim reports whether another head follows (RFC 9110 section 15.2).
func (f Form) Interim() bool { return f.Status/100 == 1 }

// Bodiless reports whether a response with that status never has content.
func (f Form) Bodiless() bool { return f.Interim() || f.Status == 204 || f.Status == 304 }

// IsGRPC reports whether a content type is gRPC's, with or without a message format. gRPC-Web does not count: it sends no trailers.
func IsGRPC[T []byte | string](kind T) bool {
	const name = "application/grpc"
	if len(kind) < len(name) || !strings.EqualFold(string(kind[:len(name)]), name) {
		return false
	}
	rest := kind[len(name):]
	return len(rest) == 0 || rest[0] == '+' || rest[0] == ';' || rest[0] == ' '
}

// lineStatus returns the status in a status line written by this proxy; 0 if there is none.
func lineStatus(line []byte) int {
	const from = len("HTTP/1.1 ")
	if len(line) < from+3 {
		return 0
	}
	return int(parseLength(line[from : from+3]))
}

// parseLength parses digits. It returns -1 if b is empty, has another byte, or is too large.
func parseLength[T []byte | string](b T) int64 {
	n := int64(0)
	for i := range len(b) {
		if b[i] < '0' || b[i] > '9' || n > (math.MaxInt64-9)/10 {
			return -1
		}
		n = n*10 + int64(b[i]-'0')
	}
	if len(b) == 0 {
		return -1
	}
	return n
}
