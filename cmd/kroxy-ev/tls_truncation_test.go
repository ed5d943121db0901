package main_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// streamEnds are the ways in which a TLS stream may end, from properly to not at all announced.
var streamEnds = map[string]func(c *tls.Conn){
	"close_notify": func(c *tls.Conn) { // and then a FIN
		_ = c.CloseWrite()
		_ = underlyingTCP(c).CloseWrite()
	},
	"close_notify alone": func(c *tls.Conn) { _ = c.CloseWrite() },
	"FIN":                func(c *tls.Conn) { _ = underlyingTCP(c).CloseWrite() },
	"FIN in a record": func(c *tls.Conn) {
		_, _ = underlyingTCP(c).Write([]byte{23, 3, 3, 1, 0, 7, 7, 7})
		_ = underlyingTCP(c).CloseWrite()
	},
	"reset": func(c *tls.Conn) { reset(underlyingTCP(c)) },
}

// announced reports whether such an end tells the peer that the stream is complete.
func announced(stop string) bool { return strings.HasPrefix(stop, "close_notify") }

// A response without a length is complete only if the host ends it with close_notify.
func TestTLSTruncatedResponses(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	const head = okHead + "X: y\r\n"
	for name, test := range map[string]struct {
		response string
		length   bool // it has a length, and the whole body
		short    bool // it has a length, and less than the whole body
	}{
		"until close":           {response: head + "\r\nhello"},
		"until close, empty":    {response: head + "\r\n"},
		"until close, long":     {response: head + "\r\n" + bulk[:3<<20]},
		"Content-Length":        {response: head + "Content-Length: 5\r\n\r\nhello", length: true},
		"chunked":               {response: head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", length: true},
		"Content-Length, short": {response: head + "Content-Length: 6\r\n\r\nhello", short: true},
		"chunked, short":        {response: head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", short: true},
	} {
		for stop, end := range streamEnds {
			t.Run(name+", "+stop, func(t *testing.T) {
				t.Parallel()
				h := listenTLS(t, id.config(), func(c *tls.Conn) {
					if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
						_ = write(c, test.response)
						if stop == "reset" {
							awaitDelivered(c)
						}
						end(c)
					}
					_, _ = io.Copy(io.Discard, underlyingTCP(c))
				})
				w := tlsSides{true, true}
				p := startHTTP(t, w.setup(endpoints(h), id, a, nil))
				whole := test.length || announced(stop) && !test.short
				for _, version := range []string{"1.1", "1.0"} {
					c := p.dialTLS(a.clientConfig("127.0.0.1"))
					send(t, c, "GET / HTTP/"+version+"\r\nHost: p\r\nConnection: close\r\n\r\n")
					res, err := http.ReadResponse(bufio.NewReader(c), nil)
					if stop == "reset" && (err != nil || res.StatusCode == http.StatusBadGateway) {
						continue // the reset came before the response was read
					}
					if err != nil {
						t.Fatalf("HTTP/%s: reading the head: %v", version, err)
					}
					body, err := io.ReadAll(res.Body)
					// A body without a length ends with the client's stream.
					looksWhole := err == nil && (res.ContentLength >= 0 || len(res.TransferEncoding) > 0 || !truncated(c))
					if looksWhole != whole {
						t.Errorf("HTTP/%s: %d bytes of the body and error %v: looks complete: %v, want %v", version, len(body), err, looksWhole, whole)
					}
					_, content, _ := strings.Cut(test.response, "\r\n\r\n")
					if whole && !test.short && strings.Contains(content, "hello") && string(body) != "hello" {
						t.Errorf("HTTP/%s: the body is %.100q", version, body)
					}
				}
			})
		}
	}
}

// awaitDelivered waits, for a second at most, until the peer's kernel has everything that was written.
func awaitDelivered(c net.Conn) {
	raw, err := underlyingTCP(c).SyscallConn()
	for begin, n := time.Now(), -1; err == nil && n != 0 && time.Since(begin) < time.Second; time.Sleep(time.Millisecond) {
		_ = raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	}
}

// A plain client of HTTP/1.0, whose body ends with the connection, gets a reset if the host sent no close_notify.
func TestTLSTruncationForPlainClients(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for stop, want := range map[string]string{"close_notify": "end", "FIN": "reset", "FIN in a record": "reset"} {
		t.Run(stop, func(t *testing.T) {
			t.Parallel()
			h := listenTLS(t, id.config(), func(c *tls.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_ = write(c, okHead+"\r\n"+bulk[:100_000])
					streamEnds[stop](c)
				}
				_, _ = io.Copy(io.Discard, underlyingTCP(c))
			})
			p := startHTTP(t, tlsSides{host: true}.setup(endpoints(h), id, a, nil))
			c := p.dial()
			send(t, c, "GET / HTTP/1.0\r\n\r\n")
			got, err := io.ReadAll(c)
			if howEnded(err) != want || len(got) < 100_000 {
				t.Errorf("got %d bytes and %s, want %s after all of them", len(got), howEnded(err), want)
			}
		})
	}
}

