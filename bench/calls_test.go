package bench

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mayTrace returns the tracepoints' ids, or skips the test if system calls may not be counted here.
func mayTrace(t *testing.T) tracepoints {
	t.Helper()
	trace, err := (&harness{dir: t.TempDir()}).tracepoints()
	if err != nil {
		t.Skip(err)
	}
	return trace
}

// The counter counts the known number of calls of its own thread, and none that other threads of the process make meanwhile.
func TestCounterOfAThread(t *testing.T) {
	t.Parallel()
	trace := mayTrace(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ep)
	c := &counter{}
	defer c.close()
	if err := c.open([]int{unix.Gettid()}, trace); err != nil {
		t.Fatal(err)
	}
	const calls, waits = 5000, 7
	for range 2 * calls { // before the count begins
		unix.Getppid()
	}
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	for range calls {
		unix.Getppid()
	}
	for range waits {
		if _, err := unix.EpollWait(ep, make([]unix.EpollEvent, 1), 0); err != nil {
			t.Fatal(err)
		}
	}
	n, err := c.since()
	if err != nil {
		t.Fatal(err)
	}
	// Go's runtime makes some calls on each thread, and reading the counts takes some, too.
	if n.Waits != waits || n.Calls < calls+waits || n.Calls > calls+waits+calls/5 {
		t.Errorf("counted %+v of %d calls and %d waits", n, calls, waits)
	}
}

// Children that a process starts after counting began are counted with it; calls it made before that are not.
func TestCounterOfAFamily(t *testing.T) {
	t.Parallel()
	trace := mayTrace(t)
	cores, err := splitCores()
	if err != nil {
		t.Fatal(err)
	}
	const work = "dd if=/dev/zero of=/dev/null bs=1 count=5000 status=none; "
	p, err := start(command{
		name: "sh", argv: []string{"/bin/sh", "-c", work + "echo; read line; " + work + work + "echo; read line"},
		dir: t.TempDir(), cpus: cores.rest, pipes: true,
	}, nil)
	if err != nil {
		t.Skipf("no shell: %v", err)
	}
	defer p.stop()
	newline := make([]byte, 1)
	late := time.AfterFunc(time.Minute, func() { _ = p.out.Close() })
	defer late.Stop()
	if _, err := io.ReadFull(p.out, newline); err != nil {
		t.Fatal(err)
	}
	c, err := newCounter(p.pid, trace)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.out, newline); err != nil {
		t.Fatal(err)
	}
	n, err := c.since()
	if err != nil {
		t.Fatal(err)
	}
	if n.Calls < 20_000 || n.Calls > 21_000 || n.Waits != 0 {
		t.Errorf("counted %+v of two children's 10,000 calls each", n)
	}
	if _, err := newCounter(1<<22+1, trace); err == nil {
		t.Error("no error for a process that is not there")
	}
}

func TestCounterOfNothing(t *testing.T) {
	t.Parallel()
	var c *counter
	if n, err := c.since(); c.begin() != nil || n != (counts{}) || err != nil || (tracepoints{}).any() {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestReadTracepoints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(event, content string) {
		t.Helper()
		path := filepath.Join(dir, "events", event)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.WriteFile(filepath.Join(path, "id"), []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(why string) {
		t.Helper()
		if got, err := readTracepoints(dir); err == nil {
			t.Errorf("%s: %+v and no error", why, got)
		}
	}
	fails("nothing there")
	write("raw_syscalls/sys_enter", "443\n")
	fails("no way to wait")
	write("syscalls/sys_enter_epoll_pwait", "17\n")
	if got, err := readTracepoints(dir); err != nil || !reflect.DeepEqual(got, tracepoints{443, []uint64{17}}) {
		t.Errorf("%+v, %v", got, err)
	}
	write("syscalls/sys_enter_epoll_wait", "18\n")
	if got, err := readTracepoints(dir); err != nil || !reflect.DeepEqual(got, tracepoints{443, []uint64{18, 17}}) {
		t.Errorf("%+v, %v", got, err)
	}
	write("syscalls/sys_enter_epoll_wait", "0\n")
	fails("no id")
}

// If tracefs is not mounted, it is mounted for a moment, where that is allowed.
func TestFindTracepoints(t *testing.T) {
	t.Parallel()
	own := filepath.Join(t.TempDir(), "tracing")
	got, err := findTracepoints([]string{"/nowhere"}, own)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENODEV) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v does not say what was looked for", err)
		}
		t.Skip(err)
	}
	if err != nil || !got.any() {
		t.Errorf("%+v, %v", got, err)
	}
	if left, err := os.ReadDir(own); err != nil || len(left) > 0 {
		t.Errorf("still mounted: %d entries, %v", len(left), err)
	}
}
