package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenEntry is an entry of "listen" in a configuration.
type listenEntry map[string]any

// socketPath returns a path for a unix socket, which must be short.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kroxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// dial connects to the address. The connection is closed when the test ends, and its deadline is patience from now.
func (at netAddr) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(at.network, at.address, patience)
	if err != nil {
		t.Fatalf("connecting to %v: %v", at, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// awaitRefusal waits until nobody listens on the address.
func (at netAddr) awaitRefusal(t *testing.T) {
	t.Helper()
	eventually(t, fmt.Sprintf("nobody listens on %v", at), func() bool {
		c, err := net.DialTimeout(at.network, at.address, patience)
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT)
	})
}

func local(port int) netAddr { return netAddr{"tcp4", fmt.Sprint("127.0.0.1:", port)} }

// needIPv6 skips the test if there is no IPv6.
func needIPv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	_ = ln.Close()
}

func TestListeners(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	needAddress(t, "127.0.0.2", "127.0.0.2")
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		one, six, both, path := reservePort(t), reservePort(t), reservePort(t), socketPath(t)
		p := start(t, setup{both: true, hosts: endpoints(h), multi: multi, settings: settings{"shutdown_timeout": 300, "workers_num": 2, "reactors_num": 2, "listen": []listenEntry{
			{"address": "127.0.0.2", "port": one},
			{"address": "::", "port": six, "ipv6_only": true},
			{"address": "::", "port": both, "backlog": 10, "tcp_keepalive": 30000},
			{"unix": path, "mode": "0600"},
		}}})
		p.await(p.stderr, regexp.QuoteMeta(fmt.Sprintf(`msg="kroxy-ev: serving" listen="tcp 0.0.0.0:%d, tcp 127.0.0.2:%d, tcp [::]:%d ipv6_only, tcp [::]:%d, unix %s" mode=stream`, p.port, one, six, both, path)))
		all := []netAddr{
			local(p.port), {"tcp4", fmt.Sprint("127.0.0.2:", one)}, {"tcp6", fmt.Sprintf("[::1]:%d", six)},
			local(both), {"tcp6", fmt.Sprintf("[::1]:%d", both)}, {"unix", path},
		}
		for range 8 { // reactors or workers take turns
			for _, at := range all {
				expectEcho(t, at.dial(t), "hello")
			}
		}
		for _, at := range []netAddr{local(one), local(six)} {
			at.awaitRefusal(t)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("the socket's file: %v, %v", info, err)
		}
		p.stop()
		for _, at := range all {
			at.awaitRefusal(t)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket's file still exists: %v", err)
		}
	})
}

// A reload can switch a wildcard listener between IPv6 only, and IPv6 with IPv4.
func TestIPv4ComesAndGoes(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		port := reservePort(t)
		s := setup{both: true, hosts: endpoints(h), multi: multi, settings: settings{"workers_num": 2, "reactors_num": 2}}
		set := func(without bool) {
			s.settings["listen"] = []listenEntry{{"address": "::", "port": port, "ipv6_only": without}}
		}
		set(false)
		p := start(t, s)
		four, six := local(port), netAddr{"tcp6", fmt.Sprintf("[::1]:%d", port)}
		stays := four.dial(t)
		expectEcho(t, stays, "before")
		for _, without := range []bool{true, false, true} {
			set(without)
			p.rewrite(s)
			p.mustOrder("reload")
			expectEcho(t, six.dial(t), "hello")
			if without {
				four.awaitRefusal(t)
			} else {
				expectEcho(t, four.dial(t), "hello")
			}
			expectEcho(t, stays, "still")
		}
		if n := p.stderr.count("keeps its old options"); n != 0 {
			t.Errorf("%d listeners kept their old options, want 0", n)
		}
	})
}

