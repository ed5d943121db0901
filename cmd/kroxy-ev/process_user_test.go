package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// needRoot skips the test unless it runs as root, and returns a user that processes can become.
func needRoot(t *testing.T) *user.User {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can run workers as another user")
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("there is no user nobody: %v", err)
	}
	return u
}

func statusOf(t *testing.T, pid int, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `:\s+(.*)$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in /proc/PID/status", name)
	}
	return string(found[1])
}

func TestWorkersOfAnotherUser(t *testing.T) {
	t.Parallel()
	u := needRoot(t)
	h := listen(t, "127.0.0.1", echo)
	s := setup{hosts: endpoints(h), multi: true, settings: settings{"user": "nobody", "workers_num": 2, "file_log": "/dev/stdout", "format_log": "line", "shutdown_timeout": 100}}
	p := start(t, s)
	four := func(id string) string { return strings.Join([]string{id, id, id, id}, "\t") }
	if uid := statusOf(t, p.pid(), "Uid"); uid != four("0") {
		t.Errorf("the master's Uid is %s", uid)
	}
	if statusOf(t, p.pid(), "NoNewPrivs") != "0" {
		t.Error("the master has NoNewPrivs, which its successor would inherit")
	}
	check := func() {
		t.Helper()
		list := p.workers()
		if len(list) == 0 {
			t.Error("there are no workers")
		}
		for _, pid := range list {
			uid, gid := statusOf(t, pid, "Uid"), statusOf(t, pid, "Gid")
			if uid != four(u.Uid) || gid != four(u.Gid) || statusOf(t, pid, "NoNewPrivs") != "1" || strings.Trim(statusOf(t, pid, "CapEff"), "0") != "" {
				t.Errorf("a worker has Uid %s, Gid %s, NoNewPrivs %s, CapEff %s", uid, gid, statusOf(t, pid, "NoNewPrivs"), statusOf(t, pid, "CapEff"))
			}
			for _, group := range strings.Fields(statusOf(t, pid, "Groups")) {
				if group == "0" {
					t.Error("a worker is in the group root")
				}
			}
		}
	}
	check()
	expectEcho(t, p.dial(), "hello")
	// A log that only root could open.
	dir := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.settings["file_log"] = filepath.Join(dir, "access.log")
	p.rewrite(s)
	p.refuses("reload", `file_log: .*permission denied`)
	s.settings["file_log"], s.settings["workers_num"] = "", 3
	p.rewrite(s)
	p.mustOrder("reload")
	if n := len(p.workers()); n != 3 {
		t.Errorf("%d workers, want 3", n)
	}
	check()
	expectEcho(t, p.dial(), "hello")
}

func TestUsersThatCannotBe(t *testing.T) {
	t.Parallel()
	hosts := []endpoint{{"127.0.0.1", 9}}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		settings settings
		pattern  string
	}{
		"unknown user":  {settings{"user": "nobody-of-that-name"}, `stream\.user: .*unknown user`},
		"unknown group": {settings{"group": "no-group-of-that-name"}, `stream\.group: .*unknown group`},
		"private log":   {settings{"user": "nobody", "file_log": filepath.Join(dir, "access.log")}, `file_log: .*permission denied`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needRoot(t)
			startFails(t, reservePort(t), setup{hosts: hosts, multi: true, settings: c.settings}, c.pattern)
		})
	}
	t.Run("without workers", func(t *testing.T) {
		t.Parallel()
		startFails(t, reservePort(t), setup{hosts: hosts, settings: settings{"user": "nobody"}}, `start with --multiprocess`)
	})
	t.Run("not root", func(t *testing.T) {
		t.Parallel()
		needRoot(t)
		port := reservePort(t)
		file := writeConfig(t, publicDir, configText(port, setup{hosts: hosts, settings: settings{"user": "root"}}))
		p := launch(t, func(cmd *exec.Cmd) { cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534} }, "--config", file, "-m")
		if status := p.wait(); status != 1 {
			t.Errorf("exit status %d, want 1", status)
		}
		expectMatch(t, p.stderr.String(), `stream\.user: only root can run workers as another user`)
	})
}
