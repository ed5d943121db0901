package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// outcome is how a run of the program ends, as regular expressions; "" is no output.
type outcome struct {
	status         int
	stdout, stderr string
}

// expectOutcome runs the program until it exits.
func expectOutcome(t *testing.T, want outcome, args ...string) {
	t.Helper()
	p := launch(t, nil, args...)
	if status := p.wait(); status != want.status {
		t.Errorf("exit status %d, want %d", status, want.status)
	}
	for name, out := range map[string]struct {
		got  *transcript
		want string
	}{"stdout": {p.stdout, want.stdout}, "stderr": {p.stderr, want.stderr}} {
		if out.want == "" {
			if out.got.String() != "" {
				t.Errorf("%s has %q, want nothing", name, out.got)
			}
			continue
		}
		expectMatch(t, out.got.String(), out.want)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	good := writeConfig(t, t.TempDir(), configText(reservePort(t), setup{hosts: []endpoint{{"127.0.0.1", 9}}}))
	for _, test := range []struct {
		args string
		want outcome
	}{
		{"", outcome{1, "", `^kroxy-ev: no configuration given; use --config FILE.*\nTry "kroxy-ev --help"\.\n$`}},
		{"--nonsense", outcome{1, "", `^kroxy-ev: .*nonsense`}},
		{"--config " + good + " more", outcome{1, "", `^kroxy-ev: unexpected argument "more"`}},
		{"--config", outcome{1, "", `^kroxy-ev: .*config`}},
		{"-h", outcome{0, `(?s)Usage:.*--config`, ""}},
		{"--help", outcome{0, `(?s)Usage:.*--config`, ""}},
		{"--version", outcome{0, `^kroxy-ev \S+\n$`, ""}},
		{"-t -c " + good, outcome{0, `is good\n$`, ""}},
		{"--test --config " + good, outcome{0, `is good\n$`, ""}},
		{"--test --strict --config " + good, outcome{0, `is good\n$`, ""}},
		{"--strict --config " + good, outcome{1, "", `^kroxy-ev: --strict works only with --test; use --test --strict\nTry "kroxy-ev --help"\.\n$`}},
		{"--strict", outcome{1, "", `^kroxy-ev: --strict works only`}},
		{"reload --test --strict --config " + good, outcome{1, "", `^kroxy-ev: reload: flag provided but not defined: -test\nTry "kroxy-ev help reload"\.\n$`}},
		{"statsu --config " + good, outcome{1, "", `^kroxy-ev: unexpected argument "statsu"; did you mean "status"\?\n`}},
		{"--config " + good + " reload", outcome{1, "", `^kroxy-ev: unexpected argument "reload"; a command comes first: kroxy-ev reload --config FILE\n`}},
		{"help", outcome{0, `(?s)Usage:.*--config`, ""}},
		{"help status", outcome{0, `(?s)^kroxy-ev status prints.*--json`, ""}},
		{"help demo", outcome{0, `Usage:\n  kroxy-ev demo`, ""}},
		{"help statsu", outcome{1, "", `^kroxy-ev: no help for "statsu"; the commands are status, top, `}},
		{"help status top", outcome{1, "", `^kroxy-ev: help takes one command; unexpected argument "top"`}},
		{"drain -h", outcome{0, `Usage:\n  kroxy-ev drain GROUP/HOST --config FILE\n`, ""}},
		{"status", outcome{1, "", `^kroxy-ev: status: no configuration given; use --config FILE .*\nTry "kroxy-ev help status"\.\n$`}},
		{"status more -c " + good, outcome{1, "", `^kroxy-ev: status: unexpected argument "more"`}},
		{"drain -c " + good, outcome{1, "", `^kroxy-ev: drain: GROUP/HOST is missing; use: kroxy-ev drain GROUP/HOST --config FILE\n`}},
		{"weight a/b -c " + good, outcome{1, "", `^kroxy-ev: weight: N is missing; use: kroxy-ev weight GROUP/HOST N --config FILE\n`}},
		{"weight a/b 1001 -c " + good, outcome{1, "", `^kroxy-ev: weight: "1001" is not a weight; use a number from 0 to 1000\n$`}},
		{"weight --config " + good + " a/b much", outcome{1, "", `^kroxy-ev: weight: "much" is not a weight`}},
		{"top -c " + good, outcome{1, "", `^kroxy-ev: top needs a terminal .*; "kroxy-ev status" prints the same anywhere\n$`}},
		{"top --interval 1ms -c " + good, outcome{1, "", `^kroxy-ev: top: --interval is 1ms; it can be 100ms to 1h\n`}},
		{"status -c " + good, outcome{1, "", `^kroxy-ev: no kroxy-ev on this machine serves \S+; start it with `}},
		{"undrain web/a -c " + good, outcome{1, "", `^kroxy-ev: no kroxy-ev on this machine serves \S+; start it with `}},
		{"status -c /nowhere/at/all.json", outcome{1, "", `^kroxy-ev: looking for the process that serves /nowhere/at/all\.json: .*; name the file exactly as at its start\n$`}},
		{"-c /nowhere/at/all.json", outcome{1, "", `^/nowhere/at/all\.json: there is no such file; .*\n$`}},
		{"-c /", outcome{1, "", `^/: it is a directory; .*\n$`}},
		{"demo -h", outcome{0, `Usage:\n  kroxy-ev demo`, ""}},
		{"demo -port 0", outcome{1, "", `^kroxy-ev: demo: -port is 0`}},
		{"demo -port 70000", outcome{1, "", `^kroxy-ev: demo: -port is 70000`}},
		{"demo -port 65535", outcome{1, "", `^kroxy-ev: demo: -port is 65535; it can be 1 to 65534`}},
		{"demo -for -1s", outcome{1, "", `^kroxy-ev: demo: -for is -1s`}},
		{"demo more", outcome{1, "", `^kroxy-ev: demo: unexpected argument "more"`}},
	} {
		t.Run(strings.ReplaceAll(test.args, good, "FILE"), func(t *testing.T) {
			t.Parallel()
			expectOutcome(t, test.want, strings.Fields(test.args)...)
		})
	}
}

// A mistake in the file prevents the start; the message has its place and a remedy. Package config tests the whole grammar.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	const hosts = `"servers": {"a": {"hosts": [{"host": "127.0.0.1", "port": 9}]}}`
	for name, test := range map[string]struct{ text, want string }{
		"empty file":     {"", `1:1: `},
		"broken JSON":    {"{\n  \"stream\": {\n    port: 1\n", `3:5: `},
		"no servers":     {`{"stream": {"proxy_to": "a"}}`, `1:\d+: stream\.servers: it is missing`},
		"no such group":  {"{\"stream\": {\n \"proxy_to\": \"b\", " + hosts + "}}", `2:14: stream\.proxy_to: no group named "b" in servers; `},
		"bad port":       {"{\"stream\": {\n \"port\": 70000, \"proxy_to\": \"a\", " + hosts + "}}", `2:10: stream\.port: `},
		"negative time":  {"{\"stream\": {\n \"read_timeout\": -1, \"proxy_to\": \"a\", " + hosts + "}}", `2:18: stream\.read_timeout: `},
		"wrong type":     {"{\"stream\": {\n \"read_timeout\": \"1x\", \"proxy_to\": \"a\", " + hosts + "}}", `2:18: stream\.read_timeout: `},
		"algorithm":      {`{"stream": {"proxy_to": "a", "servers": {"a": {"balancing_algo": "fastest", "hosts": [{"host": "h", "port": 9}]}}}}`, `1:\d+: stream\.servers\.a\.balancing_algo: unknown algorithm "fastest"; `},
		"log variable":   {`{"stream": {"format_log": "$status", "proxy_to": "a", ` + hosts + `}}`, `1:\d+: stream\.format_log: .*\$status`},
		"several errors": {"{\"stream\": {\n\"port\": 0,\n\"read_timeout\": -1,\n\"proxy_to\": \"b\", " + hosts + "}}", `(?s)\.json:2:.*\.json:3:.*\.json:4:.*3 errors in`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := writeConfig(t, t.TempDir(), []byte(test.text))
			for _, args := range [][]string{{"--config", file}, {"--config", file, "--test"}} {
				expectOutcome(t, outcome{1, "", test.want}, args...)
			}
		})
	}
}

