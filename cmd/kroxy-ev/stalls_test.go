package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A peer with Nagle's algorithm (RFC 9293 section 3.7.4), the default of sockets, holds a small piece back until its previous data is acknowledged. A
// receiver with nothing to send acknowledges 40 ms later: a stall. The peers of these tests use Nagle's algorithm, and no exchange may take nearly as long.

// nagling turns Nagle's algorithm on, which Go turns off by default.
func nagling(c *net.TCPConn) *net.TCPConn {
	_ = c.SetNoDelay(false)
	return c
}

// dialNagling connects a client, by TLS if config is not nil. The handshake happens with the first write or read.
func (p *proxy) dialNagling(config *tls.Config) halfCloser {
	p.t.Helper()
	c := nagling(p.dial())
	if config == nil {
		return c
	}
	return tls.Client(&watched{TCPConn: c}, config)
}

// hostNagling starts a host that speaks TLS if config is not nil.
func hostNagling(t *testing.T, config *tls.Config, handler func(halfCloser)) *host {
	t.Helper()
	return listen(t, "127.0.0.1", func(c *net.TCPConn) {
		if nagling(c); config != nil {
			handler(tls.Server(&watched{TCPConn: c}, config))
		} else {
			handler(c)
		}
	})
}

// sendEach sends each piece with a write of its own, in TLS as a record.
func sendEach(t *testing.T, c net.Conn, pieces []string) {
	t.Helper()
	for _, s := range pieces {
		send(t, c, s)
	}
}

// expectPrompt demands that once takes less time than a delayed acknowledgement. A stall happens every time and a slow machine does not, so two good tries of
// five are enough. Tests that use it are not parallel; only their subtests run in parallel.
func expectPrompt(t *testing.T, once func()) {
	t.Helper()
	const prompt = 30 * time.Millisecond
	var took []time.Duration
	for begin := time.Now(); time.Since(begin) < patience/2; { // a machine may be slow for a while, and connections have a deadline
		took = nil
		for range 5 {
			begin := time.Now()
			once()
			took = append(took, time.Since(begin))
		}
		if slices.Sort(took); took[1] < prompt {
			return
		}
	}
	t.Errorf("every round stalled: they took %v", took)
}

// sides returns all combinations of sides that speak TLS, none included.
func sides() map[string]tlsSides {
	all := map[string]tlsSides{"plain": {}}
	for name, w := range ways {
		all["TLS with "+name] = w
	}
	return all
}

