package main_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// bulk is more than the buffers between both ends hold, so it passes only while both ends move.
var bulk = strings.Repeat("0123456789abcdef", 1<<20)

func TestBytesPassBothWays(t *testing.T) {
	t.Parallel()
	for _, reactors := range []int{0, 1} {
		t.Run(fmt.Sprintf("reactors_num %d", reactors), func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", nil)
			p := start(t, setup{hosts: endpoints(h), settings: settings{"reactors_num": reactors}})
			for _, s := range []string{"x", strings.Repeat("y", 100_000), bulk} {
				client := p.dial()
				server := h.accept()
				sent := make(chan error, 2)
				for _, c := range []*net.TCPConn{client, server} {
					go func() {
						err := write(c, s)
						sent <- errors.Join(err, c.CloseWrite())
					}()
				}
				read := make(chan struct{})
				go func() {
					defer close(read)
					got, err := io.ReadAll(server)
					if err != nil || string(got) != s {
						t.Errorf("the host got %d bytes, error %v; want %d", len(got), err, len(s))
					}
				}()
				expectAll(t, client, s)
				<-read
				if err := errors.Join(<-sent, <-sent); err != nil {
					t.Fatal(err)
				}
			}
			if n := strings.Count(p.stderr.String(), fmt.Sprintf("reactors=%d", reactors)); reactors > 0 && n != 1 {
				t.Errorf("stderr does not mention %d reactors", reactors)
			}
		})
	}
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	for name, talk := range map[string]func(t *testing.T, client, server *net.TCPConn){
		"client first, host still sending": func(t *testing.T, client, server *net.TCPConn) {
			send(t, client, "question")
			_ = client.CloseWrite()
			expectAll(t, server, "question")
			go func() {
				_ = write(server, bulk)
				_ = server.Close()
			}()
			expectAll(t, client, bulk)
		},
		"client first, during the host's bytes": func(t *testing.T, client, server *net.TCPConn) {
			go func() {
				_ = write(server, bulk)
				_ = server.CloseWrite()
			}()
			expect(t, client, bulk[:16])
			_ = client.CloseWrite()
			expectAll(t, server, "")
			expectAll(t, client, bulk[16:])
		},
		"host first, client still sending": func(t *testing.T, client, server *net.TCPConn) {
			send(t, server, "welcome")
			_ = server.CloseWrite()
			expectAll(t, client, "welcome")
			go func() {
				_ = write(client, bulk)
				_ = client.Close()
			}()
			expectAll(t, server, bulk)
		},
		"host first, client continues": func(t *testing.T, client, server *net.TCPConn) {
			_ = server.CloseWrite()
			expectAll(t, client, "")
			for i := range 5 {
				s := fmt.Sprint("line ", i)
				send(t, client, s)
				expect(t, server, s)
			}
			_ = client.CloseWrite()
			expectAll(t, server, "")
		},
		"both at once, without a byte": func(t *testing.T, client, server *net.TCPConn) {
			_ = client.CloseWrite()
			_ = server.CloseWrite()
			expectAll(t, server, "")
			expectAll(t, client, "")
		},
		"host closes early": func(t *testing.T, client, server *net.TCPConn) {
			_ = server.Close()
			expectAll(t, client, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, client, server := connectedPair(t, nil)
			open := p.sockets()
			talk(t, client, server)
			_, _ = client.Close(), server.Close()
			p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open-2 })
		})
	}
}

// A client may send everything, its FIN included, before the host's connection is established.
func TestClientEndsBeforeConnected(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h)})
	for range 50 {
		c := p.dial()
		send(t, c, "all of it")
		_ = c.CloseWrite()
		expectAll(t, c, "all of it")
	}
}

