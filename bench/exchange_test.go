package bench

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Which responses an exchange accepts, and which it must reject.
func TestExchange(t *testing.T) {
	t.Parallel()
	plain := exchange{Request: get("/"), Size: 5}
	chunked := exchange{Request: get("/"), Size: 5, Chunked: true}
	for name, tc := range map[string]struct {
		e        exchange
		response string
		bad      string // part of the error message
	}{
		"length":       {plain, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", ""},
		"chunks":       {chunked, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", ""},
		"status":       {plain, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nhello", "502"},
		"short":        {plain, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", "4 bytes, want 5"},
		"long":         {plain, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!", "6 bytes, want 5"},
		"cut":          {plain, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "after 4"},
		"chunks cut":   {chunked, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "after 5"},
		"not chunked":  {chunked, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "chunked: false"},
		"chunked":      {plain, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "chunked: true"},
		"not HTTP":     {plain, "SSH-2.0\r\n\r\n", "reading a response"},
		"no responses": {plain, "", "reading a response"},
	} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
				_, _ = server.Write([]byte(tc.response))
			}
		}()
		n, err := tc.e.on(client, nil)
		_ = client.Close()
		if (err != nil) != (tc.bad != "") || err != nil && !strings.Contains(err.Error(), tc.bad) {
			t.Errorf("%s: error %v, want %q", name, err, tc.bad)
		}
		if err == nil && n != int64(len(tc.response)) {
			t.Errorf("%s: %d bytes, want %d", name, n, len(tc.response))
		}
	}
}

// An independent parser finds that the requests are what the rows say.
func TestRequests(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]exchange{
		"small": getSmall, "close": getClose, "browser": getAsABrowser, "chunked": getChunked, "large": getLarge, "post": post16K,
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(e.Request))))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.Host != "bench" || r.Close != (name == "close") || e.closes() != r.Close {
			t.Errorf("%s: host %q, close %v, %v", name, r.Host, r.Close, e.closes())
		}
		if post := name == "post"; post != (r.Method == http.MethodPost) || post != (r.ContentLength == 16<<10) {
			t.Errorf("%s: %s with %d bytes", name, r.Method, r.ContentLength)
		}
	}
	if n := len(getAsABrowser.Request); n < 1000 || n > 1400 {
		t.Errorf("a browser's head has %d bytes, want 1 KiB or a little more", n)
	}
	if (exchange{}).empty() == getSmall.empty() {
		t.Error("empty does not tell")
	}
}

func TestCheckSize(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		r   result
		bad bool
	}{
		{result{Ops: 1000, Bytes: 155_000}, false},
		{result{Ops: 1000, Bytes: 155_960}, false},
		{result{Ops: 1000, Bytes: 130_000}, true},
		{result{Ops: 1000, Bytes: 200_000}, true},
		{result{Ops: 10, Bytes: 155 * 13}, false}, // three were still in progress
		{result{Ops: 10, Bytes: 155 * 16}, true},
		{result{Ops: 1000, Bytes: 0}, true},
		{result{Ops: 1000, Bytes: 200_000, Errors: 1}, false},
		{result{}, false},
	} {
		if err := tc.r.checkSize(155, 4); (err != nil) != tc.bad {
			t.Errorf("%+v: %v", tc.r, err)
		}
	}
}

func TestPerOp(t *testing.T) {
	t.Parallel()
	m, err := perOp("op", 2*time.Second, result{Ops: 100_000, Errors: 100, Elapsed: 4 * time.Second})
	if err != nil || m["cpu-us/op"] != 20 || m["ops/s"] != 25_000 || m["errors"] != 100 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := perOp("op", time.Second, result{Ops: 1000, Errors: 2, Elapsed: time.Second, Failure: "reset"}); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("2 failures of 1002: %v", err)
	}
}
