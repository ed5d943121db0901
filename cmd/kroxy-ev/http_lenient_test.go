package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// No response to a HEAD has content, error pages included: the client would take it for the next response.
func TestHTTPNoContentForHead(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) { reset(c) })
	plain := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"client_header_timeout": ample}})
	a := newAuthority(t)
	secure := startHTTP(t, setup{hosts: endpoints(h), settings: a.issue("site.test").serverSettings(nil)})
	for name, test := range map[string]struct {
		proxy  *proxy
		in     string
		status string
	}{
		"502":                 {plain, "HEAD / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n", "502"},
		"502 of 1.0":          {plain, "HEAD / HTTP/1.0\r\n\r\n", "502"},
		"0.9":                 {plain, "HEAD / HTTP/0.9\r\n\r\n", "400"},
		"no version":          {plain, "HEAD /\r\n\r\n", "400"},
		"2.0":                 {plain, "HEAD / HTTP/2.0\r\n\r\n", "505"},
		"bad target":          {plain, "HEAD /# HTTP/1.1\r\nHost: p\r\n\r\n", "400"},
		"bare LF":             {plain, "HEAD / HTTP/1.1\nHost: p\n\n", "400"},
		"long target":         {plain, "HEAD /" + strings.Repeat("a", 20<<10), "414"},
		"bad field":           {plain, "\r\nHEAD / HTTP/1.1\r\nHost : p\r\n\r\n", "400"},
		"half a head":         {plain, "HEAD / HT", "408"},
		"plain on a TLS port": {secure, "HEAD / HTTP/1.1\r\nHost: p\r\n\r\n", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := test.proxy.dial()
			send(t, c, test.in)
			got, err := io.ReadAll(c)
			head, content, whole := strings.Cut(string(got), "\r\n\r\n")
			if !strings.HasPrefix(head, "HTTP/1.1 "+test.status+" ") || !whole || content != "" || howEnded(err) != "end" {
				t.Errorf("got %q and %s, want only the head of a %s", got, howEnded(err), test.status)
			}
		})
	}
}

// A 101 with a Transfer-Encoding switches protocols all the same, and what follows is not parsed as chunks.
func TestHTTPSwitchWithCoding(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101\r\nUpgrade: x\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\nwelcome")
		_, _ = io.Copy(c, in)
	})
	p := startHTTP(t, setup{hosts: endpoints(h)})
	c := p.dial()
	send(t, c, "GET / HTTP/1.1\r\nHost: p\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
	expect(t, c, "HTTP/1.1 101 \r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nwelcome")
	send(t, c, "5\r\nhello")
	expect(t, c, "5\r\nhello")
}

// Interim responses reset the read timeout, but a host cannot avoid answering for ever.
func TestHTTPEndlessInterims(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"proxy_read_timeout": 200}})
	c := p.dial()
	send(t, c, "GET / HTTP/1.1\r\nHost: p\r\n\r\n")
	in := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("reading a response: %v", err)
		}
		if res.StatusCode != http.StatusProcessing {
			if res.StatusCode != http.StatusGatewayTimeout {
				t.Errorf("status %d, want 504", res.StatusCode)
			}
			return
		}
	}
}
