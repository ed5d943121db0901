package httpcodec

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/logformat"
)

const (
	uploadSize = 8 << 20
	lastAnswer = okHead + "Connection: close\r\nContent-Length: 2\r\n\r\nhi"
)

var uploadHead = fmt.Sprintf("%sContent-Length: %d\r\n\r\n", postRoot, uploadSize)

// lockedBuffer is a buffer for use by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// says waits until text was written, and returns false if that takes too long.
func (b *lockedBuffer) says(text string) bool {
	for began := time.Now(); !strings.Contains(b.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > enginetest.Patience {
			return false
		}
	}
	return true
}

// A host that takes long to respond, and takes its time to read the rest of the request, gets the rest: the shorter timeout for
// a host that has responded begins with its response.
func TestHostThatAnswersLateGetsTheRest(t *testing.T) {
	t.Parallel()
	got := make(chan int64, 1)
	proxies := make(chan *proxy, 1)
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(uploadHead)))
		time.Sleep((lingerSilence + 1000) * time.Millisecond)
		// Bytes that the kernel has taken in the meantime must not count as progress of the host.
		p := <-proxies
		p.loop.Post(func() { p.server.active.x.up.Advanced() })
		send(c, lastAnswer, nil)
		time.Sleep(500 * time.Millisecond)
		n, _ := io.Copy(io.Discard, c)
		got <- n
	})
	p := startProxy(t, nil, host)
	proxies <- p
	c := p.dial()
	go send(c, uploadHead+strings.Repeat("x", uploadSize), nil)
	if s, how := readAll(c); !strings.HasSuffix(s, "hi") || how != "eof" {
		t.Errorf("the client got %q, %s", s, how)
	}
	if n := <-got; n != uploadSize {
		t.Errorf("the host got %d bytes of the body, want %d", n, uploadSize)
	}
}

// A host that has responded and takes no more of the request is not an error: the exchange is complete.
func TestHostThatTakesNoMoreIsNoError(t *testing.T) {
	t.Parallel()
	host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(uploadHead)))
		send(c, lastAnswer, nil)
		<-t.Context().Done()
	})
	var log lockedBuffer
	p := rig{log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}.start(t, nil, host)
	c := p.dial()
	go send(c, uploadHead+strings.Repeat("x", uploadSize), nil)
	_, _ = readAll(c)
	if !log.says(causeHostTakesNoMore.text) {
		t.Fatalf("the log does not say that the host takes no more: %q", log.String())
	}
	if s := log.String(); strings.Contains(s, "level=ERROR") || strings.Contains(s, "proxy_send_timeout") {
		t.Errorf("the log says %q", s)
	}
}

// A client that leaves after its response, before its request is complete, has received everything. The status in the log is
// the response's.
func TestAccessLogOfClientsThatLeaveWithTheirResponse(t *testing.T) {
	t.Parallel()
	for name, leavesFirst := range map[string]bool{"before it comes": true, "behind it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			full, asked := make(chan struct{}), make(chan struct{})
			head := postRoot + "Content-Length: 1000000000\r\n\r\n"
			l := startLogged(t, nil, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
				_, _ = io.ReadFull(c, make([]byte, len(head)))
				close(asked)
				<-full
				send(c, lastAnswer, nil)
				<-t.Context().Done()
			}))
			c := l.dial()
			send(c, head, nil)
			<-asked
			l.fill(c)
			if leavesFirst {
				c.Close()
				l.settle()
				close(full)
			} else {
				close(full)
				_, _ = readAll(c)
				_ = c.SetLinger(0)
				c.Close()
			}
			awaitActive(t, l.proxy, 0)
			if lines, _ := l.lines(t); len(lines) != 1 || !strings.HasSuffix(lines[0], `POST / 200 "-"`) {
				t.Errorf("logged %q", lines)
			}
		})
	}
}

// A tunnel that began before there was an access log is logged like others.
func TestAccessLogThatComesWithinATunnel(t *testing.T) {
	t.Parallel()
	format, err := logformat.Compile(everyVariable, logformat.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := accesslog.New("test", &out, accesslog.Options{FlushInterval: time.Hour})
	t.Cleanup(func() { _ = log.Close(time.Second) })
	p := startProxy(t, nil, tunnelled(t, "", enginetest.Hold))
	c := p.dial()
	send(c, askSwitch, nil)
	readN(t, c, switched)
	p.loop.Post(func() { p.change(func(o *EntryOptions) { o.Access = log.NewBuffer(format) }) })
	p.settle()
	_ = c.CloseWrite()
	_, _ = readAll(c)
	awaitActive(t, p, 0)
	p.stop()
	if err := log.Reopen(); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); !strings.Contains(s, "127.0.0.1 ") || !strings.Contains(s, ` GET /w 101 "`) {
		t.Errorf("logged %q", s)
	}
}
