package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/http1/http1test"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
)

// net/http parses what this package accepts and what it writes, and must come to the same result.

var neverSentOn = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Content-Length"}

// notCompared has fields that net/http or this package may change; tables test how.
var notCompared = []string{"Host", "Trailer", "Expect", "Max-Forwards", "Date"}

// endToEnd does to fields what AppendRequest and AppendResponse do, in the obvious way.
func endToEnd(h http.Header, pragma bool) http.Header {
	out := h.Clone()
	for _, v := range h["Connection"] {
		for _, name := range strings.Split(v, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
			if !http1test.Protected(name) {
				delete(out, name)
			}
		}
	}
	for _, name := range append(neverSentOn, notCompared...) {
		delete(out, name)
	}
	for name := range out {
		if low := http1test.Folded(name); low == "content-length" || low == "transfer-encoding" { // with another separator
			delete(out, name)
		}
	}
	if pragma { // net/http converts one to the other
		delete(out, "Cache-Control")
	}
	return out
}

// closing reports whether Connection says close, or has an invalid option, which counts as close.
func closing(h http.Header) bool {
	for _, v := range h["Connection"] {
		for _, option := range strings.Split(v, ",") {
			option = strings.Trim(option, " \t")
			if option != "" && !validToken([]byte(option)) || strings.EqualFold(option, "close") {
				return true
			}
		}
	}
	return false
}

func hasPragma(h http.Header) bool { return slices.Contains(h["Pragma"], "no-cache") }

// checkWritten checks the bytes of a written head.
func checkWritten(t *testing.T, out []byte, framings int) {
	t.Helper()
	body, whole := bytes.CutSuffix(out, []byte("\r\n\r\n"))
	if !whole || bytes.Contains(body, []byte("\r\n\r\n")) {
		t.Fatalf("not one head: %q", out)
	}
	n := 0
	for _, line := range strings.Split(string(body), "\r\n") {
		if valueEnd([]byte(line), 0) != len(line) || !allIn([]byte(line), &isValue) {
			t.Fatalf("a bad byte in %q", out)
		}
		if low := strings.ToLower(line); strings.HasPrefix(low, "content-length") && strings.HasPrefix(low[14:], ":") || strings.HasPrefix(low, "transfer-encoding:") {
			n++
		}
	}
	if n != framings {
		t.Fatalf("%d framing fields, want %d: %q", n, framings, out)
	}
}

func compare[T any](t *testing.T, what string, got, want T, in []byte) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %#v, want %#v, in %q", what, got, want, in)
	}
}

// readRequest parses head with net/http. If net/http objects only to the URL, "/" replaces the target.
func readRequest(head []byte, target string) (*http.Request, error) {
	if _, err := url.ParseRequestURI(target); err != nil && target != "*" {
		head = bytes.Replace(head, []byte(" "+target+" HTTP/"), []byte(" / HTTP/"), 1)
	}
	in := bufio.NewReaderSize(bytes.NewReader(head), 2*MaxHead)
	req, err := http.ReadRequest(in)
	if err == nil && in.Buffered() > 0 {
		return nil, fmt.Errorf("%d bytes left", in.Buffered())
	}
	return req, err
}

var (
	trusting   = &Rewrite{Authority: []byte("up:9000"), ClientAddr: []byte("192.0.2.7"), Forwarded: true, Trusted: true}
	configured = &Rewrite{Record: &logformat.Record{HostName: []byte("up"), Client: netip.MustParseAddrPort("192.0.2.7:1")}, Authority: []byte("up:9000"), ClientAddr: []byte("192.0.2.7"), Forwarded: true, UpstreamHost: true, Close: true,
		Headers: must(policy.CompileRequestHeaders(config.HeaderEdits{Set: []config.Header{{Name: "Host", Value: "$host", Kroxy: true}, {Name: "X-Real-IP", Value: "$addr", Kroxy: true}}}))}
)

func must(h *policy.Headers, problems []policy.Problem) *policy.Headers {
	if problems != nil {
		panic(problems)
	}
	return h
}

