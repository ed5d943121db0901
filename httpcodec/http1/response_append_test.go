package http1

import (
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
)

func TestAppendResponseEdits(t *testing.T) {
	t.Parallel()
	responseHeaders := func(e config.HeaderEdits) *policy.Headers {
		h, problems := policy.CompileResponseHeaders(e)
		if problems != nil {
			t.Fatal(problems)
		}
		return h
	}
	edits := responseHeaders(config.HeaderEdits{
		Set:    []config.Header{{Name: "Server", Value: "us"}},
		Add:    []config.Header{{Name: "Set-Cookie", Value: "a=$status"}},
		Remove: []string{"X-Powered-By"},
	})
	date := responseHeaders(config.HeaderEdits{Set: []config.Header{{Name: "date", Value: "then"}}})
	noDate := responseHeaders(config.HeaderEdits{Remove: []string{"Date"}})
	for _, c := range []struct {
		in    string
		edits *policy.Headers
		want  string
	}{
		{ok("server: them", "SERVER: again", "Set-Cookie: b", "X-Powered-By: x", "Content-Length: 0"), edits,
			"HTTP/1.1 200 OK\r\nSet-Cookie: b\r\nServer: us\r\nSet-Cookie: a=200\r\nDate: now\r\nContent-Length: 0\r\n\r\n"},
		{ok("Date: x", "Content-Length: 0"), date, "HTTP/1.1 200 OK\r\ndate: then\r\nContent-Length: 0\r\n\r\n"},
		{ok("Content-Length: 0"), date, "HTTP/1.1 200 OK\r\ndate: then\r\nContent-Length: 0\r\n\r\n"},
		{ok("Date: x", "Content-Length: 0"), noDate, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"HTTP/1.1 103 Early Hints\r\nServer: them\r\n\r\n", edits, "HTTP/1.1 103 Early Hints\r\nServer: them\r\n\r\n"},
		{"HTTP/1.1 304 Not Modified\r\nX-Powered-By: x\r\nETag: y\r\n\r\n", edits, "HTTP/1.1 304 Not Modified\r\nETag: y\r\nServer: us\r\nSet-Cookie: a=200\r\nDate: now\r\n\r\n"},
	} {
		var r Response
		if n, err := r.Parse([]byte(c.in), requestOf(t, "GET")); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		w := ResponseRewrite{Minor: 1, Date: []byte("now"), Headers: c.edits, Record: &logformat.Record{Status: 200}}
		if got := string(AppendResponse([]byte("before"), &r, &w)); got != "before"+c.want {
			t.Errorf("%q:\n%q, want\n%q", c.in, got, c.want)
		}
	}
}
