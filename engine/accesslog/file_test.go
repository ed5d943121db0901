package accesslog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kroxy-ev/engine/accesslog"
)

// testTimeout is the timeout for things that happen at once unless the machine is very busy.
const testTimeout = 30 * second

func open(t *testing.T, path string, opts accesslog.Options) *accesslog.Log {
	t.Helper()
	l, err := accesslog.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func expectFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: got %q, want %q (%v)", filepath.Base(path), got, want, err)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	for _, line := range []string{"one", "two"} {
		l := open(t, path, accesslog.Options{})
		diagnose(t, l, line)
		if err := l.Close(testTimeout); err != nil {
			t.Error(err)
		}
	}
	expectFile(t, path, "one\ntwo\n")
	st, err := os.Stat(path)
	if err != nil || st.Mode()&^0o022 != 0o644&^0o022 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// A half line that another process has left does not become part of our first line.
func TestTornFileIsMended(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(path, []byte("whole\nhal"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, path, accesslog.Options{})
	diagnose(t, l, "one")
	if err := l.Close(testTimeout); err != nil {
		t.Error(err)
	}
	expectFile(t, path, "whole\nhal\none\n")
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		dir:             syscall.EISDIR,
		dir + "/no/log": os.ErrNotExist,
		"":              os.ErrNotExist,
		fifo:            syscall.ENXIO, // at once, because there is no reader
	} {
		_, err := accesslog.Open(path, accesslog.Options{})
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "accesslog: opening "+path+": ") {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestRealFullDisk(t *testing.T) {
	t.Parallel()
	told := make(chan error, 100)
	l := open(t, "/dev/full", accesslog.Options{FlushInterval: time.Millisecond, Report: func(err error) { told <- err }})
	diagnose(t, l, "one")
	if err := <-told; !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "accesslog: /dev/full: writing: ") {
		t.Errorf("told %v", err)
	}
	if err := l.Close(testTimeout); !errors.Is(err, syscall.ENOSPC) || l.Lost() != 1 {
		t.Errorf("Close: %v; %d lost", err, l.Lost())
	}
}
