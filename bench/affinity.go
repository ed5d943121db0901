package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// cores says what runs where: the proxies on one CPU, everything else (load, hosts, conductor) on the others.
type cores struct {
	proxy, rest unix.CPUSet
	pinned      bool // false if there is only one CPU, which all share then
}

// splitCores divides the CPUs that this process may use: the first is for the proxies, the others for the rest.
func splitCores() (cores, error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return cores{}, fmt.Errorf("bench: reading the CPU affinity: %w", err)
	}
	c := cores{proxy: all, rest: all}
	if all.Count() < 2 {
		return c, nil
	}
	c.pinned = true
	c.proxy.Zero()
	for cpu := 0; ; cpu++ {
		if all.IsSet(cpu) {
			c.proxy.Set(cpu)
			c.rest.Clear(cpu)
			return c, nil
		}
	}
}

// shared returns cores with which everything runs on all CPUs.
func (c cores) shared() cores {
	var all unix.CPUSet
	for cpu := range len(all) * 64 {
		if c.proxy.IsSet(cpu) || c.rest.IsSet(cpu) {
			all.Set(cpu)
		}
	}
	return cores{proxy: all, rest: all}
}

// pinSelf moves every thread of this process to set; later threads inherit that.
func pinSelf(set unix.CPUSet) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("bench: listing own threads: %w", err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("bench: pinning thread %d: %w", tid, err)
		}
	}
	return nil
}

// onCPUs runs f on a thread bound to set, so that a process forked by f is bound to set before its first instruction, and a Go program sees only
// those CPUs when it sets GOMAXPROCS. The thread gets its old binding back.
func onCPUs(set unix.CPUSet, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return fmt.Errorf("bench: reading the CPU affinity: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bench: pinning to CPUs: %w", err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &old) }()
	return f()
}
