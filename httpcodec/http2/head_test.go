package http2_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/httpcodec/http2"
)

// block encodes lines of "name: value" as a peer would. A pseudo-header field's name begins with a colon.
func block(lines ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, line := range lines {
		i := strings.Index(line[1:], ": ") + 1
		if err := e.WriteField(hpack.HeaderField{Name: line[:i], Value: line[i+2:]}); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// decode decodes a block in pieces of the given size.
func decode(d *http2.Decoder, k http2.Kind, end bool, b []byte, piece int) (head []byte, err *http2.Error) {
	d.Begin(k, end)
	for len(b) > 0 {
		n := min(piece, len(b))
		if head, err = d.Write(head, b[:n], n == len(b)); err != nil {
			return head, err
		}
		b = b[n:]
	}
	return d.End(head)
}

// Decoding heads: the heads of honest clients become what an HTTP/1.1 client would have sent. Nothing that a host would
// interpret differently passes the decoder and the scan that all heads must pass.
func TestRequestHeads(t *testing.T) {
	t.Parallel()
	const get = ":method: GET|:scheme: https|:path: /|:authority: a.example"
	tests := []struct {
		name, fields string
		end          bool
		head, failed string
	}{
		{"get", get, true, "GET / HTTP/1.1|host: a.example", ""},
		{"any order", ":authority: a|:path: /x?y|:method: GET|:scheme: http", true, "GET /x?y HTTP/1.1|host: a", ""},
		{"host in place of authority", ":method: GET|:scheme: https|:path: /|host: a.example", true, "GET / HTTP/1.1|host: a.example", ""},
		{"host as authority", get + "|host: A.example", true, "GET / HTTP/1.1|host: a.example", ""},
		{"fields", get + "|accept: a|x-y: b c", true, "GET / HTTP/1.1|host: a.example|accept: a|x-y: b c", ""},
		{"an empty value", get + "|x-y: ", true, "GET / HTTP/1.1|host: a.example|x-y: ", ""},
		{"cookies", get + "|cookie: a=1|accept: x|cookie: b=2", true, "GET / HTTP/1.1|host: a.example|accept: x|cookie: a=1; b=2", ""},
		{"te", get + "|te: trailers", true, "GET / HTTP/1.1|host: a.example|te: trailers", ""},
		{"priority", get + "|priority: u=1", true, "GET / HTTP/1.1|host: a.example|priority: u=1", ""},
		{"a body of known length", ":method: POST|:scheme: https|:path: /|:authority: a|content-length: 5", false, "POST / HTTP/1.1|host: a|content-length: 5", ""},
		{"a body", ":method: POST|:scheme: https|:path: /|:authority: a", false, "POST / HTTP/1.1|host: a|transfer-encoding: chunked", ""},
		{"no body, and its length", ":method: POST|:scheme: https|:path: /|:authority: a|content-length: 0", true, "POST / HTTP/1.1|host: a|content-length: 0", ""},
		{"options for all", ":method: OPTIONS|:scheme: https|:path: *|:authority: a", true, "OPTIONS * HTTP/1.1|host: a", ""},

		{"no method", ":scheme: https|:path: /|:authority: a", true, "", "a pseudo-header field is missing"},
		{"no scheme", ":method: GET|:path: /|:authority: a", true, "", "a pseudo-header field is missing"},
		{"no path", ":method: GET|:scheme: https|:authority: a", true, "", "a pseudo-header field is missing"},
		{"an empty path", ":method: GET|:scheme: https|:path: |:authority: a", true, "", "a pseudo-header field with a malformed value"},
		{"an empty method", ":method: |:scheme: https|:path: /|:authority: a", true, "", "a pseudo-header field with a malformed value"},
		{"an empty authority", ":method: GET|:scheme: https|:path: /|:authority: ", true, "", "a pseudo-header field with a malformed value"},
		{"an absolute path", ":method: GET|:scheme: https|:path: http://b/|:authority: a", true, "", "a pseudo-header field with a malformed value"},
		{"a star that is no options", ":method: GET|:scheme: https|:path: *|:authority: a", true, "", "a pseudo-header field with a malformed value"},
		{"another scheme", ":method: GET|:scheme: ftp|:path: /|:authority: a", true, "", "a pseudo-header field with a malformed value"},
		{"method twice", ":method: GET|" + get, true, "", "a repeated pseudo-header field"},
		{"path twice", get + "|:path: /b", true, "", "a repeated pseudo-header field"},
		{"a path behind fields", ":method: GET|:scheme: https|:authority: a|x: y|:path: /", true, "", "a pseudo-header field is missing"},
		{"an authority behind fields", ":method: GET|:scheme: https|:path: /|x: y|:authority: a", true, "", "a pseudo-header field after regular fields"},
		{"unknown", get + "|:protocol: websocket", true, "", "an unknown pseudo-header field"},
		{"a status", get + "|:status: 200", true, "", "a pseudo-header field that is not allowed here"},
		{"another host", get + "|host: b.example", true, "", "host differs from :authority"},
		{"two hosts", ":method: GET|:scheme: https|:path: /|host: a|host: b", true, "", "scan: more than one host"},
		{"no host", ":method: GET|:scheme: https|:path: /", true, "", "scan: no host"},
		{"userinfo", ":method: GET|:scheme: https|:path: /|:authority: u@a", true, "", "scan: malformed host"},
		{"a list of hosts", ":method: GET|:scheme: https|:path: /|:authority: a,b", true, "", "scan: malformed host"},

		{"a request in a path", ":method: GET|:scheme: https|:path: / HTTP/1.1\r\nx: y|:authority: a", true, "", "a pseudo-header field with a malformed value"},
		{"a space in a path", ":method: GET|:scheme: https|:path: /a b|:authority: a", true, "", "a pseudo-header field with a malformed value"},
		{"a tab in a method", ":method: GET\t/|:scheme: https|:path: /|:authority: a", true, "", "a pseudo-header field with a malformed value"},
		{"a line in an authority", ":method: GET|:scheme: https|:path: /|:authority: a\r\nx: y", true, "", "a pseudo-header field with a malformed value"},
		{"a byte above ascii in a path", ":method: GET|:scheme: https|:path: /\xff|:authority: a", true, "GET /\xff HTTP/1.1|host: a", ""},
		{"a nul in a value", get + "|x: a\x00b", true, "", "a field value with an invalid byte"},
		{"a line in a value", get + "|x: a\r\ntransfer-encoding: chunked", true, "", "a field value with an invalid byte"},
		{"a line feed in a value", get + "|x: a\ny: b", true, "", "a field value with an invalid byte"},
		{"a line in a cookie", get + "|cookie: a\r\nx: y", true, "", "a field value with an invalid byte"},
		{"white space before a value", get + "|x:  a", true, "", "a field value with an invalid byte"},
		{"white space behind a value", get + "|x: a ", true, "", "a field value with an invalid byte"},
		{"an upper-case name", get + "|X: a", true, "", "a field name that is not lower case, or not a token"},
		{"a colon in a name", get + "|x:y: a", true, "", "a field name that is not lower case, or not a token"},
		{"a space in a name", get + "|x y: a", true, "", "a field name that is not lower case, or not a token"},
		{"a space behind a name", get + "|transfer-encoding : chunked", true, "", "a field name that is not lower case, or not a token"},
		{"a line in a name", get + "|x\r\ny: a", true, "", "a field name that is not lower case, or not a token"},
		{"a name above ascii", get + "|x\xc3\xa9: a", true, "", "a field name that is not lower case, or not a token"},
		{"transfer-encoding", get + "|transfer-encoding: chunked", false, "", "a field that is specific to HTTP/1 connections"},
		{"transfer-encoding, and length", get + "|content-length: 3|transfer-encoding: chunked", false, "", "a field that is specific to HTTP/1 connections"},
		{"connection", get + "|connection: close", true, "", "a field that is specific to HTTP/1 connections"},
		{"keep-alive", get + "|keep-alive: 5", true, "", "a field that is specific to HTTP/1 connections"},
		{"proxy-connection", get + "|proxy-connection: keep-alive", true, "", "a field that is specific to HTTP/1 connections"},
		{"upgrade", get + "|upgrade: h2c", true, "", "a field that is specific to HTTP/1 connections"},
		{"te of something else", get + "|te: trailers, chunked", true, "", "te with a value other than trailers"},
		{"two lengths", get + "|content-length: 3|content-length: 4", false, "", "scan: more than one content-length"},
		{"a length with a sign", get + "|content-length: +3", false, "", "scan: malformed content-length"},
		{"a length in hexadecimal", get + "|content-length: 0x3", false, "", "scan: malformed content-length"},
		{"a list of lengths", get + "|content-length: 3, 3", false, "", "scan: malformed content-length"},
		{"a length above all", get + "|content-length: 99999999999999999999", false, "", "scan: malformed content-length"},
		{"a length, and no content", get + "|content-length: 3", true, "", "a content-length, and no content"},
		{"connect", ":method: CONNECT|:authority: a:443", false, "", "scan: connect is not supported"},
		{"connect with a path", ":method: CONNECT|:scheme: https|:path: /|:authority: a:443", false, "", "a pseudo-header field with a malformed value"},
		{"too many fields", get + strings.Repeat("|x: y", 125), true, "", "a head over 32768 bytes or 128 fields"},
		{"too many crumbs", get + strings.Repeat("|cookie: y=1", 125), true, "", "a head over 32768 bytes or 128 fields"},
		{"too large", get + "|x: " + strings.Repeat("y", 32<<10), true, "", "a head over 32768 bytes or 128 fields"},
	}
	for _, tt := range tests {
		for _, piece := range []int{1, 1 << 20} {
			head, err := decode(http2.NewDecoder(), http2.Request, tt.end, block(strings.Split(tt.fields, "|")...), piece)
			failed := ""
			if err != nil {
				head, failed = nil, err.Reason
				if !err.Stream {
					t.Errorf("%s ends the connection: %v", tt.name, err)
				}
			} else {
				var r http1.Request
				r.Reset()
				if n, scanned := r.Parse(head); scanned != nil {
					head, failed = nil, "scan: "+scanned.Reason
				} else if n != len(head) {
					t.Errorf("%s: the scan reads %d bytes of %q", tt.name, n, head)
				}
			}
			want := ""
			if tt.head != "" {
				want = strings.ReplaceAll(tt.head, "|", "\r\n") + "\r\n\r\n"
			}
			if string(head) != want || failed != tt.failed {
				t.Errorf("%s: %q, %q; want %q, %q", tt.name, head, failed, want, tt.failed)
			}
		}
	}
}

func TestResponseHeads(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fields       string
		kind         http2.Kind
		end          bool
		head, failed string
	}{
		{":status: 200|x: y", http2.Response, false, "HTTP/1.1 200 OK|x: y|transfer-encoding: chunked", ""},
		{":status: 200|content-length: 3", http2.Response, false, "HTTP/1.1 200 OK|content-length: 3", ""},
		{":status: 200|content-length: 3", http2.Response, true, "HTTP/1.1 200 OK|content-length: 3", ""}, // to HEAD
		{":status: 200|content-length: 3|trailer: x", http2.Response, false, "HTTP/1.1 200 OK|trailer: x|transfer-encoding: chunked", ""},
		{":status: 200|content-length: 3|content-type: application/grpc+proto", http2.Response, false,
			"HTTP/1.1 200 OK|content-type: application/grpc+proto|transfer-encoding: chunked", ""},
		{":status: 200|content-length: 0|content-type: application/grpc", http2.Response, true,
			"HTTP/1.1 200 OK|content-type: application/grpc|content-length: 0", ""},
		{":status: 200|content-length: 3|content-type: application/grpc-web", http2.Response, false,
			"HTTP/1.1 200 OK|content-type: application/grpc-web|content-length: 3", ""},
		{":status: 103|link: x", http2.Response, false, "HTTP/1.1 103 Early Hints|link: x", ""},
		{":status: 799", http2.Response, true, "HTTP/1.1 799 |content-length: 0", ""},
		{":status: 204", http2.Response, false, "HTTP/1.1 204 No Content", ""},
		{":status: 200|set-cookie: a=1|set-cookie: b=2", http2.Response, true, "HTTP/1.1 200 OK|set-cookie: a=1|set-cookie: b=2|content-length: 0", ""},
		{"x: y", http2.Response, true, "", "a pseudo-header field is missing"},
		{":status: 2000", http2.Response, true, "", "a pseudo-header field with a malformed value"},
		{":status: +20", http2.Response, true, "", "a pseudo-header field with a malformed value"},
		{":status: 200|:path: /", http2.Response, true, "", "a pseudo-header field that is not allowed here"},
		{":status: 200|connection: close", http2.Response, true, "", "a field that is specific to HTTP/1 connections"},
		{"grpc-status: 0|grpc-message: ", http2.Trailers, true, "grpc-status: 0|grpc-message: ", ""},
		{":status: 200", http2.Trailers, true, "", "a pseudo-header field that is not allowed here"},
		{"transfer-encoding: chunked", http2.Trailers, true, "", "a field that is specific to HTTP/1 connections"},
		{"content-length: 3", http2.Trailers, true, "", "a field that is not allowed in trailers"},
	}
	for _, tt := range tests {
		head, err := decode(http2.NewDecoder(), tt.kind, tt.end, block(strings.Split(tt.fields, "|")...), 5)
		failed := ""
		if err != nil {
			head, failed = nil, err.Reason
		}
		want := ""
		if tt.head != "" {
			want = strings.ReplaceAll(tt.head, "|", "\r\n") + "\r\n\r\n"
		}
		if string(head) != want || failed != tt.failed {
			t.Errorf("%s: %q, %q; want %q, %q", tt.fields, head, failed, want, tt.failed)
		}
	}
}

// A refused head does not disturb the table for later heads, and a bomb of references to a large entry stays small.
func TestDecoderAfterRefusals(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	write := func(fields ...string) []byte {
		b.Reset()
		for i := 0; i < len(fields); i += 2 {
			if err := e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
				t.Fatal(err)
			}
		}
		return bytes.Clone(b.Bytes())
	}
	d := http2.NewDecoder()
	if _, err := decode(d, http2.Request, true, write("UPPER", "x", "x-later", "is kept"), 1000); err == nil {
		t.Error("an upper-case name is taken")
	}
	pseudo := []string{":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a"}
	second := write(append(pseudo, "x-later", "is kept")...)
	if head, err := decode(d, http2.Request, true, second, 1000); err != nil || !bytes.Contains(head, []byte("x-later: is kept\r\n")) {
		t.Errorf("the next head is %q, %v", head, err)
	}
	bomb := write(append(pseudo, "bomb", strings.Repeat("x", 3000))...)
	bomb = append(bomb, bytes.Repeat([]byte{bomb[len(bomb)-1]}, 0)...)
	head, err := decode(d, http2.Request, true, append(bomb, bytes.Repeat([]byte{0xbe}, 16000)...), 1<<20)
	if err != http2.TooLarge || len(head) > 64<<10 {
		t.Errorf("a bomb makes %d bytes, %v", len(head), err)
	}
	if _, err := decode(d, http2.Request, true, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 1); err == nil || err.Stream || err.Code != http2.CompressionError {
		t.Errorf("an index that is not there: %v", err)
	}
}

