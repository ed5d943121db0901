package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeSystemd receives the notifications that a service sends to systemd.
type fakeSystemd struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func startFakeSystemd(t *testing.T) *fakeSystemd {
	t.Helper()
	dir, err := os.MkdirTemp("", "kroxy") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &fakeSystemd{t: t, path: filepath.Join(dir, "notify")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.conn.Close() })
	return m
}

// awaitMessage waits for a message that matches.
func (m *fakeSystemd) awaitMessage(pattern string) string {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", pattern, err)
		}
		if regexp.MustCompile(pattern).Match(buf[:n]) {
			return string(buf[:n])
		}
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		m := startFakeSystemd(t)
		h := listen(t, "127.0.0.1", echo)
		p := start(t, setup{hosts: endpoints(h), multi: multi, prepare: func(cmd *exec.Cmd) {
			cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=200000")
		}})
		m.awaitMessage(`(?m)^READY=1$[^$]*^MAINPID=` + fmt.Sprint(p.pid()) + `$`)
		for range 3 {
			m.awaitMessage(`^WATCHDOG=1$`)
		}
		p.signal(unix.SIGHUP)
		m.awaitMessage(`^RELOADING=1\nMONOTONIC_USEC=\d+\n?$`)
		m.awaitMessage(`^READY=1$`)
		p.signal(unix.SIGTERM)
		m.awaitMessage(`^STOPPING=1$`)
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
	})
}

// A new master becomes the service's main process for systemd, and takes the watchdog over.
func TestNotificationsOfUpgrade(t *testing.T) {
	t.Parallel()
	m := startFakeSystemd(t)
	h := listen(t, "127.0.0.1", echo)
	inGroup := inProcessGroup(t)
	p := launchSetup(t, reservePort(t), setup{hosts: endpoints(h), multi: true, prepare: func(cmd *exec.Cmd) {
		inGroup(cmd)
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=200000")
	}})
	m.awaitMessage(`READY=1`)
	p.mustOrder("upgrade")
	pid := p.awaitSuccessor(1)
	m.awaitMessage(`(?m)^READY=1$[^$]*^MAINPID=` + fmt.Sprint(pid) + `$`)
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	for range 3 {
		if text := m.awaitMessage(`.`); text != "WATCHDOG=1" {
			t.Errorf("got %q, want only WATCHDOG=1", text)
		}
	}
	p.stopSuccessor(pid)
	m.awaitMessage(`^STOPPING=1$`)
}

// activate listens on a port with n sockets, as systemd does, and returns how to start a service with them. The test keeps the sockets open.
func activate(t *testing.T, n int) (port int, prepare func(*exec.Cmd), sockets []net.Listener) {
	t.Helper()
	port = reservePort(t)
	for range n {
		sockets = append(sockets, listenShared(t, port))
	}
	return port, passSockets(t, nil, sockets...), sockets
}

// passSockets returns how to start a service with systemd's sockets, with names if there are any.
func passSockets(t *testing.T, names []string, sockets ...net.Listener) (prepare func(*exec.Cmd)) {
	t.Helper()
	var files []*os.File
	for _, ln := range sockets {
		f, err := ln.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	return func(cmd *exec.Cmd) {
		args := cmd.Args[1:]
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", `export LISTEN_PID=$$; exec "$0" "$@"`, program}, args...)
		cmd.Env = append(os.Environ(), fmt.Sprint("LISTEN_FDS=", len(files)))
		if names != nil {
			cmd.Env = append(cmd.Env, "LISTEN_FDNAMES="+strings.Join(names, ":"))
		}
		cmd.ExtraFiles = files
	}
}

func TestSocketActivation(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		for _, n := range []int{1, 2} {
			for _, servers := range []int{2, 3} {
				t.Run(fmt.Sprintf("%d sockets for %d", n, servers), func(t *testing.T) {
					t.Parallel()
					h := listen(t, "127.0.0.1", echo)
					port, prepare, sockets := activate(t, n)
					s := setup{hosts: endpoints(h), multi: multi, prepare: prepare, settings: settings{"workers_num": servers, "reactors_num": servers, "shutdown_timeout": 100}}
					p := startOn(t, port, s)
					for range 12 {
						expectEcho(t, p.dial(), "hello")
					}
					// Fewer workers serve the same sockets.
					s.settings["workers_num"] = n
					p.rewrite(s)
					p.mustOrder("reload")
					if multi {
						eventually(t, "the superfluous workers have left", func() bool { return len(p.workers()) == n })
					}
					for range 12 {
						expectEcho(t, p.dial(), "hello")
					}
					p.stop()
					// The next client makes systemd start the service again.
					came := make(chan struct{})
					for _, ln := range sockets {
						go func() {
							if c, err := ln.Accept(); err == nil {
								_ = c.Close()
								came <- struct{}{}
							}
						}()
					}
					c := p.dial()
					<-came
					_ = c.Close()
				})
			}
		}
	})
}

