package bench

import (
	"fmt"
	"io"
	"os"
	"time"
)

// gauge measures how long other programs kept a family of processes from its CPU.
type gauge struct {
	dirs    []*os.File      // task directories of the processes
	known   map[string]bool // thread ids
	threads []threadTimes
}

// threadTimes are a thread's times since its start, as last read.
type threadTimes struct {
	stat        *os.File // schedstat
	ran, waited time.Duration
}

// newGauge makes a gauge for the threads of root and its current descendants. The caller must call close.
func newGauge(root int) (*gauge, error) {
	pids, err := descendants(root)
	if err != nil {
		return nil, err
	}
	g := &gauge{known: map[string]bool{}}
	for _, pid := range pids {
		d, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
		if pid != root && ended(err) {
			continue
		}
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

// find adds threads that have started since the last call: a program may start some only under load.
func (g *gauge) find() {
	for _, d := range g.dirs {
		_, _ = d.Seek(0, io.SeekStart)
		ids, _ := d.Readdirnames(0) // after an error, the process has ended
		for _, id := range ids {
			if g.known[id] {
				continue
			}
			if f, err := os.Open(d.Name() + "/" + id + "/schedstat"); err == nil { // otherwise the thread has just ended
				g.known[id] = true
				g.threads = append(g.threads, threadTimes{stat: f})
			}
		}
	}
}

// kept returns how long the busiest thread was runnable but did not run since the last call, minus the time that other threads of the family ran:
// waiting for its own threads is a program's own fault.
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
