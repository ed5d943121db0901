package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asInit returns a prepare function that runs a command, followed by the program's arguments, as the first process of a PID namespace.
func asInit(command ...string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		args := append(command, cmd.Args[1:]...)
		cmd.Path, _ = exec.LookPath("unshare")
		cmd.Args = append([]string{"unshare", "-p", "-f", "--mount-proc", "--kill-child"}, args...)
	}
}

func needPIDNamespaces(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("unshare", "-p", "-f", "--mount-proc", "--kill-child", "true").CombinedOutput(); err != nil {
		t.Skipf("PID namespaces cannot be made: %v %s", err, out)
	}
}

// startInit starts a proxy as the first process of a PID namespace, and returns it with its pid in the test's namespace.
func startInit(t *testing.T, s setup) (p *proxy, pid int) {
	t.Helper()
	needPIDNamespaces(t)
	port := reservePort(t)
	p = launchOn(t, port, writeConfig(t, t.TempDir(), configText(port, s)), s.multi, asInit(program))
	inside := children(t, p.pid())
	if len(inside) != 1 {
		t.Fatalf("unshare has %d children", len(inside))
	}
	return p, inside[0]
}

// orphan starts a process in a PID namespace that becomes a child of the namespace's first process at once, and ends when end is called. Pid is its id in the
// test's namespace.
func orphan(t *testing.T, init int) (pid int, end func()) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := children(t, init)
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(init), "-p", "sh", "-c", "cat <&3 >/dev/null 2>&1 & exit 0")
	cmd.ExtraFiles = []*os.File{r}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_ = r.Close()
	eventually(t, "there is an orphan", func() bool {
		for _, child := range children(t, init) {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
			if pid = child; strings.TrimSpace(string(name)) == "cat" && !slices.Contains(before, child) {
				return true
			}
		}
		return false
	})
	return pid, func() { _ = w.Close() }
}

// The first process of a container reaps orphans, which do not confuse its view of its workers.
func TestInitReapsOrphans(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		p, init := startInit(t, setup{hosts: endpoints(h), multi: multi, settings: settings{"workers_num": 2}})
		n := 2 // workers started so far
		for range 3 {
			first, endFirst := orphan(t, init)
			second, endSecond := orphan(t, init)
			endFirst()
			if multi {
				for _, child := range children(t, init) {
					if child != first && child != second {
						_ = unix.Kill(child, unix.SIGKILL)
					}
				}
			}
			endSecond()
			eventually(t, "the orphans are reaped", func() bool { return len(stat(first)) == 0 && len(stat(second)) == 0 })
			c := p.dial()
			expectEcho(t, c, "hello")
			_ = c.Close()
			if multi {
				n += 2
				p.await(p.stderr, fmt.Sprintf(`(?s)(msg="worker serving".*){%d}`, n))
			}
		}
		if err := unix.Kill(init, unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		if all, killed := p.stderr.count(`msg="worker ended"`), p.stderr.count(`msg="worker ended".* reason=(SIGKILL|"it closed its control channel \(SIGKILL\)")`); all != killed || multi && all < 3 {
			t.Errorf("%d workers have ended, %d of them by SIGKILL", all, killed)
		}
	})
}

// The first process of a container cannot hand over to another process, and says so.
func TestUpgradeOfInit(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p, init := startInit(t, setup{hosts: endpoints(h), multi: true, settings: settings{"workers_num": 2}})
	p.refuses("upgrade", `process 1, and the container ends when it does.*start a container of the new version`)
	if err := unix.Kill(init, unix.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the signal is answered", func() bool { return p.stderr.count(`upgrade failed`) == 2 })
	p.mustOrder("reload")
	expectEcho(t, p.dial(), "hello")
	if len(children(t, init)) != 2 {
		t.Error("the workers have ended")
	}
}

// Nor can a process below a small init that ends with its only child.
func TestUpgradeUnderASmallInit(t *testing.T) {
	t.Parallel()
	needPIDNamespaces(t)
	init := filepath.Join(t.TempDir(), "tini")
	install(t, "/bin/sh", init)
	h := listen(t, "127.0.0.1", echo)
	port := reservePort(t)
	p := launchOn(t, port, writeConfig(t, t.TempDir(), configText(port, setup{hosts: endpoints(h)})), true,
		asInit(init, "-c", `"$0" "$@"; exit $?`, program))
	p.refuses("upgrade", `tini, which started it, ends the container when this master ends; start a container`)
	expectEcho(t, p.dial(), "hello")
}

// Nor can a process that a script has started and waits for: the container ends with the script.
func TestUpgradeUnderAScript(t *testing.T) {
	t.Parallel()
	needPIDNamespaces(t)
	script := filepath.Join(t.TempDir(), "entrypoint")
	if err := writeProgram(script, []byte("#!/bin/sh\n\"$@\"\nexit $?\n")); err != nil {
		t.Fatal(err)
	}
	h := listen(t, "127.0.0.1", echo)
	port := reservePort(t)
	p := launchOn(t, port, writeConfig(t, t.TempDir(), configText(port, setup{hosts: endpoints(h)})), true, asInit(script, program))
	p.refuses("upgrade", `sh, which started it, ends the container when this master ends; start a container`)
	expectEcho(t, p.dial(), "hello")
}

// Where containers share a PID namespace, its first process belongs to none of them. A container's main process is recognized by its parent, which is outside
// the namespace.
func TestUpgradeInASharedPIDNamespace(t *testing.T) {
	t.Parallel()
	needPIDNamespaces(t)
	h := listen(t, "127.0.0.1", echo)
	_, init := startInit(t, setup{hosts: endpoints(h)})
	port := reservePort(t)
	p := launchOn(t, port, writeConfig(t, t.TempDir(), configText(port, setup{hosts: endpoints(h)})), true, func(cmd *exec.Cmd) {
		args := cmd.Args[1:]
		cmd.Path, _ = exec.LookPath("nsenter")
		cmd.Args = append([]string{"nsenter", "-t", fmt.Sprint(init), "-p", "-m", program}, args...)
	})
	// nsenter passes no signals on. Its child would outlive it and hold the log's pipe open.
	cleanup(t, func() {
		for _, master := range children(t, p.pid()) {
			_ = unix.Kill(master, unix.SIGTERM)
		}
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d after SIGTERM, want 0", status)
		}
	})
	p.refuses("upgrade", `started from outside of its PID namespace.*; start a container`)
	p.mustOrder("reload")
	expectEcho(t, p.dial(), "hello")
}

// A caller that cannot see the process, as in a sidecar container, finds it by its configuration file; so does one that sees it from outside.
func TestOrdersAcrossPIDNamespaces(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p, init := startInit(t, setup{hosts: endpoints(h)})
	p.mustOrder("reload")
	for _, cmd := range []*exec.Cmd{
		exec.Command("unshare", "-p", "-f", "--mount-proc", program, "reload", "--config", p.file),
		exec.Command("nsenter", "-t", fmt.Sprint(init), "-p", "-m", program, "reload", "--config", p.file),
	} {
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "kroxy-ev: reload done\n") {
			t.Errorf("%v: %v: %s", cmd.Args, err, out)
		}
	}
}