// literal encodes a field as a literal. How is its first byte, which says whether it is added to the table.
func literal(how byte, name, value string) []byte {
	b := []byte{how}
	for _, s := range []string{name, value} {
		b = append(appendLength(b, 0, len(s)), s...)
	}
	return b
}

// appendLength appends the length of a string; code is 0x80 for Huffman coding.
func appendLength(b []byte, code byte, n int) []byte {
	if n < 0x7f {
		return append(b, code|byte(n))
	}
	b = append(b, code|0x7f)
	for n -= 0x7f; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// A head with a field that is too long for any head is refused as too large, however it is split into frames, and the table is
// as the client expects: empty, if the field was to be added.
func TestLongFields(t *testing.T) {
	t.Parallel()
	const first = 0x80 | 62 // the first entry of the dynamic table
	get := append([]byte{0x82, 0x87, 0x84}, literal(0, ":authority", "a")...)
	dense := hpack.AppendHuffmanString(nil, strings.Repeat("0", 50_000))
	for name, tc := range map[string]struct {
		field []byte
		keeps bool
	}{
		"value":         {literal(0, "x", strings.Repeat("y", 40_000)), true},
		"value, added":  {literal(0x40, "x", strings.Repeat("y", 40_000)), false},
		"longer":        {literal(0x10, "x", strings.Repeat("y", 130_000)), true},
		"name":          {literal(0, strings.Repeat("x", 40_000), "y"), true},
		"name, added":   {literal(0x40, strings.Repeat("x", 40_000), ""), false},
		"both":          {literal(0x40, strings.Repeat("x", 50_000), strings.Repeat("y", 50_000)), false},
		"together":      {literal(0, strings.Repeat("x", 20_000), strings.Repeat("y", 20_000)), true},
		"known name":    {append(appendLength([]byte{0x40 | 58}, 0, 40_000), strings.Repeat("y", 40_000)...), false},
		"when unpacked": {append(append([]byte{0, 1, 'x'}, appendLength(nil, 0x80, len(dense))...), dense...), true},
	} {
		for _, piece := range []int{1, 1000, http2.MaxFrame} {
			d := http2.NewDecoder()
			if _, err := decode(d, http2.Request, true, slices.Concat(get, literal(0x40, "kept", "here")), piece); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b := slices.Concat(get, tc.field, literal(0, "UPPER", "case"))
			if _, err := decode(d, http2.Request, true, b, piece); err != http2.TooLarge {
				t.Errorf("%s, in pieces of %d: %v", name, piece, err)
				continue
			}
			head, err := decode(d, http2.Request, true, append(bytes.Clone(get), first), piece)
			if keeps := err == nil && bytes.Contains(head, []byte("kept: here\r\n")); keeps != tc.keeps || !keeps && err.Code != http2.CompressionError {
				t.Errorf("%s, in pieces of %d: the next head is %q, %v", name, piece, head, err)
			}
		}
		if _, err := decode(http2.NewDecoder(), http2.Request, true, tc.field[:len(tc.field)-1], 1000); err == nil || err.Stream {
			t.Errorf("%s, cut: %v", name, err)
		}
	}
}

// A decoder keeps nothing of a head but its table, since a connection may be idle for long. This is measured while no other
// test runs.
func TestDecoderKeepsLittle(t *testing.T) {
	const n, most = 200, 12 << 10
	head := []byte{0x82, 0x87, 0x84, 0x41, 1, 'a'}
	for range 100 {
		head = append(head, literal(0, "cookie", strings.Repeat("c", 250))...)
	}
	long := append([]byte{0x82, 0x87, 0x84}, literal(0, "x", strings.Repeat("y", 30_000))...)
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	decoders := make([]*http2.Decoder, n)
	for i := range decoders {
		decoders[i] = http2.NewDecoder()
		for _, b := range [][]byte{head, long} {
			if _, err := decode(decoders[i], http2.Request, true, b, http2.MaxFrame); err != nil {
				t.Fatal(err)
			}
		}
	}
	if each := (int64(used()) - int64(before)) / n; each > most {
		t.Errorf("%d bytes for each connection, want at most %d", each, most)
	}
	runtime.KeepAlive(decoders)
}

// appendBlock is AppendBlock without the form.
func appendBlock(head []byte, k http2.Kind, scheme string) []byte {
	b, _ := http2.AppendBlock(nil, head, k, scheme)
	return b
}

// A decoder can read what AppendBlock writes.
func TestAppendBlock(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, head string
		kind       http2.Kind
		fields     string
	}{
		{"request", "GET /a?b HTTP/1.1|Host: h:8080|Accept: x|X-Y: z|Connection: close|TE: trailers", http2.Request,
			":method: GET|:scheme: https|:authority: h:8080|:path: /a?b|accept: x|x-y: z|te: trailers"},
		{"another method", "PATCH / HTTP/1.1|host: h|te: gzip|cookie: a=b", http2.Request, ":method: PATCH|:scheme: https|:authority: h|:path: /|cookie: a=b"},
		{"response", "HTTP/1.1 404 Not Found|Content-Type: text/plain|Set-Cookie: a|Set-Cookie: b|Transfer-Encoding: chunked|Upgrade: x", http2.Response,
			":status: 404|content-type: text/plain|set-cookie: a|set-cookie: b"},
		{"a rare status", "HTTP/1.1 299 |Keep-Alive: 5|X-Long: " + strings.Repeat("v", 300), http2.Response, ":status: 299|x-long: " + strings.Repeat("v", 300)},
		{"trailers", "Grpc-Status: 0", http2.Trailers, "grpc-status: 0"},
	}
	for _, tt := range tests {
		head := strings.ReplaceAll(tt.head, "|", "\r\n") + "\r\n\r\n"
		var got []string
		dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = append(got, f.Name+": "+f.Value) })
		if _, err := dec.Write(appendBlock([]byte(head), tt.kind, "https")); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if s := strings.Join(got, "|"); s != tt.fields {
			t.Errorf("%s is %s, want %s", tt.name, s, tt.fields)
		}
	}
}

