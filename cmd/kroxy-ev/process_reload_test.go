package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReloadActsOnTheNextRequest(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts := namedHosts(t, 2)
		s := setup{hosts: endpoints(hosts[0]), multi: multi, settings: settings{"workers_num": 2}}
		p := startHTTP(t, s)
		c := p.dial()
		in := bufio.NewReader(c)
		ask := func(want string) {
			t.Helper()
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if _, body := reply(t, in, "GET"); body != want {
				t.Errorf("host %q answered, want %q", body, want)
			}
		}
		ask("A")
		s.hosts, s.mode = endpoints(hosts[1]), "http"
		p.rewrite(s)
		p.mustOrder("reload")
		ask("B")
		s.hosts = endpoints(hosts[0])
		p.rewrite(s)
		p.signal(unix.SIGHUP)
		eventually(t, "there was a second reload", func() bool { return p.stderr.count("kroxy-ev: reloaded") == 2 })
		ask("A")
	})
}

func TestReloadOfStreamMode(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a, b := listen(t, "127.0.0.1", nil), listen(t, "127.0.0.1", nil)
		s := setup{hosts: endpoints(a), multi: multi, settings: settings{"workers_num": 2}}
		p := start(t, s)
		old := p.dial()
		behind := a.accept()
		send(t, old, "before")
		expect(t, behind, "before")
		s.hosts = endpoints(b)
		p.rewrite(s)
		p.mustOrder("reload")
		fresh := p.dial()
		at := b.accept()
		send(t, fresh, "fresh")
		expect(t, at, "fresh")
		send(t, behind, "after")
		expect(t, old, "after")
	})
}

func TestReloadToAnotherPort(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		s := setup{hosts: endpoints(h), multi: multi, settings: settings{"workers_num": 2}}
		p := start(t, s)
		held := p.dial()
		expectEcho(t, held, "before")
		before := p.port
		for _, port := range []int{reservePort(t), before, reservePort(t)} {
			there := *p
			there.port = port
			p.replace(configText(port, s))
			p.mustOrder("reload")
			expectEcho(t, there.dial(), "on the new port")
			expectEcho(t, held, "held")
			p.awaitRefusal()
			p.port = port
		}
	})
}

// A reload with an invalid file changes nothing.
func TestReloadOfAWrongFile(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		s := setup{hosts: endpoints(h), multi: multi, settings: settings{"workers_num": 2}}
		p := start(t, s)
		held := p.dial()
		expectEcho(t, held, "before")
		good := configText(p.port, s)
		elsewhere := s
		elsewhere.settings = settings{"file_log": "/nowhere/at/all/access.log", "workers_num": 2}
		more := s
		more.settings = settings{"file_log": "/nowhere/at/all/access.log", "workers_num": 4}
		for name, bad := range map[string]struct {
			text    []byte
			pattern string
		}{
			"half-written":     {good[:len(good)/2], `stream-\d+\.json:\d+:\d+: `},
			"empty":            {nil, `stream-\d+\.json`},
			"port in use":      {configText(h.Port, s), fmt.Sprintf("port %d is in use by another program", h.Port)},
			"bad log":          {configText(p.port, elsewhere), `/nowhere/at/all/access.log.*no such file`},
			"bad log and more": {configText(p.port, more), `/nowhere/at/all/access.log.*no such file`},
		} {
			p.replace(bad.text)
			t.Log(name)
			p.refuses("reload", bad.pattern)
			expectEcho(t, held, "held")
			for range 8 {
				expectEcho(t, p.dial(), "fresh")
			}
		}
		if err := os.Remove(p.file); err != nil {
			t.Fatal(err)
		}
		p.signal(unix.SIGHUP)
		p.awaitLog(`reload failed.*no such file`)
		expectEcho(t, p.dial(), "fresh")
		p.replace(good)
		p.mustOrder("reload")
		expectEcho(t, p.dial(), "fresh")
	})
}