// Nobody would serve the second socket.
func TestSocketActivationWithTooMany(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		port, prepare, _ := activate(t, 2)
		s := setup{hosts: []endpoint{{"127.0.0.1", 9}}, multi: multi, prepare: prepare, settings: settings{"workers_num": 1, "reactors_num": 1}}
		p := launchSetup(t, port, s)
		if status := p.wait(); status != 1 {
			t.Errorf("exit status %d, want 1", status)
		}
		expectMatch(t, strings.TrimSpace(p.stderr.String()), `systemd has opened 2 sockets on port \d+, and only 1 would be served; set it to 2 or more`)
	})
}

// Sockets on other ports are not in the configuration; the program says so.
func TestSocketActivationOfAnotherPort(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		other, prepare, _ := activate(t, 1)
		h := listen(t, "127.0.0.1", echo)
		p := start(t, setup{hosts: endpoints(h), multi: multi, prepare: prepare})
		p.await(p.stderr, fmt.Sprintf(`level=WARN .*systemd has opened a socket that nothing serves.* socket=\S*:%d name=LISTEN_FD_3 .*remedy=.*%d`, other, p.port))
		expectEcho(t, p.dial(), "hello")
	})
}

// systemd decides whether a wildcard socket accepts IPv4 when it opens the socket.
func TestSocketActivationKeepsIPv4(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		port := reservePort(t)
		var plain net.ListenConfig
		plain.SetMultipathTCP(false) // like systemd's sockets
		ln, err := plain.Listen(t.Context(), "tcp", fmt.Sprintf("[::]:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		s := setup{
			hosts: endpoints(h), multi: multi, prepare: passSockets(t, nil, ln),
			settings: settings{"shutdown_timeout": 100, "listen": []listenEntry{{"address": "::", "port": port}}},
		}
		p := startOn(t, port, s)
		_ = ln.Close()
		expectEcho(t, local(port).dial(t), "hello")
		s.settings["listen"] = []listenEntry{{"address": "::", "port": port, "ipv6_only": true}}
		p.rewrite(s)
		p.refuses("reload", `stream\.listen\[0\]: systemd has opened this socket`)
		expectEcho(t, local(port).dial(t), "hello")
		p.stop()
	})
}

// Sockets are matched by address and by name; the file of a unix socket is systemd's.
func TestSocketActivationOfSeveral(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		path := socketPath(t)
		onUnix, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = onUnix.Close() })
		here, named, ours := reservePort(t), reservePort(t), reservePort(t)
		elsewhere := listenShared(t, reservePort(t))
		stray := listenShared(t, reservePort(t))
		prepare := passSockets(t, []string{"some.socket", "unknown", "stream.listen[2]", "stray"}, listenShared(t, here), onUnix, elsewhere, stray)
		s := setup{both: true, hosts: endpoints(h), multi: multi, prepare: prepare, settings: settings{
			"workers_num": 2, "reactors_num": 2, "shutdown_timeout": 100,
			"listen": []listenEntry{{"port": here}, {"unix": path}, {"port": named}, {"port": ours}},
		}}
		p := start(t, s)
		p.await(p.stderr, `level=WARN .*systemd has opened a socket that nothing serves.* socket=\S*`+portOf(stray)+` name=stray .*remedy=.*`)
		if n := p.stderr.count("that nothing serves"); n != 1 {
			t.Errorf("%d sockets are reported as not served, want 1", n)
		}
		for range 8 {
			for _, at := range []netAddr{local(p.port), local(here), {"unix", path}, {"tcp4", elsewhere.Addr().String()}, local(ours)} {
				expectEcho(t, at.dial(t), "hello")
			}
		}
		local(named).awaitRefusal(t) // it is where systemd has opened it
		// A reload that no longer serves a socket of systemd warns.
		s.settings["listen"] = []listenEntry{{"port": named}, {"port": here}, {"port": ours}}
		p.rewrite(s)
		status, out := p.order("reload")
		if status != 0 {
			t.Fatalf("reload: exit status %d: %s", status, out)
		}
		expectMatch(t, out, `warning: reload: systemd still listens on `+path+`, but nothing serves it any more`)
		for _, at := range []netAddr{local(p.port), local(here), {"tcp4", elsewhere.Addr().String()}, local(ours)} {
			expectEcho(t, at.dial(t), "hello")
		}
		p.stop()
		// The next client makes systemd start the service again.
		for _, ln := range []net.Listener{onUnix, elsewhere} {
			came := make(chan struct{})
			go func() {
				if c, err := ln.Accept(); err == nil {
					_ = c.Close()
					close(came)
				}
			}()
			_ = netAddr{ln.Addr().Network(), ln.Addr().String()}.dial(t).Close()
			<-came
		}
	})
}

// portOf returns the port of a listener, with a colon before it.
func portOf(ln net.Listener) string {
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return ":" + port
}
