package bench

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// net/http can read what the Go host answers; the connection stays open, unless it should not.
func TestHostHTTP(t *testing.T) {
	t.Parallel()
	addr := listenHost(t, false)
	for _, tc := range []struct {
		request string
		status  int // 0: the connection ends without a response
		length  int64
		chunked bool
		last    bool
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 12, false, false},
		{"GET / HTTP/1.1\r\nHost: a\r\nconnection: Close\r\n\r\n", 200, 12, false, true},
		{"GET /bytes/0 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 0, false, false},
		{"GET /bytes/700000 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 700000, false, false},
		{"GET /chunks/8192 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 8192, true, false},
		{"GET /chunks/2049 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 2049, true, false},
		{"GET /chunks/0 HTTP/1.1\r\nHost: a\r\n\r\n", 200, 0, true, false},
		{"GET /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n", 404, 12, false, false},
		{"GET /bytes/-1 HTTP/1.1\r\nHost: a\r\n\r\n", 404, 12, false, false},
		{"POST /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200, 12, false, false},
		{"POST /bytes/4 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400, 12, false, false},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 404, 12, false, false},
		{"POST /bytes/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0, 0, false, true},
		{"POST /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 0, 0, false, true},
		{"GET / HTTP/1.0\r\n\r\n", 0, 0, false, true},
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(dialTimeout))
		_, _ = io.WriteString(c, tc.request)
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		switch {
		case tc.status == 0:
			if err == nil {
				t.Errorf("%q: answered with %s", tc.request, resp.Status)
			}
		case err != nil:
			t.Errorf("%q: %v", tc.request, err)
		default:
			n, err := io.Copy(io.Discard, resp.Body)
			if err != nil || n != tc.length || resp.StatusCode != tc.status || (len(resp.TransferEncoding) > 0) != tc.chunked || resp.Close != tc.last {
				t.Errorf("%q: %s, %d bytes, %v, %v", tc.request, resp.Status, n, resp.Header, err)
			}
			if !tc.last {
				if _, err := getSmall.on(c, nil); err != nil {
					t.Errorf("%q, and another: %v", tc.request, err)
				}
			} else if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("%q: goes on: %v", tc.request, err)
			}
		}
		_ = c.Close()
	}
	// A request whose body ends early is not answered.
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.Copy(c, strings.NewReader("POST /bytes/9 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"))
	_ = c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("a cut body: %q, %v", b, err)
	}
}
