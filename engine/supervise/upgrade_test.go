package supervise_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/supervise"
)

// newMaster is a role: it takes over, with three workers, and ends when the other end of its second file, the leash, is
// closed. The body says how it misbehaves.
func newMaster() error {
	h, err := supervise.Inherited()
	if err != nil {
		return err
	}
	body := string(h.Body)
	switch {
	case has(body, "leave"):
		os.Exit(5)
	case has(body, "hang"):
		select {}
	case has(body, "say"):
		_ = h.Fail(errors.New("the licence has expired"))
		return nil
	}
	report, leash := os.NewFile(uintptr(h.Files[0]), "report"), os.NewFile(uintptr(h.Files[1]), "leash")
	for _, f := range facts() {
		fmt.Fprintf(report, "-1 %d fact %s\n", os.Getpid(), f)
	}
	m, err := supervise.Start(supervise.Options{Env: workerEnv(), StopGrace: testTimeout}, supervise.Plan{
		Workers: 3,
		For:     func(int) ([]byte, []int, error) { return []byte(body), []int{int(report.Fd())}, nil },
	})
	if err != nil {
		_ = h.Fail(err)
		return nil
	}
	if has(body, "hang-when-serving") {
		select {}
	}
	if err := h.Serving("as told"); err != nil {
		return err
	}
	_, _ = leash.Read(make([]byte, 1))
	fmt.Fprintf(report, "-1 %d unleashed\n", os.Getpid())
	m.Stop()
	return nil
}

// newerMaster is a role: it knows only another version of the handover.
func newerMaster() error {
	if err := os.Setenv("KROXY_EV_HANDOVER", "2"); err != nil {
		return err
	}
	_, err := supervise.Inherited()
	return err
}

// oldMaster is a role: a master that is upgraded, says so, and waits to be killed. Its workers do not matter. Its report goes to the same
// pipe as the new master's.
func oldMaster() error {
	report := os.NewFile(3, "report")
	m, err := supervise.Start(supervise.Options{Env: workerEnv(), StopGrace: testTimeout}, supervise.Plan{
		Workers: 1,
		For:     func(int) ([]byte, []int, error) { return []byte("old"), []int{int(report.Fd())}, nil },
	})
	if err != nil {
		return err
	}
	r, w, err := os.Pipe() // this process has the leash's other end, which closes when it dies
	if err != nil {
		return err
	}
	defer w.Close()
	pid, err := m.Upgrade(supervise.Successor{
		Env:   append(workerEnv(), roleVariable+"=new master"),
		Body:  []byte("new"),
		Files: []int{int(report.Fd()), int(r.Fd())},
	})
	if err != nil {
		return err
	}
	r.Close()
	fmt.Println("serving", pid)
	select {}
}

// successor returns a new master that reports to its own pipe and ends when the leash is closed.
func successor(t *testing.T, body string) (s supervise.Successor, p *pipe, leash *os.File) {
	t.Helper()
	p, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, leash, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		leash.Close()
		r.Close()
		p.w.Close()
		p.r.Close()
	})
	return supervise.Successor{
		Args:  []string{"new-master"},
		Env:   append(workerEnv(), roleVariable+"=new master"),
		Body:  []byte(body),
		Files: []int{int(p.w.Fd()), int(r.Fd())},
	}, p, leash
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.o.NoNewPrivs = true // for the workers, not the new master
	w.start(w.plan(2, "a"))
	s, p, leash := successor(t, "b "+strings.Repeat("x", 1<<20))
	var remarks string
	s.Remarks = func(text string) { remarks = text }
	pid, err := w.m.Upgrade(s)
	if err != nil {
		t.Fatal(err)
	}
	if remarks != "as told" {
		t.Errorf("the new master's remarks are %q", remarks)
	}
	if err := w.m.Apply(w.plan(2, "c")); !errors.Is(err, supervise.ErrSuperseded) {
		t.Errorf("Apply after an upgrade: %v", err)
	}
	if _, err := w.m.Upgrade(s); !errors.Is(err, supervise.ErrSuperseded) {
		t.Errorf("a second upgrade: %v", err)
	}
	w.m.Drain(0)
	leash.Close()
	p.w.Close()
	events := p.finished(t)
	if n := count(events, "commit b"); n != 3 {
		t.Errorf("%d workers served", n)
	}
	var facts []string
	for _, e := range events {
		if f, ok := strings.CutPrefix(e.what, "fact "); ok {
			facts = append(facts, f)
			if e.pid != pid {
				t.Errorf("process %d is the new master, not %d", e.pid, pid)
			}
		}
	}
	if !hasFact(facts, "status NoNewPrivs 0") {
		t.Errorf("the new master has no_new_privs: %v", facts)
	}
	sockets, pipes := 0, 0
	for _, f := range facts {
		if strings.HasPrefix(f, "variable ") {
			t.Errorf("%s was not removed", f)
		}
		if strings.HasPrefix(f, "fd 0 ") || strings.HasPrefix(f, "fd 1 ") || strings.HasPrefix(f, "fd 2 ") {
			continue
		}
		sockets += strings.Count(f, "socket:")
		pipes += strings.Count(f, "pipe:")
	}
	if sockets != 1 || pipes != 2 {
		t.Errorf("%d sockets and %d pipes, want 1 and 2: %v", sockets, pipes, facts)
	}
}

