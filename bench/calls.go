package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The rows of system calls. The kernel counts the calls at its tracepoints, by perf_event_open(2): unlike with strace(1), nothing is stopped or
// inspected. Still, counting costs each call something, so there are separate rows for it.
var (
	streamCalls = callsRow("StreamCalls", modeStream, smallConns)
	httpCalls   = callsRow("HTTPCalls", modeHTTP, smallConns)
	httpCalls1  = callsRow("HTTPCalls1", modeHTTP, 1)
	tlsCalls    = callsRow("TLSCalls", modeHTTPS, smallConns)
)

// callsRow makes a workload that counts system calls, if that is allowed.
func callsRow(name string, m mode, conns int) *workload {
	return &workload{
		name: name, mode: m, hosts: hostsSmall, units: []string{"calls/op", "waits/op"}, pace: pace{loads: 1, rest: growthWarm + time.Second/5},
		needs: func(h *harness) error {
			_, err := h.tracepoints()
			return err
		},
		measure: func(h *harness, t *target) (metrics, error) {
			trace, err := h.tracepoints()
			if err != nil {
				return nil, err
			}
			r, err := steady(h, t, job{Conns: conns, Trace: trace})
			if err != nil {
				return nil, err
			}
			return metrics{
				"calls/op": float64(r.Counts.Calls) / float64(r.Ops),
				"waits/op": float64(r.Counts.Waits) / float64(r.Ops),
			}, nil
		},
	}
}

// tracepoints are the kernel's ids of the counted events.
type tracepoints struct {
	Calls uint64   // all system calls; 0: nothing is counted
	Waits []uint64 // system calls that wait for events
}

func (t tracepoints) any() bool { return t.Calls != 0 }

// counts are numbers of system calls.
type counts struct {
	Calls uint64 // all system calls
	Waits uint64 // those that wait for events, or poll for them
}

// tracepoints finds the ids, and checks whether this process may count.
func (h *harness) tracepoints() (tracepoints, error) {
	t, err := findTracepoints([]string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}, filepath.Join(h.dir, "tracing"))
	if err != nil {
		return t, fmt.Errorf("bench: system calls cannot be counted: %w", err)
	}
	c, err := newCounter(os.Getpid(), t)
	if err != nil {
		return t, err
	}
	c.close()
	return t, nil
}

// findTracepoints reads the ids from tracefs, where it is already mounted, or else by mounting it temporarily at own.
func findTracepoints(mounts []string, own string) (tracepoints, error) {
	var all error
	for _, dir := range mounts {
		t, err := readTracepoints(dir)
		if err == nil {
			return t, nil
		}
		all = errors.Join(all, err)
	}
	if err := os.MkdirAll(own, 0o700); err != nil {
		return tracepoints{}, errors.Join(all, err)
	}
	// Read-only, because the directory is below the one that is removed at the end.
	if err := unix.Mount("tracefs", own, "tracefs", unix.MS_RDONLY, ""); err != nil {
		return tracepoints{}, errors.Join(all, fmt.Errorf("mounting tracefs: %w", err))
	}
	t, err := readTracepoints(own)
	if e := unix.Unmount(own, unix.MNT_DETACH); e != nil {
		err = errors.Join(err, fmt.Errorf("unmounting tracefs: %w", e))
	}
	return t, err
}

// waitCalls are the system calls that wait for events; an architecture may lack some.
var waitCalls = []string{"epoll_wait", "epoll_pwait", "epoll_pwait2"}

// readTracepoints reads the ids below a mounted tracefs.
func readTracepoints(dir string) (t tracepoints, err error) {
	if t.Calls, err = readID(filepath.Join(dir, "events/raw_syscalls/sys_enter/id")); err != nil {
		return tracepoints{}, err
	}
	for _, name := range waitCalls {
		id, err := readID(filepath.Join(dir, "events/syscalls/sys_enter_"+name+"/id"))
		if err == nil {
			t.Waits = append(t.Waits, id)
		} else if !errors.Is(err, os.ErrNotExist) {
			return tracepoints{}, err
		}
	}
	if t.Waits == nil {
		return tracepoints{}, fmt.Errorf("no %s below %s/events/syscalls", strings.Join(waitCalls, " or "), dir)
	}
	return t, nil
}

func readID(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%s holds %q, not an id", path, b)
	}
	return id, nil
}

// counter counts the system calls of a family of processes, including threads and processes that start later. A nil counter counts nothing.
type counter struct {
	calls, waits []int // descriptors of perf_event_open(2), one per thread and event
	before       counts
}

// newCounter makes a counter for root and its descendants. The caller must call close.
func newCounter(root int, t tracepoints) (*counter, error) {
	// A new thread is counted if a counted thread starts it; so no thread may have started elsewhere in the meantime.
	for range 10 {
		threads, err := threadsOf(root)
		if err != nil {
			return nil, err
		}
		c := &counter{}
		if err = c.open(threads, t); err == nil {
			var now []int
			if now, err = threadsOf(root); err == nil && slices.Equal(now, threads) {
				return c, nil
			}
		}
		c.close()
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("bench: counting system calls: process %d keeps starting and ending threads", root)
}

// open begins to count on the threads.
func (c *counter) open(threads []int, t tracepoints) error {
	for _, tid := range threads {
		for _, id := range append([]uint64{t.Calls}, t.Waits...) {
			attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Size: unix.PERF_ATTR_SIZE_VER0, Config: id, Bits: unix.PerfBitInherit}
			fd, err := unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
			if err != nil {
				return fmt.Errorf("bench: counting system calls of thread %d: perf_event_open: %w", tid, err)
			}
			if id == t.Calls {
				c.calls = append(c.calls, fd)
			} else {
				c.waits = append(c.waits, fd)
			}
		}
	}
	return nil
}

func (c *counter) close() {
	for _, fd := range c.fds() {
		_ = unix.Close(fd)
	}
}

func (c *counter) fds() []int { return slices.Concat(c.calls, c.waits) }

// read returns the counts so far.
func (c *counter) read() (n counts, err error) {
	for _, of := range []struct {
		fds []int
		sum *uint64
	}{{c.calls, &n.Calls}, {c.waits, &n.Waits}} {
		for _, fd := range of.fds {
			var b [8]byte
			if _, err := unix.Read(fd, b[:]); err != nil {
				return n, fmt.Errorf("bench: reading a count of system calls: %w", err)
			}
			*of.sum += binary.NativeEndian.Uint64(b[:])
		}
	}
	return n, nil
}

// begin restarts the count.
func (c *counter) begin() (err error) {
	if c != nil {
		c.before, err = c.read()
	}
	return err
}

// since returns the counts since begin.
func (c *counter) since() (counts, error) {
	if c == nil {
		return counts{}, nil
	}
	n, err := c.read()
	return counts{Calls: n.Calls - c.before.Calls, Waits: n.Waits - c.before.Waits}, err
}

// threadsOf returns the threads of root and its descendants, ascending.
func threadsOf(root int) ([]int, error) {
	pids, err := descendants(root)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, pid := range pids {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if pid != root && ended(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("bench: listing threads: %w", err)
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return nil, fmt.Errorf("bench: listing threads: %w", err)
			}
			all = append(all, tid)
		}
	}
	slices.Sort(all)
	return all, nil
}
