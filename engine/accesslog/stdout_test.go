package accesslog_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kroxy-ev/engine/accesslog"
)

const childEnv = "KROXY_EV_ACCESSLOG_CHILD"

// TestChild is not a test but the process that the test of /dev/stdout examines.
func TestChild(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		t.Skip("for TestStandardStreams only")
	}
	out := map[string]*os.File{"/dev/stdout": os.Stdout, "/dev/stderr": os.Stderr}[path]
	_, _ = fmt.Fprintln(out, "before")
	l, err := accesslog.Open(path, accesslog.Options{})
	if err != nil {
		_, _ = fmt.Fprintln(out, err)
		os.Exit(1)
	}
	if os.Getenv(childEnv+"_STUCK") != "" {
		for range 20000 {
			_, _ = fmt.Fprintln(l, "whole")
		}
		if err := l.Reopen(); err != nil { // needs a reply of the writing goroutine
			os.Exit(2)
		}
		_ = l.Close(10 * time.Millisecond) // lines not written
		os.Exit(0)
	}
	for i := range 1000 {
		_, _ = fmt.Fprintln(l, "line", i)
	}
	_ = l.Reopen()
	if err := l.Close(testTimeout); err != nil {
		_, _ = fmt.Fprintln(out, err)
	}
	_, _ = fmt.Fprintln(out, "after")
	os.Exit(0)
}

// childEnviron makes the race detector's exit fast.
func childEnviron(path string) []string {
	return append(os.Environ(), childEnv+"="+path, "GORACE=atexit_sleep_ms=0")
}

// The standard streams work whatever they are, and stay open.
func TestStandardStreams(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	want.WriteString("before\n")
	for i := range 1000 {
		_, _ = fmt.Fprintln(&want, "line", i)
	}
	want.WriteString("after\n")

	pair := func(nonblock bool) func(*testing.T) (ours, theirs *os.File) {
		return func(t *testing.T) (ours, theirs *os.File) {
			fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
			if err == nil && nonblock {
				err = syscall.SetNonblock(fds[1], true)
			}
			if err != nil {
				t.Fatal(err)
			}
			return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
		}
	}
	for name, streams := range map[string]func(*testing.T) (ours, theirs *os.File){
		"socket":              pair(false),
		"non-blocking socket": pair(true),
		"pipe": func(t *testing.T) (ours, theirs *os.File) {
			ours, theirs, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return ours, theirs
		},
		"file": func(t *testing.T) (ours, theirs *os.File) {
			path := filepath.Join(t.TempDir(), "out")
			theirs, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if ours, err = os.Open(path); err != nil {
				t.Fatal(err)
			}
			return ours, theirs
		},
	} {
		for _, path := range []string{"/dev/stdout", "/dev/stderr"} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				ours, theirs := streams(t)
				defer ours.Close()
				child := exec.Command(os.Args[0], "-test.run=^TestChild$")
				child.Env = childEnviron(path)
				if path == "/dev/stdout" {
					child.Stdout = theirs
				} else {
					child.Stderr = theirs
				}
				if err := child.Start(); err != nil {
					t.Fatal(err)
				}
				_ = theirs.Close()
				if name == "file" { // a file is read after everything is written
					_ = child.Wait()
				}
				got, err := io.ReadAll(ours)
				if name != "file" {
					_ = child.Wait()
				}
				if string(got) != want.String() || err != nil {
					t.Errorf("got %d bytes, want %d (%v): %.200q", len(got), want.Len(), err, got)
				}
			})
		}
	}
}

// If stdout is a blocking pipe without a reader, it neither delays the exit nor gets part of a line.
func TestStandardPipeNobodyReads(t *testing.T) {
	t.Parallel()
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(childEnviron("/dev/stdout"), childEnv+"_STUCK=1")
	child.Stdout = theirs
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	got, err := io.ReadAll(ours)
	whole, found := strings.CutPrefix(string(got), "before\n")
	if n := strings.Count(whole, "whole\n"); err != nil || !found || n == 0 || len(whole) != n*len("whole\n") {
		t.Errorf("read %d bytes, %d lines, %v", len(got), n, err)
	}
}
