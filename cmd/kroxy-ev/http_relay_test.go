package main_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// zipped is a body with a content coding, which the proxy must not touch.
var zipped = func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(strings.Repeat("squeezed ", 1000)))
	_ = z.Close()
	return b.Bytes()
}()

// mirror is a handler that answers with the request it got, or with what the path asks for.
func mirror(w http.ResponseWriter, req *http.Request) {
	head := w.Header()
	switch req.URL.Path {
	case "/echo":
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		head.Set("X-Got", fmt.Sprintf("%s %s %d %v", req.Method, req.Proto, req.ContentLength, req.TransferEncoding))
		head.Set("X-Big", strconv.Itoa(len(req.Header.Get("X-Big"))))
		head.Set("Trailer", "X-Sum")
		_, _ = w.Write(body)
		head.Set("X-Sum", req.Trailer.Get("X-Sum"))
	case "/redirect":
		head.Set("Location", "http://elsewhere.test/?a=b")
		w.WriteHeader(http.StatusFound)
	case "/cookies":
		head.Add("Set-Cookie", "a=1; Path=/")
		head.Add("Set-Cookie", "b=2; Path=/")
	case "/zipped":
		head.Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped)
	case "/pieces":
		for i := range 5 {
			fmt.Fprintf(w, "piece %d\n", i)
			w.(http.Flusher).Flush()
		}
	case "/big":
		head.Set("X-Big", strings.Repeat("b", 20_000))
	case "/slowly":
		time.Sleep(50 * time.Millisecond)
		fallthrough
	case "/":
		_, _ = io.WriteString(w, "hello")
	default:
		http.NotFound(w, req)
	}
}

// need skips the test if the program is not installed, and returns its path.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s: %v", name, err)
	}
	return path
}

func TestHTTPCurl(t *testing.T) {
	t.Parallel()
	curl := need(t, "curl")
	p := startHTTP(t, setup{hosts: endpoints(serve(t, "127.0.0.1", mirror))})
	const big = "X-Big: "
	upload := strings.Repeat("0123456789abcdef", 1<<14)
	for name, test := range map[string]struct {
		args  []string // an argument that begins with "/" is a path
		stdin string
		want  []string // in curl's output
	}{
		"get":              {args: []string{"-i", "/"}, want: []string{"HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n", "\r\n\r\nhello"}},
		"head":             {args: []string{"-I", "/"}, want: []string{"HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n"}},
		"post":             {args: []string{"-i", "-d", "a=b", "/echo"}, want: []string{"X-Got: POST HTTP/1.1 3 []\r\n", "\r\n\r\na=b"}},
		"put from stdin":   {args: []string{"-i", "-T", "-", "/echo"}, stdin: upload, want: []string{"X-Got: PUT HTTP/1.1 -1 [chunked]\r\n", "\r\n\r\n" + upload}},
		"chunked post":     {args: []string{"-i", "-H", "Transfer-Encoding: chunked", "--data-binary", "@-", "/echo"}, stdin: upload, want: []string{"X-Got: POST HTTP/1.1 -1 [chunked]\r\n", "\r\n\r\n" + upload}},
		"big header":       {args: []string{"-i", "-H", big + strings.Repeat("x", 30_000), "/echo"}, want: []string{"X-Big: 30000\r\n"}},
		"too big a header": {args: []string{"-i", "-H", big + strings.Repeat("x", 33_000), "/echo"}, want: []string{"HTTP/1.1 431 "}},
		"big answer head":  {args: []string{"-i", "/big"}, want: []string{"X-Big: " + strings.Repeat("b", 20_000) + "\r\n"}},
		"continue":         {args: []string{"-i", "--expect100-timeout", "20", "-H", "Expect: 100-continue", "-d", "a=b", "/echo"}, want: []string{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "X-Got: POST HTTP/1.1 3 []\r\n", "\r\n\r\na=b"}},
		"connection kept":  {args: []string{"-w", " %{num_connects}\n", "/", "/echo", "/missing", "/redirect", "/pieces", "/"}, want: []string{"hello 1\n 0\n404 page not found\n 0\n 0\npiece 0\npiece 1\npiece 2\npiece 3\npiece 4\n 0\nhello 0\n"}},
		"1.0":              {args: []string{"-0", "-i", "/pieces"}, want: []string{"HTTP/1.1 200 OK\r\n", "Connection: close\r\n", "\r\n\r\npiece 0\npiece 1\npiece 2\npiece 3\npiece 4\n"}},
		"1.0 post":         {args: []string{"-0", "-i", "-d", "a=b", "/echo"}, want: []string{"X-Got: POST HTTP/1.1 3 []\r\n", "\r\n\r\na=b"}},
		"1.0 kept":         {args: []string{"-0", "-H", "Connection: keep-alive", "-w", " %{num_connects}\n", "/", "/"}, want: []string{"hello 1\nhello 0\n"}},
		"missing":          {args: []string{"-i", "/missing"}, want: []string{"HTTP/1.1 404 Not Found\r\n", "\r\n\r\n404 page not found\n"}},
		"redirect":         {args: []string{"-i", "/redirect"}, want: []string{"HTTP/1.1 302 Found\r\n", "Location: http://elsewhere.test/?a=b\r\n"}},
		"compressed":       {args: []string{"--compressed", "/zipped"}, want: []string{strings.Repeat("squeezed ", 1000)}},
		"as it came":       {args: []string{"-i", "-H", "Accept-Encoding: gzip", "/zipped"}, want: []string{"Content-Encoding: gzip\r\n", "\r\n\r\n" + string(zipped)}},
		"cookies":          {args: []string{"-i", "/cookies"}, want: []string{"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Path=/\r\n"}},
		"options":          {args: []string{"-i", "-X", "OPTIONS", "--request-target", "*", "-H", "Max-Forwards: 0", "/"}, want: []string{"HTTP/1.1 200 OK\r\n", "Allow: GET, "}},
		"through a proxy":  {args: []string{"-i", "-x", p.url(""), "http://127.0.0.1:1/echo", "-d", "q"}, want: []string{"X-Got: POST HTTP/1.1 1 []\r\n", "\r\n\r\nq"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"-q", "-sS", "--noproxy", "", "--max-time", "30"}
			for _, a := range test.args {
				if strings.HasPrefix(a, "/") {
					a = p.url(a)
				}
				args = append(args, a)
			}
			cmd := exec.CommandContext(t.Context(), curl, args...)
			cmd.Env = append(os.Environ(), "http_proxy=", "HTTP_PROXY=", "all_proxy=", "ALL_PROXY=")
			cmd.Stdin = strings.NewReader(test.stdin)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("curl: %v: %s", err, &stderr)
			}
			for _, w := range test.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("curl printed %.500q, which lacks %.200q", out, w)
				}
			}
		})
	}
}

