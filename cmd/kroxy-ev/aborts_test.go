package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A TLS connection that ends without close_notify, or any reset, is passed on as a reset, behind all the bytes that came before it.

// slow returns a reader of c that is slower than the proxy: it has a small buffer and pauses between reads.
func slow(c net.Conn) io.Reader { return slowReader{c} }

type slowReader struct{ c net.Conn }

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return r.c.Read(p[:min(len(p), 128<<10)])
}

// limitReceiveBuffer gives c a small receive buffer, so that the kernel accepts little ahead of the reader.
func limitReceiveBuffer(c net.Conn) { _ = underlyingTCP(c).SetReadBuffer(64 << 10) }

// lastMessages are the messages of a peer that then disappears without close_notify or FIN. The proxy's kernel has received all of them by then.
var lastMessages = map[string]string{"a word": "hello", "8 MB to a slow peer": bulk[:8<<20]}

// In stream mode, in both directions, with TLS on either side or both.
func TestAbortBehindAllBytesOfStream(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range sides() {
		for name, said := range lastMessages {
			for _, from := range []string{"client", "host"} {
				for _, stop := range []string{"FIN", "reset"} {
					speaksTLS := from == "client" && w.client || from == "host" && w.host
					if stop == "FIN" && !speaksTLS || stop == "reset" && len(said) > 100 {
						continue // a FIN without TLS is a regular end; a reset destroys what does not fit into the proxy's receive buffer
					}
					t.Run(fmt.Sprintf("%s, %s of the %s behind %s", spoken, stop, from, name), func(t *testing.T) {
						t.Parallel()
						h := listen(t, "127.0.0.1", nil)
						p := start(t, w.setup(endpoints(h), id, a, nil))
						tries := 1
						if len(said) < 100 {
							tries = 20
						}
						for range tries {
							client, server := w.connect(p, h, id, a)
							source, sink := client, server
							if from == "host" {
								source, sink = server, client
							}
							limitReceiveBuffer(sink)
							went := make(chan struct{})
							go func() {
								defer close(went)
								_ = write(source, said)
								if stop == "reset" {
									awaitDelivered(source)
									reset(underlyingTCP(source))
								} else {
									_ = underlyingTCP(source).CloseWrite()
								}
							}()
							got, err := io.ReadAll(slow(sink))
							if string(got) != said || howEnded(err) != "reset" {
								t.Fatalf("got %d bytes of %d and %s, want everything and a reset", len(got), len(said), howEnded(err))
							}
							<-went
							_, _ = client.Close(), server.Close()
						}
					})
				}
			}
		}
	}
}

// holdingConn holds back everything that is written after the first piece until it is released.
type holdingConn struct {
	*watched
	wrote bool
	held  []byte
}

func (g *holdingConn) Write(p []byte) (int, error) {
	if !g.wrote {
		g.wrote = true
		return g.watched.Write(p)
	}
	g.held = append(g.held, p...)
	return len(p), nil
}

// A client finishes its handshake, sends a word and closes, all in one segment. The host gets the word, even if connecting to the host takes long.
func TestAbortBehindTheFirstBytes(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range sides() {
		for _, stop := range []string{"FIN", "reset"} {
			if stop == "FIN" && !w.client {
				continue
			}
			t.Run(spoken+", "+stop, func(t *testing.T) {
				t.Parallel()
				h := listen(t, "127.0.0.1", nil)
				p := start(t, w.setup(endpoints(h), id, a, nil))
				for range 20 {
					raw := p.dial()
					c, word := io.Writer(raw), []byte("hello")
					if w.client {
						g := &holdingConn{watched: &watched{TCPConn: raw}}
						s := tls.Client(g, only(tls.VersionTLS13, a.clientConfig("127.0.0.1")))
						if err := s.Handshake(); err != nil {
							t.Fatal(err)
						}
						if _, err := s.Write(word); err != nil {
							t.Fatal(err)
						}
						word = g.held
					}
					// The kernel holds the word back until the FIN, so that both share a segment.
					sys, err := raw.SyscallConn()
					if err != nil {
						t.Fatal(err)
					}
					if stop == "FIN" {
						_ = sys.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
					}
					if _, err := c.Write(word); err != nil {
						t.Fatal(err)
					}
					if stop == "FIN" {
						_ = raw.CloseWrite()
					} else {
						reset(raw)
					}
					var server halfCloser
					if w.host {
						server = h.acceptTLS(id.config())
					} else {
						server = h.accept()
					}
					if got, err := io.ReadAll(server); string(got) != "hello" || howEnded(err) != "reset" {
						t.Fatalf("the host got %q and %s, want everything and a reset", got, howEnded(err))
					}
					_ = server.Close()
				}
			})
		}
	}
}

