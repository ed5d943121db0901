package http1

import (
	"fmt"
	"strings"
	"testing"

	"kroxy-ev/httpcodec/http1/http1test"
)

// decode reads in, split at cuts, and prints the result: the data and the number of bytes taken, or the status.
func decode(c *chunkReader, in string, cuts ...int) string {
	return decodeFrom(FromClient, c, in, cuts...)
}

func decodeFrom(by Side, c *chunkReader, in string, cuts ...int) string {
	c.reset(by)
	var data []byte
	at := 0
	for _, cut := range append(cuts, len(in)) {
		for at < cut && !c.done() {
			n, d, err := c.next([]byte(in[at:cut]))
			if err != nil {
				return fmt.Sprint(err.Status, " ", err.Reason)
			}
			if n == 0 {
				return "stuck"
			}
			data = append(data, d...)
			at += n
		}
	}
	if !c.done() {
		return "more"
	}
	return fmt.Sprintf("%d %q %q", at, data, appendLastChunk(nil, c, nil))
}

var chunkCases = []struct{ in, want string }{
	{"5\r\nhello\r\n0\r\n\r\nGET", `15 "hello" "0\r\n\r\n"`},
	{"0\r\n\r\n", `5 "" "0\r\n\r\n"`},
	{"000\r\n\r\n", `7 "" "0\r\n\r\n"`},
	{"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", `35 "01234567890123456789" "0\r\n\r\n"`},
	{"0000000000000003\r\nabc\r\n0\r\n\r\n", `28 "abc" "0\r\n\r\n"`},
	{"0x3\r\nabc\r\n0\r\n\r\n", "400"},
	{"0x10\r\n", "400"},
	{"+5\r\nhello\r\n0\r\n\r\n", "400"},
	{"-1\r\n", "400"},
	{"0_2e\r\n", "400"},
	{"\r\nhello", "400"},
	{" 5\r\nhello\r\n0\r\n\r\n", "400"},
	{"\t5\r\nhello\r\n0\r\n\r\n", "400"},
	{"5 \r\nhello\r\n0\r\n\r\n", "400"},
	{"5 5\r\nhello\r\n0\r\n\r\n", "400"},
	{"g\r\n", "400"},
	{";x\r\n", "400"},
	{"00000000000000003\r\nabc\r\n0\r\n\r\n", "400"},
	{"8000000000000000\r\n", "400"},
	{"ffffffffffffffff\r\n", "400"},
	{"10000000000000003\r\nabc", "400"},
	{"7fffffffffffffff\r\nabc", "more"},

	{"3;x=y\r\nabc\r\n0;z=\"a;b\"\r\n\r\n", `25 "abc" "0\r\n\r\n"`},
	{"3 ;x\r\nabc\r\n0\r\n\r\n", `16 "abc" "0\r\n\r\n"`},
	{"3\t \t; x = y ;z\r\nabc\r\n0 ;\r\n\r\n", `28 "abc" "0\r\n\r\n"`},
	{"3 x;\r\nabc\r\n0\r\n\r\n", "400"},
	{"3 \n", "400"},
	{"3 \x0b;x\r\nabc\r\n0\r\n\r\n", "400"},
	{"3" + strings.Repeat(" ", 200) + ";" + strings.Repeat("x", 56) + "\r\nabc\r\n0\r\n\r\n", ""},
	{"3" + strings.Repeat(" ", 200) + ";" + strings.Repeat("x", 57) + "\r\nabc\r\n0\r\n\r\n", "400"},
	{"3 ", "more"},
	{"3;" + strings.Repeat("x", 255) + "\r\nabc\r\n0\r\n\r\n", ""},
	{"3;" + strings.Repeat("x", 256) + "\r\nabc\r\n0\r\n\r\n", ""},
	{"3;" + strings.Repeat("x", 257) + "\r\nabc\r\n0\r\n\r\n", "400"},
	{"3;" + strings.Repeat("x", 200) + "\r\nabc\r\n0;" + strings.Repeat("x", 200) + "\r\n\r\n", ""},
	{"3" + strings.Repeat(" ", 257) + ";\r\nabc\r\n0\r\n\r\n", "400"},
	{"3;x\nabc\r\n0\r\n\r\n", "400"},
	{"3;x\rx\r\nabc\r\n0\r\n\r\n", "400"},
	{"3;x\r\rabc\r\n0\r\n\r\n", "400"},
	{"3;\x00\r\nabc\r\n0\r\n\r\n", "400"},
	{"3\nabc\r\n0\r\n\r\n", "400"},
	{"3\r\r\nabc\r\n0\r\n\r\n", "400"},
	{"3\rabc\r\n0\r\n\r\n", "400"},
	{"3\r \nabc\r\n0\r\n\r\n", "400"},

	{"3\r\nabc0\r\n\r\n", "400"},
	{"3\r\nabcd\r\n0\r\n\r\n", "400"},
	{"3\r\nab\r\n0\r\n\r\n", "400"},
	{"3\r\nabc\n0\r\n\r\n", "400"},
	{"3\r\nabc\r0\r\n\r\n", "400"},
	{"3\r\nabc\r\n\r\n", "400"},
	{"3\r\nabc\r\n0\r\n\n", "400"},
	{"3\r\nabc\r\n0\r\n\rx", "400"},
	{"3\r\nabc\r\n0\n\n", "400"},

	{"", "more"},
	{"3", "more"},
	{"3\r\nab", "more"},
	{"3\r\nabc\r\n", "more"},
	{"3\r\nabc\r\n0\r\n", "more"},
	{"3\r\nabc\r\n0\r\n\r", "more"},
	{"3\r\nabc\r\n0\r\nX: y\r\n", "more"},

	{"1\r\na\r\n0\r\nX-Sum: 1 \r\nx-sum: 2\r\n\r\nGET", `32 "a" "0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"`},
	{"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: x\r\nAuthorization: x\r\nA: b\r\n\r\n", `85 "" "0\r\nA: b\r\n\r\n"`},
	{"0\r\ncookie: x\r\nX-Forwarded-For: x\r\nConnection: x\r\nTE: x\r\nIf-Match: x\r\nContent-Type: x\r\nContent-Digest: x\r\n\r\n",
		`107 "" "0\r\nContent-Digest: x\r\n\r\n"`},
	{"0\r\nA-Trailer-With-A-Name-Of-More-Bytes-Than-Any: x\r\n\r\n", ""},
	{"0\r\nX : y\r\n\r\n", "400"},
	{"0\r\n X: y\r\n\r\n", "400"},
	{"0\r\nX: y\r\n z\r\n\r\n", "400"},
	{"0\r\nX: y\n\r\n", "400"},
	{"0\r\nX\r\n\r\n", "400"},
	{"0\r\n: y\r\n\r\n", "400"},
	{"0\r\nX: y\x00\r\n\r\n", "400"},
	{"0\r\nX: y\r\n\n", "400"},
	{"0\r\nX: " + strings.Repeat("y", MaxHead) + "\r\n\r\n", "431"},
	{"0\r\nX: " + strings.Repeat("y", MaxHead-len("X: \r\n\r\n")) + "\r\n\r\n", ""},
	{"0\r\nX: " + strings.Repeat("y", MaxHead-len("X: \r\n\r\n")+1) + "\r\n\r\n", "431"},
	{"0\r\n" + repeat(128, "X%d: y\r\n") + "\r\n", ""},
	{"0\r\n" + repeat(129, "X%d: y\r\n") + "\r\n", "431"},
}

