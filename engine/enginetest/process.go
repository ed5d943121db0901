package enginetest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childEnv holds the name of the test that a child process runs.
const childEnv = "KROXY_EV_TEST_CHILD"

// Child runs the current test, which must not be a subtest, in its own process, so that it can count descriptors,
// force their numbers, or lower limits without disturbing other tests. It reports whether this is the child. In
// the parent it waits for the child and fails the test if the child failed; the test should then return. The test must not be parallel: between
// fork and exec, the child has the sockets of all other tests, so that what they close is not closed yet.
func Child(tb testing.TB) bool {
	tb.Helper()
	if os.Getenv(childEnv) == tb.Name() {
		return true
	}
	limit := "5m"
	if os.Getenv("KROXY_EV_LONG") != "" {
		limit = "20m"
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+regexp.QuoteMeta(tb.Name())+"$", "-test.count=1", "-test.v", "-test.timeout="+limit)
	// The race detector delays the end of a process by a second, unless told otherwise.
	cmd.Env = append(os.Environ(), childEnv+"="+tb.Name(), "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=20")
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		tb.Errorf("enginetest: in a process of its own: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		tb.Skipf("in a process of its own:\n%s", out)
	case !bytes.Contains(out, []byte("--- PASS: "+tb.Name())):
		tb.Errorf("enginetest: the process of its own did not run the test:\n%s", out)
	}
	return false
}

// FDs returns this process's open descriptors and their targets.
func FDs(tb testing.TB) map[int]string {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	fds := make(map[int]string)
	for _, e := range entries {
		// The descriptor for reading the directory is closed by now.
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			n, _ := strconv.Atoi(e.Name())
			fds[n] = target
		}
	}
	return fds
}

// NoLeaks records the current descriptors and goroutines. The function it returns fails the test if there are new
// descriptors or more goroutines, after some time for them to go. Use it in a Child.
func NoLeaks(tb testing.TB) func() {
	tb.Helper()
	// What the runtime and the net package open at first use stays open; that is not a leak.
	fds, goroutines := FDs(tb), runtime.NumGoroutine()
	return func() {
		tb.Helper()
		added := func() map[int]string {
			now := FDs(tb)
			maps.DeleteFunc(now, func(fd int, _ string) bool { _, had := fds[fd]; return had })
			return now
		}
		deadline := time.Now().Add(Patience)
		for time.Now().Before(deadline) && (runtime.NumGoroutine() > goroutines || len(added()) > 0) {
			time.Sleep(time.Millisecond)
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			stacks := make([]byte, 64<<10)
			stacks = stacks[:runtime.Stack(stacks, true)]
			tb.Errorf("goroutines: %d, were %d\n%s", n, goroutines, stacks)
		}
		for fd, target := range added() {
			tb.Errorf("leaked descriptor %d: %s", fd, target)
		}
	}
}

// Switches returns how often the thread tid of this process has gone to sleep. The thread of an idle loop does
// not.
func Switches(tb testing.TB, tid int) int {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	_, rest, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		tb.Fatalf("enginetest: while reading the status of a thread: %v", err)
	}
	return n
}
