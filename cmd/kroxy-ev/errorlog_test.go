package main_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// awaitInFile waits until a file has a match of the pattern.
func awaitInFile(t *testing.T, file, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	eventually(t, file+" has "+pattern, func() bool {
		text, err := os.ReadFile(file)
		return err == nil && re.Match(text)
	})
}

// awaitFileClosed waits until neither the process nor its workers have the file open.
func (p *proxy) awaitFileClosed(file string) {
	p.t.Helper()
	eventually(p.t, file+" is closed", func() bool {
		for _, pid := range append(p.workers(), p.pid()) {
			open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
			if err != nil || len(open) == 0 {
				return false
			}
			for _, fd := range open {
				if to, err := os.Readlink(fd); err == nil && to == file {
					return false
				}
			}
		}
		return true
	})
}

// Lines go to the file from the start, to a new file after it was renamed or after a reload, and to stderr again when the configuration no longer has
// error_log.
func TestErrorLog(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		dir := t.TempDir()
		first, second := filepath.Join(dir, "1.log"), filepath.Join(dir, "2.log")
		s := setup{hosts: []endpoint{refusing(t)}, multi: multi, settings: settings{"error_log": first, "workers_num": 2, "shutdown_timeout": 0}}
		p := launchSetup(t, reservePort(t), s)
		awaitInFile(t, first, `level=INFO msg="kroxy-ev: serving"`)
		fails := func(file string) {
			t.Helper()
			expectClosed(t, p.dial())
			awaitInFile(t, file, `level=ERROR msg="stream: session closed" .*client=127.0.0.1`)
		}
		fails(first)

		moved := first + ".1"
		if err := os.Rename(first, moved); err != nil {
			t.Fatal(err)
		}
		p.signal(unix.SIGUSR1)
		eventually(t, "there is a new file", func() bool { _, err := os.Stat(first); return err == nil })
		eventually(t, "the new file has lines", func() bool {
			expectClosed(t, p.dial())
			text, _ := os.ReadFile(first)
			return strings.Contains(string(text), "session closed")
		})
		p.awaitFileClosed(moved)

		s.settings["error_log"] = second
		p.rewrite(s)
		p.mustOrder("reload")
		awaitInFile(t, second, `kroxy-ev: reloaded`)
		fails(second)
		p.awaitFileClosed(first)

		s.settings["error_log"] = "/nowhere/at/all/error.log"
		p.rewrite(s)
		if status, out := p.order("reload"); status != 1 || !regexp.MustCompile(`stream-\d+\.json:\d+:\d+: stream\.error_log: .*/nowhere/at/all/error\.log: no such file or directory; name a file`).MatchString(out) {
			t.Errorf("exit status %d: %s", status, out)
		}
		awaitInFile(t, second, `reload failed.*error_log`)

		if text := p.stderr.String(); text != "" {
			t.Errorf("stderr has %q, want nothing", text)
		}
		delete(s.settings, "error_log")
		s.settings["log_level"] = "error"
		p.rewrite(s)
		p.mustOrder("reload")
		expectClosed(t, p.dial())
		p.awaitLog(`level=ERROR msg="stream: session closed"`)
		p.stop()
		if text := p.stderr.String(); strings.Contains(text, "level=INFO") || strings.Contains(text, "level=WARN") {
			t.Errorf("log_level is error, and stderr has %q", text)
		}
	})
}

// A file that cannot be opened and an unknown level prevent the start.
func TestErrorLogMistakes(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		for key, c := range map[string]struct{ value, want string }{
			"error_log": {"/nowhere/at/all/error.log", `stream\.error_log: .*/nowhere/at/all/error\.log: no such file or directory; name a file in a directory that exists`},
			"log_level": {"warning", `stream\.log_level: unknown level "warning"; did you mean "warn"\?`},
		} {
			s := setup{hosts: []endpoint{{Host: "127.0.0.1", Port: 9}}, multi: multi, settings: settings{key: c.value}}
			startFails(t, reservePort(t), s, `stream-\d+\.json:\d+:\d+: `+c.want)
		}
	})
}

