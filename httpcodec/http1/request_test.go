package http1

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// short makes the name of a test out of its input.
func short(in string) string {
	if len(in) > 80 {
		in = fmt.Sprintf("%s…%s (%d)", in[:40], in[len(in)-30:], len(in))
	}
	return fmt.Sprintf("%q", in)
}

// bare adds nothing but what the client's request requires.
func bare() *Rewrite { return &Rewrite{Authority: []byte("up:9000")} }

// answer returns what Parse reports about in when it is given in[:cut] for each of cuts, and finally all of in.
func answer(r *Request, in string, cuts ...int) string {
	r.Reset()
	for _, cut := range append(cuts, len(in)) {
		b := bytes.Clone([]byte(in[:cut])) // the bytes move between calls
		n, err := r.Parse(b)
		switch {
		case err != nil:
			return fmt.Sprint(err.Status, " ", err.Reason)
		case n > 0:
			r.Rebase(bytes.Clone(b[:n]))
			return fmt.Sprintf("%d %s %q", n, factsOf(r), AppendRequest(nil, r, bare()))
		}
	}
	return "more"
}

func TestRequestCases(t *testing.T) {
	t.Parallel()
	for _, c := range requestCases {
		t.Run(short(c.in), func(t *testing.T) {
			var r Request
			n, err := r.Parse([]byte(c.in))
			status := 0
			switch {
			case err != nil:
				status = err.Status
			case n == 0:
				status = -1
			}
			if status != c.status {
				t.Fatalf("status %d (%v), want %d", status, err, c.status)
			}
			if status != 0 {
				return
			}
			if end := strings.Index(c.in, "\r\n\r\n"); n != end+4 && c.in[0] != '\r' {
				t.Errorf("%d bytes were taken, want %d", n, end+4)
			}
			if facts := factsOf(&r); facts != c.facts {
				t.Errorf("facts %q, want %q", facts, c.facts)
			}
			if out := string(AppendRequest(nil, &r, bare())); c.out != "" && out != c.out {
				t.Errorf("sent   %q\nwant   %q", out, c.out)
			}
		})
	}
}

// However the bytes are split, the result is the same.
func TestRequestCutAnywhere(t *testing.T) {
	t.Parallel()
	var r Request
	for _, c := range requestCases {
		want := answer(&r, c.in)
		step := 1 + len(c.in)/1000
		var all []int
		for cut := 0; cut <= len(c.in); cut += step {
			if got := answer(&r, c.in, cut); got != want {
				t.Errorf("%s cut at %d: %s\nwant %s", short(c.in), cut, got, want)
			}
			all = append(all, cut)
		}
		if got := answer(&r, c.in, all...); got != want {
			t.Errorf("%s in steps of %d: %s\nwant %s", short(c.in), step, got, want)
		}
	}
}

// A line is refused as soon as it is complete.
func TestRequestRefusedEarly(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"G(T / HTTP/1.1\r\n", "GET / HTTP/2.0\r\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nX : y\r\n", "GET / HTTP/1.1\r\nX: y\n",
		"\x00", " ", "GET / HTTP/1.1\r\nX\r\n", "GET /# HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\n",
	} {
		var r Request
		if n, err := r.Parse([]byte(in)); err == nil {
			t.Errorf("%q: %d and no error", in, n)
		}
	}
}

func TestRequestWhatIsKnownOfABadOne(t *testing.T) {
	t.Parallel()
	var r Request
	if _, err := r.Parse([]byte("PUT /x?y HTTP/1.1\r\nAccept: text/plain\r\nX\r\n\r\n")); err == nil {
		t.Fatal("taken")
	}
	if got := fmt.Sprintf("%s %s %s", r.Method(), r.Target(), r.Field("accept")); got != "PUT /x?y text/plain" {
		t.Error(got)
	}
	if r.Field("x") != nil {
		t.Error("a field that is not there")
	}
	r.Reset()
	if got := fmt.Sprintf("%s %s %s", r.Method(), r.Target(), r.Host()); got != "  " {
		t.Errorf("after Reset: %q", got)
	}
}

func TestRequestHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		with("a"):                "a a",
		with("A.b:81"):           "A.b:81 A.b",
		with("[::1]:81"):         "[::1]:81 ::1",
		with("[::1]"):            "[::1] ::1",
		"GET / HTTP/1.0\r\n\r\n": " ",
		"GET http://C:8/ HTTP/1.1\r\nHost: c:8\r\n\r\n": "C:8 C",
	} {
		var r Request
		_, err := r.Parse([]byte(in))
		if got := fmt.Sprintf("%s %s", r.Host(), r.HostName()); got != want || err != nil {
			t.Errorf("%q: %q (%v), want %q", in, got, err, want)
		}
	}
}

func TestRequestIdempotent(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PUT": true, "DELETE": true, "POST": false,
		"PATCH": false, "get": false, "PROPFIND": true, "LOCK": false} {
		var r Request
		if _, err := r.Parse([]byte(method + " / HTTP/1.1\r\nHost: a\r\n\r\n")); r.Idempotent != want || err != nil {
			t.Errorf("%s: %v, %v", method, r.Idempotent, err)
		}
	}
}

func FuzzIPv6(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "1::2::3",
		":::", ":1", "1:", "12345::", "::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::256.1.1.1",
		"::01.1.1.1", "::1.2.3.4:5", "::g", "", ":", "fe80::1%eth0", "1:2:3:4:5:6::1.2.3.4", "1:2:3:4:5::1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		addr, err := netip.ParseAddr(s)
		want := err == nil && addr.Is6() && addr.Zone() == ""
		if got := isIPv6([]byte(s)); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	})
}
