package policy

import (
	"net/netip"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	h, problems := CompileRequestHeaders(config.HeaderEdits{
		Set: []config.Header{
			{Name: "Host", Value: "$host", Kroxy: true}, {Name: "X-A", Value: " $addr $nope ", Kroxy: true}, {Name: "connection", Value: "close", Kroxy: true},
			{Name: "X-Host", Value: "$host"}, {Name: "x-a", Value: "2"}, {Name: "X-Empty", Value: "$arg_none"},
		},
		Add:    []config.Header{{Name: "Via", Value: "1.1 us"}, {Name: "Via", Value: "1.1 them"}},
		Remove: []string{"X-Debug", "X-Forwarded-For"},
	})
	if problems != nil {
		t.Fatal(problems)
	}
	r := at("/")
	r.HostName, r.Client = []byte("up"), netip.MustParseAddrPort("192.0.2.7:1")
	if got, want := string(h.Append(nil, r)), "x-a: 2\r\nX-Host: www.example\r\nX-Empty: \r\nVia: 1.1 us\r\nVia: 1.1 them\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string(h.AppendHost([]byte("<"), r)); got != "<Host: up\r\n" {
		t.Errorf("%q", got)
	}
	for name, want := range map[string]bool{
		"host": true, "X_A": true, "X-a": true, "x.host": true, "X-DEBUG": true, "x_debug": true, "x-forwarded-for": true, "Via": false, "X": false,
		"connection": false, "X-Debugs": false, "Accept": false,
	} {
		if h.Drops([]byte(name)) != want {
			t.Errorf("%s is dropped: %v", name, !want)
		}
	}
	if !h.Decide(Host) || !h.Decide(ForwardedFor) || h.Decide(ForwardedProto|ForwardedHost) || h.Fixed() || h.Need() != 0 {
		t.Errorf("%+v", h)
	}
}

func TestResponseHeaders(t *testing.T) {
	t.Parallel()
	h, problems := CompileResponseHeaders(config.HeaderEdits{
		Set:    []config.Header{{Name: "Server", Value: "us"}, {Name: "Date", Value: "now"}},
		Add:    []config.Header{{Name: "X-Status", Value: "$status/$upstream_status $request_id"}},
		Remove: []string{"X-Powered-By"},
	})
	if problems != nil {
		t.Fatal(problems)
	}
	r := at("/")
	r.Status, r.Upstream.Status, r.RequestID = 200, 206, []byte("id")
	if got, want := string(h.Append(nil, r)), "Server: us\r\nDate: now\r\nX-Status: 200/206 id\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for name, want := range map[string]bool{"SERVER": true, "date": true, "x-powered-by": true, "X_Powered_By": false, "X-Status": false} {
		if h.Drops([]byte(name)) != want {
			t.Errorf("%s is dropped: %v", name, !want)
		}
	}
	if !h.Decide(Date) || h.Decide(ContentType) || h.Need() != logformat.NeedRequestID {
		t.Errorf("%+v", h)
	}
}

// If there is nothing to do it costs nothing.
func TestNoHeaders(t *testing.T) {
	t.Parallel()
	for _, edits := range []config.HeaderEdits{{}, {Set: []config.Header{{Name: "Connection", Value: "x", Kroxy: true}}}} {
		h, problems := CompileRequestHeaders(edits)
		if h != nil || problems != nil || h.Drops([]byte("X")) || h.Decide(Host) || !h.Fixed() || h.Need() != 0 || h.Append(nil, nil) != nil {
			t.Errorf("%+v: %+v, %v", edits, h, problems)
		}
	}
}

func TestHeadersProblems(t *testing.T) {
	t.Parallel()
	_, p := CompileRequestHeaders(config.HeaderEdits{
		Set:    []config.Header{{Name: "Content_Length", Value: "1"}, {Name: "X", Value: "$status"}, {Name: "", Value: "x", Kroxy: true}, {Name: "Y", Value: "a\r\nb", Kroxy: true}},
		Add:    []config.Header{{Name: "Host", Value: "x"}, {Name: "TE", Value: "x"}},
		Remove: []string{"X", "host", "Transfer-Encoding", "a b"},
	})
	check(t, p, `request_headers.set.Content_Length: "Content_Length" describes one connection or the length of a message`,
		"request_headers.set.X: logformat: unknown $status", `headers.: "" is not a header field name`, "headers.Y: a control character",
		"request_headers.add.Host: a request must have only one Host", `request_headers.add.TE: "TE" describes`,
		"request_headers.remove[1]: a request must have a Host", `request_headers.remove[2]: "Transfer-Encoding" describes`, `request_headers.remove[3]: "a b" is not`)
	_, p = CompileResponseHeaders(config.HeaderEdits{Set: []config.Header{{Name: "Upgrade", Value: "x"}}, Remove: []string{"content-length", "Host"}})
	check(t, p, `response_headers.set.Upgrade: "Upgrade" describes`, `response_headers.remove[0]: "content-length" describes`)
}
