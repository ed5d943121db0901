package accesslog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/engine/accesslog"
)

func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	l := open(t, path, accesslog.Options{FlushInterval: time.Hour})
	for i := range 20 {
		diagnose(t, l, fmt.Sprint("before ", i))
		if err := os.Rename(path, fmt.Sprint(path, i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		expectFile(t, fmt.Sprint(path, i), fmt.Sprintf("before %d\n", i))
	}
	// If a directory has taken the file's place, the old file stays in use.
	if err := errors.Join(os.Rename(path, path+".old"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("Reopen: %v", err)
	}
	diagnose(t, l, "last")
	if err := l.Close(testTimeout); err != nil {
		t.Error(err)
	}
	expectFile(t, path+".old", "last\n")
	if fds := openFDs(t, path); len(fds) != 0 {
		t.Errorf("still open: %v", fds)
	}
}

// openFDs returns the open files whose names begin with path.
func openFDs(t *testing.T, path string) (list []string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, path) {
			list = append(list, to)
		}
	}
	return list
}

// If writing to the old file fails, the new one is used at once, for the unwritten lines too.
func TestReopenWhileFailing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 100)
	l := open(t, path, accesslog.Options{FlushInterval: time.Millisecond, Report: func(err error) { told <- err }})
	diagnose(t, l, "one", "two")
	<-told
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	if err := l.Close(testTimeout); err != nil {
		t.Error(err)
	}
	expectFile(t, path, "one\ntwo\n")
}

// A line of which the old file has only a part is written again to the new file.
func TestReopenInTheMiddleOfALine(t *testing.T) {
	t.Parallel()
	path, reader := newFIFO(t)
	l := open(t, path, accesslog.Options{FlushInterval: time.Millisecond})
	long := strings.Repeat("x", 200_000) // a pipe takes 65536 bytes
	diagnose(t, l, "short", long, "after")
	first := make([]byte, 10)
	for n := 0; n < len(first); { // until part of the long line is written
		if got, err := reader.Read(first[n:]); err == nil {
			n += got
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	if err := l.Close(testTimeout); err != nil {
		t.Error(err)
	}
	expectFile(t, path, lines(long, "after"))
}

// If the same file is opened again, a partly written line is continued.
func TestReopenOfTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := new(script)
		w.add(step{n: 5, err: enospc}, step{err: enospc}, step{err: enospc})
		l := accesslog.New("test", w, accesslog.Options{})
		diagnose(t, l, "one", "two")
		time.Sleep(second)
		synctest.Wait()
		if err := l.Reopen(); err != nil {
			t.Error(err)
		}
		time.Sleep(second)
		if err := l.Close(second); err != nil {
			t.Error(err)
		}
		if want := lines("one", "two"); w.String() != want {
			t.Errorf("got %q, want %q", w.String(), want)
		}
	})
}

func TestReopenWhileStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := new(script)
		block := make(chan struct{})
		w.add(step{n: 5, block: block})
		l := accesslog.New("test", w, accesslog.Options{})
		diagnose(t, l, "one", "two")
		time.Sleep(second)
		synctest.Wait()
		for range 3 {
			start := time.Now()
			if err := l.Reopen(); err == nil || time.Since(start) != 5*second {
				t.Errorf("Reopen: %v after %v", err, time.Since(start))
			}
		}
		close(block)
		synctest.Wait()
		if err := l.Close(second); err != nil {
			t.Error(err)
		}
		if want := lines("one", "two"); w.String() != want {
			t.Errorf("got %q, want %q", w.String(), want)
		}
	})
}