func TestUnknownKeyIsAWarning(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h), settings: settings{"timeout_ms": 5, "raed_timeout": 5}})
	expectEcho(t, p.dial(), "hello")
	expectMatch(t, p.stderr.String(), `warning: .*:\d+:\d+: stream\.timeout_ms: unknown key "timeout_ms" is ignored`)
	expectMatch(t, p.stderr.String(), `warning: .*:\d+:\d+: stream\.raed_timeout: .*did you mean "read_timeout"`)
}

// With --strict, warnings are errors.
func TestStrict(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, t.TempDir(), configText(reservePort(t), setup{hosts: []endpoint{{"127.0.0.1", 9}}, settings: settings{"timeout_ms": 5, "raed_timeout": 5}}))
	expectOutcome(t, outcome{0, `is good\n$`, `^(kroxy-ev: warning: .*\n){2}$`}, "--test", "-c", file)
	expectOutcome(t, outcome{1, "", `(?m)\A.*\.json:\d+:\d+: stream\.raed_timeout: unknown key .*\n.*: stream\.timeout_ms: unknown key .*\n2 errors in .*\n\z`}, "--test", "--strict", "-c", file)
}

// An unknown key that looks like security is an error, at the start and at a reload.
func TestUnknownSecurityKey(t *testing.T) {
	t.Parallel()
	hosts := endpoints(listen(t, "127.0.0.1", echo))
	id := newAuthority(t).issue("site.test")
	misspelt := setup{hosts: hosts, settings: id.serverSettings(settings{"tls_verify_clients": true})}
	const want = `\.json:\d+:\d+: stream\.tls_verify_clients: unknown key .* has no effect, and looks like a security setting; did you mean \\?"tls_verify_client\\?"\?`
	port := reservePort(t)
	startFails(t, port, misspelt, want)
	expectOutcome(t, outcome{1, "", want}, "--test", "-c", writeConfig(t, t.TempDir(), configText(port, misspelt)))
	for name, multi := range map[string]bool{"single": false, "master": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup{hosts: hosts, multi: multi, settings: id.serverSettings(nil)}
			p := start(t, s)
			s.settings = misspelt.settings
			p.rewrite(s)
			p.refuses("reload", want)
		})
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	hosts := []endpoint{{"127.0.0.1", 9}}
	refused := func(t *testing.T, port int) {
		t.Helper()
		file := writeConfig(t, t.TempDir(), configText(port, setup{hosts: hosts}))
		want := fmt.Sprintf(`\.json:\d+:\d+: stream\.port: port %d is in use by another program; choose another port`, port)
		expectOutcome(t, outcome{1, "", want}, "-c", file)
	}
	t.Run("by a plain listener", func(t *testing.T) {
		t.Parallel()
		ln, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		refused(t, ln.Addr().(*net.TCPAddr).Port)
	})
	t.Run("by a listener on one address", func(t *testing.T) {
		t.Parallel()
		refused(t, listen(t, "127.0.0.1", nil).Port)
	})
	t.Run("by a kroxy-ev", func(t *testing.T) {
		t.Parallel()
		refused(t, start(t, setup{hosts: hosts}).port)
	})
}