// Messages that either side sends in pieces, over kept-alive connections.
func TestNoStallInHTTP(t *testing.T) {
	skipUnderRace(t, "it is about time")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	const (
		post     = postHead + "Content-Length: 10\r\n\r\n"
		response = okHead + "Content-Length: 10\r\n\r\n"
		pieces   = okHead + "Transfer-Encoding: chunked\r\n\r\n"
	)
	long := fmt.Sprintf("Content-Length: %d\r\n\r\n", 100_000)
	for name, test := range map[string]struct {
		request, response []string // one write each
		pause             time.Duration
	}{
		"in one piece":                  {request: []string{post + "0123456789"}, response: []string{response + "0123456789"}},
		"request head in two":           {request: []string{postHead, "Content-Length: 0\r\n\r\n"}, response: []string{hello}},
		"request head and body":         {request: []string{post, "0123456789"}, response: []string{hello}},
		"request body in pieces":        {request: []string{post + "0", "1", "23456789"}, response: []string{hello}},
		"request body, long":            {request: []string{postHead + long, bulk[:100], bulk[:99_900]}, response: []string{hello}},
		"request chunked":               {request: []string{chunkedHead, "5\r\n", "hello", "\r\n", "0\r\n\r\n"}, response: []string{hello}},
		"two requests":                  {request: []string{getRequest, getRequest}, response: []string{hello}},
		"response head in two":          {request: []string{getRequest}, response: []string{okHead, "Content-Length: 0\r\n\r\n"}},
		"response head and body":        {request: []string{getRequest}, response: []string{response, "0123456789"}},
		"response body in pieces":       {request: []string{getRequest}, response: []string{response + "0", "1", "23456789"}},
		"response body, long":           {request: []string{getRequest}, response: []string{okHead + long, bulk[:100], bulk[:99_900]}},
		"response chunked":              {request: []string{getRequest}, response: []string{pieces, "5\r\n", "hello", "\r\n", "0\r\n\r\n"}},
		"response chunked, with pauses": {request: []string{getRequest}, response: []string{pieces, "1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"}, pause: 2 * time.Millisecond},
		"request trailer in pieces":     {request: []string{chunkedHead, "5\r\nhello\r\n", "0\r\n", "X: y\r\n", "\r\n"}, response: []string{hello}},
		"response trailer in pieces":    {request: []string{getRequest}, response: []string{pieces, "5\r\nhello\r\n", "0\r\n", "X: y\r\n", "\r\n"}},
		"interim response in pieces":    {request: []string{getRequest}, response: []string{"HTTP/1.1 103 Early Hints\r\n", "Link: </a>\r\n\r\n", response, "0123456789"}},
		"interim response":              {request: []string{getRequest}, response: []string{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", hello}},
	} {
		for spoken, w := range sides() {
			t.Run(name+", "+spoken, func(t *testing.T) {
				t.Parallel()
				var config, trusts *tls.Config
				if w.host {
					config = id.config()
				}
				if w.client {
					trusts = a.clientConfig("127.0.0.1")
				}
				h := hostNagling(t, config, func(c halfCloser) {
					for in := bufio.NewReader(c); ; {
						req, err := http.ReadRequest(in)
						if err != nil {
							return
						}
						if _, err := io.Copy(io.Discard, req.Body); err != nil {
							return
						}
						for _, s := range test.response {
							if write(c, s) != nil {
								return
							}
							time.Sleep(test.pause)
						}
					}
				})
				p := startHTTP(t, w.setup(endpoints(h), id, a, nil))
				c := p.dialNagling(trusts)
				in := bufio.NewReader(c)
				requests := strings.Count(strings.Join(test.request, ""), "HTTP/1.1")
				expectPrompt(t, func() {
					sendEach(t, c, test.request)
					for got := 0; got < requests; {
						res, _ := reply(t, in, http.MethodGet)
						if res.StatusCode >= 200 {
							got++
						}
					}
				})
			})
		}
	}
}

// A new connection: the client sends the last message of a handshake; the host may send tickets after it.
func TestNoStallAfterHandshakes(t *testing.T) {
	skipUnderRace(t, "it is about time")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for _, mode := range []string{"stream", "http"} {
		for spoken, w := range sides() {
			for name, version := range versions {
				for _, resumed := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, %s, TLS %s, resumed %v", mode, spoken, name, resumed), func(t *testing.T) {
						t.Parallel()
						var config, trusts *tls.Config
						if w.host {
							config = only(version, id.config())
							config.SessionTicketsDisabled = !resumed
						}
						if w.client {
							trusts = only(version, a.clientConfig("127.0.0.1"))
							if resumed {
								trusts.ClientSessionCache = tls.NewLRUClientSessionCache(1)
							}
						}
						h := hostNagling(t, config, func(c halfCloser) {
							if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
								_ = write(c, toldToClose)
								_ = c.CloseWrite()
								_, _ = io.Copy(io.Discard, underlyingTCP(c))
							}
						})
						s := w.setup(endpoints(h), id, a, nil)
						s.mode = mode
						p := start(t, s)
						expectPrompt(t, func() {
							c := p.dialNagling(trusts)
							sendEach(t, c, []string{getRequest})
							if _, body := reply(t, bufio.NewReader(c), http.MethodGet); body != "hello" {
								t.Fatalf("got %q", body)
							}
							_ = c.Close()
						})
					})
				}
			}
		}
	}
}

// halving writes everything in two pieces.
type halving struct{ *watched }

func (h halving) Write(p []byte) (int, error) {
	n, err := h.watched.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	m, err := h.watched.Write(p[len(p)/2:])
	return n + m, err
}