// A socket file that nobody listens on is replaced, one that somebody listens on is an error, and other files are not touched.
func TestUnixSocketFiles(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		path := socketPath(t)
		s := setup{both: true, hosts: endpoints(h), multi: multi, settings: settings{"shutdown_timeout": 300, "listen": []listenEntry{{"unix": path}}}}
		p := start(t, s)
		at := netAddr{"unix", path}
		expectEcho(t, at.dial(t), "hello")
		// A second proxy does not take the socket over.
		otherPort := reservePort(t)
		otherFile := writeConfig(t, t.TempDir(), configText(otherPort, s))
		for range 2 {
			other := launchProxy(t, otherPort, otherFile, multi, nil)
			if status := other.wait(); status != 1 {
				t.Errorf("exit status %d of a second proxy, want 1", status)
			}
			expectMatch(t, other.stderr.String(), `\.json:\d+:\d+: stream\.listen\[0\]: the socket ".*" is in use by another program; choose another path, or stop that program`)
			expectEcho(t, at.dial(t), "hello")
		}
		p.signal(unix.SIGKILL)
		<-p.exited
		eventually(t, "the workers have ended", func() bool {
			c, err := net.Dial("unix", path)
			if err == nil {
				_ = c.Close()
			}
			return errors.Is(err, unix.ECONNREFUSED)
		})
		p = start(t, s)
		expectEcho(t, at.dial(t), "hello")
		p.stop()
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		bad := launchProxy(t, otherPort, otherFile, multi, nil)
		if status := bad.wait(); status != 1 {
			t.Errorf("exit status %d, want 1", status)
		}
		expectMatch(t, bad.stderr.String(), `stream\.listen\[0\]: ".*" exists and is not a socket; choose another path`)
		if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
			t.Errorf("the file: %q, %v", text, err)
		}
	})
}

func TestListenersThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := listen(t, "127.0.0.1", nil)
	for name, bad := range map[string]struct {
		listenEntry
		pattern string
	}{
		"no such address":   {listenEntry{"address": "192.0.2.1", "port": 1}, `this machine does not have the address 192\.0\.2\.1; write one that it has`},
		"port in use":       {listenEntry{"address": "127.0.0.1", "port": taken.Port}, fmt.Sprintf(`127\.0\.0\.1:%d is in use by another program; choose another port, or stop that program \(ss `, taken.Port)},
		"path too long":     {listenEntry{"unix": "/" + strings.Repeat("x", 107)}, `108|107`},
		"no directory":      {listenEntry{"unix": "/no/where/s"}, `the directory "/no/where" does not exist; create it`},
		"not a directory":   {listenEntry{"unix": file + "/s"}, `".*/file" is not a directory`},
		"no interface":      {listenEntry{"address": "fe80::1", "port": 9}, `fe80::1 is a link-local address without its interface; write|this machine has no IPv6`},
		"another interface": {listenEntry{"address": "fe80::1%none", "port": 9}, `fe80::1%none is a link-local address, and this machine has no interface none; write|this machine has no IPv6`},
		"no right to write": {listenEntry{"unix": "/proc/s"}, `may not create a socket in "/proc"|the directory "/proc" does not exist`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := socketPath(t)
			s := setup{both: true, hosts: []endpoint{{"127.0.0.1", 9}}, settings: settings{"listen": []listenEntry{{"unix": path}, bad.listenEntry}}}
			file := writeConfig(t, t.TempDir(), configText(reservePort(t), s))
			for _, args := range [][]string{{"-c", file}, {"-c", file, "-m"}} {
				expectOutcome(t, outcome{1, "", `\.json:\d+:\d+: stream\.listen\[1\](\.unix)?: .*` + bad.pattern}, args...)
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the socket that could be opened still exists: %v", err)
				}
			}
		})
	}
}

