package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An upgrade to a program that never serves changes nothing.
func TestUpgradeToABadProgram(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	for name, bad := range map[string]struct{ text, reason string }{
		"no program":   {"\x7fELF and nothing", `starting a new master: .*`},
		"ends at once": {"#!/bin/sh\nexit 3\n", `new master: it ended: exit status 3`},
		"hangs":        {"#!/bin/sh\nexec sleep 60\n", `new master: it did not serve within 10s`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, file := startUpgradable(t, setup{hosts: endpoints(h), settings: settings{"workers_num": 2, "shutdown_timeout": 300}})
			held := lasting(p.dial())
			expectEcho(t, held, "before")
			workers := p.workers()
			before := p.descriptors()
			if err := writeProgram(file, []byte(bad.text)); err != nil {
				t.Fatal(err)
			}
			p.refuses("upgrade", bad.reason)
			expectEcho(t, held, "held")
			for range 4 {
				expectEcho(t, p.dial(), "fresh")
			}
			if now := p.workers(); fmt.Sprint(now) != fmt.Sprint(workers) {
				t.Errorf("the workers were %v and are %v", workers, now)
			}
			p.mustOrder("reload")
			eventually(t, fmt.Sprintf("the master has the files that it had: %v", before), func() bool { return maps.Equal(p.descriptors(), before) })
			p.stopSuccessor(p.pid())
		})
	}
}

// A successor may have wanted fewer workers before it failed for another reason: the existing workers serve as before.
func TestUpgradeToABadConfiguration(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	s := setup{hosts: endpoints(h), settings: settings{"workers_num": 3, "shutdown_timeout": 300}}
	p, _ := startUpgradable(t, s)
	s.settings = settings{"workers_num": 1, "file_log": "/nowhere/at/all/access.log"}
	p.rewrite(s)
	p.refuses("upgrade", `/nowhere/at/all/access.log`)
	seen := map[int]bool{}
	workers := p.workers()
	eventually(t, "all 3 workers get clients", func() bool {
		c := p.dial()
		expectEcho(t, c, "fresh")
		seen[owner(t, c, workers)] = true
		return len(seen) == 3
	})
	p.stopSuccessor(p.pid())
}

// The pid file and orders follow the new master, which reads the configuration anew.
func TestUpgradeThenReload(t *testing.T) {
	t.Parallel()
	a, b := listen(t, "127.0.0.1", answer("A")), listen(t, "127.0.0.1", answer("B"))
	file := filepath.Join(t.TempDir(), "pid")
	s := setup{hosts: endpoints(a), settings: settings{"workers_num": 2, "pid_file": file}}
	p, binary := startUpgradable(t, s)
	holds := func(pid int) {
		t.Helper()
		eventually(t, "the pid file is the master's", func() bool {
			text, _ := os.ReadFile(file)
			return strings.TrimSpace(string(text)) == strconv.Itoa(pid)
		})
	}
	holds(p.pid())
	pid := p.pid()
	for i := range 3 {
		s.hosts = endpoints(b)
		s.settings["workers_num"] = []int{4, 1, 3}[i]
		p.rewrite(s)
		install(t, program, binary)
		p.mustOrder("upgrade")
		pid = p.awaitSuccessor(i + 1)
		holds(pid)
		p.awaitAnswer("B")
		s.hosts = endpoints(a)
		p.rewrite(s)
		p.mustOrder("reload")
		c := p.dial()
		expectAll(t, c, "A")
		_ = c.Close() // its worker waits for it when it leaves
	}
	eventually(t, "the last master has 3 workers", func() bool { return len(children(t, pid)) == 3 })
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d of the first master, want 0", status)
	}
	p.stopSuccessor(pid)
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is still there: %v", err)
	}
}

// awaitAnswer waits until a host that sends this text serves a new client: after an upgrade the old workers may accept until they leave.
func (p *proxy) awaitAnswer(text string) {
	p.t.Helper()
	eventually(p.t, text+" answers", func() bool {
		c := p.dial()
		defer c.Close()
		got, _ := io.ReadAll(c)
		return string(got) == text
	})
}

// A master is killed while its workers leave. Their gauges are cleared, although that master can no longer do it.
func TestKilledPredecessorHoldsNothing(t *testing.T) {
	t.Parallel()
	s := setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), settings: settings{"workers_num": 1, "shutdown_timeout": 20 * patience.Milliseconds()}}
	p, binary := startUpgradable(t, s)
	held := p.dial()
	expectEcho(t, held, "hello")
	counted := func(what string) {
		t.Helper()
		eventually(t, "the status says "+what, func() bool {
			status, out, errs := p.steer("status", "--json")
			var s struct {
				Servers []struct{ Active int }
				Groups  []struct{ Active int }
			}
			if err := json.Unmarshal([]byte(out), &s); err != nil || status != 0 || len(s.Servers) != 1 || len(s.Groups) != 1 {
				t.Fatalf("exit status %d: %v: %s%s", status, err, out, errs)
			}
			return fmt.Sprintf("%d clients, %d of them at hosts", s.Servers[0].Active, s.Groups[0].Active) == what
		})
	}
	install(t, program, binary)
	p.mustOrder("upgrade")
	pid := p.awaitSuccessor(1)
	counted("1 clients, 1 of them at hosts")
	p.signal(unix.SIGKILL)
	expectClosed(t, held)
	counted("0 clients, 0 of them at hosts")
	p.stopSuccessor(pid)
}

// A reload signal that the old master gets while a new one starts is not lost.
func TestReloadAmidUpgrade(t *testing.T) {
	t.Parallel()
	a, b := listen(t, "127.0.0.1", answer("A")), listen(t, "127.0.0.1", answer("B"))
	s := setup{hosts: endpoints(a), settings: settings{"workers_num": 2}}
	p, binary := startUpgradable(t, s)
	// The new program starts when the test tells it to.
	release := filepath.Join(t.TempDir(), "release")
	if err := unix.Mkfifo(release, 0o600); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nread line <%s\nexec %s \"$@\"\n", release, program)
	if err := writeProgram(binary, []byte(script)); err != nil {
		t.Fatal(err)
	}
	p.signal(unix.SIGUSR2)
	p.awaitLog(`msg="new master started"`)
	s.hosts = endpoints(b)
	p.rewrite(s)
	p.signal(unix.SIGHUP)
	if err := os.WriteFile(release, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	pid := p.awaitSuccessor(1)
	p.awaitLog(`msg="kroxy-ev: reloaded"`)
	p.awaitAnswer("B")
	p.stopSuccessor(pid)
}

func TestUpgradeNeedsAMaster(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h)})
	const want = "kroxy-ev: only a master can hand over to a new binary: start with --multiprocess"
	if status, out := p.order("upgrade"); status != 1 || strings.TrimSpace(out) != want {
		t.Errorf("exit status %d: %s", status, out)
	}
	p.signal(unix.SIGUSR2)
	p.await(p.stderr, `level=ERROR.*start with --multiprocess`)
	expectEcho(t, p.dial(), "fresh")
}
