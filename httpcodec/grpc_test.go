package httpcodec

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"net/http"
	"testing"
	"time"

	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/http1/http1test"
	"kroxy-ev/httpcodec/http2"
)

// How gRPC clients interpret HTTP statuses is defined in gRPC's doc/http-grpc-status-mapping.md; grpcStatus explains the rest.
func TestGRPCStatus(t *testing.T) {
	t.Parallel()
	want := map[int]int{400: 13, 401: 16, 403: 7, 404: 12, 413: 8, 429: 14, 502: 14, 503: 14, 504: 14}
	for status := 100; status < 1000; status++ {
		code, ok := want[status]
		if !ok {
			code = 2
		}
		if got := grpcStatus(status); got != code {
			t.Errorf("%d is %d, want %d", status, got, code)
		}
	}
}

func TestIsGRPC(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc; charset=utf-8": true, "application/grpc ;x": true, "Application/GRPC+json": true,
		"application/grpc-web": false, "application/grpc-web+proto": false, "application/grpcs": false, "application/grp": false, "application/json": false, "": false,
	} {
		if got := http2.IsGRPC([]byte(kind)); got != want {
			t.Errorf("%q: %v", kind, got)
		}
	}
}

func TestAppendGRPCError(t *testing.T) {
	t.Parallel()
	var r http1.Request
	if _, err := r.Parse([]byte("POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]string{
		503: "14 503 Service Unavailable", 504: "14 504 Gateway Timeout", 404: "12 404 Not Found", 413: "8 413 Request Entity Too Large", 599: "2 599 Unknown Status Code",
	} {
		p := &Reply{Request: &r, KeepAlive: true, GRPC: grpcStatus(status), Date: []byte("Tue, 11 Jun 2024 10:00:00 GMT"), Later: 1, Headers: http1test.Headers(t, "x-served-by", "us")}
		out := AppendError([]byte{}, status, p)
		in := bufio.NewReader(bytes.NewReader(out))
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 0 || err != nil || in.Buffered() != 0 {
			t.Errorf("%d: %d bytes of content, error %v, %d bytes behind it", status, n, err, in.Buffered())
		}
		h := resp.Header
		if got := h.Get("grpc-status") + " " + h.Get("grpc-message"); got != want || resp.StatusCode != 200 || resp.ContentLength != 0 || h.Get("Content-Type") != "application/grpc" ||
			h.Get("Date") == "" || h.Get("X-Served-By") != "us" {
			t.Errorf("%d: %q, want %s", status, out, want)
		}
	}
}

func TestParseGRPCTimeout(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"1n": 1, "20u": 20 * time.Microsecond, "1500m": 1500 * time.Millisecond, "3S": 3 * time.Second, "2M": 2 * time.Minute, "1H": time.Hour, "0m": 0,
		"99999999S": 99999999 * time.Second, "99999999H": math.MaxInt64 / time.Hour * time.Hour,
		"": -1, "m": -1, "1": -1, "123456789m": -1, "-1m": -1, "1 m": -1, "1s": -1, "1mm": -1,
	} {
		got, ok := parseGRPCTimeout([]byte(in))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %v, want %v", in, got, want)
		}
	}
}