// If one listener is wrong, a reload leaves all listeners as they were.
func TestFailedReloadKeepsListeners(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		kept, fresh, keptPath, freshPath := reservePort(t), reservePort(t), socketPath(t), socketPath(t)
		s := setup{both: true, hosts: endpoints(h), multi: multi, settings: settings{"shutdown_timeout": 300, "workers_num": 2, "reactors_num": 2, "listen": []listenEntry{{"port": kept}, {"unix": keptPath}}}}
		p := start(t, s)
		all := []netAddr{local(p.port), local(kept), {"unix", keptPath}}
		before := p.descriptors()
		inode := inodeOf(t, keptPath)
		for _, bad := range []struct {
			settings
			pattern string
		}{
			{settings{"listen": []listenEntry{{"port": fresh}, {"unix": freshPath}, {"port": h.Port}}}, fmt.Sprintf("port %d is in use by another program", h.Port)},
			{settings{"listen": []listenEntry{{"port": fresh}, {"unix": freshPath}, {"unix": "/no/where/s"}}}, `the directory .*/no/where.* does not exist`},
			{settings{"listen": []listenEntry{{"port": fresh}, {"unix": freshPath}}, "file_log": "/no/where/log"}, `/no/where/log`},
			{settings{"listen": []listenEntry{{"port": fresh}}, "file_log": "/no/where/log", "workers_num": 1}, `/no/where/log`},
		} {
			other := s
			other.settings = bad.settings
			p.rewrite(other)
			p.refuses("reload", bad.pattern)
			for range 4 {
				for _, at := range all {
					c := at.dial(t)
					expectEcho(t, c, "hello")
					_ = c.Close()
				}
			}
			local(fresh).awaitRefusal(t)
			if _, err := os.Lstat(freshPath); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the new socket's file still exists: %v", err)
			}
		}
		if now := inodeOf(t, keptPath); now != inode {
			t.Error("the socket's file was replaced")
		}
		eventually(t, "as many files are open as before", func() bool { return fmt.Sprint(p.descriptors()) == fmt.Sprint(before) })
	})
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// Listeners are added and removed under load; clients of a listener that stays lose nothing, and no file is left open.
func TestListenersComeAndGoUnderLoad(t *testing.T) {
	modesInTurn(t, func(t *testing.T, multi bool) {
		stays, path := reservePort(t), socketPath(t)
		a, b, other := reservePort(t), reservePort(t), socketPath(t)
		s := setup{both: true, hosts: endpoints(serve(t, "127.0.0.1", versatileHost)), mode: "http", multi: multi}
		sets := [][]listenEntry{
			{{"port": stays}, {"unix": path}},
			{{"port": a}, {"unix": path, "mode": "0666"}, {"port": stays, "tcp_keepalive": 1000}},
			{{"unix": other}, {"port": stays, "backlog": 4096}, {"port": a}, {"unix": path}, {"port": b}},
			{{"port": stays}, {"unix": other}, {"unix": path}, {"port": b}},
		}
		workers := []int{2, 3, 1, 2}
		s.settings = settings{"workers_num": 2, "reactors_num": 2, "listen": sets[0]}
		p := start(t, s)
		inode := inodeOf(t, path)
		loads := []*load{loadWith(p, 2), loadOn(t, 2, local(stays)), loadOn(t, 2, netAddr{"unix", path})}
		turn := func(i int) {
			t.Helper()
			s.settings["listen"], s.settings["workers_num"] = sets[i%len(sets)], workers[i%len(sets)]
			p.rewrite(s)
			p.mustOrder("reload")
			there := map[netAddr]bool{local(a): false, local(b): false, {"unix", other}: false}
			for _, e := range sets[i%len(sets)] {
				if e["unix"] == other {
					there[netAddr{"unix", other}] = true
				}
				for _, port := range []int{a, b} {
					if e["port"] == port {
						there[local(port)] = true
					}
				}
			}
			for at, is := range there {
				if !is {
					at.awaitRefusal(t)
				} else if _, err := at.requestOnce(); err != nil {
					t.Errorf("after reload %d, at %v: %v", i, at, err)
				}
			}
		}
		for i := range 4 {
			turn(i)
		}
		turn(0)
		settle := func() map[string]int {
			if multi {
				eventually(t, "two workers are left, and the master has noticed", func() bool { return len(p.workers()) == 2 && p.unreaped() == 0 })
			}
			return p.descriptors()
		}
		before := settle()
		n := times(10, 100)
		for i := range n {
			for _, l := range loads {
				l.awaitRequests(t, 10)
			}
			turn(i)
		}
		turn(0)
		for _, l := range loads {
			l.awaitRequests(t, 10)
			l.endWithoutFailures(t)
		}
		if inodeOf(t, path) != inode {
			t.Error("the socket that should stay was replaced")
		}
		eventually(t, "as many files are open as before", func() bool {
			now := settle()
			// Before, the master may not have closed yet what it had for the last worker that left.
			return now["anon_inode"] <= before["anon_inode"] && now["other"] <= before["other"] && now["socket"] <= before["socket"]
		})
		p.stop()
	})
}

