package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
)

// webSocketHandler is a WebSocket handler: it echoes, after a greeting if the path is /greet; at /end it closes at once.
func webSocketHandler(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/refuse" {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	c, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: []string{"v2", "v1"}})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(-1)
	switch req.URL.Path {
	case "/greet":
		_ = c.Write(req.Context(), websocket.MessageText, []byte("welcome"))
	case "/end":
		_ = c.Close(4001, "no time")
		return
	}
	for {
		kind, message, err := c.Read(context.Background())
		if err != nil || c.Write(context.Background(), kind, message) != nil {
			return
		}
	}
}

// webSocket opens a WebSocket through the proxy.
func (p *proxy) webSocket(path string) *websocket.Conn {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, strings.Replace(p.url(path), "http", "ws", 1), &websocket.DialOptions{Subprotocols: []string{"v1"}})
	if err != nil {
		p.t.Fatalf("opening a WebSocket: %v", err)
	}
	c.SetReadLimit(-1)
	p.t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// echoMessage sends a message and demands it back.
func echoMessage(ctx context.Context, c *websocket.Conn, kind websocket.MessageType, message string) error {
	sent := make(chan error, 1)
	go func() { sent <- c.Write(ctx, kind, []byte(message)) }()
	got, echoed, err := c.Read(ctx)
	if err = errors.Join(err, <-sent); err != nil {
		return err
	}
	if got != kind || string(echoed) != message {
		return fmt.Errorf("got %d bytes of kind %v back for %d of kind %v", len(echoed), got, len(message), kind)
	}
	return nil
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	p := startHTTP(t, setup{hosts: endpoints(serve(t, "127.0.0.1", webSocketHandler))})
	idle := p.sockets()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	c := p.webSocket("/")
	if c.Subprotocol() != "v1" {
		t.Errorf("subprotocol %q, want v1", c.Subprotocol())
	}
	for _, message := range []string{"", "hello", strings.Repeat("long ", 2000), string(noise[:1<<20]), "short again"} {
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			if err := echoMessage(ctx, c, kind, message); err != nil {
				t.Fatalf("%d bytes: %v", len(message), err)
			}
		}
	}
	reading := make(chan error, 1)
	go func() {
		_, _, err := c.Read(ctx)
		reading <- err
	}()
	for range 10 {
		if err := c.Ping(ctx); err != nil {
			t.Fatalf("ping: %v", err)
		}
	}
	if err := c.Close(4002, "enough"); err != nil {
		t.Errorf("closing: %v", err)
	}
	<-reading

	c = p.webSocket("/end")
	_, _, err := c.Read(ctx)
	var end websocket.CloseError
	if !errors.As(err, &end) || end.Code != 4001 || end.Reason != "no time" {
		t.Errorf("the host's close arrived as %v", err)
	}
	c = p.webSocket("/greet")
	if _, message, err := c.Read(ctx); err != nil || string(message) != "welcome" {
		t.Errorf("the greeting is %q, error %v", message, err)
	}
	_ = c.Close(websocket.StatusNormalClosure, "")

	_, res, err := websocket.Dial(ctx, strings.Replace(p.url("/refuse"), "http", "ws", 1), nil)
	if err == nil || res == nil || res.StatusCode != 403 {
		t.Errorf("a refused WebSocket: %v, error %v", res, err)
	}
	p.awaitSockets(t, "all connections of tunnels are closed", func(n int) bool { return n <= idle+2 }) // the refused client's connection and its host's are kept
}

