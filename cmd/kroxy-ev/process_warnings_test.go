package main_test

import (
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
)

// The error log has the configuration's warnings of the start.
func TestErrorLogHasWarningsOfTheStart(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		file := filepath.Join(t.TempDir(), "error.log")
		h := listen(t, "127.0.0.1", echo)
		s := setup{hosts: endpoints(h), multi: multi, settings: settings{"error_log": file, "unknown_key": 1}}
		p := launchSetup(t, reservePort(t), s)
		awaitInFile(t, file, `msg="kroxy-ev: serving"`)
		awaitInFile(t, file, `level=WARN msg=".*stream\.unknown_key`)
		p.await(p.stderr, `unknown_key`)
		p.stop()
		if n := p.stderr.count(`unknown_key`); n != 1 {
			t.Errorf("stderr has the warning %d times, want 1", n)
		}
	})
}

// A changed pid_file takes effect at the next start only; every reload says so.
func TestReloadWithAnotherPIDFile(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		file := filepath.Join(t.TempDir(), "pid")
		h := listen(t, "127.0.0.1", echo)
		s := setup{hosts: endpoints(h), multi: multi, settings: settings{"pid_file": file}}
		p := start(t, s)
		p.mustOrder("reload")
		s.settings = settings{"pid_file": file + ".new"}
		p.rewrite(s)
		p.warns("reload", `reload: pid_file stays as it was at the start; to change it, .*restart`)
		p.warns("reload", `reload: pid_file stays as it was at the start; to change it, .*restart`)
		s.settings = settings{"pid_file": file}
		p.rewrite(s)
		p.mustOrder("reload")
	})
}

// A process without workers cannot become another user, neither at the start nor later.
func TestUserWithoutWorkers(t *testing.T) {
	t.Parallel()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Fatal(err)
	}
	h := listen(t, "127.0.0.1", echo)
	s := setup{hosts: endpoints(h)}
	p := start(t, s)
	for key, name := range map[string]string{"user": me.Username, "group": group.Name} {
		s.settings = settings{key: name}
		want := `\.json:\d+:\d+: stream\.` + key + `: only worker processes change their user, and there are none; start with --multiprocess`
		expectOutcome(t, outcome{1, "", want}, "-c", writeConfig(t, t.TempDir(), configText(reservePort(t), s)))
		p.rewrite(s)
		p.refuses("reload", want)
	}
	expectEcho(t, p.dial(), "as before")
}

// After an upgrade to another port, nobody serves systemd's sockets, and a warning says so.
func TestUpgradeToAnotherPortThanSystemds(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	port, prepare, _ := activate(t, 1)
	inGroup := inProcessGroup(t)
	s := setup{hosts: endpoints(h), multi: true, settings: settings{"shutdown_timeout": 300, "workers_num": 1}, prepare: func(cmd *exec.Cmd) {
		prepare(cmd)
		inGroup(cmd)
	}}
	p := startOn(t, port, s)
	p.port = reservePort(t)
	p.rewrite(s)
	p.warns("upgrade", fmt.Sprintf(`systemd still listens on port %d, but nothing serves it any more`, port))
	pid := p.awaitSuccessor(1)
	expectEcho(t, p.dial(), "hello")
	p.stopSuccessor(pid)
}
