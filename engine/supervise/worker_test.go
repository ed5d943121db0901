package supervise_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/supervise"
)

// testWorker is the worker of all tests. A plan's body is its name and words that say how to misbehave; its first file is
// a pipe on which the worker reports events, one per line.
type testWorker struct {
	w       *supervise.Worker
	report  *os.File
	current string // the body of the plan that it follows
	next    string
	files   []int // of next, without the report
	mute    atomic.Bool
	sticky  map[string]bool // words that stay in effect after their plan
}

// work serves a master for the rest of this process's life.
func work(w *supervise.Worker) {
	t := &testWorker{w: w, sticky: map[string]bool{}}
	go func() {
		for {
			if !t.mute.Load() {
				w.Beat()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	err := w.Serve(t)
	t.say("served %v", err)
	os.Exit(0)
}

func has(body, word string) bool {
	for _, w := range strings.Fields(body) {
		if w == word {
			return true
		}
	}
	return false
}

// say reports an event, with slot and process; in one write, so that lines do not mix.
func (t *testWorker) say(format string, args ...any) {
	if t.report != nil {
		fmt.Fprintf(t.report, "%d %d %.200s\n", t.w.Slot, os.Getpid(), fmt.Sprintf(format, args...))
	}
}

func (t *testWorker) Prepare(body []byte, files []int) error {
	if len(files) == 0 {
		return errors.New("no report")
	}
	if t.report == nil {
		t.report = os.NewFile(uintptr(files[0]), "report")
	} else {
		unix.Close(files[0])
	}
	t.next, t.files = string(body), files[1:]
	t.say("prepare %s", t.next)
	switch {
	case has(t.next, "refuse"):
		return errors.New("the port is taken")
	case has(t.next, "die-in-prepare"):
		os.Exit(8)
	case has(t.next, "slow"):
		time.Sleep(5 * time.Second)
	case has(t.next, "hang-in-prepare"):
		select {}
	}
	return nil
}

func (t *testWorker) Commit() {
	if has(t.next, "hang-in-commit") {
		select {}
	}
	t.current = t.next
	for _, w := range strings.Fields(t.current) {
		t.sticky[w] = true
	}
	closeFiles(t.files)
	t.mute.Store(has(t.current, "mute"))
	if has(t.current, "facts") {
		for _, f := range facts() {
			t.say("fact %s", f)
		}
	}
	t.say("commit %s", t.current)
	switch {
	case has(t.current, "die"):
		os.Exit(9)
	case has(t.current, "leave"):
		os.Exit(0)
	}
}

func (t *testWorker) Abort() {
	closeFiles(t.files)
	t.say("abort %s", t.next)
}

func (t *testWorker) Drain(timeout time.Duration) {
	t.say("drain %v", timeout)
	if !t.sticky["ignore-drain"] {
		os.Exit(0)
	}
}

func (t *testWorker) Stop() {
	t.say("stop")
	if !t.sticky["ignore-stop"] {
		os.Exit(0)
	}
}

func (t *testWorker) Notice(n supervise.Notice) { t.say("notice %d", n) }

func (t *testWorker) Orphaned() {
	t.say("orphaned")
	if t.sticky["ignore-orphaned"] {
		select {}
	}
}

func closeFiles(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// facts lists what a process inherited: its descriptors, variables, and status.
func facts() []string {
	var out []string
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // not that of the directory, which is closed
			out = append(out, "fd "+e.Name()+" "+to)
		}
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "KROXY_EV_") {
			out = append(out, "variable "+v)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return append(out, err.Error())
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "Name" || name == "NoNewPrivs" || name == "Uid" || name == "Gid" || name == "Groups" {
			out = append(out, "status "+name+" "+strings.Join(strings.Fields(value), " "))
		}
	}
	return out
}