// In http mode the client gets as much of a truncated response as the host has sent, however slowly the client reads.
func TestAbortBehindAllBytesOfAResponse(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	body := bulk[:8<<20]
	for spoken, w := range sides() {
		for name, head := range map[string]string{
			"until close": okHead + "\r\n", "Content-Length": okHead + "Content-Length: 9000000\r\n\r\n",
			"chunked": okHead + "Transfer-Encoding: chunked\r\n\r\n800000\r\n",
		} {
			if name == "until close" && !w.host {
				continue
			}
			t.Run(spoken+", "+name, func(t *testing.T) {
				t.Parallel()
				serve := func(c halfCloser) {
					if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
						_ = write(c, head+body)
						_ = underlyingTCP(c).CloseWrite()
					}
					_, _ = io.Copy(io.Discard, underlyingTCP(c))
				}
				h := listen(t, "127.0.0.1", func(c *net.TCPConn) { serve(c) })
				if w.host {
					h = listenTLS(t, id.config(), func(c *tls.Conn) { serve(c) })
				}
				p := startHTTP(t, w.setup(endpoints(h), id, a, nil))
				var c net.Conn = p.dial()
				if w.client {
					c = p.dialTLS(a.clientConfig("127.0.0.1"))
				}
				limitReceiveBuffer(c)
				send(t, c, getRequest)
				res, err := http.ReadResponse(bufio.NewReaderSize(slow(c), 256<<10), nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(res.Body)
				if string(got) != body || howEnded(err) != "reset" {
					t.Errorf("got %d bytes of %d and %s, want everything and a reset", len(got), len(body), howEnded(err))
				}
			})
		}
	}
}

// abandonedSession starts a session in which one side sends 1 MiB, which fits into the proxy's buffers, and then disappears without close_notify. The other
// side, sink, has read nothing yet. Idle is the number of sockets that the proxy has without the session.
func abandonedSession(t *testing.T, from string, more settings) (p *proxy, idle int, sink halfCloser, said string) {
	t.Helper()
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	w := tlsSides{client: from == "client", host: from == "host"}
	h := listen(t, "127.0.0.1", nil)
	p = start(t, w.setup(endpoints(h), id, a, more))
	idle = p.sockets()
	source, sink := w.connect(p, h, id, a)
	if from == "host" {
		source, sink = sink, source
	}
	limitReceiveBuffer(sink)
	said = bulk[:1<<20]
	send(t, source, said)
	_ = underlyingTCP(source).CloseWrite()
	expectReset(t, underlyingTCP(source)) // the proxy wants no more from the source
	return p, idle, sink, said
}

// A peer that reads what is left, however slowly, gets the time it needs. The timeout is for a peer that reads nothing.
func TestAbortWaitsForASlowPeer(t *testing.T) {
	t.Parallel()
	for from, timeout := range map[string]string{"client": "proxy_send_timeout", "host": "send_timeout"} {
		t.Run("slow, from the "+from, func(t *testing.T) {
			t.Parallel()
			_, _, sink, said := abandonedSession(t, from, settings{timeout: 10_000}) // much longer than a busy machine may stand still between two reads
			_ = sink.SetDeadline(time.Now().Add(4 * patience))
			var got []byte
			var err error
			for part := make([]byte, 16<<10); err == nil; {
				var n int
				n, err = io.ReadFull(sink, part)
				got = append(got, part[:n]...)
				time.Sleep(180 * time.Millisecond) // more than eleven seconds in all
			}
			if string(got) != said || howEnded(err) != "reset" {
				t.Errorf("got %d bytes of %d and %s, want everything and a reset", len(got), len(said), howEnded(err))
			}
		})
		t.Run("a sink that reads nothing, from the "+from, func(t *testing.T) {
			t.Parallel()
			p, idle, sink, said := abandonedSession(t, from, settings{timeout: 3000}) // the timeout must not strike while the source still sends
			p.awaitSockets(t, "the session is over", func(n int) bool { return n <= idle })
			if got, err := io.ReadAll(sink); len(got) == len(said) || howEnded(err) != "reset" {
				t.Errorf("got %d bytes and %s, want a reset", len(got), howEnded(err))
			}
		})
	}
}

// When the proxy has to stop while bytes are still unconfirmed, the stream ends with a reset and not as if it were complete.
func TestAbortWhileStopping(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"client", "host"} {
		t.Run("from the "+from, func(t *testing.T) {
			t.Parallel()
			p, _, sink, said := abandonedSession(t, from, settings{"shutdown_timeout": 200})
			p.signal(unix.SIGTERM)
			p.wait()
			if got, err := io.ReadAll(sink); howEnded(err) != "reset" || len(got) == len(said) {
				t.Errorf("got %d bytes of %d and %s, want a reset", len(got), len(said), howEnded(err))
			}
		})
	}
}