// Workers that run as another user write to the same file as their master, which runs as root.
func TestErrorLogOfAnotherUser(t *testing.T) {
	t.Parallel()
	u := needRoot(t)
	dir, err := os.MkdirTemp("", "kroxy-ev-log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "error.log")
	s := setup{hosts: []endpoint{refusing(t)}, multi: true, settings: settings{"user": "nobody", "error_log": file, "workers_num": 1, "shutdown_timeout": 0}}
	port := reservePort(t)
	startFails(t, port, s, `stream\.error_log: .*permission denied; name a file in a directory that exists and that user nobody may write to`)

	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	p := launchSetup(t, port, s)
	awaitInFile(t, file, "kroxy-ev: serving")
	expectClosed(t, p.dial())
	awaitInFile(t, file, "session closed.*worker=0|worker=0.*session closed")
	p.stop()
}

// At level info a client's mistakes write no lines; at debug they do, with the reason. A signal changes the level at run time, for later workers too.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		s := setup{mode: "http", hosts: []endpoint{refusing(t)}, multi: multi, settings: settings{"workers_num": 1, "shutdown_timeout": 0, "reactors_num": 1}}
		p := start(t, s)
		line := func(mark string) string {
			return `level=DEBUG msg="http: exchange failed" .*reason="an invalid byte in the request target" .*client=127\.0\.0\.1 .*method=GET target="/` + mark + `\\x01\\"b"`
		}
		refuse := func(mark string) {
			t.Helper()
			c := p.dial()
			send(t, c, "GET /"+mark+"\x01\"b HTTP/1.1\r\nHost: p\r\n\r\n")
			expectMatch(t, readAll(t, c), `^HTTP/1\.1 400 `)
		}
		toggle := func(says string) {
			t.Helper()
			p.signal(unix.SIGTTIN)
			p.awaitLog(says)
			p.mustOrder("reload") // workers get this after the new level; the reload does not reset the level
		}
		refuse("before")
		toggle(`the log is at level debug until the next SIGTTIN`)
		refuse("on")
		p.awaitLog(line("on"))
		if multi {
			old := p.workers()[0]
			_ = unix.Kill(old, unix.SIGKILL)
			eventually(t, "there is another worker", func() bool { w := p.workers(); return len(w) == 1 && w[0] != old })
			refuse("successor")
			p.awaitLog(line("successor"))
		}
		toggle(`the log is at the configured level again`)
		refuse("off")
		s.settings["log_level"] = "debug"
		p.rewrite(s)
		p.mustOrder("reload")
		refuse("configured")
		p.awaitLog(line("configured"))
		p.stop()
		for _, mark := range []string{"before", "off"} {
			if p.stderr.count(line(mark)) != 0 {
				t.Errorf("%q is logged at level info", mark)
			}
		}
	})
}

// readAll returns everything that arrives until the stream ends.
func readAll(t *testing.T, c interface{ Read([]byte) (int, error) }) string {
	t.Helper()
	var all strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			return all.String()
		}
	}
}

// A client that only tests whether a port is open writes no line, however it disconnects, and no message mentions TLS where none was spoken.
func TestHealthProbesWriteNoLines(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("site.test")
	h := listen(t, "127.0.0.1", echo)
	for name, s := range map[string]setup{
		"http":             {mode: "http"},
		"stream":           {},
		"http, TLS":        {mode: "http", settings: id.serverSettings(nil)},
		"stream, TLS":      {settings: id.serverSettings(nil)},
		"stream, peeking":  {algorithm: "sni"},
		"http, TLS, names": {mode: "http", algorithm: "sni", settings: id.serverSettings(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.hosts = endpoints(h)
			p := start(t, s)
			for range 20 {
				c := p.dial()
				_ = c.Close()
				reset(p.dial())
				c = p.dial()
				_ = c.CloseWrite()
				expectClosed(t, c)
			}
			if s.mode == "http" || s.algorithm == "sni" || s.settings != nil {
				c := p.dial()
				send(t, c, "\x16\x03\x01\x00")
				_ = c.CloseWrite()
				readAll(t, c)
			}
			p.stop()
			if n := p.stderr.count(`session closed|exchange failed`); n != 0 && s.settings == nil && s.algorithm == "" || p.stderr.count(`client=`) > 1 {
				t.Error("the log has lines about health probes")
			}
			if strings.Contains(p.stderr.String(), "close_notify") {
				t.Error("the log mentions close_notify, although no TLS was spoken")
			}
		})
	}
}

// The log has the name that no host has, escaped and truncated.
func TestUnknownNamesAreLogged(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 240) + "." + strings.Repeat("m", 240)
	h := listen(t, "127.0.0.1", echo)
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		p := start(t, setup{hosts: endpoints(h), algorithm: "sni"})
		for _, name := range []string{"other.test", "a\n\x1b[31mlevel=ERROR", long} {
			c := p.dial()
			send(t, c, clientHello(askingFor(&tls.Config{}, name)))
			expectClosed(t, c)
		}
		p.awaitLog(`level=INFO msg="stream: session closed" reason="no host has the requested name" client=127\.0\.0\.1 .* name=other\.test`)
		p.awaitLog(` name="a\\n\\x1b\[31mlevel=ERROR"`)
		p.awaitLog(` name=n{240}\.m{15}\.\.\.[ \n]`)
	})
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		p := startHTTP(t, setup{hosts: endpoints(h), algorithm: "host"})
		for _, name := range []string{"other.test", long} {
			c := p.dial()
			send(t, c, "GET / HTTP/1.1\r\nHost: "+name+"\r\nConnection: close\r\n\r\n")
			expectMatch(t, readAll(t, c), `^HTTP/1\.1 421 `)
		}
		p.awaitLog(`level=INFO msg="http: exchange failed" reason="no host of the group has the requested name" client=127\.0\.0\.1 .* name=other\.test`)
		p.awaitLog(` name=n{240}\.m{15}\.\.\.[ \n]`)
	})
}

// A proxy without sessions does not log that it ends sessions, even if shutdown_timeout is over before all of the proxy has noticed that it stops.
func TestEndOfNoSessionsIsNotLogged(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	for range 5 {
		p := start(t, setup{hosts: endpoints(h), settings: settings{"shutdown_timeout": 1}})
		p.stop()
		if n := p.stderr.count("ending the remaining sessions"); n != 0 {
			t.Errorf("%d lines in the log say that sessions are ended, want none", n)
		}
	}
}
