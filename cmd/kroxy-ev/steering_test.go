package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// steer runs "kroxy-ev ARGS" for the proxy and returns its exit status and output.
func (p *proxy) steer(args ...string) (status int, stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, "--config", p.file)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// mustSteer is steer, and demands success with exactly this text.
func (p *proxy) mustSteer(text string, args ...string) {
	p.t.Helper()
	if status, out, errs := p.steer(args...); status != 0 || out != text || errs != "" {
		p.t.Fatalf("%v: exit status %d: %s%s\nwant %s", args, status, out, errs, text)
	}
}

// statusView is the part of a status that tests look at.
type statusView struct {
	State   string
	PID     int
	Servers []struct{ Requests int }
	Groups  []struct {
		Hosts []hostView
	}
}

type hostView struct {
	Host, State string
	Weight      int
	Drain       bool
	Ordered     bool
}

// readStatus returns what "kroxy-ev status --json" reports.
func (p *proxy) readStatus() (s statusView) {
	p.t.Helper()
	status, out, errs := p.steer("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil || status != 0 || errs != "" {
		p.t.Fatalf("exit status %d: %v: %s%s", status, err, out, errs)
	}
	return s
}

func TestSteering(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		all := []*httpHost{
			serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "A") }),
			serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "B") }),
		}
		p := startHTTP(t, setup{hosts: endpoints(all...), multi: multi})
		a, b := fmt.Sprint("127.0.0.1:", all[0].Port), fmt.Sprint("127.0.0.1:", all[1].Port)
		c := p.client()
		asks := func(n int) (who string) {
			t.Helper()
			for range n {
				_, body := p.get(c, "/")
				who += body
			}
			return who
		}
		if who := asks(6); strings.Trim(who, "A") == "" || strings.Trim(who, "B") == "" {
			t.Errorf("hosts %s answered, want both", who)
		}
		eventually(t, "all requests are counted", func() bool { return p.readStatus().Servers[0].Requests == 6 })
		if s := p.readStatus(); s.PID != p.pid() || s.State != "serving" {
			t.Errorf("%+v", s)
		}
		status, out, errs := p.steer("status")
		for _, want := range []string{
			fmt.Sprintf(`^kroxy-ev \S+, process %d`, p.pid()), `\nSERVER +MODE`, `\nhttp +http +0\.0\.0\.0:\d+ `, `\ngroup backend, round_robin, 2 of 2 hosts usable`,
			`\n  ` + a + ` +up `, `\n  ` + b + ` +up `,
		} {
			if !regexp.MustCompile(want).MatchString(out) || status != 0 || errs != "" {
				t.Errorf("exit status %d: %s%s\nwant %s", status, out, errs, want)
			}
		}

		p.mustSteer("kroxy-ev: backend/"+a+" gets no new clients, until the next reload\n", "drain", "backend/"+a)
		if who := asks(6); who != "BBBBBB" {
			t.Errorf("hosts %s answered while A was drained", who)
		}
		if h := p.readStatus().Groups[0].Hosts[0]; h != (hostView{a, "drain", 1, true, true}) {
			t.Errorf("%+v", h)
		}
		p.mustSteer("kroxy-ev: backend/"+a+" gets clients again, until the next reload\n", "undrain", "backend/"+a)
		p.mustSteer("kroxy-ev: backend/"+b+" has weight 0, until the next reload\n", "weight", "backend/"+b, "0")
		if who := asks(6); who != "AAAAAA" {
			t.Errorf("hosts %s answered while B had weight 0", who)
		}
		p.mustOrder("reload")
		for i, h := range p.readStatus().Groups[0].Hosts {
			if want := (hostView{[]string{a, b}[i], "up", 1, false, false}); h != want {
				t.Errorf("%+v, want %+v", h, want)
			}
		}

		for target, want := range map[string]string{
			"bakend/" + a: `^kroxy-ev: there is no group "bakend"; did you mean "backend"\? the groups are "backend"\n$`,
			"backend/one": fmt.Sprintf(`^kroxy-ev: group "backend" has no host "one"; its hosts are "%s", "%s"\n$`, a, b),
		} {
			if status, out, errs := p.steer("drain", target); status != 1 || out != "" || !regexp.MustCompile(want).MatchString(errs) {
				t.Errorf("exit status %d: %s%s\nwant %s", status, out, errs, want)
			}
		}
	})
}

