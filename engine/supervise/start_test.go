package supervise_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"kroxy-ev/engine/supervise"
)

func TestStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(3, "a"))
	if got, want := states(w.m), "0:serving 1:serving 2:serving"; got != want {
		t.Errorf("states %q, want %q", got, want)
	}
	for _, s := range w.m.Workers() {
		if s.Since.IsZero() || s.PID == 0 {
			t.Errorf("status %+v", s)
		}
	}
	w.collect(3, "commit a")
	events := w.stop()
	if n := count(events, "superfluous gone exit status 0"); n != 3 {
		t.Errorf("%d workers left, want 3", n)
	}
	if len(w.m.Workers()) != 0 {
		t.Error("there are workers after Stop")
	}
	w.m.Stop() // a second time
	w.m.Drain(0)
	if err := w.m.Apply(w.plan(1, "b")); !errors.Is(err, supervise.ErrStopping) {
		t.Errorf("Apply after Stop: %v", err)
	}
}

// No worker serves before all can, and none is left if one cannot.
func TestStartFails(t *testing.T) {
	t.Parallel()
	second := func(body string) func(int) string {
		return func(slot int) string {
			if slot == 1 {
				return body
			}
			return "ok"
		}
	}
	for name, test := range map[string]struct {
		body    func(int) string
		role    string
		want    []string
		serving bool // some may serve for a moment
	}{
		"refuses":             {body: second("a refuse"), want: []string{"worker 1", "the port is taken"}},
		"dies":                {body: second("a die-in-prepare"), want: []string{"worker 1", "exit status 8"}},
		"hangs":               {body: second("a hang-in-prepare"), want: []string{"worker 1", "within 300ms"}},
		"dies when it serves": {body: second("a die"), want: []string{"worker 1", "exit status 9"}, serving: true},
		"hangs in commit":     {body: second("a hang-in-commit"), want: []string{"worker 1", "within 300ms"}, serving: true},
		"leaves at once":      {body: second("a"), role: "leaves at once", want: []string{"worker ", "exit status 7"}},
		"never answers":       {body: second("a"), role: "never answers", want: []string{"worker 0", "worker 2", "within 300ms"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if strings.Contains(test.want[1]+test.want[len(test.want)-1], "300ms") {
				w.o.AnswerTimeout = 300 * time.Millisecond
			}
			if strings.Contains(name, "hangs") {
				w.o.AnswerTimeout = 2 * time.Second // time for the others to answer
				test.want[1] = "within 2s"
			}
			w.o.Env = append(os.Environ(), roleVariable+"="+test.role)
			m, err := supervise.Start(w.o, w.planFor(3, test.body))
			if m != nil {
				w.m = m
			}
			wantError(t, err, test.want...)
			w.pipe.w.Close()
			events := w.pipe.finished(t)
			if s, g := count(events, "started"), count(events, "superfluous gone"); s != g || s == 0 {
				t.Errorf("%d processes started, %d gone: %v", s, g, events)
			}
			if n := count(events, "commit"); n > 0 && !test.serving {
				t.Errorf("%d workers served: %v", n, events)
			}
		})
	}
}

func TestStartCannot(t *testing.T) {
	t.Parallel()
	forFails := func(slot int) ([]byte, []int, error) {
		if slot == 1 {
			return nil, nil, errors.New("no socket")
		}
		return nil, nil, nil
	}
	nothing := func(int) ([]byte, []int, error) { return nil, nil, nil }
	for name, test := range map[string]struct {
		program string
		plan    supervise.Plan
		want    []string
	}{
		"no program":    {"/nonexistent", supervise.Plan{Workers: 2, For: nothing}, []string{"worker 0", "/nonexistent", "no such file"}},
		"plan fails":    {"", supervise.Plan{Workers: 2, For: forFails}, []string{"worker 1", "no socket"}},
		"no workers":    {"", supervise.Plan{For: nothing}, []string{"0 workers"}},
		"too many":      {"", supervise.Plan{Workers: supervise.MaxWorkers + 1, For: nothing}, []string{"1025 workers"}},
		"no For":        {"", supervise.Plan{Workers: 1}, []string{"without For"}},
		"a closed file": {"", supervise.Plan{Workers: 1, For: func(int) ([]byte, []int, error) { return nil, []int{1 << 20}, nil }}, []string{"worker 0", "bad file descriptor"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.o.Program = test.program
			m, err := supervise.Start(w.o, test.plan)
			w.m = m
			wantError(t, err, test.want...)
		})
	}
}

