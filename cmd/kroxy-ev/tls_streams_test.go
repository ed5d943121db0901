package main_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The hosts of http mode, in stream mode.
func TestTLSStreamHosts(t *testing.T) {
	t.Parallel()
	for name, h := range tlsHosts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e endpoint
			if h.config != nil {
				e = listenTLS(t, h.config, echoTLS).endpoint
			} else {
				e = listen(t, "127.0.0.1", h.instead).endpoint
			}
			p := start(t, h.setup(e))
			open := p.sockets()
			begin := time.Now()
			c, err := p.tryDial()
			switch {
			case h.status != 200 && errors.Is(err, unix.ECONNRESET): // the connection was reset before the client saw it established
			case err != nil:
				t.Fatal(err)
			case h.status == 200:
				expectEcho(t, c, "hello")
				_ = c.CloseWrite()
				expectAll(t, c, "")
			default:
				_, _ = io.WriteString(c, "hello")
				expectClosed(t, c)
			}
			if h.status == 504 {
				notBefore(t, begin, short*time.Millisecond)
			}
			switch n := p.stderr.count("level=(WARN|ERROR)"); {
			case h.log != "" && !strings.Contains(h.log, "remote error"): // in other cases the session had begun, and nothing is logged
				p.await(p.stderr, h.log)
				p.await(p.stderr, `level=ERROR msg="stream: session closed" reason="no host reachable"`)
			case n > 0 && h.status == 200:
				t.Errorf("%d warnings or errors", n)
			}
			p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open })
		})
	}
}

// If the first host's handshake fails, the client waits for a second host, which gets everything that the client has sent meanwhile.
func TestTLSStreamHostBesideBadOnes(t *testing.T) {
	t.Parallel()
	good := newAuthority(t)
	ok := listenTLS(t, good.issue("127.0.0.1").config(), echoTLS)
	for name, bad := range map[string]endpoint{
		"expired": listenTLS(t, good.expired("127.0.0.1").config(), echoTLS).endpoint,
		"plain":   listen(t, "127.0.0.1", answer("220 welcome\r\n")).endpoint,
		"silent":  listen(t, "127.0.0.1", hold(t)).endpoint,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, setup{
				hosts: []endpoint{bad, ok.endpoint}, algorithm: "first", settings: settings{"connect_timeout": patience.Milliseconds()}, // a silent host gets 3 s of it
			}.toTLS(settings{"proxy_tls_verify": true, "proxy_tls_ca_path": good.path}))
			c := p.dial()
			go func() {
				_ = write(c, bulk[:1<<20])
				_ = c.CloseWrite()
			}()
			expectAll(t, c, bulk[:1<<20])
		})
	}
}

// Either end may send first, and either may end first, whichever sides use TLS.
func TestTLSStreamEnds(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range ways {
		for name, talk := range map[string]func(t *testing.T, client, server halfCloser){
			"the host greets": func(t *testing.T, client, server halfCloser) {
				send(t, server, "220 welcome\r\n")
				expect(t, client, "220 welcome\r\n")
				send(t, client, "EHLO\r\n")
				expect(t, server, "EHLO\r\n")
				_ = server.CloseWrite()
				expectWhole(t, client, "")
				_ = client.CloseWrite()
				expectWhole(t, server, "")
			},
			"the client ends first": func(t *testing.T, client, server halfCloser) {
				send(t, client, "question")
				_ = client.CloseWrite()
				expectWhole(t, server, "question")
				go func() {
					_ = write(server, bulk)
					_ = server.CloseWrite()
				}()
				expectWhole(t, client, bulk)
			},
			"the client ends without a word": func(t *testing.T, client, server halfCloser) {
				_ = client.CloseWrite()
				expectWhole(t, server, "")
				send(t, server, "goodbye")
				_ = server.CloseWrite()
				expectWhole(t, client, "goodbye")
			},
			"the host ends first": func(t *testing.T, client, server halfCloser) {
				send(t, server, "welcome")
				_ = server.CloseWrite()
				expectWhole(t, client, "welcome")
				go func() {
					_ = write(client, bulk)
					_ = client.CloseWrite()
				}()
				expectWhole(t, server, bulk)
			},
			"nobody ends": func(t *testing.T, client, server halfCloser) {
				for range 100 {
					send(t, client, "ping")
					expect(t, server, "ping")
					send(t, server, "pong")
					expect(t, client, "pong")
				}
			},
		} {
			t.Run(spoken+", "+name, func(t *testing.T) {
				t.Parallel()
				h := listen(t, "127.0.0.1", nil)
				p := start(t, w.setup(endpoints(h), id, a, nil))
				open := p.sockets()
				client, server := w.connect(p, h, id, a)
				talk(t, client, server)
				_, _ = client.Close(), server.Close()
				p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open })
			})
		}
	}
}