// A failed upgrade leaves no process, and the old master continues.
func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body    string
		program string
		timeout time.Duration
		want    []string
	}{
		"leaves at once":     {"leave", "", 0, []string{"new master", "exit status 5"}},
		"hangs":              {"hang", "", 300 * time.Millisecond, []string{"new master", "did not serve within 300ms"}},
		"hangs with workers": {"hang-when-serving", "", 10 * time.Second, []string{"new master", "did not serve within 10s"}},
		"says why":           {"say", "", 0, []string{"new master", "the licence has expired"}},
		"worker refuses":     {"b refuse", "", 0, []string{"new master", "worker ", "the port is taken"}},
		"no program":         {"b", "/nonexistent", 0, []string{"new master", "/nonexistent", "no such file"}},
		"another program":    {"b", "/bin/true", 0, []string{"new master", "exit status 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start(w.plan(2, "a"))
			before := w.collect(2, "commit a")
			s, p, _ := successor(t, test.body)
			s.Program, s.Timeout = test.program, test.timeout
			if _, err := os.Stat(test.program); test.program == "/bin/true" && err != nil {
				t.Skip("needs /bin/true")
			}
			pid, err := w.m.Upgrade(s)
			if pid != 0 {
				t.Errorf("process %d", pid)
			}
			wantError(t, err, test.want...)
			p.w.Close()
			events := p.finished(t)
			if n := count(events, "commit"); name == "hangs with workers" && n != 3 {
				t.Errorf("%d workers of the new master served", n)
			}
			if err := w.m.Apply(w.plan(2, "c")); err != nil {
				t.Fatal(err)
			}
			for slot, e := range w.collect(2, "commit c") {
				if e.pid != before[slot].pid {
					t.Errorf("slot %d has another process", slot)
				}
			}
		})
	}
}

// A new master that cannot take over reports that.
func TestUpgradeToAnotherVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	w.o.Stderr = null
	w.start(w.plan(1, "a"))
	s, _, _ := successor(t, "b")
	s.Env = append(workerEnv(), roleVariable+"=newer master")
	_, err = w.m.Upgrade(s)
	wantError(t, err, "new master", `handover version "2"`)
}

// A new master survives when the old one is killed.
func TestOldMasterIsKilled(t *testing.T) {
	t.Parallel()
	p, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer p.r.Close()
	c := role(t, "old master", p.w)
	var pid int
	if _, err := fmt.Sscanf(startRole(t, c), "serving %d", &pid); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	p.w.Close()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// That closes the leash, so the new master ends, but in its own way.
	events := p.finished(t)
	if count(events, "unleashed") != 1 || count(events, "stop") != 3 {
		t.Errorf("the new master did not go on: %v", events)
	}
}

// An upgrade in progress is abandoned when the old master is told to stop.
func TestStopDuringUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(1, "a"))
	s, p, _ := successor(t, "hang-when-serving")
	s.Timeout = time.Hour
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := w.m.Upgrade(s); !errors.Is(err, supervise.ErrStopping) {
			t.Errorf("Upgrade: %v", err)
		}
	})
	var upgrade int // the new master's process
	for e := range p.events {
		if strings.HasPrefix(e.what, "fact") {
			upgrade = e.pid
			break
		}
	}
	within(t, testTimeout, "Stop", w.m.Stop)
	if err := syscall.Kill(upgrade, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the new master is there after Stop (%v)", err)
	}
	within(t, testTimeout, "Upgrade", done.Wait)
	p.w.Close()
	p.finished(t)
}

// A plan that comes during an upgrade waits for its outcome.
func TestApplyDuringUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(1, "a"))
	s, p, _ := successor(t, "hang-when-serving")
	s.Timeout = 10 * time.Second
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := w.m.Upgrade(s); err == nil {
			t.Error("the upgrade succeeded")
		}
	})
	var upgrade int // the new master's process
	for e := range p.events {
		if strings.HasPrefix(e.what, "fact") {
			upgrade = e.pid
			break
		}
	}
	if err := w.m.Apply(w.planFor(1, func(int) string {
		if err := syscall.Kill(upgrade, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("the plan was asked for while the new master was there (%v)", err)
		}
		return "b"
	})); err != nil {
		t.Error(err)
	}
	done.Wait()
	w.await(0, "commit b")
}