// checkRequest compares an accepted request with net/http's view of it, before and after the rewrite.
func checkRequest(t *testing.T, r *Request, raw []byte) {
	t.Helper()
	raw = bytes.TrimLeft(raw, "\r\n")
	method, target := string(r.Method()), string(r.Target())
	out := AppendRequest(nil, r, bare())
	framings := 0
	if r.Framing != NoBody {
		framings = 1
	}
	checkWritten(t, out, framings)
	sentTarget := strings.Split(string(out[:bytes.IndexByte(out, '\r')]), " ")[1]

	before, err := readRequest(raw, target)
	if err != nil && !strings.Contains(err.Error(), "bad trailer key") {
		t.Fatalf("net/http refuses: %v: %q", err, raw)
	}
	after, err := readRequest(out, sentTarget)
	if err != nil {
		t.Fatalf("net/http refuses what was written: %v: %q", err, out)
	}
	length := int64(0)
	switch r.Framing {
	case Length:
		length = r.Length
	case Chunked:
		length = -1
	}
	for _, req := range []*http.Request{before, after} {
		if req == nil {
			continue
		}
		compare(t, "method", req.Method, method, raw)
		compare(t, "length", req.ContentLength, length, raw)
		compare(t, "chunked", len(req.TransferEncoding) == 1, r.Framing == Chunked, raw)
	}
	if before != nil {
		if !strings.Contains(target, "%") { // net/http decodes it in an absolute target's authority
			compare(t, "host", strings.TrimSuffix(before.Host, ":"), string(r.Host()), raw)
		}
		if before.RequestURI != "/" {
			compare(t, "target", before.RequestURI, target, raw)
		}
		compare(t, "close", before.Close || closing(before.Header), !r.KeepAlive, raw)
		pragma := hasPragma(before.Header)
		compare(t, "fields", endToEnd(after.Header, pragma), endToEnd(before.Header, pragma), raw)
	}
	wantHost := string(r.Host())
	if wantHost == "" {
		wantHost = "up:9000"
	}
	compare(t, "host sent", after.Host, wantHost, raw)
	compare(t, "expectation sent", after.Header.Get("Expect") != "", r.ExpectContinue, raw)
	compare(t, "upgrade sent", after.Header.Get("Upgrade") != "", r.Upgrade, raw)
	compare(t, "te sent", after.Header.Get("Te") == "trailers", r.Trailers && !r.Upgrade, raw)
	compare(t, "close sent", after.Close, false, raw)

	// Whatever the configuration, only a trusted client can say who the client is.
	for _, w := range []*Rewrite{typical(), trusting, configured} {
		out := AppendRequest(nil, r, w)
		checkWritten(t, out, framings)
		req, err := readRequest(out, sentTarget)
		if err != nil {
			t.Fatalf("net/http refuses what was written: %v: %q", err, out)
		}
		by := req.Header["X-Forwarded-For"]
		if len(by) != 1 || !strings.HasSuffix(by[0], "192.0.2.7") || w != trusting && (by[0] != "192.0.2.7" ||
			!slices.Equal(req.Header["X-Forwarded-Proto"], []string{"http"}) || len(req.Header["X-Forwarded-Host"]) > 1) {
			t.Fatalf("forged: %q", out)
		}
		if w == configured && (req.Host != "up" || !slices.Equal(req.Header["X-Real-Ip"], []string{"192.0.2.7"})) {
			t.Fatalf("not as configured: %q", out)
		}
	}

	// What was written is accepted again with the same meaning.
	var again Request
	if n, err := again.Parse(out); n != len(out) || err != nil {
		t.Fatalf("what was written: %d, %v: %q", n, err, out)
	}
	if r.MaxForwards <= 0 {
		compare(t, "written twice", string(AppendRequest(nil, &again, bare())), string(out), raw)
	}
}

