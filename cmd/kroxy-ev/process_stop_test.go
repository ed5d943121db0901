package main_test

import (
	"errors"
	"fmt"
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

func TestSignalsToAMaster(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", nil)
			p := start(t, setup{hosts: endpoints(h), multi: true, settings: settings{"workers_num": 2}})
			client := p.dial()
			server := h.accept()
			workers := p.workers()
			p.signal(s)
			p.awaitRefusal()
			send(t, client, "still there?")
			expect(t, server, "still there?")
			_ = server.Close()
			expectAll(t, client, "")
			_ = client.Close()
			if status := p.wait(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
			if slices.ContainsFunc(workers, alive) {
				t.Error("a worker still runs")
			}
		})
	}
}

func TestShutdownTimeoutOfAMaster(t *testing.T) {
	t.Parallel()
	for _, timeout := range []int{0, 300} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", nil)
			p := start(t, setup{hosts: endpoints(h), multi: true, settings: settings{"workers_num": 2, "shutdown_timeout": timeout}})
			client := p.dial()
			server := h.accept()
			begin := time.Now()
			p.stop()
			notBefore(t, begin, time.Duration(timeout)*time.Millisecond)
			expectClosed(t, client)
			expectClosed(t, server)
		})
	}
}

// Without a shutdown_timeout in the file, sessions get less time than the 10 seconds that "docker stop" allows.
func TestDefaultShutdownTimeout(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		port := reservePort(t)
		text := fmt.Sprintf(`{"stream": {"port": %d, "proxy_to": "a", "servers": {"a": {"hosts": [{"host": "127.0.0.1", "port": 9}]}}}}`, port)
		p := launchOn(t, port, writeConfig(t, t.TempDir(), []byte(text)), multi, nil)
		p.stop()
		p.await(p.stderr, `kroxy-ev: stopping.* timeout=8s`)
	})
}

func TestSecondSignalToAMaster(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", nil)
	p := start(t, setup{hosts: endpoints(h), multi: true, settings: settings{"workers_num": 2}})
	client := p.dial()
	h.accept()
	workers := p.workers()
	p.signal(unix.SIGTERM)
	p.await(p.stderr, `kroxy-ev: stopping`)
	p.signal(unix.SIGTERM)
	if status := p.wait(); status != 1 {
		t.Errorf("exit status %d although a session was cut, want 1", status)
	}
	expectClosed(t, client)
	eventually(t, "no worker is left", func() bool { return !slices.ContainsFunc(workers, alive) })
}

// Log rotation as logrotate(8) does it loses no line.
func TestReopenedLogs(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		file := filepath.Join(t.TempDir(), "access.log")
		h := listen(t, "127.0.0.1", answer("goodbye"))
		p := start(t, setup{hosts: endpoints(h), multi: multi, settings: settings{
			"file_log": file, "format_log": "$client_addr", "workers_num": 3, "reactors_num": 3,
		}})
		talks := 0
		talk := func() { p.runSession(); talks++ }
		const rounds, each = 4, 12
		for i := range rounds {
			for range each {
				talk()
			}
			if err := os.Rename(file, file+strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
			p.signal(unix.SIGUSR1)
			eventually(t, "there is a new file", func() bool { _, err := os.Stat(file); return err == nil })
			eventually(t, "nobody has the old file open", func() bool {
				return !slices.ContainsFunc(p.allProcesses(), func(pid int) bool { return hasOpen(pid, file+strconv.Itoa(i)) })
			})
		}
		// All processes write to the new file.
		eventually(t, "there are lines in the new file", func() bool { talk(); return len(lines(t, file)) > each })
		p.stop()
		old := 0
		for i := range rounds {
			old += len(lines(t, file+strconv.Itoa(i)))
		}
		if old > rounds*each {
			t.Errorf("the old files have %d lines for %d sessions", old, rounds*each)
		}
		if len(lines(t, file))+old != talks {
			t.Errorf("%d lines in the old files and %d in the new one; want %d", old, len(lines(t, file)), talks)
		}
	})
}

// hasOpen reports whether a process has a file open.
func hasOpen(pid int, file string) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return slices.ContainsFunc(files, func(f string) bool {
		target, _ := os.Readlink(f)
		return target == file
	})
}

// While sessions finish, log files can still be rotated and the log level changed.
func TestLogSignalsWhileStopping(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		file := filepath.Join(t.TempDir(), "access.log")
		h := listen(t, "127.0.0.1", echo)
		p := start(t, setup{hosts: endpoints(h), multi: multi, settings: settings{"file_log": file}})
		held := p.dial()
		expectEcho(t, held, "hello")
		p.signal(unix.SIGTERM)
		p.await(p.stderr, `kroxy-ev: stopping`)
		p.signal(unix.SIGTTIN)
		p.await(p.stderr, `the log is at level debug`)
		if err := os.Rename(file, file+".1"); err != nil {
			t.Fatal(err)
		}
		p.signal(unix.SIGUSR1)
		eventually(t, "there is a new file", func() bool { _, err := os.Stat(file); return err == nil })
		_ = held.Close()
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
	})
}

func TestPIDFile(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		file := filepath.Join(t.TempDir(), "pid")
		h := listen(t, "127.0.0.1", echo)
		p := start(t, setup{hosts: endpoints(h), multi: multi, settings: settings{"pid_file": file}})
		text, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(p.pid()) {
			t.Errorf("the pid file is %q, error %v; want %d", text, err, p.pid())
		}
		p.stop()
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the pid file is still there: %v", err)
		}
	})
}

// startFails starts a proxy that cannot serve, and demands that it says why, exits with status 1 and leaves neither processes nor a listener.
func startFails(t *testing.T, port int, s setup, pattern string) {
	t.Helper()
	p := launchSetup(t, port, s)
	if status := p.wait(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	expectMatch(t, p.stderr.String(), pattern)
	if err := unix.Kill(-p.pid(), 0); s.prepare != nil && p.cmd.SysProcAttr.Setpgid && !errors.Is(err, unix.ESRCH) {
		t.Errorf("processes of the group still exist: %v", err)
	}
	if _, err := requestOnce(port); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("connecting to the port: %v, want a refusal", err)
	}
}

func TestPIDFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		startFails(t, reservePort(t), setup{hosts: []endpoint{{"127.0.0.1", 9}}, multi: multi, settings: settings{"pid_file": "/nowhere/at/all/pid"}},
			`stream\.pid_file: .*no such file`)
	})
}

// A process that may open hardly any files says so and exits. With fewer than 8, Go itself does not start.
func TestNoDescriptorsForWorkers(t *testing.T) {
	t.Parallel()
	for files := 8; files <= 22; files += 2 {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", echo)
			port := reservePort(t)
			file := writeConfig(t, t.TempDir(), configText(port, setup{hosts: endpoints(h), settings: settings{"workers_num": 4}}))
			p := launch(t, func(cmd *exec.Cmd) {
				cmd.Path = "/bin/sh"
				cmd.Args = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files), program, "--config", file, "-m"}
			})
			if status := p.wait(); status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			if text := p.stderr.String(); !strings.Contains(text, "too many open files") && !strings.Contains(text, "open files") {
				t.Errorf("stderr does not say why: %s", text)
			}
			if _, err := requestOnce(port); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("connecting to the port: %v, want a refusal", err)
			}
		})
	}
}
