package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is the CPU time that a family of processes has used since they started.
type usage struct {
	pids  []int         // ascending
	clock time.Duration // sum of the processes' CPU clocks in ns, including ended threads
	sched time.Duration // sum of schedstat over the living threads, to check clock
}

// usageOf reads the CPU time of root and all its descendants.
func usageOf(root int) (usage, error) {
	pids, err := descendants(root)
	if err != nil {
		return usage{}, err
	}
	u := usage{pids: pids}
	for _, pid := range pids {
		c, err := processClock(pid)
		if err != nil {
			return usage{}, err
		}
		s, err := schedTime(pid)
		if err != nil {
			return usage{}, err
		}
		u.clock += c
		u.sched += s
	}
	return u, nil
}

// since returns the CPU time used between before and u. It returns an error if a process has come or gone in between, because its time would be
// lost or counted from its start, or if the threads' sum exceeds the process clocks.
func (u usage) since(before usage) (time.Duration, error) {
	if !slices.Equal(u.pids, before.pids) {
		return 0, fmt.Errorf("bench: processes changed during the measurement: %v, then %v", before.pids, u.pids)
	}
	clock, sched := u.clock-before.clock, u.sched-before.sched
	if sched > clock+clock/50+10*time.Millisecond {
		return 0, fmt.Errorf("bench: CPU clocks disagree: process clocks %v, schedstat %v", clock, sched)
	}
	return clock, nil
}

// meter measures the CPU time that a family of processes uses.
type meter struct {
	root   int
	before usage
}

func newMeter(root int) (*meter, error) {
	u, err := usageOf(root)
	return &meter{root: root, before: u}, err
}

// used returns the CPU time used since the meter was made.
func (m *meter) used() (time.Duration, error) {
	u, err := usageOf(m.root)
	if err != nil {
		return 0, err
	}
	return u.since(m.before)
}

// processClock reads pid's CPU-time clock. The clock id is made as in the kernel's posix-timers.h (MAKE_PROCESS_CPUCLOCK with CPUCLOCK_SCHED);
// clock_getcpuclockid(3) does the same.
func processClock(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &ts); err != nil {
		return 0, fmt.Errorf("bench: reading the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// schedTime sums the first column (time on CPU in ns) of schedstat over pid's threads.
func schedTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, f := range files {
		b, err := os.ReadFile(f)
		if ended(err) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("bench: reading schedstat: %w", err)
		}
		d, _, err := parseSchedstat(string(b))
		if err != nil {
			return 0, fmt.Errorf("bench: %s: %w", f, err)
		}
		sum += d
	}
	return sum, nil
}

// ended reports whether an error of a file in /proc means that its process or thread has just ended.
func ended(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// parseSchedstat returns the time on the CPU and the time runnable but waiting, from "RUN_NS WAIT_NS SLICES\n"
// (Documentation/scheduler/sched-stats.rst).
func parseSchedstat(s string) (ran, waited time.Duration, err error) {
	fields := strings.Fields(s)
	if len(fields) != 3 {
		return 0, 0, fmt.Errorf("schedstat has %d fields, want 3: %q", len(fields), s)
	}
	for i, to := range []*time.Duration{&ran, &waited} {
		ns, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("schedstat: %w", err)
		}
		*to = time.Duration(ns)
	}
	return ran, waited, nil
}

// descendants returns root and the processes below it, ascending.
func descendants(root int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	alive := false
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // ended since the listing
		}
		pid, ppid, state, err := parseStat(string(b))
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", f, err)
		}
		if state == 'Z' {
			continue
		}
		alive = alive || pid == root
		children[ppid] = append(children[ppid], pid)
	}
	if !alive {
		return nil, fmt.Errorf("bench: process %d has ended", root)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	slices.Sort(all)
	return all, nil
}

// parseStat parses "PID (NAME) STATE PPID ..." of proc_pid_stat(5); NAME may contain blanks and brackets.
func parseStat(s string) (pid, ppid int, state byte, err error) {
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return 0, 0, 0, fmt.Errorf("stat has no name in brackets: %q", s)
	}
	rest := strings.Fields(s[end+1:])
	if len(rest) < 2 || len(rest[0]) != 1 {
		return 0, 0, 0, fmt.Errorf("stat is too short: %q", s)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(s[:open])); err != nil {
		return 0, 0, 0, fmt.Errorf("stat: process id: %w", err)
	}
	if ppid, err = strconv.Atoi(rest[1]); err != nil {
		return 0, 0, 0, fmt.Errorf("stat: parent's id: %w", err)
	}
	return pid, ppid, rest[0][0], nil
}