// What a client sends right after its request is kept until the host has switched protocols, without losing a byte. Each direction may end by itself.
func TestHTTPUpgradeRaw(t *testing.T) {
	t.Parallel()
	const ask = getHead + "Connection: Upgrade\r\nUpgrade: echo/1\r\n\r\n"
	const agreed = "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n"
	h := listen(t, "127.0.0.1", nil)
	p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"forwarded_headers": false}})
	idle := p.sockets()
	for _, early := range []string{"", "x", strings.Repeat("early ", 10_000), bulk[:4<<20]} {
		c := p.dial()
		sent := make(chan error, 1)
		go func() { sent <- write(c, ask+early) }()
		s := h.accept()
		in := bufio.NewReader(s)
		if _, err := http.ReadRequest(in); err != nil {
			t.Fatal(err)
		}
		_ = s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if b, err := in.ReadByte(); err == nil {
			t.Fatalf("%q arrived before the 101", b)
		}
		_ = s.SetReadDeadline(time.Now().Add(patience))
		send(t, s, agreed+"hello")
		fromClient := bufio.NewReader(c)
		res, err := http.ReadResponse(fromClient, nil)
		if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "echo/1" || !strings.EqualFold(res.Header.Get("Connection"), "upgrade") {
			t.Fatalf("got %v, error %v", res, err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(fromClient, got); err != nil || string(got) != "hello" {
			t.Fatalf("got %q, error %v", got, err)
		}
		// The first bytes may be in the host's own reader.
		all := make([]byte, len(early))
		if n, err := io.ReadFull(in, all); err != nil || string(all) != early {
			t.Fatalf("the host got %d bytes, error %v, want %d", n, err, len(early))
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWrite()
		expectEnd(t, in)
		go func() {
			_ = write(s, bulk[:1<<20])
			_ = s.Close()
		}()
		if rest, err := io.ReadAll(fromClient); err != nil || string(rest) != bulk[:1<<20] {
			t.Fatalf("after its half-close the client got %d bytes, error %v", len(rest), err)
		}
		_ = c.Close()
	}
	p.awaitSockets(t, "all sockets are closed", func(n int) bool { return n <= idle })
}

// webSockets opens n WebSockets.
func (p *proxy) webSockets(n int) []*websocket.Conn {
	p.t.Helper()
	list := make([]*websocket.Conn, n)
	var opening sync.WaitGroup
	for part := range 10 {
		opening.Go(func() {
			for i := part; i < n; i += 10 {
				c, _, err := websocket.Dial(p.t.Context(), strings.Replace(p.url("/"), "http", "ws", 1), nil)
				if err != nil {
					p.t.Errorf("WebSocket %d: %v", i, err)
					return
				}
				list[i] = c
			}
		})
	}
	opening.Wait()
	p.t.Cleanup(func() {
		for _, c := range list {
			if c != nil {
				_ = c.CloseNow()
			}
		}
	})
	if p.t.Failed() {
		p.t.FailNow()
	}
	return list
}

// Five hundred WebSockets: idle, then all active, then closed.
func TestManyWebSockets(t *testing.T) {
	needFiles(t, 4096)
	const n = 500
	h := serve(t, "127.0.0.1", webSocketHandler)
	p := startHTTP(t, setup{hosts: endpoints(h)})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	first := p.webSocket("/") // the first one allocates what all share
	if err := echoMessage(ctx, first, websocket.MessageText, "hello"); err != nil {
		t.Fatal(err)
	}
	before, memory, threads := p.descriptors(), p.status("VmRSS"), p.status("Threads")
	list := p.webSockets(n)
	if got := p.sockets() - before["socket"]; got != 2*n {
		t.Errorf("%d sockets for %d tunnels", got, n)
	}
	if grown := p.status("VmRSS") - memory; !raceEnabled && grown > n*10 {
		t.Errorf("an idle tunnel costs %d KiB/%d, want at most 10 KiB", grown, n)
	}
	if grown := p.status("Threads") - threads; grown > 10 {
		t.Errorf("%d more threads for %d tunnels", grown, n)
	}
	p.expectIdle(100 * time.Millisecond)
	var talking sync.WaitGroup
	for i, c := range list {
		talking.Go(func() {
			for k := range 10 {
				message := fmt.Sprintf("%d says %d %s", i, k, noise[i*100:][:k*k*100])
				if err := echoMessage(ctx, c, websocket.MessageBinary, message); err != nil {
					t.Errorf("WebSocket %d: %v", i, err)
					return
				}
			}
		})
	}
	talking.Wait()
	for i, c := range list { // Close waits for 5 s at most, which may be too short for all at once
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Errorf("closing WebSocket %d: %v", i, err)
		}
	}
	p.awaitSockets(t, "the WebSockets' sockets are closed", func(n int) bool { return n <= before["socket"] })
	if after := p.descriptors(); after["anon_inode"] != before["anon_inode"] || after["other"] != before["other"] {
		t.Errorf("descriptors %v, there were %v", after, before)
	}
	if err := echoMessage(ctx, first, websocket.MessageText, "still here"); err != nil {
		t.Error(err)
	}
}

// After a stop signal, tunnels go on for shutdown_timeout at most.
func TestWebSocketsAtShutdown(t *testing.T) {
	needFiles(t, 4096)
	for name, test := range map[string]struct {
		timeout time.Duration
		leave   bool // the clients leave by themselves
	}{
		"clients leave": {patience, true},
		"clients stay":  {short * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 100
			h := serve(t, "127.0.0.1", webSocketHandler)
			p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{"shutdown_timeout": test.timeout.Milliseconds()}})
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			list := p.webSockets(n)
			begin := time.Now()
			p.signal(unix.SIGTERM)
			p.await(p.stderr, "kroxy-ev: stopping")
			for i, c := range list {
				if err := echoMessage(ctx, c, websocket.MessageText, "still there?"); err != nil && (test.leave || time.Since(begin) < test.timeout) {
					t.Fatalf("WebSocket %d, after the signal: %v", i, err)
				}
			}
			if test.leave {
				for i, c := range list {
					if err := c.Close(websocket.StatusGoingAway, "bye"); err != nil {
						t.Errorf("closing WebSocket %d: %v", i, err)
					}
				}
				if status := p.wait(); status != 0 {
					t.Errorf("exit status %d, want 0", status)
				}
				return
			}
			for i, c := range list {
				if _, _, err := c.Read(ctx); err == nil {
					t.Errorf("WebSocket %d got a message that nobody sent", i)
				}
			}
			if status := p.wait(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
			notBefore(t, begin, test.timeout)
		})
	}
}
