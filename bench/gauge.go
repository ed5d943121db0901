package bench

import (
	"fmt"
	"io"
	"os"
	"time"
)

// gauge tells how long a family of processes was kept from its CPU by others. nil has nothing to tell.
type gauge struct {
	dirs    []*os.File      // of the threads of each process
	known   map[string]bool // thread ids
	threads []threadTimes
}

// threadTimes are a thread's times since it started, as last read.
type threadTimes struct {
	stat        *os.File // schedstat
	ran, waited time.Duration
}

// newGauge makes a gauge of the threads of root and the descendants it has now. close must be called.
func newGauge(root int) (*gauge, error) {
	pids, err := descendants(root)
	if err != nil {
		return nil, err
	}
	g := &gauge{known: map[string]bool{}}
	for _, pid := range pids {
		d, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			g.close()
			return nil, fmt.Errorf("bench: listing threads: %w", err)
		}
		g.dirs = append(g.dirs, d)
	}
	g.kept()
	return g, nil
}

func (g *gauge) close() {
	for _, d := range g.dirs {
		_ = d.Close()
	}
	for _, t := range g.threads {
		_ = t.stat.Close()
	}
}

// find adds the threads that have started since it was last called: a program may start some only when it has more to do.
func (g *gauge) find() {
	for _, d := range g.dirs {
		_, _ = d.Seek(0, io.SeekStart)
		ids, _ := d.Readdirnames(0) // an error: the process has ended
		for _, id := range ids {
			if g.known[id] {
				continue
			}
			if f, err := os.Open(d.Name() + "/" + id + "/schedstat"); err == nil { // else the thread has just ended
				g.known[id] = true
				g.threads = append(g.threads, threadTimes{stat: f})
			}
		}
	}
}

// kept returns how long the busiest thread was ready to run but did not since the last call, less what the family's other
// threads ran in that time: to wait for a thread of its own is a program's own fault.
func (g *gauge) kept() time.Duration {
	g.find()
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
