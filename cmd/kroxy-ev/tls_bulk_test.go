package main_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const bulkSize = 10 << 20

// Large uploads and downloads arrive complete, however they are framed.
func TestTLSBulkOfHTTP(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range ways {
		t.Run(spoken, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, version uint16) {
				h := serve(t, "127.0.0.1", bulkHost)
				if w.host {
					h = serveTLS(t, only(version, id.config()), bulkHost)
				}
				p := startHTTP(t, w.setup(endpoints(h), id, a, nil))
				c := p.client()
				if w.client {
					c = p.throughTLS(only(version, a.clientConfig("127.0.0.1")))
				}
				var moving sync.WaitGroup
				for seed := range int64(2) {
					for _, chunked := range []bool{false, true} {
						moving.Go(func() {
							if err := errors.Join(p.upload(c, seed, bulkSize, chunked), p.download(c, seed, bulkSize, chunked)); err != nil {
								t.Error(err)
							}
						})
					}
				}
				moving.Wait()
			})
		})
	}
}

// transferMode is how one end of a stream reads or writes.
type transferMode struct {
	pieces int           // the largest
	pause  time.Duration // after half of the pieces
}

// writeStream writes a stream and ends it.
func (m transferMode) writeStream(c halfCloser, seed uint64, s *stream) error {
	r := rand.New(rand.NewPCG(seed, 1))
	piece := make([]byte, m.pieces)
	for {
		n, err := s.Read(piece[:1+r.IntN(m.pieces)])
		if errors.Is(err, io.EOF) {
			return c.CloseWrite()
		}
		if _, err := c.Write(piece[:n]); err != nil {
			return err
		}
		if m.pause > 0 && r.IntN(2) == 0 {
			time.Sleep(m.pause)
		}
	}
}

// readStream reads a stream to its end and checks it.
func (m transferMode) readStream(c net.Conn, seed, size int64) error {
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	sum, at := crc32.New(castagnoli), int64(0)
	piece := make([]byte, m.pieces)
	for {
		n, err := c.Read(piece[:1+r.IntN(m.pieces)])
		_, _ = sum.Write(piece[:n])
		at += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", at, err)
		}
		if m.pause > 0 && r.IntN(2) == 0 {
			time.Sleep(m.pause)
		}
	}
	if truncated(c) {
		return fmt.Errorf("after %d bytes: no close_notify", at)
	}
	if want := streamSum(seed, size); at != size || sum.Sum32() != want {
		return fmt.Errorf("%d of %d bytes, checksum %08x, want %08x", at, size, sum.Sum32(), want)
	}
	return nil
}

// Streams pass in both directions at once, whatever pace either end has.
func TestTLSBulkOfStream(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	quick := transferMode{pieces: 256 << 10}
	small := transferMode{pieces: 2000}
	slow := transferMode{pieces: 128 << 10, pause: 5 * time.Millisecond}
	for spoken, w := range ways {
		for name, ends := range map[string]struct{ client, server transferMode }{
			"both quick":    {quick, quick},
			"small pieces":  {small, quick},
			"slow client":   {slow, quick},
			"slow host":     {quick, slow},
			"both slow":     {slow, slow},
			"small to slow": {slow, small},
		} {
			t.Run(spoken+", "+name, func(t *testing.T) {
				t.Parallel()
				h := listen(t, "127.0.0.1", nil)
				p := start(t, w.setup(endpoints(h), id, a, settings{"reactors_num": 1}))
				open := p.sockets()
				var pairs sync.WaitGroup
				for seed := range int64(2) {
					client, server := w.connect(p, h, id, a)
					up, down := int64(bulkSize), int64(bulkSize)/2
					pairs.Go(func() {
						failed := make(chan error, 4)
						go func() { failed <- ends.client.writeStream(client, uint64(seed), newStream(seed, up)) }()
						go func() { failed <- ends.server.writeStream(server, uint64(seed)+9, newStream(seed+9, down)) }()
						go func() { failed <- ends.server.readStream(server, seed, up) }()
						go func() { failed <- ends.client.readStream(client, seed+9, down) }()
						if err := errors.Join(<-failed, <-failed, <-failed, <-failed); err != nil {
							t.Error(err)
						}
						_, _ = client.Close(), server.Close()
					})
				}
				pairs.Wait()
				p.awaitSockets(t, "the sessions' sockets are closed", func(n int) bool { return n <= open })
			})
		}
	}
}

// WebSockets by TLS work as without TLS.
func TestTLSWebSocket(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range ways {
		t.Run(spoken, func(t *testing.T) {
			t.Parallel()
			h := serve(t, "127.0.0.1", webSocketHandler)
			if w.host {
				h = serveTLS(t, id.config(), webSocketHandler)
			}
			p := startHTTP(t, w.setup(endpoints(h), id, a, nil))
			idle := p.sockets()
			ctx, cancel := context.WithTimeout(t.Context(), 4*patience) // 12 MB pass, there and back
			defer cancel()
			o := &websocket.DialOptions{Subprotocols: []string{"v1"}}
			url := strings.Replace(p.url(""), "http", "ws", 1)
			if w.client {
				o.HTTPClient = &http.Client{Transport: p.tlsClient(a.clientConfig("127.0.0.1")).Transport}
				url = strings.Replace(url, "ws", "wss", 1)
			}
			open := func(path string) *websocket.Conn {
				t.Helper()
				c, _, err := websocket.Dial(ctx, url+path, o)
				if err != nil {
					t.Fatalf("opening a WebSocket: %v", err)
				}
				c.SetReadLimit(-1)
				t.Cleanup(func() { _ = c.CloseNow() })
				return c
			}
			c := open("/greet")
			if _, message, err := c.Read(ctx); err != nil || string(message) != "welcome" {
				t.Fatalf("the greeting is %q, error %v", message, err)
			}
			for _, message := range []string{"", "hello", strings.Repeat("long ", 5000), strings.Repeat(string(noise), 3), "short again"} {
				if err := echoMessage(ctx, c, websocket.MessageBinary, message); err != nil {
					t.Fatalf("%d bytes: %v", len(message), err)
				}
			}
			if err := c.Close(4002, "enough"); err != nil {
				t.Errorf("closing: %v", err)
			}
			var end websocket.CloseError
			if _, _, err := open("/end").Read(ctx); !errors.As(err, &end) || end.Code != 4001 || end.Reason != "no time" {
				t.Errorf("the host's close arrived as %v", err)
			}
			p.awaitSockets(t, "all connections of tunnels are closed", func(n int) bool { return n <= idle })
		})
	}
}
