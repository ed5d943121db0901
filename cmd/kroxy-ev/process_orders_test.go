package main_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// orderFails runs a command that gives an order, and demands that it fails with an error that matches the pattern.
func orderFails(t *testing.T, cmd *exec.Cmd, pattern string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || !regexp.MustCompile(pattern).Match(out) {
		t.Errorf("%v: %v: %s\nwant exit status 1 and %s", cmd.Args, err, out, pattern)
	}
}

// put writes a file, and its directory if necessary.
func put(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, text, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// Kubernetes replaces the files of a volume by redirecting the link "..data" and removing the old directory.
func TestOrdersAfterAConfigMapSwap(t *testing.T) {
	t.Parallel()
	a, b := listen(t, "127.0.0.1", answer("A")), listen(t, "127.0.0.1", answer("B"))
	port := reservePort(t)
	dir := t.TempDir()
	version, file := 0, filepath.Join(dir, "proxy.json")
	swap := func(h *host) {
		t.Helper()
		old := filepath.Join(dir, fmt.Sprint("..", version))
		version++
		now := fmt.Sprint("..", version)
		put(t, filepath.Join(dir, now, "proxy.json"), configText(port, setup{hosts: endpoints(h)}))
		data := filepath.Join(dir, "..data")
		if err := errors.Join(os.Symlink(now, data+"_tmp"), os.Rename(data+"_tmp", data), os.RemoveAll(old)); err != nil {
			t.Fatal(err)
		}
	}
	swap(a)
	if err := os.Symlink(filepath.Join("..data", "proxy.json"), file); err != nil {
		t.Fatal(err)
	}
	p := launchOn(t, port, file, true, inProcessGroup(t))
	p.awaitAnswer("A")
	pid := p.pid()
	for i, verb := range []string{"reload", "reload", "upgrade", "reload"} {
		h, want := b, "B"
		if i%2 == 1 {
			h, want = a, "A"
		}
		swap(h)
		p.mustOrder(verb)
		if verb == "upgrade" {
			pid = p.awaitSuccessor(1)
			p.awaitAnswer(want) // the old workers may accept until they leave
			continue
		}
		c := p.dial()
		expectAll(t, c, want)
		_ = c.Close() // its worker waits for it when it leaves
	}
	p.stopSuccessor(pid)
}

// The path at the start may be relative and that of the order absolute, or the reverse.
func TestOrdersByRelativeAndAbsolutePath(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	for _, relative := range []bool{false, true} {
		t.Run(fmt.Sprint("relative at the start ", relative), func(t *testing.T) {
			t.Parallel()
			port := reservePort(t)
			file := writeConfig(t, t.TempDir(), configText(port, setup{hosts: endpoints(h)}))
			dir, base := filepath.Split(file)
			first, second := file, "./"+base
			if relative {
				first, second = second, first
			}
			p := launchOn(t, port, first, false, func(cmd *exec.Cmd) { cmd.Dir = dir })
			cmd := exec.Command(program, "reload", "--config", second)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			p.stop()
		})
	}
}

// An order with another name of the file is refused; the error has the name that was given at the start.
func TestOrdersByAnotherName(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		p := start(t, setup{hosts: endpoints(h), multi: multi})
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(filepath.Dir(p.file), link); err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(link, filepath.Base(p.file))
		orderFails(t, exec.Command(program, "reload", "--config", other),
			fmt.Sprintf(`^kroxy-ev: no kroxy-ev on this machine serves %s; .*; process %d serves the same file as "%s"\n$`, other, p.pid(), p.file))
	})
}

// If two processes serve the same file, neither gets the order.
func TestOrdersToTwoProxiesOfOneFile(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		s := setup{hosts: endpoints(h)}
		first := start(t, s)
		port := reservePort(t)
		first.replace(configText(port, s)) // without a reload
		second := launchOn(t, port, first.file, multi, nil)
		status, out := first.order("reload")
		if status != 1 || !strings.Contains(out, fmt.Sprint(first.pid())) || !strings.Contains(out, fmt.Sprint(second.pid())) {
			t.Errorf("exit status %d: %s", status, out)
		}
		// A process that is stopping does not count.
		held := second.dial()
		second.signal(unix.SIGTERM)
		second.await(second.stderr, `kroxy-ev: stopping`)
		first.replace(configText(first.port, s))
		eventually(t, "the second process no longer counts", func() bool { status, _ := first.order("reload"); return status == 0 })
		_ = held.Close()
		second.wait()
		first.mustOrder("reload")
	})
}

// A process of another user that owns a control socket of this name is not taken for the proxy.
func TestOrdersToAnImpostor(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, t.TempDir(), []byte("{}"))
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(file))
	ln, err := net.Listen("unix", fmt.Sprintf("@kroxy-ev/%x/impostor", sum[:16]))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	says := make(chan string, 1)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			text := <-says
			says <- text
			_, _ = io.WriteString(c, text)
			if !strings.HasSuffix(text, "\n") {
				_ = c.Close()
			}
		}
	}()
	introduction := func(path string, ino uint64, pid int) string {
		return fmt.Sprintf(`{"Path":%q,"File":{"Dev":%d,"Ino":%d},"PID":%d,"State":"serves"}`+"\n", path, st.Dev, ino, pid)
	}
	for text, pattern := range map[string]string{
		introduction(file, st.Ino, 1):                 `process \d+ claims to be process 1 of its PID namespace, which is false`,
		introduction(file, st.Ino+1, os.Getpid()):     `process \d+ serves that path, but sees another file there`,
		introduction("/another", st.Ino, os.Getpid()): `process \d+ serves "/another"`,
		`{"Refusal":"only root may"}` + "\n":          `process \d+ says "only root may"`,
		"ok":                                          `process \d+ sends no greeting: EOF`,
		"ok\n":                                        `process \d+ sends no greeting`,
	} {
		says <- text
		orderFails(t, exec.Command(program, "reload", "--config", file), `^kroxy-ev: no kroxy-ev serves .* here: `+pattern)
		<-says
	}
}

