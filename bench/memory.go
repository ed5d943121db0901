package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// memory is process memory in bytes. Kernel memory (socket buffers, pipes) is in neither figure.
type memory struct {
	pss int64 // shared pages are divided by the number of their users, so it can be summed over processes
	rss int64
}

// memoryOf sums the memory of root and its descendants.
func memoryOf(root int) (memory, error) {
	pids, err := descendants(root)
	if err != nil {
		return memory{}, err
	}
	var sum memory
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if pid != root && ended(err) {
			continue
		}
		if err != nil {
			return memory{}, fmt.Errorf("bench: reading memory: %w", err)
		}
		m, err := parseRollup(string(b))
		if err != nil {
			return memory{}, fmt.Errorf("bench: memory of process %d: %w", pid, err)
		}
		sum.pss += m.pss
		sum.rss += m.rss
	}
	return sum, nil
}

// settledMemory waits until the memory of root and its descendants has changed by less than 1% for half a second, at most four seconds, and returns
// the last reading. It does not trigger garbage collections.
func settledMemory(root int) (memory, error) {
	const step, calm, most = 100 * time.Millisecond, 5, 40
	last, err := memoryOf(root)
	for i, same := 0, 0; err == nil && same < calm && i < most; i++ {
		time.Sleep(step)
		var m memory
		if m, err = memoryOf(root); err != nil {
			break
		}
		if d := m.pss - last.pss; -m.pss/100 < d && d < m.pss/100 {
			same++
		} else {
			same = 0
		}
		last = m
	}
	return last, err
}

// parseRollup reads the Pss and Rss lines of proc_pid_smaps_rollup(5).
func parseRollup(s string) (memory, error) {
	m := memory{pss: -1, rss: -1}
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		var to *int64
		switch f[0] {
		case "Pss:":
			to = &m.pss
		case "Rss:":
			to = &m.rss
		default:
			continue
		}
		kb, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("smaps_rollup: %s %w", f[0], err)
		}
		*to = kb << 10
	}
	if m.pss < 0 || m.rss < 0 {
		return memory{}, fmt.Errorf("smaps_rollup without Pss or Rss")
	}
	return m, nil
}