// modesInTurn is modes for tests that load the machine: it runs one after the other.
func modesInTurn(t *testing.T, test func(t *testing.T, multi bool)) {
	t.Helper()
	for _, multi := range []bool{false, true} {
		t.Run(fmt.Sprintf("multiprocess %v", multi), func(t *testing.T) { test(t, multi) })
	}
}

// After many reloads that open and close all listeners, no file is left open.
func TestListenersLeakNothing(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		ports := []int{reservePort(t), reservePort(t)}
		paths := []string{socketPath(t), socketPath(t)}
		s := setup{both: true, hosts: endpoints(h), multi: multi, settings: settings{"shutdown_timeout": 300, "workers_num": 2, "reactors_num": 2}}
		set := func(i int) { s.settings["listen"] = []listenEntry{{"port": ports[i]}, {"unix": paths[i]}} }
		set(0)
		p := start(t, s)
		all := func() (n int) {
			for _, pid := range append(p.workers(), p.pid()) {
				list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
				if err != nil {
					t.Fatal(err)
				}
				n += len(list)
			}
			return n
		}
		reload := func(i int) {
			set(i % 2)
			p.rewrite(s)
			p.mustOrder("reload")
		}
		for i := range 3 {
			reload(i)
		}
		before := all() // some of them may still be closing
		for i := range 100 {
			reload(i + 1)
		}
		eventually(t, "no more files are open than before", func() bool { return all() <= before })
		expectEcho(t, local(ports[0]).dial(t), "hello")
		expectEcho(t, netAddr{"unix", paths[0]}.dial(t), "hello")
		local(ports[1]).awaitRefusal(t)
		netAddr{"unix", paths[1]}.awaitRefusal(t)
	})
}

