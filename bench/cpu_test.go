package bench

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestParseSchedstat(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in          string
		ran, waited time.Duration
		bad         bool
	}{
		{in: "1234567 89 12\n", ran: 1234567, waited: 89},
		{in: "0 0 0"},
		{in: "9000000000000000000 0 0\n", ran: 9000000000000000000},
		{in: "1 2\n", bad: true},
		{in: "", bad: true},
		{in: "x 2 3\n", bad: true},
		{in: "1 x 3\n", bad: true},
		{in: "99999999999999999999 0 0\n", bad: true},
	} {
		ran, waited, err := parseSchedstat(tc.in)
		if (err != nil) != tc.bad || !tc.bad && (ran != tc.ran || waited != tc.waited) {
			t.Errorf("parseSchedstat(%q) = %v, %v, %v", tc.in, ran, waited, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in        string
		pid, ppid int
		state     byte
		bad       bool
	}{
		{in: "42 (nginx) S 1 42 42 0 -1", pid: 42, ppid: 1, state: 'S'},
		{in: "42 (a) R (b c) Z 7 8", pid: 42, ppid: 7, state: 'Z'},
		{in: "42 nginx S 1", bad: true},
		{in: ")(", bad: true},
		{in: "x (y) S 1", bad: true},
		{in: "42 (y) S", bad: true},
		{in: "42 (y) S z", bad: true},
	} {
		pid, ppid, state, err := parseStat(tc.in)
		if (err != nil) != tc.bad || !tc.bad && (pid != tc.pid || ppid != tc.ppid || state != tc.state) {
			t.Errorf("parseStat(%q) = %d, %d, %c, %v", tc.in, pid, ppid, state, err)
		}
	}
}

// The two ways to read CPU time must report the same work. Not parallel: other tests end threads, whose time then disappears from schedstat.
func TestUsage(t *testing.T) {
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMeter(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const burn = 200 * time.Millisecond
	for from, _ := processClock(os.Getpid()); ; {
		if now, err := processClock(os.Getpid()); err != nil || now-from > burn {
			break
		}
	}
	after, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if d := after.clock - before.clock; d < burn || d > 100*burn {
		t.Errorf("process clocks say %v", d)
	}
	if d := after.sched - before.sched; d < burn/2 {
		t.Errorf("schedstat says %v", d)
	}
	if used, err := m.used(); err != nil || used < burn || used > 100*burn {
		t.Errorf("the meter says %v, %v", used, err)
	}
	if m, err = newMeter(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if used, err := m.used(); err != nil || used >= burn { // reading it takes some time itself
		t.Errorf("a new meter says %v, %v", used, err)
	}
	if m, err := memoryOf(os.Getpid()); err != nil || m.pss < 1<<20 || m.rss < m.pss {
		t.Errorf("memory %+v, %v", m, err)
	}
}

func TestUsageSince(t *testing.T) {
	t.Parallel()
	u := func(clock, sched time.Duration, pids ...int) usage {
		return usage{pids: pids, clock: clock, sched: sched}
	}
	if d, err := u(5e9, 4e9, 1, 2).since(u(2e9, 1e9, 1, 2)); err != nil || d != 3e9 {
		t.Errorf("got %v, %v", d, err)
	}
	if _, err := u(5e9, 4e9, 1, 3).since(u(2e9, 1e9, 1, 2)); err == nil {
		t.Error("another process: no error")
	}
	if _, err := u(3e9, 5e9, 1).since(u(2e9, 2e9, 1)); err == nil {
		t.Error("clocks disagree: no error")
	}
}

func TestDescendants(t *testing.T) {
	t.Parallel()
	sh := exec.Command("/bin/sh", "-c", "(echo started; cat); :")
	in, err := sh.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := sh.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sh.Start(); err != nil {
		t.Skipf("no shell: %v", err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	pids, err := descendants(sh.Process.Pid)
	if err != nil || len(pids) < 2 || !slices.Contains(pids, sh.Process.Pid) {
		t.Errorf("got %v, %v; want the shell %d and a child", pids, err, sh.Process.Pid)
	}
	_ = in.Close()
	_ = sh.Wait()
	if pids, err := descendants(sh.Process.Pid); err == nil {
		t.Errorf("ended process has descendants %v", pids)
	}
}