// A request for the status, or an order about a host, does not wait for a reload that is under way.
func TestSteeringWhileReloading(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h), multi: true, settings: settings{"watchdog_timeout": 0}})
	p.awaitServing(1)
	eventually(t, "commands are carried out before the reload fails, for lack of an answer within 10 s", func() bool {
		worker := p.workers()[0]
		begin := time.Now()
		if err := unix.Kill(worker, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		goOn := func() { _ = unix.Kill(worker, unix.SIGCONT) }
		defer goOn()
		reload := exec.Command(program, "reload", "--config", p.file)
		if err := reload.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a reload is under way", func() bool { return p.readStatus().State == "reloading" || time.Since(begin) > 10*time.Second })
		host := fmt.Sprint("backend/127.0.0.1:", h.Port)
		p.mustSteer("kroxy-ev: "+host+" gets no new clients, until the next reload\n", "drain", host)
		s := p.readStatus()
		goOn()
		late := time.Since(begin) > 8*time.Second
		err := reload.Wait()
		if !late && (s.State != "reloading" || s.Groups[0].Hosts[0].State != "drain" || err != nil) {
			t.Errorf("%+v; the reload ended with %v", s, err)
		}
		return !late
	})
}

// The status of another user's process is marked as such, and cannot control the terminal.
func TestStatusOfAnotherUsersProcess(t *testing.T) {
	t.Parallel()
	needRoot(t)
	p := &proxy{process: &process{t: t}, file: writeConfig(t, t.TempDir(), []byte("{}"))}
	fakeControl{p.file, 1001, ownMounts(t), false, `{"Status":{"version":"\u001b[2Jone\u009btwo","state":"` + "\u009b\U000e0001" + `x"}}`}.open(t)
	wantErrs := fmt.Sprintf("kroxy-ev: warning: this is what process %d of user 1001 says\n", os.Getpid())
	status, out, errs := p.steer("status")
	if !strings.HasPrefix(out, "kroxy-ev [2Jonetwo, process 0, x, ") || status != 0 || errs != wantErrs {
		t.Errorf("exit status %d: %q %q", status, out, errs)
	}
	status, out, errs = p.steer("status", "--json")
	var s statusView
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.State != "\u009b\U000e0001x" || !strings.Contains(out, `"\u009b\udb40\udc01x"`) || status != 0 || errs != wantErrs {
		t.Errorf("exit status %d: %v: %q %q", status, err, out, errs)
	}
}

// terminal runs the program in a terminal of 80x24, and returns its output and its keyboard. When the program ends, it must have restored the terminal.
func terminal(t *testing.T, args ...string) (cmd *exec.Cmd, shows *transcript, keys io.Writer) {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Skipf("there are no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _, _ = tty.Close(), keyboard.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	modes := func() unix.Termios {
		m, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return *m
	}
	before := modes()
	shows = newTranscript()
	go func() { _, _ = io.Copy(shows, keyboard) }()
	cmd = exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if after := modes(); after != before {
			t.Errorf("the terminal's modes are %+v, and were %+v", after, before)
		}
	})
	return cmd, shows, keyboard
}

func TestTop(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		h := listen(t, "127.0.0.1", echo)
		p := start(t, setup{hosts: endpoints(h), multi: multi})
		cmd, shows, keys := terminal(t, "top", "--config", p.file, "--interval", "100ms")
		sees := func(pattern string) {
			t.Helper()
			eventually(t, "the terminal shows "+pattern, func() bool { return shows.count(pattern) > 0 })
		}
		sees(fmt.Sprint("backend/127.0.0.1:", h.Port))
		sees(`\x1b\[\?1049h`) // the alternate screen
		_, _ = io.WriteString(keys, "2")
		sees(`QUEUED`)
		_, _ = io.WriteString(keys, "q")
		if err := cmd.Wait(); err != nil {
			t.Errorf("top ended with %v: %s", err, shows)
		}
		sees(`\x1b\[\?1049l`)
	})
}

// After top ends with an error, only the error is on the screen.
func TestTopWithoutAProxy(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, t.TempDir(), []byte("{}"))
	cmd, shows, _ := terminal(t, "top", "--config", file)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("top ended with %v", err)
	}
	eventually(t, "the terminal has the error", func() bool { return shows.count(`^kroxy-ev: no kroxy-ev on this machine serves [^\x1b]*\r$`) == 1 })
}
