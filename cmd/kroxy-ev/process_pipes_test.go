package main_test

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// closedPipe returns the writing end of a pipe whose reading end is closed.
func closedPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// A process whose output nobody reads serves, reloads, replaces workers and stops without error. It writes from the start: an unknown key causes a warning.
func TestOutputThatNobodyReads(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		p := launchSetup(t, reservePort(t), setup{
			hosts: endpoints(h), multi: multi, prepare: func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = closedPipe(t), closedPipe(t) },
			settings: settings{"unknown_key": 1, "workers_num": 2, "shutdown_timeout": 0, "file_log": "/dev/stdout", "format_log": "a session"},
		})
		eventually(t, "the proxy serves", func() bool {
			c, err := p.tryDial()
			if err != nil && !alive(p.pid()) {
				t.Fatal("the proxy has ended")
			}
			return err == nil && c.Close() == nil
		})
		expectEcho(t, p.dial(), "before")
		reload := func() {
			t.Helper()
			if status, out := p.order("reload"); status != 0 {
				t.Errorf("reload: exit status %d: %s", status, out)
			}
		}
		reload()
		if multi {
			dead := p.workers()[0]
			if err := unix.Kill(dead, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a worker has taken its place", func() bool { return len(p.workers()) == 2 && !alive(dead) })
		}
		p.signal(unix.SIGUSR1)
		reload()
		expectEcho(t, p.dial(), "after")
		p.stop()
	})
}

// Lines that nobody has read are counted, and the next reader of a FIFO gets the count.
func TestLinesThatNobodyReadAreCounted(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		fifo := filepath.Join(t.TempDir(), "stderr")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		read := func() *os.File {
			t.Helper()
			r, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first := read()
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		h := listen(t, "127.0.0.1", echo)
		p := launchSetup(t, reservePort(t), setup{hosts: endpoints(h), multi: multi, prepare: func(cmd *exec.Cmd) { cmd.Stderr = w }})
		_ = w.Close()
		log := p.stderr
		follow := func(r *os.File) (end func()) {
			copied := make(chan struct{})
			go func() {
				defer close(copied)
				_, _ = io.Copy(log, r)
			}()
			return func() {
				_ = r.Close()
				<-copied // the descriptor is open as long as somebody reads from it
			}
		}
		end := follow(first)
		p.await(log, `msg="kroxy-ev: serving"`)
		const lost = `level=WARN msg="error log: lines were lost or writing fails" error=".*writing works again; \d+ more lines were lost, [1-9]\d* in all`
		// Lines are written soon; their loss cannot be observed from outside. Nor are they lost if another test has just forked a process, which has all
		// files open for a moment.
		for range 3 {
			end()
			p.mustOrder("reload")
			time.Sleep(2 * time.Second)
			end = follow(read())
			p.mustOrder("reload")
			// There are at least 10 s between two reports.
			for begin := time.Now(); time.Since(begin) < 25*time.Second && log.count(lost) == 0; {
				time.Sleep(10 * time.Millisecond)
			}
			if log.count(lost) > 0 {
				break
			}
		}
		if log.count(lost) == 0 {
			t.Errorf("no match of %q in:\n%s", lost, log)
		}
		p.stop()
		end()
	})
}

func TestDemoEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	if signal.Ignored(unix.SIGHUP) {
		t.Skip("the tests run under nohup(1), and so would the demo")
	}
	p := launchDemo(t, nil)
	p.await(p.stdout, `  0 active`)
	p.signal(unix.SIGHUP)
	if status := p.wait(); status != 0 || p.stderr.String() != "" {
		t.Errorf("exit status %d, want 0; stderr: %s", status, p.stderr)
	}
}

func TestDemoEndsWithItsReader(t *testing.T) {
	t.Parallel()
	p := launchDemo(t, func(cmd *exec.Cmd) { cmd.Stdout = closedPipe(t) })
	if status := p.wait(); status != 0 || p.stderr.String() != "" {
		t.Errorf("exit status %d, want 0; stderr: %s", status, p.stderr)
	}
}

// nohup(1) makes the demo ignore SIGHUP.
func TestDemoOfNohup(t *testing.T) {
	t.Parallel()
	p := launchDemo(t, func(cmd *exec.Cmd) {
		args := cmd.Args[1:]
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, program}, args...)
	})
	p.await(p.stdout, `  0 active`)
	p.signal(unix.SIGHUP)
	before := p.stdout.count(`  0 active`)
	eventually(t, "the demo goes on", func() bool { return p.stdout.count(`  0 active`) > before })
	p.stop()
}
