package main_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// withFiles returns a prepare function that limits the program's open files.
func withFiles(n int) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, n), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
}

// served reports whether an echo arrives within wait.
func served(t *testing.T, c *net.TCPConn, wait time.Duration) bool {
	t.Helper()
	send(t, c, "x")
	_ = c.SetReadDeadline(time.Now().Add(wait))
	_, err := io.ReadFull(c, make([]byte, 1))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return err == nil
}

// Clients beyond the limit wait in the accept queue, cost nothing, and are served when others have left.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{
		"open files":      {prepare: withFiles(128)},
		"very few files":  {prepare: withFiles(48), settings: settings{"reactors_num": 1}},
		"max_connections": {settings: settings{"max_connections": 5}},
		"one reactor":     {settings: settings{"max_connections": 5, "reactors_num": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.hosts = endpoints(listen(t, "127.0.0.1", echo))
			p := start(t, s)
			fit, err := strconv.Atoi(p.await(p.stderr, `max_connections=(\d+)`)[1])
			if err != nil {
				t.Fatal(err)
			}
			if limit, ok := s.settings["max_connections"]; ok && fit != limit {
				t.Fatalf("there is room for %d connections, want %d", fit, limit)
			}
			inside := make([]*net.TCPConn, fit)
			for i := range inside {
				inside[i] = p.dial()
				expectEcho(t, inside[i], "hello")
			}
			const more = 3
			waiting := make([]*net.TCPConn, more)
			for i := range waiting {
				waiting[i] = p.dial() // the kernel completes the connection, which then waits in the accept queue
			}
			if served(t, waiting[0], 300*time.Millisecond) {
				t.Errorf("a connection beyond the limit of %d was served", fit)
			}
			p.await(p.stderr, `level=ERROR msg="accepting pauses"`)
			p.expectIdle(200 * time.Millisecond)
			for _, c := range inside {
				expectEcho(t, c, "still here")
			}
			for _, c := range inside[:more] {
				endSession(t, c)
			}
			expect(t, waiting[0], "x") // the reactors decide in which order clients are served
			for _, c := range waiting {
				expectEcho(t, c, "at last")
			}
			if n := p.stderr.count("accepting pauses"); n != 1 {
				t.Errorf("%d log lines about pauses, want 1", n)
			}
			if n := p.stderr.count(""); n > 5 {
				t.Errorf("%d log lines in all, which are too many", n)
			}
		})
	}
}

// If max_connections exceeds what the limit on open files allows, the log says so once at the start and once at each reload.
func TestConnectionsThatDoNotFit(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		s := setup{hosts: endpoints(h), multi: multi, prepare: withFiles(256), settings: settings{"max_connections": 5000, "workers_num": 3, "reactors_num": 1}}
		p := start(t, s)
		const warning = `\.json:\d+:\d+: stream\.max_connections: 5000 connections do not fit into the limit of 256 open files: \d+ are served at once, more wait; ` +
			`raise the limit to \d+ \(ulimit -n, or LimitNOFILE= in a systemd unit\), or write at most \d+`
		said := func(times int) {
			t.Helper()
			expectEcho(t, p.dial(), "hello")
			eventually(t, "the warning is logged", func() bool { return p.stderr.count(warning) >= times })
			if n := p.stderr.count(warning); n != times {
				t.Errorf("%d warnings, want %d", n, times)
			}
		}
		said(1)
		p.warns("reload", warning)
		said(2)
		s.settings["max_connections"] = 10
		p.rewrite(s)
		p.mustOrder("reload")
		said(2)
	})
}

// The proxy budgets its descriptors so that it does not hit the limit on open files. But that limit may be lowered while it runs, and the whole system may
// run out.
func TestFilesRunOut(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h)})
	first := p.dial()
	expectEcho(t, first, "hello")
	limit := p.nextFiles(4)
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Skipf("the limit of a running process cannot be changed here: %v", err)
	}
	for range 2 {
		expectEcho(t, p.dial(), "hello")
	}
	waiting := p.dial()
	if served(t, waiting, 300*time.Millisecond) {
		t.Error("a connection was served although no descriptor is left")
	}
	p.await(p.stderr, `level=ERROR msg="accepting pauses".*too many open files`)
	p.expectIdle(200 * time.Millisecond)
	expectEcho(t, first, "still here")
	endSession(t, first)
	expect(t, waiting, "x")
	expectEcho(t, waiting, "at last")
	if n := p.stderr.count("accepting pauses"); n != 1 {
		t.Errorf("%d log lines about pauses, want 1", n)
	}
}

// nextFiles returns a limit on open files that leaves room for n more, counting unused numbers below the highest one in use.
func (p *process) nextFiles(n int) unix.Rlimit {
	p.t.Helper()
	used := map[int]bool{}
	eventually(p.t, "no descriptor is open only for a moment", func() bool {
		before := used
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
		if err != nil {
			p.t.Fatal(err)
		}
		used = map[int]bool{}
		for _, e := range list {
			fd, _ := strconv.Atoi(e.Name())
			used[fd] = true
		}
		time.Sleep(50 * time.Millisecond)
		return maps.Equal(used, before)
	})
	fd := 0
	for ; n > 0; fd++ {
		if !used[fd] {
			n--
		}
	}
	return unix.Rlimit{Cur: uint64(fd), Max: uint64(fd)}
}

// needFiles skips the test if this process may not have n open files.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil || r.Cur < n {
		t.Skipf("needs %d open files, the limit is %d (ulimit -n)", n, r.Cur)
	}
}

// Idle sessions use no CPU, and no session has a thread.
func TestIdleSessionsCostNothing(t *testing.T) {
	skipUnderRace(t, "it is about memory, of which the race detector has its own")
	needFiles(t, 4096)
	h := listen(t, "127.0.0.1", nil)
	p := start(t, setup{hosts: endpoints(h)})
	threads := p.status("Threads")
	for range 1000 {
		c := p.dial()
		send(t, c, "x")
		expect(t, h.accept(), "x")
	}
	for i := range 20 {
		c := p.dial()
		s := h.accept()
		if i%2 == 0 {
			c, s = s, c
		}
		_ = c.CloseWrite()
		expectAll(t, s, "")
	}
	done := make(chan int)
	for i := range 10 {
		c := p.dial()
		s := h.accept()
		if i%2 == 0 {
			c = s
		}
		go func() { done <- writeUntilFull(t, c) }()
	}
	for range 10 {
		<-done
	}
	p.expectIdle(100 * time.Millisecond)
	if grown := p.status("Threads") - threads; grown > 10 {
		t.Errorf("%d more threads with 1030 sessions", grown)
	}
}
