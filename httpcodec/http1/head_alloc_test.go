package http1

import (
	"testing"

	"kroxy-ev/httpcodec/http1/http1test"
	"kroxy-ev/logformat"
)

// Once slices have grown nothing allocates, neither for accepted nor for refused messages.
func TestNothingAllocated(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var (
		r     Request
		resp  Response
		c     chunkReader
		out   []byte
		date  = []byte("now")
		bad   Request
		get   = requestOf(t, "GET")
		ws    = requestOf(t, "websocket")
		heads = map[string]*Rewrite{
			wrkRequest:     {Authority: []byte("up"), ClientAddr: []byte("1"), Forwarded: true, Record: &logformat.Record{}, Headers: http1test.Headers(t, "X-Real-IP", "$addr", "Host", "$host")},
			browserRequest: typical(),
			lines("X_Forwarded_For: 1", "Forwarded: 1", "X-Forwarded-Port: 1", "X_Tenant: 1", "Content_Length: 1", "Host-X: 1", "Expect:", "Connection: a b"): {
				Forwarded: true, Headers: http1test.Headers(t, "X-Tenant", "1")},
			post("Expect: 100-continue, 100-continue", "Content-Length: 1", "X-Real-IP: 1"):          {Forwarded: true, Trusted: true},
			lines("Connection: upgrade, x", "Upgrade: h2c, websocket", "X: y", "X-Forwarded-For: 1"): {Forwarded: true, Trusted: true},
			post("Transfer-Encoding: chunked", "Trailer: X", "TE: trailers", "Expect: 100-continue"): bare(),
			"OPTIONS http://[::1]:80 HTTP/1.1\r\nHost: [::1]\r\nMax-Forwards: 3\r\n\r\n":             bare(),
		}
	)
	gate := func(what string, f func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	for in, w := range heads {
		in := []byte(in)
		gate(short(string(in)), func() {
			r.Reset()
			r.Parse(in[:len(in)/2])
			if n, err := r.Parse(in); n == 0 || err != nil {
				t.Fatal(n, err)
			}
			out = AppendRequest(out[:0], &r, w)
			if r.WantsHead() || r.PrefersPlain() {
				t.Fatal("neither is asked for")
			}
			out = r.AppendTrace(out[:0])
		})
	}
	refused := []byte(lines("X : y"))
	gate("a refused head", func() {
		bad.Reset()
		if _, err := bad.Parse(refused); err == nil || err.Reason == "" {
			t.Fatal("taken")
		}
	})
	for in, req := range map[string]*Request{
		wrkResponse: get,
		ok():        get,
		ok("Content-Length: 5, 5", "Content-Length: 5", "X : y"):     get,
		status("101 x", "Upgrade: websocket", "Connection: upgrade"): ws,
	} {
		in := []byte(in)
		gate(short(string(in)), func() {
			resp.Reset()
			if n, err := resp.Parse(in, req); n == 0 || err != nil {
				t.Fatal(n, err)
			}
			out = AppendResponse(out[:0], &resp, &ResponseRewrite{Date: date})
		})
	}
	body := []byte("5;x\r\nhello\r\n0\r\nX: y\r\n\r\n")
	gate("chunks", func() {
		c.reset(FromClient)
		for b := body; !c.done(); {
			n, data, err := c.next(b)
			if err != nil {
				t.Fatal(err)
			}
			out = append(AppendChunkHeader(out[:0], len(data)+1), data...)
			b = b[n:]
		}
		out = appendLastChunk(out[:0], &c, nil)
	})
}