// The client of net/http.
func TestHTTPClient(t *testing.T) {
	t.Parallel()
	h := serve(t, "127.0.0.1", mirror)
	p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"reactors_num": 1}})
	c := p.client()
	for range 100 {
		if _, body := p.get(c, "/"); body != "hello" {
			t.Fatalf("got %q", body)
		}
	}
	if n := h.opened.Load(); n != 1 {
		t.Errorf("%d connections to the host for 100 consecutive requests", n)
	}
	for _, size := range []int{0, 1, 4096, 100_000, 3 << 20} {
		for _, chunked := range []bool{false, true} {
			body := string(noise[:size])
			req, err := http.NewRequest(http.MethodPost, p.url("/echo"), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if chunked && size > 0 {
				req.ContentLength = -1
				req.Trailer = http.Header{"X-Sum": {"17"}}
			}
			res, got := do(t, c, req)
			if res.StatusCode != 200 || got != body {
				t.Errorf("%d bytes, chunked %v: got status %d and %d bytes back", size, chunked, res.StatusCode, len(got))
			}
			if chunked && size > 0 && res.Trailer.Get("X-Sum") != "17" {
				t.Errorf("%d bytes: the trailers are %v", size, res.Trailer)
			}
		}
	}
	if res, got := p.get(c, "/zipped"); got != string(zipped) || res.Header.Get("Content-Encoding") != "gzip" {
		t.Error("a compressed body was changed")
	}
	if res, _ := p.get(c, "/cookies"); !slices.Equal(res.Header["Set-Cookie"], []string{"a=1; Path=/", "b=2; Path=/"}) {
		t.Errorf("cookies: %q", res.Header["Set-Cookie"])
	}
}

// Responses arrive in the order of the requests, however many requests are pipelined.
func TestHTTPPipelining(t *testing.T) {
	t.Parallel()
	const n = 500
	h := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		if rand.IntN(20) == 0 {
			time.Sleep(time.Millisecond)
		}
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(w, "%s %s", req.URL.Path, body)
	})
	p := startHTTP(t, setup{hosts: []endpoint{h.endpoint, h.endpoint, h.endpoint}})
	c := p.dial()
	go func() {
		var all strings.Builder
		for i := range n {
			switch i % 3 {
			case 0:
				fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: p\r\n\r\n", i)
			case 1:
				fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: p\r\nContent-Length: 4\r\n\r\nbody", i)
			case 2:
				fmt.Fprintf(&all, "PUT /%d HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", i)
			}
		}
		_ = write(c, all.String())
	}()
	in := bufio.NewReader(c)
	for i := range n {
		want := fmt.Sprintf("/%d ", i)
		if i%3 > 0 {
			want += "body"
		}
		if _, got := reply(t, in, http.MethodGet); got != want {
			t.Fatalf("answer %d is %q, want %q", i, got, want)
		}
	}
}