// In stream mode neither side takes a truncated stream for a complete one.
func TestTLSTruncatedStreams(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range ways {
		for stop, end := range streamEnds {
			for name, said := range map[string]string{"": "", ", said something": "hello", ", said much": bulk[:2<<20]} {
				for _, from := range []string{"client", "host"} {
					if from == "client" && !w.client || from == "host" && !w.host {
						continue
					}
					t.Run(spoken+", "+stop+" of the "+from+name, func(t *testing.T) {
						t.Parallel()
						h := listen(t, "127.0.0.1", nil)
						p := start(t, w.setup(endpoints(h), id, a, nil))
						open := p.sockets()
						client, server := w.connect(p, h, id, a)
						source, sink := client, server
						if from == "host" {
							source, sink = server, client
						}
						// A reset may overtake data that the sink has not read.
						went := make(chan struct{})
						go func() {
							defer close(went)
							_ = write(source, said)
							end(source.(*tls.Conn))
						}()
						got, err := io.ReadAll(sink)
						switch whole := err == nil && !truncated(sink); {
						case whole != announced(stop):
							t.Errorf("the other end got %d bytes and %s: looks complete: %v", len(got), howEnded(err), whole)
						case announced(stop):
							if string(got) != said {
								t.Errorf("the other end got %d bytes of %d", len(got), len(said))
							}
							send(t, sink, "and back") // this direction stays open
							_ = sink.CloseWrite()
							if stop == "close_notify" || stop == "close_notify alone" {
								expectWhole(t, source, "and back")
							}
						case !errors.Is(err, unix.ECONNRESET):
							t.Errorf("the other end got %s, want a reset", howEnded(err))
						}
						<-went
						_, _ = client.Close(), server.Close()
						p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open })
					})
				}
			}
		}
	}
}

// A truncated request body does not look complete to the host. A body with a length needs no close_notify.
func TestTLSTruncatedRequests(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	got := make(chan error, 100)
	h := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		_, err := io.Copy(io.Discard, req.Body)
		got <- err
		_, _ = io.WriteString(w, "A")
	})
	p := startHTTP(t, tlsSides{client: true}.setup(endpoints(h), id, a, nil))
	for name, test := range map[string]struct {
		request string
		whole   bool
	}{
		"Content-Length":        {postHead + "Content-Length: 5\r\n\r\nhello", true},
		"Content-Length, short": {postHead + "Content-Length: 6\r\n\r\nhello", false},
		"chunked":               {chunkedHead + "5\r\nhello\r\n0\r\n\r\n", true},
		"chunked, short":        {chunkedHead + "5\r\nhello\r\n", false},
	} {
		for stop, end := range streamEnds {
			if stop == "reset" {
				continue // the reset may overtake the request
			}
			t.Log(name, stop)
			c := p.dialTLS(a.clientConfig("127.0.0.1"))
			send(t, c, test.request)
			end(c)
			select {
			case err := <-got:
				if (err == nil) != test.whole {
					t.Errorf("%s, %s: the host got the body and error %v", name, stop, err)
				}
			case <-time.After(patience):
				t.Fatal("the host got nothing")
			}
			if test.whole && announced(stop) {
				expectStatus(t, bufio.NewReader(c), 200)
			}
			_ = c.Close()
		}
	}
}
