package http1

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	chunkLine             = regexp.MustCompile("^([0-9a-fA-F]{1,16})(?:([\t ]{0,256});([\t -~\u0080-\u00ff]{0,256}))?\r\n")
	blanksBeforeExtension = regexp.MustCompile(`[0-9a-fA-F][\t ]+;`)

	trailerLine = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\u0080-\u00ff]*\r\n")
)

// latin converts each byte to a rune, for patterns.
func latin(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

// slowly decodes all of in at once in the obvious way, and returns the data and the rest.
func slowly(in string) (data, rest string, ok bool) {
	for {
		m := chunkLine.FindStringSubmatch(in)
		if m == nil || len(m[2])+len([]rune(m[3])) > maxChunkExtension {
			return "", "", false
		}
		in = in[len(m[0]):]
		n, err := strconv.ParseInt(m[1], 16, 64)
		runes := []rune(in)
		if err != nil || n > int64(len(runes)) {
			return "", "", false
		}
		if n == 0 {
			break
		}
		data += string(runes[:n])
		if in, ok = strings.CutPrefix(string(runes[n:]), "\r\n"); !ok {
			return "", "", false
		}
	}
	for range maxFields + 1 {
		if after, ok := strings.CutPrefix(in, "\r\n"); ok {
			return data, after, true
		}
		line := trailerLine.FindString(in)
		if line == "" {
			break
		}
		in = in[len(line):]
	}
	return "", "", false
}

func FuzzChunkReader(f *testing.F) {
	for _, c := range chunkCases {
		f.Add([]byte(c.in), uint16(len(c.in)/2), uint16(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut, step uint16) {
		if len(in) > 8000 {
			return // beyond net/http's limits on framing, and slow
		}
		var c chunkReader
		whole := decode(&c, string(in))
		if got := decode(&c, string(in), min(int(cut), len(in))); got != whole {
			t.Fatalf("cut at %d: %s\nwant %s", cut, got, whole)
		}
		var cuts []int
		for at := 0; at < len(in); at += 1 + int(step)%50 {
			cuts = append(cuts, at)
		}
		if got := decode(&c, string(in), cuts...); got != whole {
			t.Fatalf("in steps of %d: %s\nwant %s", 1+step%50, got, whole)
		}

		decode(&c, string(in))
		data, rest, ok := slowly(latin(in))
		if ok != c.done() {
			t.Fatalf("done %v, want %v: %s", c.done(), ok, whole)
		}
		if !ok {
			return
		}
		restLen := len([]rune(rest))
		var raw []byte
		for _, r := range data {
			raw = append(raw, byte(r))
		}
		written := appendLastChunk(nil, &c, nil)
		if want := fmt.Sprintf("%d %q %q", len(in)-restLen, raw, written); whole != want {
			t.Fatalf("%s, want %s", whole, want)
		}

		// net/http, for the input and for what is forwarded.
		const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		var out []byte
		if len(raw) > 0 {
			out = append(append(AppendChunkHeader(nil, len(raw)), raw...), "\r\n"...)
		}
		out = append(out, written...)
		for i, body := range []string{string(in), string(out)} {
			if i == 0 && blanksBeforeExtension.MatchString(latin(in)) {
				continue // net/http refuses these
			}
			r := bufio.NewReaderSize(strings.NewReader(head+body), 1<<16)
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(req.Body)
			if err != nil || string(got) != string(raw) {
				t.Fatalf("net/http: %q %v, want %q", got, err, raw)
			}
			left, _ := io.ReadAll(r)
			if i == 0 && len(left) != restLen || i == 1 && len(left) != 0 {
				t.Fatalf("net/http leaves %q", left)
			}
			if i == 1 {
				for name := range req.Trailer {
					if !allowedTrailer([]byte(textproto.CanonicalMIMEHeaderKey(name))) {
						t.Fatalf("trailer %q", name)
					}
				}
			}
		}
	})
}