// Each status and each name of the static table is found there.
func TestAppendBlockStatic(t *testing.T) {
	t.Parallel()
	for status := 100; status < 600; status++ {
		var got string
		dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = f.Name + f.Value })
		if _, err := dec.Write(appendBlock(fmt.Appendf(nil, "HTTP/1.1 %d x\r\n\r\n", status), http2.Response, "")); err != nil || got != fmt.Sprintf(":status%d", status) {
			t.Errorf("%d is %s, %v", status, got, err)
		}
	}
	for i := 15; i <= 61; i++ {
		var name string
		dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) { name = f.Name })
		if _, err := dec.Write([]byte{0x80 | byte(i)}); err != nil {
			t.Fatal(err)
		}
		if name == "transfer-encoding" {
			continue
		}
		b := appendBlock([]byte(name+": v\r\n\r\n"), http2.Trailers, "")
		got := ""
		dec = hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = f.Name + "=" + f.Value })
		if _, err := dec.Write(b); err != nil || got != name+"=v" || len(b) > 4 {
			t.Errorf("%s is %q, %s, %v", name, b, got, err)
		}
	}
}

// FuzzDecoder checks that any block becomes a single head for the scan or is refused, that it does not matter how the block is
// split, and that re-encoding an accepted head gives the same result.
func FuzzDecoder(f *testing.F) {
	f.Add(block(":method: GET", ":scheme: https", ":path: /", ":authority: a", "cookie: a=b", "cookie: c=d"), true, 3)
	f.Add(block(":method: POST", ":scheme: https", ":path: /", ":authority: a", "content-length: 3"), false, 1)
	f.Add([]byte{0x82, 0x87, 0x84, 0x41, 1, 'a', 0, 1, 'x', 2, '\r', '\n'}, true, 100)
	f.Add([]byte("000A\x01"), false, 3)
	f.Fuzz(func(t *testing.T, b []byte, end bool, piece int) {
		whole, err := decode(http2.NewDecoder(), http2.Request, end, b, len(b)+1)
		pieces, pieceErr := decode(http2.NewDecoder(), http2.Request, end, b, max(piece, 1))
		if err != pieceErr || err == nil && !bytes.Equal(whole, pieces) {
			t.Fatalf("%q, %v; in pieces %q, %v", whole, err, pieces, pieceErr)
		}
		if err != nil {
			return
		}
		var r http1.Request
		r.Reset()
		n, scanned := r.Parse(whole)
		if scanned != nil {
			return
		}
		if n != len(whole) {
			t.Fatalf("the scan reads %d bytes of %q", n, whole)
		}
		if end && r.Framing == http1.Chunked || end && r.Framing == http1.Length && r.Length > 0 || !end && r.Framing == http1.NoBody {
			t.Fatalf("%q has framing %v, and the stream ends: %v", whole, r.Framing, end)
		}
		again, err := decode(http2.NewDecoder(), http2.Request, end, appendBlock(whole, http2.Request, "https"), 1<<20)
		if want := hostFirst(whole); err != nil || !bytes.Equal(again, want) {
			t.Fatalf("%q comes out as %q, %v", want, again, err)
		}
	})
}

