package main_test

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// calls counts system calls by name.
type calls map[string]int

// runtimes are system calls that Go's runtime makes as time passes, for timers and to watch certificates. A slower machine makes more of them.
var runtimes = []string{
	"clone3", "futex", "getpid", "getrandom", "gettid", "madvise", "mmap", "mprotect", "munmap", "nanosleep", "newfstatat", "pread64",
	"restart_syscall", "rseq", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield", "set_robust_list", "sigaltstack",
	"tgkill", "timerfd_settime",
}

// emptyWait is how often a loop that is not asleep looks whether there are still no events (engine/wait.go).
const emptyWait = 8 * time.Millisecond

// countSyscalls counts what p calls while f runs, with strace. Strace slows p down, so a wait returns more events than usual. Waits that may have returned
// empty because of a timeout, and calls that happen about once a second, are not counted.
func (p *process) countSyscalls(f func()) calls {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "calls")
	said := newTranscript()
	cmd := exec.Command(need(p.t, "strace"), "-f", "-c", "-U", "name,calls", "-o", file, "-p", strconv.Itoa(p.pid()))
	cmd.Stderr = said
	watcher := &process{t: p.t, cmd: cmd, stdout: newTranscript(), stderr: said, exited: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("starting strace: %v", err)
	}
	go func() {
		_ = cmd.Wait()
		close(watcher.exited)
	}()
	if watcher.await(said, `attached|not permitted`)[0] != "attached" {
		<-watcher.exited
		p.t.Skipf("strace may not trace other processes here: %s", said)
	}
	begin := time.Now()
	f()
	passed := time.Since(begin)
	watcher.signal(unix.SIGINT)
	watcher.wait()
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	found := calls{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 {
			if n, err := strconv.Atoi(f[1]); err == nil && f[0] != "total" {
				found[f[0]] = n
			}
		}
	}
	found["epoll_pwait"] -= min(found["epoll_pwait"], int(passed/emptyWait))
	for _, name := range []string{"read", "write"} { // loops are woken, and logs written, about once a second
		found[name] -= min(found[name], int(passed/time.Second)+1)
	}
	return found
}

