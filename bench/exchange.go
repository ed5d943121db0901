package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// exchange is an HTTP request and the expected response: status 200 and a body of Size bytes.
type exchange struct {
	Request []byte // head and body as sent; wrk and Go clients send the same bytes
	Size    int64  // of the response's body
	Chunked bool   // the response is chunked, without a length
}

var (
	getSmall      = exchange{Request: get("/"), Size: int64(len(httpBody))}
	getClose      = exchange{Request: get("/", "Connection: close"), Size: int64(len(httpBody))}
	getAsABrowser = exchange{Request: get("/", browserFields...), Size: int64(len(httpBody))}
	getChunked    = exchange{Request: get("/chunks/8192"), Size: 8192, Chunked: true}
	getLarge      = exchange{Request: get(fmt.Sprintf("/bytes/%d", int64(transferSize))), Size: transferSize}
	post16K       = exchange{Request: post(16 << 10), Size: int64(len(httpBody))}
)

// browserFields are what a browser adds to a request for a page from which it has a few cookies: 1 KiB with the request line.
var browserFields = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7",
	"Cache-Control: max-age=0",
	"Cookie: session=" + strings.Repeat("4f1c9be27a", 8) + "; csrftoken=" + strings.Repeat("Zk3uP0sQ", 5) +
		"; _ga=GA1.2.1187452369.1718012345; _gid=GA1.2.902817364.1718512345; consent=necessary:1,analytics:0; theme=dark; tz=Europe/Berlin",
	"If-None-Match: W/\"5f2b-18c3a4d9e10\"",
	"Referer: https://www.example.com/articles/2024/06/a-page-with-a-title?page=2",
	"Sec-Ch-Ua: \"Chromium\";v=\"126\", \"Not-A.Brand\";v=\"8\"",
	"Sec-Ch-Ua-Mobile: ?0",
	"Sec-Ch-Ua-Platform: \"Linux\"",
	"Sec-Fetch-Dest: document",
	"Sec-Fetch-Mode: navigate",
	"Sec-Fetch-Site: same-origin",
	"Sec-Fetch-User: ?1",
	"Upgrade-Insecure-Requests: 1",
}

// get returns a GET request with fields.
func get(path string, fields ...string) []byte {
	head := slices.Concat([]string{"GET " + path + " HTTP/1.1", "Host: bench"}, fields, []string{"", ""})
	return []byte(strings.Join(head, "\r\n"))
}

// post returns a POST request with n bytes of body.
func post(n int) []byte {
	b := fmt.Appendf(nil, "POST /bytes/%d HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", n, n)
	return append(b, bytes.Repeat([]byte("x"), n)...)
}

// empty reports whether there is nothing to do.
func (e exchange) empty() bool { return len(e.Request) == 0 }

// closes reports whether each exchange has its own connection.
func (e exchange) closes() bool {
	return bytes.Contains(e.Request, []byte("\r\nConnection: close\r\n"))
}

// on does the exchange on c and checks the response. It returns the size of the whole response in bytes.
func (e exchange) on(c net.Conn, buf []byte) (int64, error) {
	_ = c.SetDeadline(time.Now().Add(exchangeTimeout))
	if _, err := c.Write(e.Request); err != nil {
		return 0, fmt.Errorf("sending a request: %w", err)
	}
	in := &countingReader{r: c}
	body := bufio.NewReaderSize(in, 4096)
	resp, err := http.ReadResponse(body, nil)
	if err != nil {
		return in.n, fmt.Errorf("reading a response: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return in.n, fmt.Errorf("the response has status %s", resp.Status)
	}
	if chunked := slices.Contains(resp.TransferEncoding, "chunked"); chunked != e.Chunked {
		return in.n, fmt.Errorf("the response is chunked: %v, want %v", chunked, e.Chunked)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{resp.Body}, buf)
	if err != nil {
		return in.n, fmt.Errorf("reading a response of %d bytes after %d: %w", e.Size, n, err)
	}
	if n != e.Size {
		return in.n, fmt.Errorf("the response has %d bytes, want %d", n, e.Size)
	}
	size := in.n
	if e.closes() {
		if _, err := body.ReadByte(); err == nil {
			return size, errors.New("the connection stays open after the response")
		} else if !errors.Is(err, io.EOF) {
			return size, fmt.Errorf("waiting for the end of the connection: %w", err)
		}
	}
	return size, nil
}

// once does the exchange on its own connection.
func (e exchange) once(d dialer, buf []byte) (int64, error) {
	c, err := d.dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return e.on(c, buf)
}

// countingReader counts the bytes that are read through it.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// checkSize returns an error if the mean size of r's responses is not close to the known size of one. wrk rounds its sum and counts the bytes of
// responses that it did not wait for (at most one per connection), and the pieces of a chunked body depend on how it arrived.
func (r result) checkSize(one int64, conns int) error {
	if r.Errors > 0 || r.Ops == 0 {
		return nil // the mean would say nothing
	}
	mean := float64(r.Bytes) / float64(r.Ops)
	if d := mean/float64(one) - 1; d < -0.05 || d > 0.05+float64(conns)/float64(r.Ops) {
		return fmt.Errorf("bench: %d responses of %.1f bytes on average, but one has %d", r.Ops, mean, one)
	}
	return nil
}
