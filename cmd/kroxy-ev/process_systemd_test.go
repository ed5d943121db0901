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

// manager is what systemd is to its services.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func manage(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "kroxy") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &manager{t: t, path: filepath.Join(dir, "notify")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.conn.Close() })
	return m
}

// hears waits for a message that matches.
func (m *manager) hears(pattern string) string {
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
		m := manage(t)
		h := listen(t, "127.0.0.1", echo)
		p := start(t, setup{hosts: endpoints(h), multi: multi, prepare: func(cmd *exec.Cmd) {
			cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=200000")
		}})
		m.hears(`(?m)^READY=1$[^$]*^MAINPID=` + fmt.Sprint(p.pid()) + `$`)
		for range 3 {
			m.hears(`^WATCHDOG=1$`)
		}
		p.signal(unix.SIGHUP)
		m.hears(`^RELOADING=1\nMONOTONIC_USEC=\d+\n?$`)
		m.hears(`^READY=1$`)
		p.signal(unix.SIGTERM)
		m.hears(`^STOPPING=1$`)
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
	})
}

// A new master takes the name of the service over, and its watchdog.
func TestNotificationsOfUpgrade(t *testing.T) {
	t.Parallel()
	m := manage(t)
	h := listen(t, "127.0.0.1", echo)
	port := reservePort(t)
	p := &proxy{port: port, file: writeConfig(t, t.TempDir(), configText(port, setup{hosts: endpoints(h)}))}
	inGroup := dynasty(t)
	p.process = launch(t, func(cmd *exec.Cmd) {
		inGroup(cmd)
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=200000")
	}, "--config", p.file, "-m")
	m.hears(`READY=1`)
	p.mustOrder("upgrade")
	pid := p.reign(1)
	m.hears(`(?m)^READY=1$[^$]*^MAINPID=` + fmt.Sprint(pid) + `$`)
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	for range 3 {
		if text := m.hears(`.`); text != "WATCHDOG=1" {
			t.Errorf("%q where only the watchdog should be told", text)
		}
	}
	p.endGently(pid)
	m.hears(`^STOPPING=1$`)
}

// activate listens on a port with n sockets, as systemd does, and returns how to start a service with them. It keeps them.
func activate(t *testing.T, n int) (port int, prepare func(*exec.Cmd), sockets []net.Listener) {
	t.Helper()
	port = reservePort(t)
	var files []*os.File
	for range n {
		ln := listenShared(t, port)
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		files, sockets = append(files, f), append(sockets, ln)
	}
	return port, func(cmd *exec.Cmd) {
		args := cmd.Args[1:]
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", `export LISTEN_PID=$$; exec "$0" "$@"`, program}, args...)
		cmd.Env = append(os.Environ(), fmt.Sprint("LISTEN_FDS=", n))
		cmd.ExtraFiles = files
	}, sockets
}

func TestSocketActivation(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		for _, n := range []int{1, 2} {
			for _, servers := range []int{2, 3} {
				t.Run(fmt.Sprintf("%d sockets for %d", n, servers), func(t *testing.T) {
					t.Parallel()
					h := listen(t, "127.0.0.1", echo)
					s := setup{hosts: endpoints(h), multi: multi, settings: settings{"workers_num": servers, "reactors_num": servers, "shutdown_timeout": 100}}
					port, prepare, sockets := activate(t, n)
					p := &proxy{port: port, file: writeConfig(t, t.TempDir(), configText(port, s))}
					args := []string{"--config", p.file}
					if multi {
						args = append(args, "-m")
					}
					p.process = launch(t, prepare, args...)
					p.await(p.stderr, `msg="kroxy-ev: serving"`)
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
		args := []string{"--config", writeConfig(t, t.TempDir(), configText(port, setup{
			hosts: []endpoint{{"127.0.0.1", 9}}, settings: settings{"workers_num": 1, "reactors_num": 1},
		}))}
		if multi {
			args = append(args, "-m")
		}
		p := launch(t, prepare, args...)
		if status := p.wait(); status != 1 {
			t.Errorf("exit status %d, want 1", status)
		}
		expectMatch(t, strings.TrimSpace(p.stderr.String()), `systemd has opened 2 sockets on port \d+, and only 1 would be served; set it to 2 or more`)
	})
}

// Sockets on another port are not this program's; it says so.
func TestSocketActivationOfAnotherPort(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		other, prepare, _ := activate(t, 1)
		h := listen(t, "127.0.0.1", echo)
		p := start(t, setup{hosts: endpoints(h), multi: multi, prepare: prepare})
		p.await(p.stderr, fmt.Sprintf(`level=WARN .*a socket that systemd has opened is not served.* socket=\S*:%d name=LISTEN_FD_3 .*remedy=.*%d`, other, p.port))
		expectEcho(t, p.dial(), "hello")
	})
}