func TestChunkCases(t *testing.T) {
	t.Parallel()
	var c chunkReader
	for _, k := range chunkCases {
		got := decode(&c, k.in)
		if len(k.want) == 3 {
			got = got[:min(3, len(got))]
		}
		if k.want == "" && strings.HasPrefix(got, fmt.Sprint(len(k.in), " ")) {
			got = ""
		}
		if got != k.want {
			t.Errorf("%s: %s, want %s", short(k.in), got, k.want)
		}
	}
}

func TestChunkCutAnywhere(t *testing.T) {
	t.Parallel()
	var c chunkReader
	for _, k := range chunkCases {
		want := decode(&c, k.in)
		step := 1 + len(k.in)/1000
		var all []int
		for cut := 0; cut <= len(k.in); cut += step {
			if got := decode(&c, k.in, cut); got != want {
				t.Errorf("%s cut at %d: %s\nwant %s", short(k.in), cut, got, want)
			}
			all = append(all, cut)
		}
		if got := decode(&c, k.in, all...); got != want {
			t.Errorf("%s in steps of %d: %s\nwant %s", short(k.in), step, got, want)
		}
	}
}

func TestChunkFaultOfAHost(t *testing.T) {
	t.Parallel()
	var c chunkReader
	for _, in := range []string{"x", "0\r\nX\r\n", "1\r\nab"} {
		c.reset(FromHost)
		var err *HeadError
		for b := []byte(in); err == nil && len(b) > 0; {
			var n int
			n, _, err = c.next(b)
			b = b[n:]
		}
		if err == nil || err.Status != 502 {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// What a host may do and a client may not: pad a size, and put white space after the name of a trailer.
func TestChunksOfAHost(t *testing.T) {
	t.Parallel()
	var c chunkReader
	for in, want := range map[string]string{
		"3  \t\r\nabc\r\n0 \r\n\r\n": `17 "abc" "0\r\n\r\n"`,
		"0\r\nX-A\t : y\r\n\r\n":     `15 "" "0\r\nX-A: y\r\n\r\n"`,
		"0\r\nHost : y\r\n\r\n":      `15 "" "0\r\n\r\n"`,
		"3 3\r\n":                    "502 malformed chunk size",
		" 3\r\n":                     "502 malformed chunk size",
		"3 \nabc\r\n0\r\n\r\n":       "502 malformed chunk size",
		"0\r\nX Y: y\r\n\r\n":        "502 white space before the colon of a field",
		"3" + strings.Repeat(" ", 257) + "\r\nabc\r\n": "502 chunk extension over 256 bytes",
	} {
		for cut := range in {
			if got := decodeFrom(FromHost, &c, in, cut); got != want {
				t.Fatalf("%q cut at %d: %s, want %s", in, cut, got, want)
			}
		}
	}
}

// A trailer is available once the body is done, and only that of the current body.
func TestTrailer(t *testing.T) {
	t.Parallel()
	var b Body
	for _, c := range []struct{ in, want string }{
		{"1\r\nx\r\n0\r\nX: 1\r\nGrpc-Status: 14\r\ngrpc-status: 0\r\n\r\n", "14"},
		{"1\r\nx\r\n0\r\n\r\n", ""},
		{"0\r\ngrpc-status: 5\r\n\r\n", "5"},
		{"0\r\nx: 5\r\n\r\n", ""},
	} {
		b.Begin(FromHost, Chunked, 0, Chunked, nil)
		for i := range c.in {
			if got := b.Trailer("grpc-status"); got != nil {
				t.Errorf("%q: %q before its end", c.in, got)
			}
			if _, _, err := b.Append(nil, []byte(c.in[i:i+1])); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(b.Trailer("grpc-status")); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	if b.Begin(FromHost, NoBody, 0, NoBody, nil); b.Trailer("x") != nil {
		t.Error("a body without content has trailers")
	}
}

func TestAppendChunks(t *testing.T) {
	t.Parallel()
	if got := string(AppendChunkHeader([]byte("x"), 0x1f40)); got != "x1f40\r\n" {
		t.Errorf("%q", got)
	}
	if got := string(appendLastChunk(nil, nil, nil)); got != "0\r\n\r\n" {
		t.Errorf("%q", got)
	}
	var c chunkReader
	decode(&c, "0\r\nX-Real-Ip: 1\r\nX-User: 2\r\nX: y\r\n\r\n")
	if got := string(appendLastChunk(nil, &c, http1test.Headers(t, "x-user", "$addr"))); got != "0\r\nX: y\r\n\r\n" {
		t.Errorf("%q", got)
	}
}