// The client's part of the handshake may arrive in pieces, and a signature may take time on a thread of its own.
func TestNoStallInHandshakes(t *testing.T) {
	skipUnderRace(t, "it is about time")
	a := newAuthority(t)
	h := hostNagling(t, nil, func(c halfCloser) {})
	for name, id := range map[string]*identity{"ECDSA": a.issue("127.0.0.1"), "RSA": a.issueRSA("127.0.0.1")} {
		for _, verified := range []bool{false, true} {
			for spoken, version := range versions {
				t.Run(fmt.Sprintf("%s, TLS %s, client certificate %v", name, spoken, verified), func(t *testing.T) {
					t.Parallel()
					p := startHTTP(t, setup{hosts: endpoints(h), settings: id.serverSettings(settings{"tls_verify_client": verified, "tls_client_ca_path": a.path})})
					config := only(version, id.withClientCert(a.clientConfig("127.0.0.1")))
					expectPrompt(t, func() {
						c := tls.Client(halving{&watched{TCPConn: nagling(p.dial())}}, config)
						if err := c.Handshake(); err != nil {
							t.Fatal(err)
						}
						_ = c.NetConn().Close()
					})
				})
			}
		}
	}
}

// A client that waits for a 100 before it sends its body, and a tunnel after a 101.
func TestNoStallBehindInterimResponses(t *testing.T) {
	skipUnderRace(t, "it is about time")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	const ask, answer = "question", "answer"
	serve := func(c halfCloser) {
		in := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if req.Header.Get("Upgrade") != "" {
				_ = write(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
				for word := make([]byte, len(ask)); ; {
					if _, err := io.ReadFull(in, word); err != nil {
						return
					}
					_ = write(c, answer[:3])
					_ = write(c, answer[3:])
				}
			}
			_ = write(c, "HTTP/1.1 100 Continue\r\n\r\n")
			_, _ = io.Copy(io.Discard, req.Body)
			_ = write(c, hello)
		}
	}
	for spoken, w := range sides() {
		var config, trusts *tls.Config
		if w.host {
			config = id.config()
		}
		if w.client {
			trusts = a.clientConfig("127.0.0.1")
		}
		t.Run("100, "+spoken, func(t *testing.T) {
			t.Parallel()
			c := startHTTP(t, w.setup(endpoints(hostNagling(t, config, serve)), id, a, nil)).dialNagling(trusts)
			in := bufio.NewReader(c)
			expectPrompt(t, func() {
				send(t, c, postHead+"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
				expectStatus(t, in, http.StatusContinue)
				sendEach(t, c, []string{"0123", "456789"})
				expectStatus(t, in, http.StatusOK)
			})
		})
		t.Run("101, "+spoken, func(t *testing.T) {
			t.Parallel()
			c := startHTTP(t, w.setup(endpoints(hostNagling(t, config, serve)), id, a, nil)).dialNagling(trusts)
			in := bufio.NewReader(c)
			send(t, c, "GET / HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			expectStatus(t, in, http.StatusSwitchingProtocols)
			got := make([]byte, len(answer))
			expectPrompt(t, func() {
				sendEach(t, c, []string{ask[:4], ask[4:]})
				if _, err := io.ReadFull(in, got); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A message over a connection of its own, which either side closes: nothing can be learnt from earlier messages.
func TestNoStallOnConnectionsThatEnd(t *testing.T) {
	skipUnderRace(t, "it is about time")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for name, test := range map[string]struct {
		request, response []string // one write each
		early             bool     // the response comes before the request's body
	}{
		"up to the end":           {request: []string{getRequest}, response: []string{okHead + "\r\n", "0", "1", "23456789"}},
		"head in two, to the end": {request: []string{getRequest}, response: []string{okHead, "\r\n", "0", "123456789"}},
		"HTTP/1.0":                {request: []string{"GET / HTTP/1.0\r\n", "\r\n"}, response: []string{okHead, "Connection: close\r\nContent-Length: 10\r\n\r\n", "0123456789"}},
		"request and response":    {request: []string{postHead + "Connection: close\r\n", "Content-Length: 4\r\n\r\n", "0", "123"}, response: []string{okHead + "Connection: close\r\nContent-Length: 10\r\n\r\n", "0123456789"}},
		"early":                   {request: []string{postHead + "Content-Length: 100\r\n\r\n", "0", "1"}, response: []string{okHead + "Connection: close\r\nContent-Length: 10\r\n\r\n", "0", "123456789"}, early: true},
	} {
		for spoken, w := range sides() {
			t.Run(name+", "+spoken, func(t *testing.T) {
				t.Parallel()
				var config, trusts *tls.Config
				if w.host {
					config = id.config()
				}
				if w.client {
					trusts = a.clientConfig("127.0.0.1")
				}
				h := hostNagling(t, config, func(c halfCloser) {
					req, err := http.ReadRequest(bufio.NewReader(c))
					if err != nil {
						return
					}
					if !test.early {
						_, _ = io.Copy(io.Discard, req.Body)
					}
					for _, s := range test.response {
						if write(c, s) != nil {
							return
						}
					}
					_ = c.CloseWrite()
					_, _ = io.Copy(io.Discard, underlyingTCP(c))
				})
				p := startHTTP(t, w.setup(endpoints(h), id, a, nil))
				expectPrompt(t, func() {
					c := p.dialNagling(trusts)
					sendEach(t, c, test.request)
					if _, body := reply(t, bufio.NewReader(c), http.MethodGet); body != "0123456789" {
						t.Fatalf("got %q", body)
					}
					_ = c.Close()
				})
			})
		}
	}
}

// The proxy does not know the protocol of a stream, but it learns that a peer sends in two pieces or speaks TLS.
func TestNoStallInStream(t *testing.T) {
	skipUnderRace(t, "it is about time")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for name, test := range map[string]struct{ question, answer []string }{
		"in one piece":                {[]string{"question"}, []string{"answer"}},
		"question in two":             {[]string{"ques", "tion"}, []string{"answer"}},
		"question in three":           {[]string{"q", "uest", "ion"}, []string{"answer"}},
		"answer in two":               {[]string{"question"}, []string{"ans", "wer"}},
		"both in two":                 {[]string{"ques", "tion"}, []string{"ans", "wer"}},
		"one of each":                 {[]string{"a", "b"}, []string{"c", "d", "e"}},
		"long answer behind a header": {[]string{"question"}, []string{"head", bulk[:100_000]}},
	} {
		for spoken, w := range sides() {
			t.Run(name+", "+spoken, func(t *testing.T) {
				t.Parallel()
				var config, trusts *tls.Config
				if w.host {
					config = id.config()
				}
				if w.client {
					trusts = a.clientConfig("127.0.0.1")
				}
				question, answer := strings.Join(test.question, ""), strings.Join(test.answer, "")
				h := hostNagling(t, config, func(c halfCloser) {
					for got := make([]byte, len(question)); ; {
						if _, err := io.ReadFull(c, got); err != nil {
							return
						}
						for _, s := range test.answer {
							if write(c, s) != nil {
								return
							}
						}
					}
				})
				c := start(t, w.setup(endpoints(h), id, a, nil)).dialNagling(trusts)
				expectPrompt(t, func() {
					sendEach(t, c, test.question)
					expect(t, c, answer)
				})
			})
		}
	}
	for _, algorithm := range []string{"round_robin", "sni"} {
		t.Run("a new connection of TLS that passes through, "+algorithm, func(t *testing.T) {
			t.Parallel()
			config := id.config()
			config.SessionTicketsDisabled = true // otherwise the host would send tickets after the client's last message
			h := hostNagling(t, config, func(c halfCloser) {
				_, _ = io.Copy(c, c)
				_ = c.CloseWrite()
			})
			p := start(t, setup{hosts: []endpoint{withName(h.endpoint, "localhost")}, algorithm: algorithm})
			expectPrompt(t, func() {
				c := p.dialNagling(askingFor(a.clientConfig(""), "localhost"))
				expectEcho(t, c, "hello")
				_ = c.Close()
			})
		})
	}
}