// checkResponse does the same for a response.
func checkResponse(t *testing.T, r *Response, req *Request, raw []byte) {
	t.Helper()
	asked := &http.Request{Method: string(req.Method())}
	read := func(head []byte) *http.Response {
		in := bufio.NewReaderSize(bytes.NewReader(head), 2*MaxHead)
		resp, err := http.ReadResponse(in, asked)
		if err != nil {
			if bytes.Equal(head, raw) && (strings.Contains(err.Error(), "bad trailer key") || http1test.Repeats.Match(raw) || http1test.Spaced.Match(raw)) {
				return nil
			}
			t.Fatalf("net/http refuses: %v: %q", err, head)
		}
		return resp
	}
	check := func(resp *http.Response, f Framing) {
		t.Helper()
		if resp == nil {
			return
		}
		compare(t, "status", resp.StatusCode, r.Status, raw)
		_, reason, _ := strings.Cut(resp.Status, " ")
		compare(t, "reason", strings.Trim(reason, " \t"), strings.Trim(string(r.Reason()), " \t"), raw)
		switch f {
		case NoBody:
			if body, err := io.ReadAll(resp.Body); len(body) > 0 || err != nil {
				t.Errorf("a body: %q %v", body, err)
			}
		case Length:
			compare(t, "length", resp.ContentLength, r.Length, raw)
		case Chunked:
			compare(t, "chunked", resp.TransferEncoding, []string{"chunked"}, raw)
		case UntilClose:
			compare(t, "until close", resp.ContentLength == -1 && resp.Close && resp.TransferEncoding == nil, true, raw)
		}
	}
	before := read(raw)
	check(before, r.Framing)
	if before != nil && r.Status >= 200 && r.Status != 204 {
		compare(t, "close", before.Close || closing(before.Header), !r.KeepAlive, raw)
	}
	for minor := range uint8(2) {
		out := AppendResponse(nil, r, &ResponseRewrite{Minor: minor})
		f := r.ClientFraming(minor)
		framings := 0
		if f == Length || f == Chunked || f == NoBody && r.declared == Length && r.Status >= 200 && r.Status != 204 {
			framings = 1
		}
		checkWritten(t, out, framings)
		after := read(out)
		check(after, f)
		if before != nil && !http1test.Spaced.Match(raw) {
			compare(t, "fields", endToEnd(after.Header, true), endToEnd(before.Header, true), raw)
		}
	}
}

func TestRequestAsNetHTTP(t *testing.T) {
	t.Parallel()
	for _, c := range requestCases {
		var r Request
		if n, err := r.Parse([]byte(c.in)); n > 0 && err == nil {
			checkRequest(t, &r, []byte(c.in)[:n])
		}
	}
}

func TestResponseAsNetHTTP(t *testing.T) {
	t.Parallel()
	for _, c := range responseCases {
		var r Response
		req := requestOf(t, c.method)
		if n, err := r.Parse([]byte(c.in), req); n > 0 && err == nil {
			checkResponse(t, &r, req, []byte(c.in)[:n])
		}
	}
}

// fasthttp's lenient parser accepts everything that is accepted here, with the same fields in the same order.
func TestRequestAsFasthttp(t *testing.T) {
	t.Parallel()
	type pair struct{ name, value string }
	for _, c := range requestCases {
		var r Request
		n, err := r.Parse([]byte(c.in))
		if n == 0 || err != nil || strings.HasPrefix(string(r.Target()), "http") || r.Minor == 0 {
			continue
		}
		var h fasthttp.RequestHeader
		h.DisableNormalizing()
		h.DisableSpecialHeader()
		if err := h.Read(bufio.NewReaderSize(strings.NewReader(c.in[:n]), 2*MaxHead)); err != nil {
			if !strings.Contains(err.Error(), "invalid request uri") && !strings.Contains(err.Error(), "unsupported http version") &&
				!strings.Contains(err.Error(), "host") {
				t.Errorf("%s: %v", short(c.in), err)
			}
			continue
		}
		var got, want []pair
		for k, v := range h.AllInOrder() {
			got = append(got, pair{string(k), string(v)})
		}
		for _, f := range r.scan.fields {
			want = append(want, pair{string(f.name.of(r.head)), string(f.value.of(r.head))})
		}
		compare(t, "fields", got, want, []byte(c.in))
		compare(t, "method", string(h.Method()), string(r.Method()), []byte(c.in))
		compare(t, "target", string(h.RequestURI()), string(r.Target()), []byte(c.in))
	}
}