func TestReloadStorm(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a, b := listen(t, "127.0.0.1", answer("old")), listen(t, "127.0.0.1", answer("new"))
		s := setup{hosts: endpoints(a), multi: multi, settings: settings{"workers_num": 2}}
		p := start(t, s)
		before := p.cpu()
		begin := time.Now()
		for i := range 1000 {
			if i == 500 {
				s.hosts = endpoints(b)
				p.rewrite(s)
			}
			p.signal(unix.SIGHUP)
			time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Millisecond)))
		}
		// The order is carried out after all signals, or is one of the two reloads that are left.
		p.mustOrder("reload")
		expectAll(t, p.dial(), "new")
		used, took := p.cpu()-before, time.Since(begin)
		t.Logf("1,000 signals in %v: %d reloads, %v of CPU", took, p.stderr.count("kroxy-ev: reloaded"), used)
		if !raceEnabled && used > took {
			t.Errorf("%v of CPU in %v", used, took)
		}
		if multi && len(p.workers()) != 2 {
			t.Errorf("%d workers, want 2", len(p.workers()))
		}
	})
}

// Counts of sessions belong to hosts, not to configurations.
func TestReloadKeepsCounts(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts := letteredHosts(t, 3)
		s := setup{hosts: endpoints(hosts[:2]...), algorithm: "least_conn", multi: multi, settings: settings{"workers_num": 2}}
		p := start(t, s)
		for range 6 {
			_, _ = p.visit()
		}
		s.hosts = endpoints(hosts[2], hosts[1], hosts[0])
		p.rewrite(s)
		p.mustOrder("reload")
		for range 3 {
			if _, name := p.visit(); name != "C" {
				t.Errorf("a session went to %s, which has more sessions than C", name)
			}
		}
		seen := map[string]int{}
		for range 6 {
			_, name := p.visit()
			seen[name]++
		}
		if fmt.Sprint(seen) != "map[A:2 B:2 C:2]" {
			t.Errorf("6 further sessions went to %v", seen)
		}
	})
}

func TestReloadOfAccessLog(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		dir := t.TempDir()
		first, second := filepath.Join(dir, "1.log"), filepath.Join(dir, "2.log")
		h := listen(t, "127.0.0.1", answer("goodbye"))
		s := setup{hosts: endpoints(h), multi: multi, settings: settings{"file_log": first, "format_log": "one", "workers_num": 2}}
		p := start(t, s)
		logged := func(file string, want ...string) {
			t.Helper()
			p.runSession()
			eventually(t, "the line is in the log", func() bool { return len(lines(t, file)) == len(want) })
			for i, line := range lines(t, file) {
				expectMatch(t, line, stamp+regexp.QuoteMeta(want[i])+"$")
			}
		}
		logged(first, "one")
		s.settings["format_log"] = "two"
		p.rewrite(s)
		p.mustOrder("reload")
		logged(first, "one", "two")
		s.settings["file_log"] = second
		p.rewrite(s)
		p.mustOrder("reload")
		logged(second, "two")
		s.settings["file_log"] = first
		p.rewrite(s)
		p.mustOrder("reload")
		logged(first, "one", "two", "two")
	})
}

// A reload to another mode: the listening socket stays, and new clients are served by the other codec. Sessions go on, and a kept-alive client gets its
// response and is then disconnected.
func TestReloadToAnotherMode(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts := namedHosts(t, 1)
		tcp := listen(t, "127.0.0.1", echo)
		web := setup{hosts: endpoints(hosts[0]), mode: "http", multi: multi, settings: settings{"workers_num": 2}}
		raw := setup{hosts: endpoints(tcp), mode: "stream", multi: multi, settings: settings{"workers_num": 2}}
		p := startHTTP(t, web)
		answers := func(c *net.TCPConn) {
			t.Helper()
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if _, body := reply(t, bufio.NewReader(c), "GET"); body != "A" {
				t.Errorf("the answer is %q", body)
			}
		}
		idle := p.dial()
		answers(idle)
		p.rewrite(raw)
		p.mustOrder("reload")
		held := p.dial()
		expectEcho(t, held, "by the other mode")
		if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("an idle client of the old mode: %v, want the end of the stream", err)
		}
		p.rewrite(web)
		p.mustOrder("reload")
		answers(p.dial())
		expectEcho(t, held, "held")
	})
}
