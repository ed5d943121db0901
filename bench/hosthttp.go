package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// The hosts' responses to HTTP requests, by method and path:
//
//	GET /          httpBody
//	GET /bytes/N   N bytes, with a length
//	GET /chunks/N  N bytes without one, in chunks of chunkLength, written at once
//	POST /bytes/N  httpBody if the request's body had N bytes, else status 400
//
// Anything else is answered with status 404.
const (
	httpBody    = "hello world\n"
	chunkLength = 2 << 10
)

// httpRequest is what a host needs to know of a request.
type httpRequest struct {
	post   bool
	path   []byte // "/", "/bytes/" or "/chunks/"; other paths unchanged
	n      int64  // N in the path
	length int64  // of the body
	last   bool   // the client wants the connection to be closed
}

var errBadRequest = errors.New("bench: not a request that a host understands")

// readRequest parses a head as far as a host needs: requests come only from proxies under test and from this package.
func readRequest(r *bufio.Reader) (httpRequest, error) {
	var q httpRequest
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return q, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			return q, nil
		}
		if first {
			if err := q.readLine(line); err != nil {
				return q, err
			}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Connection")):
			q.last = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("Content-Length")):
			if q.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return q, errBadRequest
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return q, errBadRequest
		}
	}
}

// readLine reads the request line.
func (q *httpRequest) readLine(line []byte) error {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	path, version, _ := bytes.Cut(rest, []byte(" "))
	if string(version) != "HTTP/1.1" {
		return errBadRequest
	}
	q.post = string(method) == "POST"
	if i := bytes.LastIndexByte(path, '/'); i > 0 {
		n, err := strconv.ParseInt(string(path[i+1:]), 10, 64)
		if err == nil && n >= 0 {
			q.n, path = n, path[:i+1]
		}
	}
	q.path = bytes.Clone(path)
	return nil
}

// answer serves one HTTP request. It returns an error if the connection must be closed.
func (h *host) answer(c *net.TCPConn, r *bufio.Reader) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if k, err := io.CopyN(io.Discard, r, q.length); err != nil {
		return fmt.Errorf("bench: request body ended after %d bytes: %w", k, err)
	}
	connection := "keep-alive"
	if q.last {
		connection = "close"
	}
	status, framing, body := "200 OK", "Content-Length: "+strconv.Itoa(len(httpBody)), []byte(httpBody)
	var more int64 // bytes to send after body
	switch path := string(q.path); {
	case path == "/" && !q.post:
	case path == "/bytes/" && q.post && q.n == q.length:
	case path == "/bytes/" && q.post:
		status = "400 Bad Request"
	case path == "/bytes/":
		framing, body, more = "Content-Length: "+strconv.FormatInt(q.n, 10), nil, q.n
	case path == "/chunks/" && !q.post:
		framing, body = "Transfer-Encoding: chunked", h.chunks(q.n)
	default:
		status = "404 Not Found"
	}
	b := make([]byte, 0, 256+len(body))
	b = fmt.Appendf(b, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\n%s\r\nConnection: %s\r\n\r\n", status, framing, connection)
	_, err = c.Write(append(b, body...))
	if err == nil && more > 0 {
		err = h.send(c, more)
	}
	if err == nil && q.last {
		err = io.EOF
	}
	return err
}

// chunks returns n zeros as a chunked body.
func (h *host) chunks(n int64) []byte {
	var b []byte
	for n > 0 {
		k := min(n, chunkLength)
		b = fmt.Appendf(b, "%x\r\n", k)
		b = append(append(b, h.chunk[:k]...), "\r\n"...)
		n -= k
	}
	return append(b, "0\r\n\r\n"...)
}
