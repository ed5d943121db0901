package http1

import "testing"

// net/http accepts the same requests with the same meaning, before and after the rewrite; what is sent to a host has a single
// framing; and it does not matter how the bytes were split.
func FuzzRequestHead(f *testing.F) {
	for _, c := range requestCases {
		f.Add([]byte(c.in), uint16(len(c.in)/2))
	}
	f.Add([]byte(wrkRequest), uint16(9))
	f.Add([]byte(browserRequest), uint16(99))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		var r Request
		whole := answer(&r, string(in))
		if got := answer(&r, string(in), min(int(cut), len(in))); got != whole {
			t.Fatalf("cut at %d: %s\nwant %s", cut, got, whole)
		}
		r.Reset()
		n, err := r.Parse(in)
		if n > 0 && err == nil {
			checkRequest(t, &r, in[:n])
			r.AppendTrace(nil)
		}
		// This is also asked about refused requests.
		r.WantsHead()
		r.PrefersPlain()
	})
}

func FuzzResponseHead(f *testing.F) {
	methods := []string{"GET", "HEAD", "websocket", "unasked"}
	for _, c := range responseCases {
		for i, m := range methods {
			if m == c.method {
				f.Add([]byte(c.in), uint8(i), uint16(len(c.in)/2))
			}
		}
	}
	f.Add([]byte(wrkResponse), uint8(0), uint16(9))
	f.Fuzz(func(t *testing.T, in []byte, method uint8, cut uint16) {
		var r Response
		req := requestOf(t, methods[int(method)%len(methods)])
		whole := answerOf(&r, req, string(in))
		if got := answerOf(&r, req, string(in), min(int(cut), len(in))); got != whole {
			t.Fatalf("cut at %d: %s\nwant %s", cut, got, whole)
		}
		r.Reset()
		n, err := r.Parse(in, req)
		if n > 0 && err == nil {
			checkResponse(t, &r, req, in[:n])
		}
		if err != nil && err.Status != 502 {
			t.Fatal(err.Status)
		}
	})
}
