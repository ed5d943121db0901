package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// gauge tells how long a family of processes was kept from its CPU by others. nil has nothing to tell.
type gauge struct {
	threads []threadTimes
}

// threadTimes are a thread's times since it started, as last read.
type threadTimes struct {
	stat        *os.File // schedstat
	ran, waited time.Duration
}

// newGauge makes a gauge of the threads that root and its descendants have now. close must be called.
func newGauge(root int) (*gauge, error) {
	pids, err := descendants(root)
	if err != nil {
		return nil, err
	}
	g := &gauge{}
	for _, pid := range pids {
		paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			g.close()
			return nil, err
		}
		for _, path := range paths {
			if f, err := os.Open(path); err == nil { // else the thread has just ended
				g.threads = append(g.threads, threadTimes{stat: f})
			}
		}
	}
	g.kept()
	return g, nil
}

func (g *gauge) close() {
	for _, t := range g.threads {
		_ = t.stat.Close()
	}
}

// kept returns how long the busiest thread was ready to run but did not since the last call, less what the family's other
// threads ran in that time: to wait for a thread of its own is a program's own fault.
func (g *gauge) kept() time.Duration {
	var all, most, waited time.Duration
	var buf [128]byte
	for i := range g.threads {
		t := &g.threads[i]
		n, _ := t.stat.ReadAt(buf[:], 0) // io.EOF, or the thread has ended
		ran, wait, err := parseSchedstat(string(buf[:n]))
		if err != nil {
			continue
		}
		all += ran - t.ran
		if ran-t.ran > most {
			most, waited = ran-t.ran, wait-t.waited
		}
		t.ran, t.waited = ran, wait
	}
	return max(0, waited-(all-most))
}
