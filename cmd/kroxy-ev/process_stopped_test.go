package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process that is stopped, traced by a debugger, or on a machine with unusual clocks continues afterwards, and nothing that happened meanwhile is lost.

// whileStopped stops the processes (SIGSTOP) while do runs.
func whileStopped(t *testing.T, pids []int, do func()) {
	t.Helper()
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the processes are stopped", func() bool {
		return !slices.ContainsFunc(pids, func(pid int) bool { return !stopped(t, pid) })
	})
	do()
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

// allProcesses returns the pids of the proxy's workers and master.
func (p *proxy) allProcesses() []int { return append(p.workers(), p.pid()) }

// keepAliveLoad starts n clients of the proxy, in http mode, that make requests over kept-alive connections until end is called. End demands that every
// request was answered.
func (p *proxy) keepAliveLoad(n int) (end func()) {
	quit := make(chan struct{})
	failed := make(chan error, n)
	for range n {
		c := p.dial()
		_ = c.SetDeadline(time.Time{})
		go func() {
			for in := bufio.NewReader(c); ; {
				select {
				case <-quit:
					failed <- nil
					return
				default:
				}
				if err := askName(c, in, ""); err != nil {
					failed <- err
					return
				}
				time.Sleep(requestPause)
			}
		}()
	}
	return func() {
		p.t.Helper()
		close(quit)
		for range n {
			if err := <-failed; err != nil {
				p.t.Errorf("a request over a kept-alive connection: %v", err)
			}
		}
	}
}

// Traffic continues as soon as a stopped process does.
func TestStoppedAndContinued(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := namedHosts(t, 1)[0]
		p := startHTTP(t, setup{hosts: endpoints(h), multi: multi, settings: settings{"watchdog_timeout": 0, "workers_num": 2}})
		if multi {
			p.awaitServing(2)
		}
		l := loadWith(p, 4)
		end := p.keepAliveLoad(4)
		for range times(20, 500) {
			whileStopped(t, p.allProcesses(), func() { time.Sleep(rand.N(30 * time.Millisecond)) })
			l.awaitRequests(t, 20)
		}
		end()
		l.endWithoutFailures(t)
	})
}

// Deadlines that pass while the process is stopped end exactly the connections that were silent.
func TestDeadlinesWhileStopped(t *testing.T) {
	t.Parallel()
	const (
		many    = 50
		timeout = 8 * short // long enough for all to connect
	)
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h), settings: settings{"read_timeout": timeout, "reactors_num": 1}})
	var prompt, silent []*net.TCPConn
	for range many {
		prompt, silent = append(prompt, p.dial()), append(silent, p.dial())
		expectEcho(t, prompt[len(prompt)-1], "hello")
		expectEcho(t, silent[len(silent)-1], "hello")
	}
	for _, c := range prompt {
		expectEcho(t, c, "still here")
	}
	spoke := time.Now()
	whileStopped(t, []int{p.pid()}, func() {
		time.Sleep(time.Until(spoke.Add((timeout + short) * time.Millisecond)))
		for _, c := range prompt { // sent after the timer fired, which is the harder case
			send(t, c, "while it stood")
		}
	})
	for _, c := range silent {
		expectClosed(t, c)
	}
	for _, c := range prompt {
		expect(t, c, "while it stood")
	}
	open := p.sockets()
	for _, c := range prompt {
		_ = c.Close()
	}
	p.awaitSockets(t, "all sessions' sockets are closed", func(n int) bool { return n <= open-2*many })
}

// Traffic continues under a debugger, also when the debugger attaches and detaches. It stops each thread, interrupts system calls, and intercepts signals.
func TestDebugger(t *testing.T) {
	t.Parallel()
	strace := need(t, "strace")
	modes(t, func(t *testing.T, multi bool) {
		h := namedHosts(t, 1)[0]
		p := startHTTP(t, setup{hosts: endpoints(h), multi: multi, settings: settings{"watchdog_timeout": 0, "workers_num": 2}})
		if multi {
			p.awaitServing(2)
		}
		l := loadWith(p, 4)
		end := p.keepAliveLoad(4)
		for range times(4, 100) {
			for _, looked := range []string{"all", "none"} {
				cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+looked)
				for _, pid := range p.allProcesses() {
					cmd.Args = append(cmd.Args, "-p", strconv.Itoa(pid))
				}
				said := new(bytes.Buffer)
				cmd.Stderr = said
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				tracer := cmd.Process.Pid
				over := make(chan error, 1)
				go func() { over <- cmd.Wait() }()
				traced := false
				eventually(t, "strace traces the process, or may not", func() bool {
					traced = statusOf(t, p.pid(), "TracerPid") == strconv.Itoa(tracer)
					return traced || len(over) > 0
				})
				if !traced {
					<-over
					t.Skipf("strace may not trace other processes here: %s", said)
				}
				l.awaitRequests(t, 50)
				_ = cmd.Process.Signal(os.Interrupt)
				<-over
				l.awaitRequests(t, 50)
			}
		}
		end()
		l.endWithoutFailures(t)
	})
}

// withClockAhead returns a prepare function that runs the command in a time namespace (time_namespaces(7)) whose CLOCK_MONOTONIC is years ahead, as after
// so long without a reboot. Another program makes the namespace, because a thread of the test could not leave it, and when such a thread ends, the kernel
// kills the processes that it started (PR_SET_PDEATHSIG).
func withClockAhead(t *testing.T, years int) func(*exec.Cmd) {
	t.Helper()
	need(t, "unshare")
	path, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{path, "--time", "--monotonic", strconv.Itoa(years * 365 * 24 * 60 * 60)}
	if out, err := exec.Command(path, append(args[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("a time namespace cannot be made here: %v: %s", err, out)
	}
	return func(cmd *exec.Cmd) {
		cmd.Args = append(args, append([]string{cmd.Path}, cmd.Args[1:]...)...)
		cmd.Path = path
	}
}

// A clock that is far advanced works like any other: deadlines fire, and hosts that are down are remembered and found again.
func TestClockFarAhead(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		dead := reservePort(t)
		p := startHTTP(t, setup{
			hosts: []endpoint{{"127.0.0.1", dead}}, multi: multi, prepare: withClockAhead(t, 100),
			settings: settings{"keepalive_timeout": short, "connect_timeout": 5000, "workers_num": 2},
		})
		ours, _ := os.Readlink("/proc/self/ns/time")
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", p.pid()))
		if err != nil || ours == theirs {
			t.Skipf("this kernel starts programs in the time namespace of their parent: %v", err)
		}
		c := p.client()
		if res, _ := p.get(c, "/"); res.StatusCode != http.StatusBadGateway {
			t.Fatalf("status %d without a host, want 502", res.StatusCode)
		}
		p.awaitLog(`msg=".*host is down`)
		ln, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", dead))
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "A") })}
		go func() { _ = srv.Serve(ln) }()
		t.Cleanup(func() { _ = srv.Close() })
		eventually(t, "the host serves again", func() bool {
			res, _ := p.get(c, "/")
			return res.StatusCode == http.StatusOK && p.stderr.count(`msg=".*host serves again`) > 0
		})
		idle := p.dial()
		begin := time.Now()
		send(t, idle, getRequest)
		expectClosed(t, idle)
		notBefore(t, begin, short*time.Millisecond)
	})
}