// A truncated response must not take along the complete response before it, which the client is still reading.
func TestHTTPCutSparesTheAnswerBefore(t *testing.T) {
	t.Parallel()
	const size = 500_000
	second := make(chan struct{})
	h := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		if req.URL.Path == "/cut" {
			_, _ = io.WriteString(w, "a part")
			w.(http.Flusher).Flush()
			defer close(second)
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, bulk[:size])
	})
	p := startHTTP(t, setup{hosts: endpoints(h)})
	c := p.dial()
	send(t, c, getRequest+"GET /cut HTTP/1.1\r\nHost: p\r\n\r\n")
	select {
	case <-second:
		time.Sleep(100 * time.Millisecond) // time for the proxy to notice the truncation
	case <-time.After(short * time.Millisecond):
		// The proxy may also forward the second request only after the client has read the first response: that is fine too.
	}
	in := bufio.NewReader(c)
	if _, body := reply(t, in, http.MethodGet); body != bulk[:size] {
		t.Fatalf("got %d bytes", len(body))
	}
	if res, err := http.ReadResponse(in, nil); err == nil {
		if _, err = io.ReadAll(res.Body); err == nil && res.StatusCode == 200 {
			t.Error("the truncated response looks complete")
		}
	}
}

// The client sends no body before the host has asked for it with a 100.
func TestHTTPContinue(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", nil)
	p := startHTTP(t, setup{hosts: endpoints(h)})
	c := p.dial()
	in := bufio.NewReader(c)
	send(t, c, postHead+"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	server := h.accept()
	req, err := http.ReadRequest(bufio.NewReader(server))
	if err != nil || req.Header.Get("Expect") != "100-continue" {
		t.Fatalf("the host got %v, error %v", req, err)
	}
	send(t, server, "HTTP/1.1 100 Continue\r\n\r\n")
	line, err := in.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("the client got %q, error %v", line, err)
	}
	_, _ = in.ReadString('\n')
	send(t, c, "body")
	expect(t, server, "body")
	send(t, server, hello)
	expectStatus(t, in, 200)
}

// Error pages of the proxy itself.
func TestHTTPErrorPages(t *testing.T) {
	t.Parallel()
	h := serve(t, "127.0.0.1", mirror)
	down := startHTTP(t, setup{hosts: []endpoint{refusing(t), refusing(t)}})
	small := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"max_body_size": 10}})
	byName := startHTTP(t, setup{hosts: endpoints(h), algorithm: "host"})
	for name, test := range map[string]struct {
		p      *proxy
		in     string
		status int
		keeps  bool // the connection is kept
	}{
		"502":              {down, getRequest, 502, true},
		"400":              {down, "GET / HTTP/1.1\r\n\r\n", 400, false},
		"413":              {small, postHead + "Content-Length: 11\r\n\r\n", 413, false},
		"413 when it came": {small, chunkedHead + "b\r\n01234567890\r\n0\r\n\r\n", 413, false},
		"421":              {byName, getRequest, 421, true},
	} {
		for accept, kind := range map[string]string{
			"":                               "text/html; charset=utf-8",
			"text/plain":                     "text/plain; charset=utf-8",
			"text/html, text/plain;q=0.5":    "text/html; charset=utf-8",
			"text/html;q=0.5, text/plain":    "text/plain; charset=utf-8",
			"application/json, text/*;q=0.1": "text/html; charset=utf-8",
		} {
			t.Run(name+" "+accept, func(t *testing.T) {
				t.Parallel()
				c := test.p.dial()
				text := test.in
				if accept != "" {
					text = strings.Replace(text, "HTTP/1.1\r\n", "HTTP/1.1\r\nAccept: "+accept+"\r\n", 1)
				}
				send(t, c, text)
				in := bufio.NewReader(c)
				res, body := reply(t, in, http.MethodGet)
				if test.status == 400 && accept != "" {
					kind = res.Header.Get("Content-Type") // the proxy may not have parsed the Accept field
				}
				reason := strconv.Itoa(test.status) + " " + http.StatusText(test.status)
				if test.status == 413 {
					reason = "413 "
				}
				if res.StatusCode != test.status || res.Header.Get("Content-Type") != kind || !strings.Contains(body, reason) {
					t.Errorf("got status %d, type %q: %q; want %q, type %q", res.StatusCode, res.Header.Get("Content-Type"), body, reason, kind)
				}
				if _, err := http.ParseTime(res.Header.Get("Date")); err != nil {
					t.Errorf("Date: %v", err)
				}
				for _, secret := range []string{"127.0.0.1", "refused", "kroxy", "backend"} {
					if strings.Contains(strings.ToLower(body), secret) || strings.Contains(fmt.Sprint(res.Header), secret) {
						t.Errorf("the response reveals %q", secret)
					}
				}
				if res.Close == test.keeps {
					t.Errorf("whether the response has Connection: close: %v", res.Close)
				}
				if !test.keeps {
					expectEnd(t, in)
					return
				}
				send(t, c, test.in)
				expectStatus(t, in, test.status)
			})
		}
	}
	down.get(down.client(), "/")
	line := down.await(down.stderr, `level=ERROR msg="http: exchange failed".*`)[0]
	for _, part := range []string{"client=127.0.0.1", `while="connecting to a host"`, "method=GET", "target=/", "connection refused"} {
		if !strings.Contains(line, part) {
			t.Errorf("the log line lacks %q: %s", part, line)
		}
	}
}
