package http1

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/valyala/fasthttp"
)

const (
	wrkRequest = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk/4.2.0\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"

	browserRequest = "GET /static/app/main.9f2c1b.js?v=20240611 HTTP/1.1\r\n" +
		"Host: www.example.com\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n" +
		"sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
		"Sec-Fetch-Site: same-origin\r\nReferer: https://www.example.com/index.html\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Accept-Language: en-US,en;q=0.9,de;q=0.8\r\nCookie: session=8a7d6f5e4c3b2a1908f7e6d5c4b3a291; theme=dark; _ga=GA1.2.1234567890.1718000000\r\n\r\n"

	wrkResponse = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 11 Jun 2024 10:00:00 GMT\r\nContent-Type: text/plain\r\n" +
		"Content-Length: 12\r\nLast-Modified: Mon, 10 Jun 2024 10:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6666e2c0-c\"\r\nAccept-Ranges: bytes\r\n\r\n"
)

// typical is the default way to a host: with X-Forwarded-* and the client's Host.
func typical() *Rewrite {
	return &Rewrite{Authority: []byte("127.0.0.1:9000"), ClientAddr: []byte("192.0.2.7"), Forwarded: true}
}

func benchmarkRequest(b *testing.B, head string, sent bool) {
	in, w := []byte(head), typical()
	var r Request
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if n, err := r.Parse(in); n != len(in) || err != nil {
			b.Fatal(n, err)
		}
		if sent {
			out = AppendRequest(out[:0], &r, w)
		}
	}
}

func BenchmarkRequestParse(b *testing.B) {
	b.Run("wrk", func(b *testing.B) { benchmarkRequest(b, wrkRequest, false) })
	b.Run("browser", func(b *testing.B) { benchmarkRequest(b, browserRequest, false) })
}

func BenchmarkRequestParseAppend(b *testing.B) {
	b.Run("wrk", func(b *testing.B) { benchmarkRequest(b, wrkRequest, true) })
	b.Run("browser", func(b *testing.B) { benchmarkRequest(b, browserRequest, true) })
}

func BenchmarkResponseParseAppend(b *testing.B) {
	var req Request
	if _, err := req.Parse([]byte(wrkRequest)); err != nil {
		b.Fatal(err)
	}
	in, w := []byte(wrkResponse), &ResponseRewrite{Minor: 1}
	var r Response
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if n, err := r.Parse(in, &req); n != len(in) || err != nil {
			b.Fatal(n, err)
		}
		out = AppendResponse(out[:0], &r, w)
	}
}

// What fasthttp's parser would cost in addition to the strict check that must precede it: parsing the fields, and iterating
// over them in their original order.
func BenchmarkFasthttpParse(b *testing.B) {
	for _, c := range []struct{ name, head string }{{"wrk", wrkRequest}, {"browser", browserRequest}} {
		b.Run(c.name, func(b *testing.B) {
			in := []byte(c.head)
			var h fasthttp.RequestHeader
			h.DisableNormalizing()
			h.DisableSpecialHeader()
			bytesIn := bytes.NewReader(in)
			r := bufio.NewReaderSize(bytesIn, MaxHead)
			fields := 0
			b.ReportAllocs()
			for b.Loop() {
				bytesIn.Reset(in)
				r.Reset(bytesIn)
				if err := h.Read(r); err != nil {
					b.Fatal(err)
				}
				for range h.AllInOrder() {
					fields++
				}
			}
		})
	}
}

func BenchmarkChunkReader(b *testing.B) {
	in := bytes.Repeat([]byte("400\r\n"+string(make([]byte, 0x400))+"\r\n"), 16)
	in = append(in, "0\r\n\r\n"...)
	var c chunkReader
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		c.reset(FromClient)
		for rest := in; !c.done(); {
			n, _, err := c.next(rest)
			if err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
	}
}