// hostFirst moves Host before the other fields, where :authority is written.
func hostFirst(head []byte) []byte {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	before, rest, ok := bytes.Cut(append([]byte("\r\n"), fields...), []byte("\r\nhost: "))
	if !ok {
		return head
	}
	host, after, _ := bytes.Cut(rest, []byte("\r\n"))
	return slices.Concat(line, []byte("\r\nhost: "), host, before, []byte("\r\n"), after)
}

// BenchmarkDecoder decodes a browser's head.
func BenchmarkDecoder(b *testing.B) {
	lines := []string{":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "user-agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
		"accept: text/html,application/xhtml+xml", "accept-language: en", "accept-encoding: gzip, br", "cookie: session=abcdef0123456789", "priority: u=0, i"}
	d := http2.NewDecoder()
	var enc bytes.Buffer
	e := hpack.NewEncoder(&enc)
	var head []byte
	for b.Loop() {
		enc.Reset()
		for _, line := range lines {
			i := strings.Index(line[1:], ": ") + 1
			if err := e.WriteField(hpack.HeaderField{Name: line[:i], Value: line[i+2:]}); err != nil {
				b.Fatal(err)
			}
		}
		d.Begin(http2.Request, true)
		var err *http2.Error
		if head, err = d.Write(head[:0], enc.Bytes(), true); err == nil {
			head, err = d.End(head)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