// Whoever orders a reload gets the warnings about the new file, and each error in a line of its own.
func TestReloadReportsWarnings(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		s := setup{hosts: endpoints(h), multi: multi, settings: settings{"unknown_key": 1}}
		p := start(t, s)
		status, out := p.order("reload")
		if want := `^kroxy-ev: warning: .*\.json:\d+:\d+: stream\.unknown_key: .*\nnothing has changed\nkroxy-ev: reload done\n$`; status != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("exit status %d: %s\nwant %s", status, out, want)
		}
		p.awaitLog(`level=WARN .*unknown_key`)
		s.settings = settings{"unknown_key": 1, "port": 0, "connect_timeout": -1}
		p.rewrite(s)
		status, out = p.order("reload")
		want := `(?s)^kroxy-ev: warning: [^\n]*unknown_key[^\n]*\n[^\n]*json:\d+:\d+: stream\.connect_timeout: [^\n]*\n[^\n]*json:\d+:\d+: stream\.port: [^\n]*\n2 errors in [^\n]*\n$`
		if status != 1 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("exit status %d: %s\nwant %s", status, out, want)
		}
	})
}

// A reload reports what it has changed.
func TestReloadReportsChanges(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a, b := listen(t, "127.0.0.1", echo), listen(t, "127.0.0.1", echo)
		s := setup{hosts: endpoints(a), multi: multi}
		p := start(t, s)
		s.hosts, s.settings = endpoints(b), settings{"send_timeout": 7000}
		p.rewrite(s)
		status, out := p.order("reload")
		want := `^changed server stream: send_timeout \S+ -> 7s\nremoved host \S+/127\.0\.0\.1:%d\nadded host \S+/127\.0\.0\.1:%d\nkroxy-ev: reload done\n$`
		if want = fmt.Sprintf(want, a.Port, b.Port); status != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("exit status %d: %s\nwant %s", status, out, want)
		}
		s.settings["connect_timeout"] = -1
		p.rewrite(s)
		if status, out := p.order("reload"); status != 1 || strings.Contains(out, "change") {
			t.Errorf("exit status %d: %s", status, out)
		}
	})
}

// Whoever orders an upgrade gets the warnings of the new master.
func TestUpgradeReportsWarnings(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	s := setup{hosts: endpoints(h), settings: settings{"shutdown_timeout": 300}}
	p, _ := startUpgradable(t, s)
	s.settings["unknown_key"] = 1
	p.rewrite(s)
	status, out := p.order("upgrade")
	if want := `^kroxy-ev: warning: .*\.json:\d+:\d+: stream\.unknown_key: .*\nkroxy-ev: upgrade done\n$`; status != 0 || !regexp.MustCompile(want).MatchString(out) {
		t.Errorf("exit status %d: %s\nwant %s", status, out, want)
	}
	p.stopSuccessor(p.awaitSuccessor(1))
}

// Containers that share a network may each have a configuration at the same path. An order reaches the proxy of the container in which it is given.
func TestOrdersInMountNamespaces(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("mount namespaces cannot be made: %v %s", err, out)
	}
	modes(t, func(t *testing.T, multi bool) {
		dir := t.TempDir()
		file := filepath.Join(dir, "proxy.json")
		var proxies []*proxy
		var hosts []*host
		for i := range 2 {
			hosts = append(hosts, listen(t, "127.0.0.1", answer(fmt.Sprint("old ", i))))
			port := reservePort(t)
			source := filepath.Join(t.TempDir(), "source.json")
			put(t, source, configText(port, setup{hosts: endpoints(hosts[i])}))
			p := launchOn(t, port, file, multi, func(cmd *exec.Cmd) {
				args := cmd.Args[1:]
				cmd.Path, _ = exec.LookPath("unshare")
				cmd.Args = append([]string{"unshare", "-m", "sh", "-c",
					fmt.Sprintf(`mount -t tmpfs none %s && cp %s %s && exec "$0" "$@"`, dir, source, file), program}, args...)
			})
			proxies = append(proxies, p)
		}
		// Outside, no such file exists at first, and later one that no process serves.
		orderFails(t, exec.Command(program, "reload", "--config", file), `no such file`)
		put(t, file, []byte("{}"))
		orderFails(t, exec.Command(program, "reload", "--config", file),
			`^kroxy-ev: no kroxy-ev serves .* here: process \d+ serves that path, but sees another file there.*; process \d+ serves`)
		for i, p := range proxies {
			next := listen(t, "127.0.0.1", answer(fmt.Sprint("new ", i)))
			inside := fmt.Sprintf("/proc/%d/root%s", p.pid(), file)
			if err := os.WriteFile(inside, configText(p.port, setup{hosts: endpoints(next)}), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("nsenter", "-t", fmt.Sprint(p.pid()), "-m", program, "reload", "--config", file).CombinedOutput()
			if err != nil {
				t.Errorf("reload %d: %v: %s", i, err, out)
			}
			for j, q := range proxies {
				want := fmt.Sprint("old ", j)
				if j <= i {
					want = fmt.Sprint("new ", j)
				}
				c := q.dial()
				expectAll(t, c, want)
				_ = c.Close()
			}
		}
		for _, p := range proxies {
			p.stop()
		}
	})
}
