package http1

import (
	"testing"
	"time"
)

// How long Keep-Alive says that a host keeps a connection, and what follows for the connection. Zero means nothing.
func TestKeepAliveOfResponses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines string
		idle  time.Duration
		keeps bool
	}{
		{"", 0, true},
		{"Keep-Alive: timeout=5\r\n", 4 * time.Second, true},
		{"keep-alive: max=100, TIMEOUT = 20\r\n", 19 * time.Second, true},
		{"Keep-Alive: timeout=\"7\",,max=1\r\n", 6 * time.Second, true},
		{"Keep-Alive: timeout=9, timeout=3\r\nKeep-Alive: timeout=6\r\n", 2 * time.Second, true}, // the shortest counts
		{"Keep-Alive: timeout=2\r\nConnection: keep-alive\r\n", time.Second, true},
		{"Keep-Alive: timeout=2\r\nConnection: close\r\n", time.Second, false},
		{"Keep-Alive: timeout=1\r\n", 500 * time.Millisecond, true},
		{"Keep-Alive: timeout=0\r\n", 0, false},
		{"Keep-Alive: timeout=000\r\nConnection: keep-alive\r\n", 0, false},
		{"Keep-Alive: timeout=9, timeout=0\r\n", 0, false},
		// Longer than any connection is kept, or than fits.
		{"Keep-Alive: timeout=4294967296\r\n", (1<<30 - 1) * time.Second, true},
		{"Keep-Alive: timeout=9223372036854775807\r\n", (1<<30 - 1) * time.Second, true},
		{"Keep-Alive: timeout=9223372036854775808\r\n", 0, true},
		// Malformed.
		{"Keep-Alive:\r\n", 0, true},
		{"Keep-Alive: 5\r\n", 0, true},
		{"Keep-Alive: timeout\r\n", 0, true},
		{"Keep-Alive: timeout=\r\n", 0, true},
		{"Keep-Alive: timeout=-1\r\n", 0, true},
		{"Keep-Alive: timeout=+1\r\n", 0, true},
		{"Keep-Alive: timeout=1s\r\n", 0, true},
		{"Keep-Alive: timeout=1.5\r\n", 0, true},
		{"Keep-Alive: timeout=1;max=5\r\n", 0, true},
		{"Keep-Alive: timeout=\"1\r\n", 0, true},
		{"Keep-Alive: timeouts=1\r\n", 0, true},
		{"Keep-Alive: x-timeout=1\r\n", 0, true},
		{"Keep-Alive: =1\r\n", 0, true},
		{"Keep-Alive: timeout=x, timeout=4\r\n", 3 * time.Second, true},
	} {
		var req Request
		if _, err := req.Parse([]byte(lines())); err != nil {
			t.Fatal(err)
		}
		var r Response
		n, err := r.Parse([]byte("HTTP/1.1 200 OK\r\n"+c.lines+"Content-Length: 0\r\n\r\n"), &req)
		if err != nil || r.IdleTime != c.idle || r.KeepAlive != c.keeps {
			t.Errorf("%q: %v, keeps %v (%v), want %v, %v", c.lines, r.IdleTime, r.KeepAlive, err, c.idle, c.keeps)
		}
		if got := string(AppendResponse(nil, &r, &ResponseRewrite{Minor: 1})); n > 0 && got != "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
			t.Errorf("%q: sent on as %q", c.lines, got)
		}
	}
}