// expectCalls demands that n repetitions make at most n times the calls in budget. Five per cent more are allowed, because the log is written now and then.
func expectCalls(t *testing.T, got calls, n int, budget calls) {
	t.Helper()
	rest := 0
	for name, found := range got {
		if !slices.Contains(runtimes, name) {
			rest += max(0, found-budget[name]*n)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(budget)) {
		t.Logf("%-12s %5.2f each, at most %d", name, float64(got[name])/float64(n), budget[name])
	}
	if rest > n/20 {
		t.Errorf("%d repetitions made %d calls too many: %v", n, rest, got)
	}
	if got["recvfrom"]+got["splice"] < n {
		t.Errorf("%d repetitions made these calls only: %v", n, got)
	}
}

// The number of system calls for a round trip, a request or a session does not depend on the speed of the machine. One at a time is the worst case, because
// no wait is shared.
func TestSystemCalls(t *testing.T) {
	if raceEnabled {
		t.Skip("Go's race detector makes calls of its own")
	}
	t.Parallel()
	need(t, "strace")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	const (
		request  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		closing  = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	)
	large := "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + strings.Repeat("x", 1<<20)
	// Ten pieces of 4 KiB; the first has the head too.
	const pieces, piece = 10, 4096
	inPieces := func(head string) []string {
		all := slices.Repeat([]string{strings.Repeat("x", piece)}, pieces)
		all[0] = head + "Content-Length: " + strconv.Itoa(pieces*piece) + "\r\n\r\n" + all[0]
		return all
	}
	writeSlowly := func(c net.Conn, all []string) (err error) {
		for _, s := range all {
			if err = write(c, s); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	// serveRaw answers each request, which arrives in one piece, at once and with one write.
	serveRaw := func(c *net.TCPConn) {
		for buf := make([]byte, 4096); ; {
			n, err := c.Read(buf)
			answer := response
			if strings.HasPrefix(string(buf[:n]), "GET /large") {
				answer = large
			}
			if strings.HasPrefix(string(buf[:n]), "GET /pieces") {
				if writeSlowly(c, inPieces("HTTP/1.1 200 OK\r\n")) != nil {
					return
				}
				continue
			}
			if strings.HasPrefix(string(buf[:n]), "POST") {
				head := strings.Index(string(buf[:n]), "\r\n\r\n") + 4
				_, err = io.CopyN(io.Discard, c, int64(pieces*piece-(n-head)))
			}
			if err != nil || write(c, answer) != nil {
				return
			}
		}
	}
	ask := func(t *testing.T, c net.Conn, in *bufio.Reader) {
		send(t, c, request)
		expectStatus(t, in, http.StatusOK)
	}
	overAndOver := func(t *testing.T, p *proxy) func() {
		c := p.dial()
		in := bufio.NewReader(c)
		return func() { ask(t, c, in) }
	}
	// each is the budget of two receives and two sends, and of the waits for what is received.
	each := calls{"recvfrom": 2, "sendto": 2, "epoll_pwait": 2}

	// bulk is the budget for 1 MiB, which the kernel passes in about a dozen pieces, not in hundreds.
	bulk := calls{"recvfrom": 6, "sendto": 6, "splice": 24, "epoll_pwait": 8}

	// inTen is the budget for a message in ten pieces: none is acknowledged by a call of its own, unless the machine is so slow that its pauses look like
	// stalls. The access log is written every second.
	inTen := calls{"recvfrom": 40, "sendto": 20, "splice": 20, "epoll_pwait": 40, "setsockopt": 3, "read": 1, "write": 1}

	for name, test := range map[string]struct {
		mode     string
		settings settings
		repeat   int
		budget   calls
		begin    func(t *testing.T, p *proxy) (once func())
	}{
		"round trip of stream": {"stream", nil, 300, each, overAndOver},
		"kept-alive request":   {"http", nil, 300, each, overAndOver},
		"kept-alive request over TLS": {"http", id.serverSettings(nil), 300, each, func(t *testing.T, p *proxy) func() {
			c := p.dialTLS(a.clientConfig("127.0.0.1"))
			in := bufio.NewReader(c)
			return func() { ask(t, c, in) }
		}},
		"MiB of stream": {"stream", nil, 100, bulk, func(t *testing.T, p *proxy) func() {
			c := p.dial()
			return func() { send(t, c, "GET /large"); expect(t, c, large) }
		}},
		"MiB of http": {"http", nil, 100, bulk, func(t *testing.T, p *proxy) func() {
			c := p.dial()
			in := bufio.NewReader(c)
			return func() {
				send(t, c, strings.Replace(request, "/", "/large", 1))
				expectStatus(t, in, http.StatusOK)
			}
		}},
		"response in pieces": {"http", nil, 100, inTen, func(t *testing.T, p *proxy) func() {
			c := p.dial()
			in := bufio.NewReader(c)
			return func() {
				send(t, c, strings.Replace(request, "/", "/pieces", 1))
				expectStatus(t, in, http.StatusOK)
			}
		}},
		"request in pieces": {"http", nil, 100, inTen, func(t *testing.T, p *proxy) func() {
			c := p.dial()
			in := bufio.NewReader(c)
			return func() {
				if err := writeSlowly(c, inPieces("POST / HTTP/1.1\r\nHost: a\r\n")); err != nil {
					t.Fatal(err)
				}
				expectStatus(t, in, http.StatusOK)
			}
		}},
		"session of stream": {"stream", nil, 100, calls{
			"accept4": 2, "ioctl": 1, "setsockopt": 1, "connect": 2, "getpeername": 1, "epoll_ctl": 1, "epoll_pwait": 6,
			"recvfrom": 4, "sendto": 2, "shutdown": 1, "close": 1,
		}, func(t *testing.T, p *proxy) func() {
			return func() {
				c := p.dial()
				ask(t, c, bufio.NewReader(c))
				_ = c.CloseWrite()
				expectClosed(t, c)
				_ = c.Close()
			}
		}},
		"connection of http": {"http", nil, 100, calls{
			"accept4": 2, "epoll_ctl": 1, "epoll_pwait": 4, "recvfrom": 2, "sendto": 2, "close": 1,
		}, func(t *testing.T, p *proxy) func() {
			return func() {
				c := p.dial()
				send(t, c, closing)
				expectStatus(t, bufio.NewReader(c), http.StatusOK)
				expectClosed(t, c)
				_ = c.Close()
			}
		}},
		"connection of http over TLS": {"http", id.serverSettings(nil), 100, calls{
			"accept4": 2, "epoll_ctl": 1, "epoll_pwait": 8, "recvfrom": 6, "sendto": 4, "setsockopt": 1, "close": 1,
		}, func(t *testing.T, p *proxy) func() {
			return func() {
				c := p.dialTLS(a.clientConfig("127.0.0.1"))
				send(t, c, closing)
				expectStatus(t, bufio.NewReader(c), http.StatusOK)
				expectClosed(t, c)
				_ = c.Close()
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := settings{"reactors_num": 1, "file_log": filepath.Join(t.TempDir(), "access.log")}
			maps.Copy(settings, test.settings)
			p := start(t, setup{hosts: endpoints(listen(t, "127.0.0.1", serveRaw)), mode: test.mode, settings: settings})
			once := test.begin(t, p)
			for range 20 { // warm-up
				once()
			}
			got := p.countSyscalls(func() {
				for range test.repeat {
					once()
				}
			})
			expectCalls(t, got, test.repeat, test.budget)
		})
	}
}
