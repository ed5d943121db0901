package main_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// openDir makes a directory that everybody may enter and only this user may write to.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(publicDir, "open")
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// --test also finds problems that the file itself does not show but that would make a start fail, and creates no files.
func TestFilesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "no loop begins")
	dir := openDir(t)
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	l, err := net.Listen("unix", in("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := errors.Join(
		os.WriteFile(in("file"), nil, 0o644),
		os.Mkdir(in("private"), 0o700), os.Mkdir(in("private", "open"), 0o777),
		os.Mkdir(in("public"), 0o700), os.Chmod(in("public"), 0o777),
		os.Symlink("nowhere/log", in("dangling")), os.Symlink("public/log", in("link")), os.Symlink(in("loop"), in("loop")),
	); err != nil {
		t.Fatal(err)
	}
	q := regexp.QuoteMeta
	for name, test := range map[string]struct {
		settings settings
		want     string // "" if the check succeeds
		root     bool   // needs root
	}{
		"no log":                {settings{}, "", false},
		"a log":                 {settings{"file_log": in("public", "log")}, "", false},
		"by a link":             {settings{"file_log": in("link")}, "", false},
		"a device":              {settings{"file_log": "/dev/null"}, "", false},
		"stdout":                {settings{"file_log": "/dev/stdout"}, "", false},
		"no directory":          {settings{"file_log": in("no", "dir", "log")}, `stream\.file_log: the directory "` + q(in("no", "dir")) + `" does not exist; create it: mkdir -p "` + q(in("no", "dir")) + `"`, false},
		"below a file":          {settings{"file_log": in("file", "log")}, `stream\.file_log: "` + q(in("file")) + `" is not a directory; name a file in a directory`, false},
		"far below a file":      {settings{"file_log": in("file", "x", "log")}, `stream\.file_log: "` + q(in("file")) + `" is not a directory; name a file in a directory`, false},
		"a directory":           {settings{"file_log": in("public")}, `stream\.file_log: "` + q(in("public")) + `" is a directory; name a file in it`, false},
		"a socket":              {settings{"file_log": in("socket")}, `stream\.file_log: "` + q(in("socket")) + `" is a socket; name a file`, false},
		"a dangling link":       {settings{"file_log": in("dangling")}, `stream\.file_log: the directory "` + q(in("nowhere")) + `" does not exist; create it: mkdir -p`, false},
		"a loop":                {settings{"file_log": in("loop")}, `stream\.file_log: stat .*: too many levels of symbolic links; name another file`, false},
		"error log":             {settings{"error_log": in("no", "log")}, `stream\.error_log: the directory "` + q(in("no")) + `" does not exist; create it: mkdir -p`, false},
		"pid file":              {settings{"pid_file": in("no", "pid")}, `stream\.pid_file: the directory "` + q(in("no")) + `" does not exist; create it: mkdir -p`, false},
		"pid file, a directory": {settings{"pid_file": in("public")}, `stream\.pid_file: "` + q(in("public")) + `" is a directory; name a file in it`, false},

		"user's log":       {settings{"user": "nobody", "file_log": in("public", "log")}, "", true},
		"user's device":    {settings{"user": "nobody", "file_log": "/dev/null"}, "", true},
		"master's pid":     {settings{"user": "nobody", "pid_file": in("private", "pid")}, "", true},
		"user, no dir":     {settings{"user": "nobody", "file_log": in("no", "log")}, `stream\.file_log: the directory "` + q(in("no")) + `" does not exist; create it: install -d -o nobody "` + q(in("no")) + `"`, true},
		"another's dir":    {settings{"user": "nobody", "file_log": in("log")}, `stream\.file_log: user nobody may not create a file in "` + q(dir) + `": permission denied; name a file in a directory that user nobody may write to`, true},
		"another's file":   {settings{"user": "nobody", "file_log": in("file")}, `stream\.file_log: user nobody may not write to "` + q(in("file")) + `": permission denied; let it write there, or name`, true},
		"out of reach":     {settings{"user": "nobody", "file_log": in("private", "open", "log")}, `stream\.file_log: user nobody may not enter "` + q(in("private")) + `": permission denied; name`, true},
		"user's error log": {settings{"user": "nobody", "error_log": in("log")}, `stream\.error_log: user nobody may not create a file in "` + q(dir) + `": permission denied; name a file`, true},
		"unknown user":     {settings{"user": "nobody-of-that-name"}, `stream\.user: .*unknown user.*; name a user of this machine`, false},
		"unknown group":    {settings{"group": "no-group-of-that-name"}, `stream\.group: .*unknown group.*; name a group of this machine`, false},
		"all that's wrong": {settings{"pid_file": in("no", "pid"), "file_log": in("no", "log")}, `(?s)stream\.file_log: .*\n.*stream\.pid_file: .*\n2 errors in`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.root {
				needRoot(t)
			}
			s := setup{hosts: []endpoint{{"127.0.0.1", 9}}, multi: true, settings: test.settings}
			file := writeConfig(t, t.TempDir(), configText(reservePort(t), s))
			before := listFiles(t, dir)
			if test.want == "" {
				expectOutcome(t, outcome{0, `is good\n$`, ""}, "--test", "--strict", "-c", file)
			} else {
				expectOutcome(t, outcome{1, "", `\.json:\d+:\d+: ` + test.want}, "--test", "-c", file)
				startFails(t, reservePort(t), s, "") // the start fails as well
			}
			if after := listFiles(t, dir); test.want == "" && after != before {
				t.Errorf("the check changed the files from %s to %s", before, after)
			}
		})
	}
}