// A port can be used again at once, although connections of the previous proxy are in TIME_WAIT.
func TestRestart(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", answer("goodbye"))
	p := start(t, setup{hosts: endpoints(h)})
	c := p.dial()
	expectAll(t, c, "goodbye") // the proxy closes first, so its side is in TIME_WAIT
	_ = c.Close()
	p.stop()
	again := launchOn(t, p.port, p.file, false, nil)
	expectAll(t, again.dial(), "goodbye")
}

func TestPrivilegedPort(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace, where low ports are certainly privileged")
	}
	file := writeConfig(t, publicDir, configText(80, setup{hosts: []endpoint{{"127.0.0.1", 9}}}))
	prepare := func(cmd *exec.Cmd) {
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNET
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		cmd.Dir = "/"
	}
	probe := exec.Command(program, "--version")
	probe.SysProcAttr = &syscall.SysProcAttr{}
	if prepare(probe); probe.Run() != nil {
		t.Skip("a program cannot be run as nobody in a network namespace here")
	}
	p := launch(t, prepare, "-c", file)
	if status := p.wait(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	expectMatch(t, p.stderr.String(), `\.json:\d+:\d+: stream\.port: this user may not listen on port 80; choose a port of 1024 or above, or grant`)
}

func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(file, []byte("{}"), 0); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(file); err == nil {
		_ = f.Close()
		t.Skip("this user can read every file")
	}
	expectOutcome(t, outcome{1, "", `secret\.json: no permission to read the file; make it readable for user \d+\n$`}, "-c", file)
}
