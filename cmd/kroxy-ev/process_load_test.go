package main_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
)

// versatileHost is a handler for many tests: a WebSocket at /ws, an endless body at /bulk, and the host's name elsewhere.
func versatileHost(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/ws":
		webSocketHandler(w, req)
	case "/bulk":
		piece := make([]byte, 4<<10)
		for {
			if _, err := w.Write(piece); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(5 * time.Millisecond) // leave CPU time for the load
		}
	default:
		_, _ = io.WriteString(w, "A")
	}
}

// longLived is a WebSocket and an endless response that must survive what the test does.
type longLived struct {
	t          *testing.T
	chat       *websocket.Conn
	chatConn   net.Conn
	bulk       net.Conn
	chatWorker int
	bulkWorker int
	arrived    chan struct{} // a message for each piece of the endless response; closed at its end
}

// openLongLived opens both on a proxy that has worker processes.
func openLongLived(p *proxy) *longLived {
	p.t.Helper()
	k := &longLived{t: p.t, arrived: make(chan struct{})}
	dialer := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		k.chatConn = c
		return c, err
	}}
	p.t.Cleanup(dialer.CloseIdleConnections)
	var err error
	k.chat, _, err = websocket.Dial(p.t.Context(), p.url("/ws"), &websocket.DialOptions{HTTPClient: &http.Client{Transport: dialer}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = k.chat.CloseNow() })
	k.bulk = p.dial()
	_ = k.bulk.SetDeadline(time.Time{})
	send(p.t, k.bulk, "GET /bulk HTTP/1.1\r\nHost: a\r\n\r\n")
	go func() {
		defer close(k.arrived)
		piece := make([]byte, 64<<10)
		for {
			if _, err := k.bulk.Read(piece); err != nil {
				return
			}
			select {
			case k.arrived <- struct{}{}:
			default:
			}
		}
	}()
	k.chatWorker, k.bulkWorker = awaitOwner(p.t, k.chatConn, p.workers()), awaitOwner(p.t, k.bulk, p.workers())
	return k
}

// mustBeAlive demands that both connections still work and are in the same processes as before.
func (k *longLived) mustBeAlive() {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	if err := echoMessage(ctx, k.chat, websocket.MessageText, "still there?"); err != nil {
		k.t.Errorf("the WebSocket: %v", err)
	}
	for range 3 {
		select {
		case _, ok := <-k.arrived:
			if !ok {
				k.t.Fatal("the endless response has ended")
			}
		case <-ctx.Done():
			k.t.Fatal("no more of the endless response arrives")
		}
	}
	if pid := owner(k.t, k.chatConn, []int{k.chatWorker}); pid == 0 {
		k.t.Error("the WebSocket is in another process")
	}
	if pid := owner(k.t, k.bulk, []int{k.bulkWorker}); pid == 0 {
		k.t.Error("the endless response is in another process")
	}
}

func TestReloadsUnderLoad(t *testing.T) {
	counts := []int{4, 2, 4, 1, 3}
	s := setup{
		hosts: endpoints(serve(t, "127.0.0.1", versatileHost)), multi: true, mode: "http",
		settings: settings{"workers_num": 4, "shutdown_timeout": 20 * patience.Milliseconds()},
	}
	p := start(t, s)
	k := openLongLived(p)
	l := loadWith(p, 8)
	n := times(20, 200)
	for i := range n {
		l.awaitRequests(t, times(100, 600))
		s.settings["workers_num"] = counts[i%len(counts)]
		p.rewrite(s)
		p.mustOrder("reload")
	}
	l.awaitRequests(t, 100)
	k.mustBeAlive()
	l.endWithoutFailures(t)
	t.Logf("%d reloads", n)
	_, _ = k.chat.CloseNow(), k.bulk.Close()
	eventually(t, "only 3 workers are left", func() bool { return len(p.workers()) == 3 })
}

func TestReloadsUnderLoadWithoutWorkers(t *testing.T) {
	s := setup{hosts: endpoints(serve(t, "127.0.0.1", versatileHost)), mode: "http", settings: settings{"format_log": ""}}
	p := start(t, s)
	l := loadWith(p, 8)
	for range times(20, 200) {
		l.awaitRequests(t, 50)
		p.mustOrder("reload")
	}
	l.endWithoutFailures(t)
}

// copyOfProgram returns the path of a copy of the program, which the test may replace.
func copyOfProgram(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kroxy-ev")
	install(t, program, file)
	return file
}

// writeProgram writes a program to a path atomically. No process may be forked meanwhile: until its exec, a child would hold the file open for writing, and
// the kernel would refuse to run it (ETXTBSY).
func writeProgram(path string, text []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return errors.Join(os.WriteFile(path+".new", text, 0o755), os.Rename(path+".new", path))
}

// install copies a program to a path atomically.
func install(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err := errors.Join(err, writeProgram(to, text)); err != nil {
		t.Fatal(err)
	}
}

// startUpgradable starts a proxy with worker processes from a copy of the program, file, which the test may replace.
func startUpgradable(t *testing.T, s setup) (p *proxy, file string) {
	t.Helper()
	port := reservePort(t)
	return startUpgradableWith(t, port, configText(port, s))
}

// startUpgradableWith is startUpgradable with a whole configuration, which listens on port.
func startUpgradableWith(t *testing.T, port int, text []byte) (p *proxy, file string) {
	t.Helper()
	file = copyOfProgram(t)
	inGroup := inProcessGroup(t)
	p = launchOn(t, port, writeConfig(t, t.TempDir(), text), true, func(cmd *exec.Cmd) {
		inGroup(cmd)
		cmd.Path, cmd.Args[0] = file, file
	})
	return p, file
}

func TestUpgradesUnderLoad(t *testing.T) {
	s := setup{
		hosts: endpoints(serve(t, "127.0.0.1", versatileHost)), mode: "http",
		settings: settings{"workers_num": 2, "shutdown_timeout": 20 * patience.Milliseconds()},
	}
	p, file := startUpgradable(t, s)
	k := openLongLived(p)
	l := loadWith(p, 8)
	n, pid := times(4, 20), p.pid()
	for i := range n {
		l.awaitRequests(t, times(100, 1000))
		install(t, program, file)
		if i%2 == 0 {
			p.mustOrder("upgrade")
		} else if err := unix.Kill(pid, unix.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		former := pid
		pid = p.awaitSuccessor(i + 1)
		l.awaitRequests(t, 100)
		if i > 0 {
			eventually(t, "the old master has exited", func() bool { return !alive(former) })
		}
	}
	k.mustBeAlive()
	l.endWithoutFailures(t)
	t.Logf("%d upgrades", n)
	_, _ = k.chat.CloseNow(), k.bulk.Close()
	if status := p.wait(); status != 0 {
		t.Errorf("the first master's exit status is %d", status)
	}
	if list := children(t, pid); len(list) != 2 || slices.Contains(list, 0) {
		t.Errorf("the last master has workers %v, want 2", list)
	}
	p.stopSuccessor(pid)
}
