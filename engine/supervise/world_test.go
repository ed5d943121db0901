package supervise_test

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/engine/supervise"
)

// testTimeout is how long a test waits for an expected event.
const testTimeout = 30 * time.Second

// event is something that a worker has reported, or an action of its master: "started" and "gone REASON".
type event struct {
	slot, pid int
	what      string
}

func (e event) String() string { return fmt.Sprintf("%d %d %s", e.slot, e.pid, e.what) }

// pipe is the pipe on which workers report.
type pipe struct {
	r, w   *os.File
	events chan event // closed when no process has the other end

	mu     sync.Mutex // guards the fields below, and sending to events
	closed bool
}

// add reports an event of this process.
func (p *pipe) add(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.events <- e
	}
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	close(p.events)
}

func newPipe() (*pipe, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &pipe{r: r, w: w, events: make(chan event, 1<<16)}
	go func() {
		defer p.close()
		for lines := bufio.NewScanner(r); lines.Scan(); {
			var e event
			line := lines.Text()
			if n, err := fmt.Sscanf(line, "%d %d", &e.slot, &e.pid); n != 2 || err != nil {
				e.what = line
			} else {
				e.what = strings.SplitN(line, " ", 3)[2]
			}
			p.add(e)
		}
	}()
	return p, nil
}

// world is a test's master with its workers.
type world struct {
	t    *testing.T
	pipe *pipe
	log  *safeBuffer
	o    supervise.Options
	m    *supervise.Master

	seen []event // all events that were awaited or skipped, in the order of arrival
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newWorld returns a world without a master. The test may change its Options.
func newWorld(t *testing.T) *world {
	t.Helper()
	p, err := newPipe()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, pipe: p, log: new(safeBuffer)}
	w.o = supervise.Options{
		Args:      []string{"worker"},
		StopGrace: testTimeout, // on a machine that stands still, a worker that stops may take long
		Log:       slog.New(slog.NewTextHandler(w.log, nil)),
		Started: func(slot, pid int) {
			p.add(event{slot, pid, "started"})
		},
		Gone: func(e supervise.Exit) {
			what := "gone " + e.Reason
			if e.Superfluous {
				what = "superfluous " + what
			}
			p.add(event{e.Slot, e.PID, what})
		},
	}
	t.Cleanup(func() {
		if w.m != nil {
			w.m.Stop()
		}
		p.w.Close()
		for range p.events { // ends when no worker is left
		}
		p.r.Close()
		if t.Failed() {
			t.Logf("events: %v\nlog:\n%s", w.seen, w.log)
		}
	})
	return w
}

// plan returns a plan with the same body for each worker.
func (w *world) plan(workers int, body string) supervise.Plan {
	return w.planFor(workers, func(int) string { return body })
}

// planFor returns a plan with a separate body for each slot.
func (w *world) planFor(workers int, body func(slot int) string) supervise.Plan {
	return supervise.Plan{Workers: workers, For: func(slot int) ([]byte, []int, error) {
		return []byte(body(slot)), []int{int(w.pipe.w.Fd())}, nil
	}}
}

func (w *world) start(p supervise.Plan) {
	w.t.Helper()
	m, err := supervise.Start(w.o, p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
}

// next waits for the next event.
func (w *world) next() event {
	w.t.Helper()
	select {
	case e, ok := <-w.pipe.events:
		if !ok {
			w.t.Fatal("no more events")
		}
		w.seen = append(w.seen, e)
		return e
	case <-time.After(testTimeout):
		w.t.Fatal("nothing happens")
	}
	panic("unreachable")
}

// await waits for an event in a slot (any slot, if it is negative) that begins with what, and returns it. It skips earlier
// events.
func (w *world) await(slot int, what string) event {
	w.t.Helper()
	for {
		if e := w.next(); (slot < 0 || e.slot == slot) && strings.HasPrefix(e.what, what) {
			return e
		}
	}
}

// collect waits for such an event in each of the slots and returns the events by slot.
func (w *world) collect(slots int, what string) map[int]event {
	w.t.Helper()
	found := map[int]event{}
	for len(found) < slots {
		e := w.await(-1, what)
		found[e.slot] = e
	}
	return found
}

// awaitCount waits until n events in total have begun with what.
func (w *world) awaitCount(n int, what string) {
	w.t.Helper()
	for count(w.seen, what) < n {
		w.next()
	}
}

// stop stops the master and returns all events.
func (w *world) stop() []event {
	w.t.Helper()
	w.m.Stop()
	w.pipe.w.Close() // the workers, which have ended, had the other ends
	w.seen = append(w.seen, w.pipe.finished(w.t)...)
	return w.seen
}

// count returns how many of the events begin with what.
func count(events []event, what string) (n int) {
	for _, e := range events {
		if strings.HasPrefix(e.what, what) {
			n++
		}
	}
	return n
}

// finished waits until no process has the other end of the pipe; the test's own end must be closed.
func (p *pipe) finished(t *testing.T) (events []event) {
	t.Helper()
	late := time.After(testTimeout)
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				return events
			}
			events = append(events, e)
		case <-late:
			t.Fatalf("some process is still there; it was so far: %v", events)
		}
	}
}

// within fails the test if f takes longer than d.
func within(t *testing.T, d time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s takes longer than %v", what, d)
	}
}

// wantError fails the test unless the error's text contains all parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}

// states returns the workers' states by slot.
func states(m *supervise.Master) string {
	var b strings.Builder
	for _, s := range m.Workers() {
		fmt.Fprintf(&b, "%d:%v ", s.Slot, s.State)
	}
	return strings.TrimSpace(b.String())
}