func TestResetPasses(t *testing.T) {
	t.Parallel()
	for name, talk := range map[string]func(t *testing.T, client, server *net.TCPConn){
		"from an idle client": func(t *testing.T, client, server *net.TCPConn) {
			send(t, client, "hello")
			expect(t, server, "hello")
			reset(client)
			expectReset(t, server)
		},
		"from an idle host": func(t *testing.T, client, server *net.TCPConn) {
			send(t, server, "hello")
			expect(t, client, "hello")
			reset(server)
			expectReset(t, client)
		},
		"from a client during an upload": func(t *testing.T, client, server *net.TCPConn) {
			go func() {
				_ = write(client, bulk[:4<<20])
				reset(client)
			}()
			expectReset(t, server)
		},
		"from a host during a download": func(t *testing.T, client, server *net.TCPConn) {
			go func() {
				_ = write(server, bulk[:4<<20])
				reset(server)
			}()
			expectReset(t, client)
		},
		"from a client that does not read its download": func(t *testing.T, client, server *net.TCPConn) {
			writeUntilFull(t, server)
			reset(client)
			expectReset(t, server)
		},
		"from a host that does not read its upload": func(t *testing.T, client, server *net.TCPConn) {
			writeUntilFull(t, client)
			reset(server)
			expectReset(t, client)
		},
		"from a client that had ended its stream": func(t *testing.T, client, server *net.TCPConn) {
			_ = client.CloseWrite()
			expectAll(t, server, "")
			reset(client)
			awaitFailure(t, server)
		},
		"from a host that had ended its stream": func(t *testing.T, client, server *net.TCPConn) {
			_ = server.CloseWrite()
			expectAll(t, client, "")
			reset(server)
			awaitFailure(t, client)
		},
		"from a client to a host that reads nothing": func(t *testing.T, client, server *net.TCPConn) {
			writeUntilFull(t, client)
			reset(client)
			awaitReset(t, server) // after proxy_send_timeout: until then the proxy still reads what the client sends
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := settings{}
			if name == "from a client to a host that reads nothing" {
				set["proxy_send_timeout"] = 1000
			}
			p, client, server := connectedPair(t, set)
			open := p.sockets()
			talk(t, client, server)
			p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open-2 })
		})
	}
}

// awaitFailure writes to c, whose peer has half-closed, until the kernel knows that c is reset.
func awaitFailure(t *testing.T, c *net.TCPConn) {
	t.Helper()
	eventually(t, "the connection is reset", func() bool {
		_, err := c.Write([]byte("x"))
		return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
	})
}

// awaitReset waits until the kernel knows that c is reset, without reading what arrived before.
func awaitReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var events int16
	_ = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		for _, err := unix.Poll(fds, 10_000); err == unix.EINTR; {
			_, err = unix.Poll(fds, 10_000)
		}
		events = fds[0].Revents
	})
	if events&unix.POLLHUP == 0 {
		t.Fatal("the connection is not reset after 10 s")
	}
}

// A host may answer before it has read everything, and close. Its kernel then sends a reset after the answer, as with an HTTP 413. The client still gets the
// answer.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	const reply = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n"
	for name, upload := range map[string]func(c *net.TCPConn){
		"after a part of the upload": func(c *net.TCPConn) { _ = write(c, bulk[:100_000]) },
		"after the upload's end": func(c *net.TCPConn) {
			_ = write(c, bulk[:100_000])
			_ = c.CloseWrite()
		},
		"during the upload": func(c *net.TCPConn) { _ = write(c, bulk) },
		"during small pieces": func(c *net.TCPConn) {
			for {
				if _, err := io.WriteString(c, "a line of a client that never stops\n"); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
				if _, err := io.ReadFull(c, make([]byte, 10)); err == nil {
					_, _ = io.WriteString(c, reply)
				}
			})
			p := start(t, setup{hosts: endpoints(h)})
			for i := range 40 {
				c := p.dial()
				go upload(c)
				got := make([]byte, len(reply))
				if n, err := io.ReadFull(c, got); err != nil || string(got) != reply {
					t.Fatalf("connection %d: read %q, error %v; want the whole answer", i, got[:n], err)
				}
				_ = c.Close()
			}
		})
	}
}