// factsOf waits for a worker's report on what it inherited.
func (w *world) factsOf(slot int, commit string) (facts []string) {
	w.t.Helper()
	for {
		e := w.next()
		if e.slot != slot {
			continue
		}
		if f, ok := strings.CutPrefix(e.what, "fact "); ok {
			facts = append(facts, f)
		} else if strings.HasPrefix(e.what, "commit "+commit) {
			return facts
		}
	}
}

func hasFact(facts []string, f string) bool {
	for _, have := range facts {
		if have == f {
			return true
		}
	}
	return false
}

// A worker has only its standard descriptors, the channel, the plan's descriptors and those that Go's runtime makes,
// however many the master has and whether or not they are close-on-exec.
func TestWorkerDescriptors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leak, err := syscall.Open("/proc/version", syscall.O_RDONLY, 0) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w.o.Stdout = out
	w.start(w.plan(2, "facts"))
	report, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", w.pipe.w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	facts := w.factsOf(1, "facts")
	rest := map[string]int{"socket": 1, report: 1, "anon_inode:[eventpoll]": 1, "anon_inode:[eventfd]": 1}
	for _, f := range facts {
		to, ok := strings.CutPrefix(f, "fd ")
		if !ok {
			continue
		}
		n, to, _ := strings.Cut(to, " ")
		switch {
		case n == "0" && to == "/dev/null", n == "1" && to == out.Name(), n == "2":
			continue
		case strings.HasPrefix(to, "/sys/fs/cgroup/"): // Go's runtime looks there for GOMAXPROCS
			continue
		case strings.HasPrefix(to, "socket:"):
			to = "socket"
		}
		if rest[to]--; rest[to] < 0 {
			t.Errorf("a worker has descriptor %s, %s", n, to)
		}
	}
	for to, n := range rest {
		if n > 0 {
			t.Errorf("a worker lacks %s", to)
		}
	}
	for _, f := range facts {
		if strings.HasPrefix(f, "variable ") {
			t.Errorf("%s was not removed", f)
		}
	}
	if !hasFact(facts, "status Name worker") {
		t.Errorf("the process is not called by its program's name: %v", facts)
	}
}

func TestNoNewPrivs(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		w := newWorld(t)
		w.o.NoNewPrivs = on
		w.start(w.plan(1, "facts"))
		want := map[bool]string{false: "status NoNewPrivs 0", true: "status NoNewPrivs 1"}[on]
		if facts := w.factsOf(0, "facts"); !hasFact(facts, want) {
			t.Errorf("no %q in %v", want, facts)
		}
	}
	if own := facts(); !hasFact(own, "status NoNewPrivs 0") {
		t.Errorf("the master has it as well: %v", own)
	}
}

func TestCredential(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root may start workers as another user")
	}
	w := newWorld(t)
	w.o.Credential = &syscall.Credential{Uid: 65534, Gid: 65533, Groups: []uint32{65532}}
	w.o.NoNewPrivs = true
	w.start(w.plan(1, "facts"))
	facts := w.factsOf(0, "facts")
	for _, want := range []string{"status Uid 65534 65534 65534 65534", "status Gid 65533 65533 65533 65533", "status Groups 65532"} {
		if !hasFact(facts, want) {
			t.Errorf("no %q in %v", want, facts)
		}
	}
}

// By default workers run the running binary, even if its file was moved or replaced.
func TestProgramThatWasReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(1, "a"))
	e := w.await(0, "commit")
	ours, err := os.Stat("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/exe", e.pid))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(ours, theirs) {
		t.Error("the worker is of another binary")
	}
}

func TestBroadcast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(w.plan(3, "a"))
	w.m.Broadcast(supervise.ReopenLogs)
	w.collect(3, "notice 1")
}