// listFiles lists all files in a directory and below.
func listFiles(t *testing.T, dir string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	more, err2 := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(list, more...), " ")
}

// If the checking user cannot become the configured user, the check says that it cannot tell whether that user may write.
func TestCheckByAnotherUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := openDir(t)
	file := writeConfig(t, publicDir, configText(reservePort(t), setup{hosts: []endpoint{{"127.0.0.1", 9}}, settings: settings{"user": "root", "file_log": filepath.Join(dir, "log")}}))
	p := launch(t, func(cmd *exec.Cmd) { cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534} }, "--test", "-c", file)
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	expectMatch(t, p.stderr.String(), `^kroxy-ev: warning: .*\.json:\d+:\d+: stream\.user: only root can run workers as another user, and check whether that user may write the logs; check the file as root\n$`)

	file = writeConfig(t, publicDir, configText(reservePort(t), setup{hosts: []endpoint{{"127.0.0.1", 9}}, settings: settings{"file_log": filepath.Join(dir, "log")}}))
	p = launch(t, func(cmd *exec.Cmd) { cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534} }, "--test", "-c", file)
	if status := p.wait(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	expectMatch(t, p.stderr.String(), `stream\.file_log: user 65534 may not create a file in "`+regexp.QuoteMeta(dir)+`": permission denied; name a file`)
}

// A check reports max_connections that the limit on open files does not allow, for one worker or for all loops.
func TestCheckOfConnectionsThatDoNotFit(t *testing.T) {
	t.Parallel()
	s := setup{hosts: []endpoint{{"127.0.0.1", 9}}, settings: settings{"max_connections": 153, "reactors_num": 8}}
	file := writeConfig(t, t.TempDir(), configText(reservePort(t), s))
	const warning = `\.json:\d+:\d+: stream\.max_connections: 153 connections do not fit into the limit of 512 open files: \d+ are served at once`
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--test"}, 0, `^kroxy-ev: warning: .*` + warning},
		{[]string{"--test", "--strict"}, 1, warning},
		{[]string{"--test", "--strict", "-m"}, 0, `^$`},
	} {
		p := launch(t, withFiles(512), append(c.args, "-c", file)...)
		if status := p.wait(); status != c.status {
			t.Errorf("%q: exit status %d, want %d", c.args, status, c.status)
		}
		expectMatch(t, p.stderr.String(), c.want)
	}
}
