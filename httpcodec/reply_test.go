package httpcodec

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kroxy-ev/httpcodec/http1"
)

// Requests of clients that prefer HTML, and of clients that prefer text.
const (
	get      = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	getPlain = "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n"
)

func TestAppendError(t *testing.T) {
	t.Parallel()
	date := []byte("Tue, 11 Jun 2024 10:00:00 GMT")
	const html = "text/html; charset=utf-8"
	const plain = "text/plain; charset=utf-8"
	for _, c := range []struct {
		in     string
		keep   bool
		kind   string
		close  bool
		body   string // a part of it
		header string
	}{
		{"", false, html, true, "<h1>502 Bad Gateway</h1>", ""},
		{get, true, html, false, "<h1>502 Bad Gateway</h1>", ""},
		{getPlain, true, plain, false, "502 Bad Gateway\n", ""},
		{"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", true, html, false, "", ""},
		{"HEAD / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", false, html, true, "", ""},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, html, false, "502", "keep-alive"},
		{"GET / HTTP/1.0\r\n\r\n", false, html, true, "502", "close"},
	} {
		var r http1.Request
		r.Parse([]byte(c.in))
		out := AppendError(nil, 502, &Reply{Request: &r, KeepAlive: c.keep, Date: date})
		in := bufio.NewReader(bytes.NewReader(out))
		resp, err := http.ReadResponse(in, &http.Request{Method: string(r.Method())})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || in.Buffered() != 0 {
			t.Errorf("%q: %v and %d bytes more", c.in, err, in.Buffered())
		}
		if resp.StatusCode != 502 || resp.Header.Get("Content-Type") != c.kind || resp.Close != c.close || !strings.Contains(string(body), c.body) ||
			c.body == "" && len(body) > 0 || resp.Header.Get("Date") != string(date) || resp.ContentLength < 15 {
			t.Errorf("%q: %q", c.in, out)
		}
		if c.header != "" && !strings.Contains(string(out), "\r\nConnection: "+c.header+"\r\n") {
			t.Errorf("%q: %q", c.in, out)
		}
	}
	if out := string(AppendError([]byte("x"), 408, &Reply{})); !strings.HasPrefix(out, "xHTTP/1.1 408 Request Timeout\r\nConnection: close\r\n") {
		t.Errorf("%q", out)
	}
}

// No reply to a HEAD has content, however little of the request could be read.
func TestNoContentForHead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n": true,
		"HEAD / HTTP/1.0\r\n\r\n":            true,
		"HEAD / HTTP/0.9\r\n":                true,
		"HEAD / HTTP/2.0\r\n":                true,
		"HEAD /\r\n":                         true,
		"HEAD /\n":                           true,
		"HEAD /# HTTP/1.1\r\n":               true,
		"HEAD\t/ HTTP/1.1\r\n":               true,
		"HEAD":                               false, // the method may be longer
		"HEAD /":                             true,
		"\r\n\r\nHEAD /":                     true,
		"\r\n\r\n\r\n\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n":      true,
		"HEAD /" + strings.Repeat("a", 16<<10):                        true,
		"HEAD / HTTP/1.1\r\nX: " + strings.Repeat("a", http1.MaxHead): true,
		"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n":             true,
		"HEADER / HTTP/0.9\r\n":                                       false,
		"head / HTTP/0.9\r\n":                                         false,
		"GET /HEAD HTTP/0.9\r\n":                                      false,
		"":                                                            false,
	} {
		var r http1.Request
		r.Reset()
		r.Parse([]byte(in))
		out := string(AppendError(nil, 400, &Reply{Request: &r}))
		if _, content, _ := strings.Cut(out, "\r\n\r\n"); (content == "") != want || !strings.Contains(out, "\r\nContent-Length: 143\r\n") {
			t.Errorf("%.80q: %q", in, out)
		}
	}
}

// A hint is part of the page and of its length.
func TestAppendErrorWithHint(t *testing.T) {
	t.Parallel()
	for _, in := range []string{get, getPlain} {
		var r http1.Request
		r.Parse([]byte(in))
		out := bufio.NewReader(bytes.NewReader(AppendError(nil, 400, &Reply{Request: &r, Hint: "Ask otherwise."})))
		resp, err := http.ReadResponse(out, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || out.Buffered() != 0 || !strings.Contains(string(body), "400 Bad Request") || !strings.Contains(string(body), "Ask otherwise.") || body[len(body)-1] != '\n' {
			t.Errorf("%q: %v, %d bytes more", body, err, out.Buffered())
		}
	}
}

func TestTraceAndOptions(t *testing.T) {
	t.Parallel()
	var r http1.Request
	in := "TRACE /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX: y\r\n"
	if _, err := r.Parse([]byte(in + "Cookie: c\r\nAuthorization: d\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	want := "xHTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: " + fmt.Sprint(len(in)+2) + "\r\n\r\n" + in + "\r\n"
	if got := string(AppendTrace([]byte("x"), &Reply{Request: &r, KeepAlive: true})); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	want = "HTTP/1.1 200 OK\r\nConnection: close\r\nAllow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE\r\nContent-Length: 0\r\n\r\n"
	if got := string(AppendOptions(nil, &Reply{Request: &r})); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDate(t *testing.T) {
	t.Parallel()
	var d dateCache
	wall := time.Date(2024, 6, 1, 23, 59, 59, 999e6, time.FixedZone("x", 3600))
	for now, want := range map[int64]time.Time{5: wall, 7: wall.Add(2 * time.Hour), 9: time.Unix(0, 0)} {
		d.set(now, want)
		if got, want := string(d.at(now)), want.UTC().Format(http.TimeFormat); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	d.set(100, wall)
	for _, now := range []int64{100, 101} {
		// The second ends after one ms; after that the real clock is read.
		if got := string(d.at(now)) == wall.UTC().Format(http.TimeFormat); got != (now == 100) {
			t.Errorf("at %d the date is kept: %v", now, got)
		}
	}
	before := time.Now().Truncate(time.Second)
	got, err := http.ParseTime(string(d.at(5000)))
	if err != nil || got.Before(before) || got.After(time.Now()) {
		t.Errorf("the real date is %v, %v", got, err)
	}
}

// Once slices have grown, no reply allocates.
func TestRepliesAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var out []byte
	var d dateCache
	for _, in := range []string{get, getPlain} {
		var r http1.Request
		r.Reset()
		if n, err := r.Parse([]byte(in)); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		if n := testing.AllocsPerRun(100, func() {
			out = AppendError(out[:0], 502, &Reply{Request: &r, Date: d.at(5)})
			out = AppendTrace(out[:0], &Reply{Request: &r})
		}); n != 0 {
			t.Errorf("%q: %v allocations", in, n)
		}
	}
}

func BenchmarkError(b *testing.B) {
	var r http1.Request
	if _, err := r.Parse([]byte(get)); err != nil {
		b.Fatal(err)
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = AppendError(out[:0], 502, &Reply{Request: &r, KeepAlive: true, Date: []byte("Tue, 11 Jun 2024 10:00:00 GMT")})
	}
}