// An upgrade passes all listeners on, and the configuration that the successor reads may have different ones.
func TestUpgradesCarryListeners(t *testing.T) {
	stays, path := reservePort(t), socketPath(t)
	goes, gonePath, comes := reservePort(t), socketPath(t), reservePort(t)
	s := setup{both: true, hosts: endpoints(serve(t, "127.0.0.1", versatileHost)), mode: "http", settings: settings{
		"workers_num": 2, "listen": []listenEntry{{"port": stays}, {"port": goes}, {"unix": gonePath}, {"unix": path}},
	}}
	p, file := startUpgradable(t, s)
	inode := inodeOf(t, path)
	loads := []*load{loadWith(p, 2), loadOn(t, 2, local(stays)), loadOn(t, 2, netAddr{"unix", path})}
	pid := p.pid()
	n := times(3, 20)
	for i := range n {
		for _, l := range loads {
			l.awaitRequests(t, 20)
		}
		if i == 1 {
			s.settings["listen"] = []listenEntry{{"port": comes}, {"unix": path}, {"port": stays}}
			s.settings["workers_num"] = 3
			p.rewrite(s)
		}
		install(t, program, file)
		p.mustOrder("upgrade")
		former := pid
		pid = p.awaitSuccessor(i + 1)
		for _, at := range []netAddr{local(p.port), local(stays), {"unix", path}} {
			if _, err := at.requestOnce(); err != nil {
				t.Errorf("after upgrade %d, at %v: %v", i, at, err)
			}
		}
		eventually(t, "the old master has exited", func() bool { return !alive(former) })
	}
	for _, at := range []netAddr{local(goes), {"unix", gonePath}} {
		at.awaitRefusal(t)
	}
	if _, err := os.Lstat(gonePath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of the removed socket still exists: %v", err)
	}
	if _, err := local(comes).requestOnce(); err != nil {
		t.Error(err)
	}
	for _, l := range loads {
		l.endWithoutFailures(t)
	}
	if inodeOf(t, path) != inode {
		t.Error("the socket that should stay was replaced")
	}
	// A refused upgrade changes nothing.
	s.settings["listen"], s.settings["file_log"] = []listenEntry{{"port": goes}}, "/no/where/log"
	p.rewrite(s)
	p.refuses("upgrade", `/no/where/log`)
	for _, at := range []netAddr{local(p.port), local(stays), local(comes), {"unix", path}} {
		if _, err := at.requestOnce(); err != nil {
			t.Errorf("after a refused upgrade, at %v: %v", at, err)
		}
	}
	p.stopSuccessor(pid)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's file still exists: %v", err)
	}
}

// A client of a unix socket has no address, and none is invented for hosts or logs.
func TestUnixClientsHaveNoAddress(t *testing.T) {
	t.Parallel()
	fields := serve(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		_, _ = fmt.Fprintf(w, "%q", req.Header["X-Forwarded-For"])
	})
	path, log := socketPath(t), filepath.Join(t.TempDir(), "log")
	p := startHTTP(t, setup{both: true, hosts: endpoints(fields), settings: settings{
		"listen": []listenEntry{{"unix": path}}, "file_log": log, "format_log": "[$client_addr] $status", "headers": map[string]any{"X-Addr": "<$addr>"},
	}})
	ask := func(at netAddr) string {
		t.Helper()
		c := at.dial(t)
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: close\r\n\r\n")
		_, body := reply(t, bufio.NewReader(c), http.MethodGet)
		return body
	}
	if got := ask(netAddr{"unix", path}); got != "[]" {
		t.Errorf("X-Forwarded-For of a client of a unix socket is %s", got)
	}
	if got := ask(local(p.port)); got != `["127.0.0.1"]` {
		t.Errorf("X-Forwarded-For of a TCP client is %s", got)
	}
	if curl, err := exec.LookPath("curl"); err != nil {
		t.Log("no curl here")
	} else if out, err := exec.Command(curl, "-sS", "--unix-socket", path, "http://a/").CombinedOutput(); err != nil || string(out) != "[]" {
		t.Errorf("curl: %s, %v", out, err)
	}
	eventually(t, "the log has a line of each", func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), "[-]") && strings.Contains(string(text), "[127.0.0.1]")
	})
	for _, line := range lines(t, log) {
		expectMatch(t, line, `\[(-|127\.0\.0\.1)\] 200$`)
	}
}

// The proxy does not connect to a host whose unix socket is one of its own.
func TestOwnUnixSocket(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	good := listen(t, "127.0.0.1", answer("good"))
	link := filepath.Dir(path) + "/../" + filepath.Base(filepath.Dir(path)) + "/s"
	group := map[string]any{"balancing_algo": "first", "hosts": []any{map[string]any{"unix": link}, good.endpoint}}
	p := start(t, setup{both: true, settings: settings{"listen": []listenEntry{{"unix": path}}, "servers": map[string]any{"backend": group}}})
	expectAll(t, netAddr{"unix", path}.dial(t), "good")
	expectAll(t, p.dial(), "good")
	p.await(p.stderr, `its socket is this proxy's own`)
}
