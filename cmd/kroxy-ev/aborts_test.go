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

// An end that is none, a FIN without close_notify or a reset, is passed on as a reset, behind everything that came before it.

// slow is how a peer reads that is slower than the proxy: of a small buffer, with pauses.
func slow(c net.Conn) io.Reader { return slowReader{c} }

type slowReader struct{ c net.Conn }

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return r.c.Read(p[:min(len(p), 128<<10)])
}

// limitReceiveBuffer has c's kernel take little in advance.
func limitReceiveBuffer(c net.Conn) { _ = underlyingTCP(c).SetReadBuffer(64 << 10) }

// lastWords are the messages of a peer that goes without saying so. What it said was received by the proxy's kernel before.
var lastWords = map[string]string{"a word": "hello", "8 MB to a slow peer": bulk[:8<<20]}

// In stream mode, either way, whoever speaks TLS.
func TestAbortBehindAllBytesOfStream(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range sides() {
		for name, said := range lastWords {
			for _, from := range []string{"client", "host"} {
				for _, stop := range []string{"FIN", "reset"} {
					speaksTLS := from == "client" && w.client || from == "host" && w.host
					if stop == "FIN" && !speaksTLS || stop == "reset" && len(said) > 100 {
						continue // a good end; and a reset destroys what the proxy's kernel has no room for
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
								t.Fatalf("got %d bytes of %d and %s, want all and a reset", len(got), len(said), howEnded(err))
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

// gathering holds back what is written behind a first piece, until it is let go.
type gathering struct {
	*watched
	wrote bool
	held  []byte
}

func (g *gathering) Write(p []byte) (int, error) {
	if !g.wrote {
		g.wrote = true
		return g.watched.Write(p)
	}
	g.held = append(g.held, p...)
	return len(p), nil
}

// A client that ends its handshake, says a word and goes, all in one segment, is heard: also by a host that takes long to be
// connected to.
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
						g := &gathering{watched: &watched{TCPConn: raw}}
						s := tls.Client(g, only(tls.VersionTLS13, a.clientConfig("127.0.0.1")))
						if err := s.Handshake(); err != nil {
							t.Fatal(err)
						}
						if _, err := s.Write(word); err != nil {
							t.Fatal(err)
						}
						word = g.held
					}
					// The word waits for the FIN.
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
					var server closer
					if w.host {
						server = h.acceptTLS(id.config())
					} else {
						server = h.accept()
					}
					if got, err := io.ReadAll(server); string(got) != "hello" || howEnded(err) != "reset" {
						t.Fatalf("the host got %q and %s, want all and a reset", got, howEnded(err))
					}
					_ = server.Close()
				}
			})
		}
	}
}

// In http mode a response that is cut off comes as far as the host has sent it, however slow the client is.
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
				serve := func(c closer) {
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
					t.Errorf("got %d bytes of %d and %s, want all and a reset", len(got), len(body), howEnded(err))
				}
			})
		}
	}
}

// abandonedSession is a session in which one side has said 1 MiB, which the proxy's buffers hold, and gone without saying so. The other has
// taken nothing yet. Idle is how many sockets the proxy has without it.
func abandonedSession(t *testing.T, from string, more settings) (p *proxy, idle int, sink closer, said string) {
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
	expectReset(t, underlyingTCP(source)) // nothing more is wanted of it
	return p, idle, sink, said
}

// A peer that takes what waits for it, however slowly, has the time it needs; the timeout is for one that takes nothing.
func TestAbortWaitsForASlowPeer(t *testing.T) {
	t.Parallel()
	for from, timeout := range map[string]string{"client": "proxy_send_timeout", "host": "send_timeout"} {
		t.Run("slow, from the "+from, func(t *testing.T) {
			t.Parallel()
			_, _, sink, said := abandonedSession(t, from, settings{timeout: 1000})
			var got []byte
			var err error
			for part := make([]byte, 16<<10); err == nil; {
				var n int
				n, err = io.ReadFull(sink, part)
				got = append(got, part[:n]...)
				time.Sleep(30 * time.Millisecond) // two seconds in all
			}
			if string(got) != said || howEnded(err) != "reset" {
				t.Errorf("got %d bytes of %d and %s, want all and a reset", len(got), len(said), howEnded(err))
			}
		})
		t.Run("deaf, from the "+from, func(t *testing.T) {
			t.Parallel()
			p, idle, sink, said := abandonedSession(t, from, settings{timeout: 200})
			p.awaitSockets(t, "the session is over", func(n int) bool { return n == idle })
			if got, err := io.ReadAll(sink); len(got) == len(said) || howEnded(err) != "reset" {
				t.Errorf("got %d bytes and %s, want a reset", len(got), howEnded(err))
			}
		})
	}
}

// What still waits to be confirmed when the proxy has to stop is not ended as if it were whole.
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
